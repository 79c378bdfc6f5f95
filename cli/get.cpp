// ipcq get: messages to standard output.
//
// A message is acked only when all of it has been handed to the kernel. Whatever ends a get, a message is either
// written and acked, or comes again; one that was half written comes again whole.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <string>

#include "arguments.hpp"
#include "framing.hpp"
#include "ipcq/queue.hpp"
#include "message_writer.hpp"
#include "output.hpp"
#include "progress.hpp"
#include "queues.hpp"
#include "signals.hpp"
#include "units.hpp"
#include "verb.hpp"

namespace ipcq::cli {
namespace {

constexpr std::uint32_t kBatchDefault = 256;
constexpr std::uint32_t kBatchMax = 4096;  // of a lease
// What comes twice at most if this process is killed between writing and acking (one message may be larger).
constexpr std::size_t kBatchBytesMax = std::size_t{1} << 20;
// ack(n) needs the group's lock, which others hold for microseconds; not getting it means that n messages come again.
constexpr std::chrono::seconds kAckPatience{5};

constexpr std::array kOptions{
    Option{"group", "GROUP", "take as a member of this group (default)"},
    Option{"count,n", "COUNT", "stop after so many messages"},
    Option{"timeout", "DURATION", "stop when nothing came for so long (0: at once)"},
    Option{"follow", nullptr, "wait until the queue is closed and drained"},
    kNullOption,
    kLengthPrefixedOption,
    Option{"whole", nullptr, "write nothing between messages"},
    Option{"origin", nullptr, "write before each message where it came from, if it is a dead letter"},
    Option{"batch", "N", "take up to N messages at once, 1 to 4096 (256)"},
};

struct Settings {
  std::string group;
  Framing framing;
  std::optional<std::uint64_t> count;
  std::uint32_t batch_max = kBatchDefault;
  Deadline deadline = ipcq::now;
  bool follow;
  bool origin;
};

Settings settings_of(const Arguments& arguments) {
  if (arguments.json()) throw UsageError("get writes the messages themselves: --json is not for it");
  Settings settings{.group = arguments.value("group").value_or("default"),
                    .framing = framing_of(arguments),
                    .count = {},
                    .follow = arguments.has("follow"),
                    .origin = arguments.has("origin")};
  if (settings.origin && settings.framing == Framing::whole) {
    throw UsageError("--origin with --whole: nothing would stand between origins and messages");
  }
  Arguments::check_name("group", settings.group);
  if (const auto text = arguments.value("count")) {
    settings.count = parse_number("-n", *text, 1, std::numeric_limits<std::uint64_t>::max());
  }
  if (const auto text = arguments.value("batch")) {
    settings.batch_max = static_cast<std::uint32_t>(parse_number("--batch", *text, 1, kBatchMax));
  }
  if (const auto text = arguments.value("timeout")) {
    if (settings.follow) throw UsageError("--follow waits without limit: --timeout is not for it");
    settings.deadline = parse_duration("--timeout", *text);
  }
  if (settings.follow) settings.deadline = forever;
  return settings;
}

class Get {
 public:
  explicit Get(const Settings& settings)
      : settings_(settings),
        writer_(STDOUT_FILENO, settings.framing, settings.origin),
        // Where the messages go to the terminal, it belongs to them.
        progress_(::isatty(STDOUT_FILENO) != 1, {.input_bytes = {}, .waiting = "waiting for messages"}) {}

  Exit run(Consumer& consumer) {
    const CancelOnInterrupt cancel(consumer);
    while (!settings_.count || written_ < *settings_.count) {
      Take take{.max_messages = settings_.batch_max, .max_bytes = kBatchBytesMax, .deadline = settings_.deadline};
      if (settings_.count) {
        take.max_messages =
            static_cast<std::uint32_t>(std::min<std::uint64_t>(settings_.batch_max, *settings_.count - written_));
      }
      progress_.wait_begins();
      Lease lease = consumer.lease(take);
      progress_.wait_ends();
      if (!lease) return ended(lease);
      write_and_ack(lease);
      progress_.update(written_, payload_bytes_, 0);
    }
    return Exit::done;
  }

