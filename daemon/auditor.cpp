#include "auditor.hpp"

#include <algorithm>
#include <cstdio>
#include <ipcq/error.hpp>

#include "journal.hpp"

namespace ipcq::daemon {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// So short that a busy ring has not gone round, and so long that it costs little; longer where nothing comes.
constexpr milliseconds kIntervalMin{100};
constexpr milliseconds kIntervalMax{1'600};
constexpr seconds kSayAgain{10};
// Endpoints come and go, and each has something said of it: no more are remembered.
constexpr std::size_t kSaidMax = 1'024;

std::string number_text(double number) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", number);
  return text;
}

std::string limit_text(const PastLimit& past) {
  if (past.of_bytes)
    return number_text(past.limit.bytes_per_second) + " bytes/s, burst " + std::to_string(past.limit.burst_bytes);
  return number_text(past.limit.messages_per_second) + " messages/s, burst " + std::to_string(past.limit.burst_messages);
}

std::string beyond_text(const PastLimit& past) {
  return std::to_string(past.beyond) + (past.of_bytes ? " bytes" : " messages") + " past " +
         (past.producer ? "its"
          : past.user   ? "the user's"
                        : "the queue's") +
         " limit of " + limit_text(past);
}

std::uint64_t key_of(const Attached& who) { return (std::uint64_t{who.incarnation} << 32) | who.row; }

}  // namespace

bool Auditor::Said::due(Time now) const noexcept { return at == Time::min() || now - at >= kSayAgain; }

Auditor::Auditor(const std::string& name, const std::string& directory, const Watch& watch, const Processes& processes,
                 AuditSums& sums, bool report)
    : name_(name),
      directory_(directory),
      processes_(processes),
      sums_(sums),
      report_(report),
      audit_(watch),
      interval_(kIntervalMin) {}

Auditor::Time Auditor::look(Time now) {
  const AuditReport report = audit_.look();
  say_unaccounted(report, now);
  for (const PastLimit& past : report.past_limit) act(past, now);
  const bool idle = report.messages == 0 && report.uncounted_bytes == 0 && report.accounted_messages == 0;
  interval_ = idle ? std::min(2 * interval_, kIntervalMax) : kIntervalMin;
  return now + interval_;
}

void Auditor::say_unaccounted(const AuditReport& report, Time now) {
  if (unaccounted_messages_ + unaccounted_bytes_ > 0 || report.unaccounted_messages + report.unaccounted_bytes > 0)
    unaccounted_for_ += std::chrono::nanoseconds(report.interval_ns);
  unaccounted_messages_ += report.unaccounted_messages;
  unaccounted_bytes_ += report.unaccounted_bytes;
  sums_.unaccounted_messages += report.unaccounted_messages;
  sums_.unaccounted_bytes += report.unaccounted_bytes;
  if (unaccounted_messages_ + unaccounted_bytes_ == 0 || !unaccounted_said_.due(now)) return;
  say(Level::warning, name_ + ": unaccounted: at least " + std::to_string(unaccounted_messages_) + " messages of " +
                          std::to_string(unaccounted_bytes_) + " bytes in " +
                          std::to_string(std::chrono::ceil<milliseconds>(unaccounted_for_).count()) +
                          " ms that no producer accounts for; see 'ipcq stat " + name_ + "'");
  unaccounted_said_.at = now;
  unaccounted_messages_ = unaccounted_bytes_ = 0;
  unaccounted_for_ = std::chrono::nanoseconds(0);
}

void Auditor::act(const PastLimit& past, Time now) {
  if (!past.producer) {
    Said& said = said_together_[past.user];
    if (!said.due(now)) return;
    say(Level::warning, name_ + ": all producers" + (past.user ? " of uid " + std::to_string(*past.user) : "") +
                            " together are " + beyond_text(past) + ", and none of them by itself");
    said.at = now;
    return;
  }
  const Attached& who = *past.producer;
  const std::string text = name_ + ": " + processes_.text(who.pid) + ", row " + std::to_string(who.row) + ", is " +
                           beyond_text(past) + (past.hides ? ", and its own counters do not tell" : "");
  const bool known = said_of_.count(key_of(who)) != 0;
  if (!report_ && !past.revoked && revoke(who)) {
    ++sums_.revoked;
    say(Level::warning, text + ": revoked");
  } else if (said_of_[key_of(who)].due(now)) {
    say(Level::warning, text + (past.revoked ? ", although it is revoked: it writes the memory by itself"
                                : report_    ? "; only reported, as the policy says"
                                             : "; not revoked yet"));
  } else {
    return;
  }
  if (!known && said_of_.size() >= kSaidMax) said_of_.clear();
  said_of_[key_of(who)].at = now;
}

// False: it has gone, or somebody stopped holds the table; then the next look tries again.
bool Auditor::revoke(const Attached& producer) const {
  try {
    return ipcq::revoke(name_, producer.row, producer.incarnation, {directory_, {}});
  } catch (const Error& error) {
    say(Level::debug, std::string("not revoked: ") + error.what());
    return false;
  }
}

}  // namespace ipcq::daemon
