// Dead letters go back to where they come from.
#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "api/names.hpp"
#include "api/producer_impl.hpp"
#include "core/crash_point.hpp"
#include "ipcq/admin.hpp"
#include "ipcq/dead_letter.hpp"
#include "ipcq/queue.hpp"
#include "layout/dead_letter.hpp"

namespace ipcq {
namespace {

using detail::Access;
using detail::Place;
using detail::ProducerImpl;
using detail::Segment;

constexpr std::chrono::milliseconds kAskAgain{50};

bool may_pass(Outcome outcome) noexcept {
  return outcome == Outcome::full || outcome == Outcome::blocked || outcome == Outcome::over_quota;
}

// A queue that letters go back to: attached, or why not.
struct Origin {
  std::unique_ptr<ProducerImpl> producer;
  std::string refusal;
  bool full = false;
};

class Requeue {
 public:
  Requeue(std::string_view name, const RequeueOptions& options)
      : options_(options),
        dead_(Queue::open(name, {options.directory, options.trusted_owners})),
        place_(detail::place_of(name, options.directory)),
        consumer_(dead_.consumer(options.group)) {}

  RequeueReport run() {
    bool exclusive = false;
    std::uint64_t most = options_.messages_max;
    for (const GroupInfo& group : dead_.inspect().groups) {
      if (group.name != options_.group) continue;
      exclusive = group.consumers == ConsumerMode::exclusive;
      // Those that come back while we are at it are not sent round again.
      most = std::min(most, group.depth_messages);
    }
    for (std::uint64_t seen = 0; seen < most; ++seen) {
      if (stop()) break;
      // 1. leased, alone             (die here → given back, one delivery more)
      Lease lease = consumer_.lease({.max_messages = 1, .deadline = now});
      if (!lease) {
        check_end(lease.outcome());
        break;
      }
      if (!give_back(lease)) break;
      if (!lease) continue;
      kept_.push_back(std::move(lease));
      if (exclusive) break;
    }
    return std::move(report_);
  }

 private:
  // False: no more of them. The lease is still open if its message stays.
  bool give_back(Lease& lease) {
    const std::optional<DeadLetter> letter = dead_letter(*lease.begin());
    if (!letter) {
      leave("", "no dead letter", false);
      return true;
    }
    const std::string queue(letter->queue);
    Origin& origin = origin_of(queue);
    // 2. sent to its origin queue  (die here → it is there, and comes again here)
    const std::string why = origin.refusal.empty() ? send(*letter, origin) : origin.refusal;
    if (report_.stopped) return false;
    if (!why.empty()) {
      leave(queue, why, origin.full);
      return true;
    }
    IPCQ_CRASH_POINT("back.sent");
    // 3. acked                     (die here → whole)
    const Outcome outcome = lease.ack();
    IPCQ_CRASH_POINT("back.acked");
    ++report_.returned;
    if (outcome == Outcome::ok) return true;
    check_end(outcome);
    leave(queue, "sent, but not finished here: this process was judged dead", false);
    return false;
  }

  Origin& origin_of(const std::string& name) {
    const auto [at, is_new] = origins_.try_emplace(name);
    Origin& origin = at->second;
    if (!is_new) return origin;
    try {
      const Place place = detail::place_of(name, place_.directory);
      detail::OpenedFile file =
          detail::open_file(place, Access::read_write, detail::Depth::whole, options_.trusted_owners);
      std::shared_ptr<Segment> segment =
          Segment::map(place, std::move(file), Access::read_write, options_.trusted_owners);
      if (place.path == place_.path)
        segment->fail(Errc::invalid_option, "it is this queue itself", "take it (ipcq get)");
      origin.producer = std::make_unique<ProducerImpl>(segment, ProducerOptions{.wait = WaitStrategy::sleep});
    } catch (const Error& error) {
      origin.refusal = error.what();
    }
    return origin;
  }

  // Why it was not sent; empty: it was, or `stop` ended the wait.
  std::string send(const DeadLetter& letter, Origin& origin) {
    detail::CallDeadline call(options_.deadline);
    const std::chrono::steady_clock::time_point end{std::chrono::nanoseconds(call.is_now() ? 0 : call.ns())};
    Claim claim;
    try {
      for (;;) {
        const auto slice = std::min(std::chrono::steady_clock::now() + kAskAgain, end);
        claim =
            origin.producer->claim(Room::equal(1, letter.payload.size()), call.is_now() ? ipcq::now : Deadline(slice));
        if (claim || !may_pass(claim.outcome()) || call.is_now() || slice == end) break;
        if (stop()) return "";
      }
    } catch (const Error& error) {
      if (error.errc() != Errc::too_big) origin.refusal = error.what();  // the next one may be smaller
      return error.what();
    }
    if (!claim) {
      origin.full = may_pass(claim.outcome());
      return origin.refusal = to_string(claim.outcome());
    }
    const std::span<std::byte> bytes = claim.append(letter.payload.size(), letter.tag);
    if (!bytes.empty()) std::memcpy(bytes.data(), letter.payload.data(), bytes.size());
    // It may have been a dead letter there already, of a third queue.
    ProducerImpl::mark(claim, letter.inner.flags & layout::kFlagDeadLetter);
    const Outcome outcome = claim.commit();
    return outcome == Outcome::ok ? "" : origin.refusal = to_string(outcome);
  }

  void leave(const std::string& queue, const std::string& why, bool full) {
    for (RequeueLeft& left : report_.left) {
      if (left.queue != queue || left.why != why) continue;
      ++left.messages;
      return;
    }
    report_.left.push_back({queue, why, 1, full});
  }

  bool stop() {
    if (options_.stop && options_.stop()) report_.stopped = true;
    return report_.stopped;
  }
  // Why there is no lease, or no ack. Throws if it is for good.
  void check_end(Outcome outcome) const {
    Errc code{};
    switch (outcome) {
      case Outcome::removed:
      case Outcome::group_removed:
        code = Errc::removed;
        break;
      case Outcome::poisoned:
        code = Errc::poisoned;
        break;
      case Outcome::damaged:
        code = Errc::damaged;
        break;
      default:
        return;
    }
    detail::fail(code, place_.name, place_.path,
                 std::string(to_string(outcome)) + " after " + std::to_string(report_.returned) + " messages went back",
                 "");
  }

  const RequeueOptions& options_;
  Queue dead_;
  Place place_;
  Consumer consumer_;
  std::map<std::string, Origin> origins_;
  std::vector<Lease> kept_;  // given back in the end, so that they do not come again meanwhile
  RequeueReport report_;
};

}  // namespace

RequeueReport requeue_dead_letters(std::string_view name, const RequeueOptions& options) {
  return Requeue(name, options).run();
}

}  // namespace ipcq