 private:
  void write_and_ack(Lease& lease) {
    const std::uint32_t size = lease.size();
    const MessageWriter::Result result = writer_.write(lease);
    if (result.messages > 0) {
      const Outcome outcome = lease.ack(result.messages, kAckPatience);
      if (outcome != Outcome::ok) {
        progress_.end();
        throw Failure(
            exit_of(outcome) == Exit::nothing ? Exit::error : exit_of(outcome), sentence(outcome),
            {format_count(result.messages, "message") + " written last could not be acked and may come again"});
      }
      written_ += result.messages;
      payload_bytes_ += result.payload_bytes;
    }
    if (result.messages == size) return;

    if (lease) (void)lease.requeue();  // whoever disowned us has given them back already
    progress_.end();
    std::string state = format_count(written_, "message") + " written and acked; the others stay in the queue";
    if (result.partial_bytes > 0) {
      state += "; the last " + format_count(result.partial_bytes, "byte") +
               " written belong to a message that will come again";
    }
    if (result.gave_up) throw Failure(Exit::interrupted, sentence(Outcome::cancelled), {state});
    if (result.error == EPIPE) {
      note("nobody reads standard output any more: " + state);
      throw Failure(Exit::broken_pipe, "");
    }
    if (result.error != 0) {
      const std::string cause = std::strerror(result.error);
      throw Failure(Exit::error, "cannot write to standard output: " + cause, {state});
    }
    throw Failure(Exit::damaged, sentence(Outcome::damaged), {state});
  }

  /// There is no lease: what that means for the program.
  Exit ended(const Lease& lease) {
    progress_.end();
    const Outcome outcome = lease.outcome();
    const std::string came = format_count(written_, "message") + " written";
    if (outcome != Outcome::closed && !is_transient(outcome)) {
      throw Failure(exit_of(outcome), sentence(outcome), {came});
    }
    const std::string blocker = describe(lease.blocked_by());
    if (!blocker.empty()) note(blocker);
    if (settings_.count) {
      note(std::to_string(written_) + " of " + format_count(*settings_.count, "message") + " came" +
           (outcome == Outcome::closed ? " before the end of the stream" : ""));
      return Exit::nothing;
    }
    if (outcome == Outcome::closed && settings_.follow) return Exit::done;
    if (written_ > 0) return Exit::done;
    note(outcome == Outcome::empty ? "nothing came" : std::string("nothing came: ") + sentence(outcome));
    return Exit::nothing;
  }

  const Settings& settings_;
  MessageWriter writer_;
  std::uint64_t written_ = 0;
  std::uint64_t payload_bytes_ = 0;
  Progress progress_;
};

Exit run(const Arguments& arguments) {
  const std::string& name = arguments.names().front();
  const Settings settings = settings_of(arguments);
  catch_interrupts();
  const Queue queue = open_queue(arguments, name);
  try {
    Consumer consumer = queue.consumer(settings.group);
    Get get(settings);
    return get.run(consumer);
  } catch (const Error& error) {
    throw to_failure(error, arguments, name);
  }
}

constexpr Verb kVerb{
    .rank = 5,
    .name = "get",
    .usage = "NAME [options]",
    .summary = "take messages out of a queue and write them to standard output",
    .details =
        "Each message is followed by a newline. get takes what is there and ends when nothing came for --timeout\n"
        "(at once, unless said), after COUNT messages, or with --follow at the end of the stream. A message\n"
        "counts as processed only after all of it was written: when the disk is full, the pipe is broken or\n"
        "get is killed, what was not written comes again. The exit code is 5 when nothing came, or fewer than\n"
        "COUNT.\n",
    .example =
        "  ipcq get orders -n 10 --timeout 5s\n"
        "  ipcq get orders --group audit --follow > audit.log\n",
    .names_min = 1,
    .names_max = 1,
    .options = kOptions,
    .run = run,
};
const Registration kRegistration(kVerb);

}  // namespace
}  // namespace ipcq::cli
