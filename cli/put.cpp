// ipcq put: standard input or a file to messages.
//
// A claim is open only while complete messages are copied from the private buffer into it, never across a read: who
// waits for input holds nothing that others wait for.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <limits>
#include <new>
#include <span>
#include <string>
#include <vector>

#include "arguments.hpp"
#include "framing.hpp"
#include "input.hpp"
#include "ipcq/admin.hpp"
#include "ipcq/queue.hpp"
#include "output.hpp"
#include "progress.hpp"
#include "queue_json.hpp"
#include "queues.hpp"
#include "signals.hpp"
#include "units.hpp"
#include "verb.hpp"

namespace ipcq::cli {
namespace {

constexpr std::uint32_t kBatchDefault = 256;
constexpr std::uint32_t kBatchMax = 65'536;
constexpr std::uint64_t kTagMax = std::numeric_limits<std::uint16_t>::max();
// Beyond this a larger batch gains nothing, and it must find its room in one piece.
constexpr std::uint64_t kBatchBytesMax = std::uint64_t{1} << 20;

constexpr std::array kOptions{
    Option{"file", "FILE", "read this file instead of standard input"},
    kNullOption,
    kLengthPrefixedOption,
    Option{"whole", nullptr, "all of the input is one message"},
    Option{"batch", "N", "commit up to N messages at once (256), fewer where more would not fit"},
    Option{"tag", "N", "the messages' tag, 0 to 65535 (0)"},
    Option{"timeout", "DURATION", "wait at most so long for room, or for a quota (for ever)"},
    Option{"close", nullptr, "close the queue after the last message, if all went in"},
};

struct Settings {
  std::string file;
  Framing framing;
  std::uint32_t batch_max = kBatchDefault;
  std::uint16_t tag = 0;
  Deadline deadline = forever;
  bool close;
};

Settings settings_of(const Arguments& arguments) {
  Settings settings{
      .file = arguments.value("file").value_or("-"), .framing = framing_of(arguments), .close = arguments.has("close")};
  if (const auto text = arguments.value("batch")) {
    settings.batch_max = static_cast<std::uint32_t>(parse_number("--batch", *text, 1, kBatchMax));
  }
  if (const auto text = arguments.value("tag")) {
    settings.tag = static_cast<std::uint16_t>(parse_number("--tag", *text, 0, kTagMax));
  }
  if (const auto text = arguments.value("timeout")) settings.deadline = parse_duration("--timeout", *text);
  return settings;
}

class Put {
 public:
  Put(const Settings& settings, const Queue& queue, Input& input)
      : settings_(settings),
        queue_(queue),
        input_(input),
        splitter_(settings.framing, queue.message_bytes_max()),
        // Where the messages are typed, the terminal belongs to them.
        progress_(!input.terminal(), {.show_after = std::chrono::milliseconds(input.regular_file() ? 200 : 1000),
                                      .input_bytes = input.regular_bytes(),
                                      .waiting = "waiting for room"}) {
    const QueueInfo info = queue.inspect();
    overhead_ = 2 * std::uint64_t{info.alignment_bytes} - 1;
    batch_bytes_max_ = std::min(info.capacity_bytes / 4, kBatchBytesMax);
  }

  /// Reads and publishes to the end of the input. Throws what ended it before.
  void run() {
    Producer producer = queue_.producer();
    const CancelOnInterrupt cancel(producer);
    for (bool more = true; more;) {
      const std::span<std::byte> space = splitter_.space();
      const std::size_t count = input_.read(space);
      more = count > 0;
      if (more) {
        splitter_.fill(count);
      } else {
        splitter_.finish();
      }
      // A file has more at once, so an unfinished batch waits for it. Anything else may be silent for hours now.
      const bool batch_can_wait = input_.regular_file() && count == space.size() && !splitter_.problem();
      publish(producer, !batch_can_wait);
      if (splitter_.problem()) throw Failure(Exit::error, *splitter_.problem());
    }
  }

  void end_progress() { progress_.end(); }
  [[nodiscard]] std::uint64_t messages() const noexcept { return messages_; }
  [[nodiscard]] std::uint64_t payload_bytes() const noexcept { return payload_bytes_; }

 private:
  using Pieces = std::span<const Splitter::Piece>;

  static std::size_t bytes_of(Pieces pieces) noexcept {
    std::size_t bytes = 0;
    for (const Splitter::Piece& piece : pieces) bytes += piece.size();
    return bytes;
  }

  /// The messages in front that make a batch; `full` is whether a limit ended it and not the messages.
  Pieces next_batch(Pieces pieces, const Quota& quota, bool& full) const noexcept {
    // Never more at once than a quota lets pass without debt: so its rate is kept from the first message on.
    std::size_t count_max = settings_.batch_max;
    if (quota.burst_messages > 0) count_max = std::min<std::size_t>(count_max, quota.burst_messages);
    const std::uint64_t bytes_max = quota.burst_bytes > 0 ? quota.burst_bytes : std::numeric_limits<std::uint64_t>::max();
    std::size_t count = 0;
    std::uint64_t room = 0;
    std::uint64_t bytes = 0;
    for (; count < pieces.size() && count < count_max; ++count) {
      room += pieces[count].size() + overhead_;
      bytes += pieces[count].size();
      if (count > 0 && (room > batch_bytes_max_ || bytes > bytes_max)) break;
    }
    full = count == count_max || count < pieces.size();
    return pieces.first(count);
  }

  void publish(Producer& producer, bool all) {
    const std::vector<Splitter::Piece> complete = splitter_.pieces();
    Pieces pieces = complete;
    while (!pieces.empty()) {
      bool full = false;
      const Pieces batch = next_batch(pieces, producer.quota(), full);
      if (!full && !all) return;
      publish_batch(producer, batch);
      pieces = pieces.subspan(batch.size());
    }
  }

  void publish_batch(Producer& producer, Pieces batch) {
    Deadline deadline = settings_.deadline;
    std::size_t count = batch.size();
    while (!batch.empty()) {
      const Pieces part = batch.first(std::min(count, batch.size()));
      progress_.wait_begins();
      Claim claim =
          producer.claim({.messages = static_cast<std::uint32_t>(part.size()), .bytes = bytes_of(part)}, deadline);
      progress_.wait_ends();
      if (!claim) {
        if (!is_transient(claim.outcome()) || part.size() == 1) throw_refused(claim);
        // No room for all of them in time. What there is room for still goes in, so that --timeout 0 fills the queue.
        count = part.size() / 2;
        deadline = ipcq::now;
        continue;
      }
      for (const Splitter::Piece& piece : part) claim.append_copy(piece, settings_.tag);
      const std::size_t bytes = claim.bytes();
      const Outcome outcome = claim.commit();
      if (outcome != Outcome::ok) throw Failure(exit_of(outcome), sentence(outcome));
      messages_ += part.size();
      payload_bytes_ += bytes;
      splitter_.take(part.size());
      progress_.update(messages_, payload_bytes_, splitter_.taken_bytes());
      batch = batch.subspan(part.size());
    }
  }

  [[noreturn]] static void throw_refused(const Claim& claim) {
    const std::string blocker = describe(claim.blocked_by());
    std::vector<std::string> hints(blocker.empty() ? 0 : 1, blocker);
    if (claim.outcome() == Outcome::over_quota) {
      hints.push_back("the next would pass in " +
                      format_duration(static_cast<std::uint64_t>(claim.retry_after().count())));
    }
    throw Failure(exit_of(claim.outcome()), sentence(claim.outcome()), hints);
  }

  const Settings& settings_;
  const Queue& queue_;
  Input& input_;
  Splitter splitter_;
  std::uint64_t batch_bytes_max_ = 0;
  std::uint64_t overhead_ = 0;  ///< room that a message needs at most beside its payload
  std::uint64_t messages_ = 0;
  std::uint64_t payload_bytes_ = 0;
  Progress progress_;
};

void report(const Arguments& arguments, const Put& put, bool closed) {
  if (!arguments.json()) return;
  Json json;
  json["version"] = kJsonVersion;
  json["messages"] = put.messages();
  json["payload_bytes"] = put.payload_bytes();
  json["closed"] = closed;
  print_json(json);
}

/// What ended a put early, as one Failure. A queue that is removed meanwhile is an error here, not a missing one: the
/// messages before it went in.
Failure ended_by(const Arguments& arguments, const std::string& name) {
  try {
    throw;
  } catch (const Failure& failure) {
    return failure;
  } catch (const Error& error) {
    if (error.errc() == Errc::removed) return {Exit::error, error.what()};
    return to_failure(error, arguments, name);
  } catch (const std::bad_alloc&) {
    return {Exit::error, "no memory for a message of this size"};
  }
}

Exit run(const Arguments& arguments) {
  const std::string& name = arguments.names().front();
  const Settings settings = settings_of(arguments);
  catch_interrupts();
  const Queue queue = open_queue(arguments, name);
  if (settings.close) require_owner(queue.path(), name, "close it");
  Input input(settings.file);
  Put put(settings, queue, input);
  try {
    put.run();
    if (settings.close) queue.close();
  } catch (...) {
    Failure failure = ended_by(arguments, name);
    failure.add_hint(format_count(put.messages(), "message") + " went in");
    put.end_progress();
    report(arguments, put, false);
    throw Failure(failure);
  }
  put.end_progress();
  report(arguments, put, settings.close);
  return Exit::done;
}

constexpr Verb kVerb{
    .rank = 4,
    .name = "put",
    .usage = "NAME [options]",
    .summary = "put messages from standard input or a file into a queue",
    .details =
        "Each line is a message, without its newline; an empty line is an empty message; a last line needs no\n"
        "newline. While the queue is full, or over its quota, put waits. What goes wrong is told with the number of "
        "messages that\n"
        "went in, all of them whole and in order; Ctrl-C too. --json prints that number on standard output.\n"
        "With --timeout the exit code is 5 when there was no room, or the quota was reached, for so long.\n",
    .example =
        "  ipcq put orders < orders.log\n"
        "  find . -type f -print0 | ipcq put files -0 --close\n",
    .names_min = 1,
    .names_max = 1,
    .options = kOptions,
    .run = run,
};
const Registration kRegistration(kVerb);

}  // namespace
}  // namespace ipcq::cli
