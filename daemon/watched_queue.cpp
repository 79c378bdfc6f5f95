#include "watched_queue.hpp"

#include <algorithm>
#include <ipcq/admin.hpp>

#include "journal.hpp"

namespace ipcq::daemon {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// After an open, to see who attached: 5, 50 and 500 ms later. A slower one is found by a tick.
constexpr int kLooks = 3;
constexpr milliseconds kFirstLook{5};
constexpr milliseconds kBackoffMin{50};
constexpr milliseconds kBackoffMax{5'000};
// A process that no pidfd is to be had for is looked at so often.
constexpr milliseconds kWithoutEvents{1'000};
constexpr milliseconds kAuditFirst{100};
constexpr std::chrono::nanoseconds kCleanSoonest = milliseconds(100);
constexpr std::chrono::nanoseconds kCleanLatest = std::chrono::hours(24);

std::string count(std::uint64_t number, const char* thing) {
  return std::to_string(number) + " " + thing + (number == 1 ? "" : "s");
}

}  // namespace

WatchedQueue::WatchedQueue(const std::string& name, const std::string& directory, Processes& processes, AuditSums& sums,
                           const std::optional<Settings>& settings)
    : name_(name),
      directory_(directory),
      processes_(processes),
      audit_sums_(sums),
      settings_(settings.value_or(Settings{})),
      has_policy_(settings.has_value()),
      watch_(name, {directory, {}}) {
  if (has_policy_) quotas_at_ = Time::min();
  // Whoever recovered here and was killed may have freed a dead one's row and not yet given back what it held: of that no row
  // tells.
  recover_at_ = Time::min();
}

WatchedQueue::~WatchedQueue() {
  for (const Attached& each : attached_) processes_.leave(each.pid, name_);
}

// The pidfd first, then the life lock: who holds his lock after we have the descriptor is whom the descriptor means.
void WatchedQueue::follow(Time now, bool& dead) {
  bool without_events = false;
  for (const Attached& each : attached_) {
    const bool followed = ended_.count(each.pid) == 0 && processes_.follow(each.pid, name_);
    switch (watch_.life(each)) {
      case Life::dead:
        dead = true;
        break;
      case Life::lost_life_lock:
        if (lost_lock_.insert((std::uint64_t{each.incarnation} << 32) | each.row).second) {
          say(Level::warning,
              name_ + ": " + processes_.text(each.pid) +
                  " has lost its life lock (it closed our descriptors, or called exec): it keeps what it "
                  "holds until it ends");
        }
        without_events = true;
        break;
      case Life::alive:
        without_events = without_events || !followed;
        break;
    }
  }
  if (without_events) look_at_ = std::min(look_at_, now + kWithoutEvents);
}

void WatchedQueue::look(Time now) {
  const std::vector<Attached> before = std::move(attached_);
  attached_ = watch_.attached();
  const auto is_here = [this](std::uint32_t pid) {
    return std::any_of(attached_.begin(), attached_.end(), [pid](const Attached& each) { return each.pid == pid; });
  };
  bool dead = false;
  follow(now, dead);
  if (dead) {
    recover(now);
    attached_ = watch_.attached();
  }
  for (const Attached& each : before) {
    if (!is_here(each.pid)) processes_.leave(each.pid, name_);
  }
  for (auto pid = ended_.begin(); pid != ended_.end();) pid = is_here(pid->first) ? std::next(pid) : ended_.erase(pid);
  if (attached_.empty()) lost_lock_.clear();
  if (watch_.lifetime() == Lifetime::ephemeral && attached_.empty() && (!before.empty() || dead)) clean_at_ = now;
  if (watch_.removed() && clean_at_ == kNever) clean_at_ = now + seconds(1);  // unless its remover ends it by then
  if (watch_.poisoned() && !poisoned_) {
    poisoned_ = true;
    say(Level::error, name_ + ": poisoned: a repair met a state it cannot mend; see 'ipcq verify " + name_ +
                          "' and 'ipcq repair " + name_ + "'");
  } else if (!watch_.poisoned()) {
    poisoned_ = false;
  }
  if (!auditor_ && audit_at_ == kNever && (settings_.report || (!attached_.empty() && watch_.limited())))
    audit_at_ = now;
  if (attached_.empty()) watch_.rest();
}

void WatchedQueue::opened(Time now) {
  looks_left_ = kLooks;
  look_at_ = std::min(look_at_, now + kFirstLook);
}

void WatchedQueue::process_ended(std::uint32_t pid, const std::string& text, Time now) {
  ended_[pid] = text;
  look(now);
  // Its lock may outlive it for a moment (or for long: a child made by raw clone keeps it).
  if (ended_.count(pid) != 0 && recover_at_ == kNever) recover_at_ = now + kBackoffMin;
}

void WatchedQueue::tick(Time now) {
  look(now);
  if (watch_.lifetime() == Lifetime::ephemeral && attached_.empty()) clean_at_ = std::min(clean_at_, now);
}

void WatchedQueue::apply(const Settings& settings, Time now) {
  settings_ = settings;
  quotas_at_ = now;
  tick(now);
}

Time WatchedQueue::due() const noexcept { return std::min({look_at_, recover_at_, clean_at_, quotas_at_, audit_at_}); }

void WatchedQueue::act(Time now) {
  if (look_at_ <= now) {
    look_at_ = kNever;
    if (looks_left_ > 0 && --looks_left_ > 0) look_at_ = now + kFirstLook * (looks_left_ == 2 ? 10 : 100);
    look(now);
  }
  if (recover_at_ <= now) {
    recover_at_ = kNever;
    recover(now);
    look(now);
    if (!ended_.empty() && recover_at_ == kNever) recover_at_ = now + kBackoffMax;
  }
  if (quotas_at_ <= now) set_quotas(now);
  if (audit_at_ <= now) audit(now);
  if (clean_at_ <= now) clean(now);
}

// What the policy says of each scope, and nothing of those that it says nothing of, whatever an earlier policy said. The
// creator's and the operator's limits stay as they are.
void WatchedQueue::set_quotas(Time now) {
  quotas_at_ = kNever;
  const OpenOptions at{directory_, {}};
  const auto wanted = [this](const QuotaScope& scope) -> Quota {
    switch (scope.kind) {
      case QuotaScope::Kind::queue:
        return settings_.quota;
      case QuotaScope::Kind::each_producer:
        return settings_.producer_quota;
      case QuotaScope::Kind::user: {
        const auto found = settings_.user_quotas.find(scope.number);
        return found == settings_.user_quotas.end() ? Quota{} : found->second;
      }
      case QuotaScope::Kind::producer:
        break;
    }
    return {};
  };
  std::vector<QuotaScope> scopes{QuotaScope::queue(), QuotaScope::each_producer()};
  for (const auto& [uid, quota] : settings_.user_quotas) scopes.push_back(QuotaScope::user(uid));
  try {
    for (const QuotaInfo& info : inspect(name_, at).quotas) {
      if (info.scope.kind != QuotaScope::Kind::producer && info.limit(QuotaSource::policy).limits() &&
          std::find(scopes.begin(), scopes.end(), info.scope) == scopes.end())
        scopes.push_back(info.scope);
    }
    for (const QuotaScope& scope : scopes) set_quota(name_, scope, QuotaSource::policy, wanted(scope), at);
    if (settings_.quota.limits() || settings_.producer_quota.limits() || !settings_.user_quotas.empty())
      say(Level::debug, name_ + ": the policy's limits are set");
  } catch (const Error& error) {
    if (error.errc() == Errc::no_such_queue || error.errc() == Errc::removed) return;
    const bool again = error.errc() == Errc::timed_out;
    if (again) quotas_at_ = now + kBackoffMax;
    say(Level::warning, std::string("the policy's limits are not set") + (again ? " yet: " : ": ") + error.what());
  }
}

void WatchedQueue::audit(Time now) {
  audit_at_ = kNever;
  if (watch_.removed() || (!settings_.report && (attached_.empty() || !watch_.limited()))) return auditor_.reset();
  if (!auditor_) {
    auditor_.emplace(name_, directory_, watch_, processes_, audit_sums_, settings_.report);
    audit_at_ = now + kAuditFirst;
    return;
  }
  auditor_->set_report(settings_.report);
  audit_at_ = auditor_->look(now);
}

std::string WatchedQueue::dead_text() const {
  std::set<std::uint32_t> pids;
  for (const Attached& each : attached_) {
    if (watch_.life(each) == Life::dead) pids.insert(each.pid);
  }
  std::string text;
  for (const std::uint32_t pid : pids) {
    const auto ended = ended_.find(pid);
    text += (text.empty() ? "" : ", ") + (ended != ended_.end() ? ended->second : processes_.text(pid));
  }
  return text;
}

void WatchedQueue::recover(Time now) {
  const std::string dead = dead_text();
  const Recovery recovery = watch_.recover();
  if (!recovery.nothing()) {
    std::string text = name_ + ": " + (dead.empty() ? "" : dead + " died: ") + count(recovery.rows, "row") + " freed";
    if (recovery.claims > 0) text += ", " + count(recovery.claims, "claim") + " skipped";
    if (recovery.leases > 0) text += ", " + count(recovery.leases, "lease") + " given back";
    if (recovery.mutexes > 0)
      text += ", " + std::to_string(recovery.mutexes) + (recovery.mutexes == 1 ? " mutex" : " mutexes") + " repaired";
    say(Level::info, text);
  }
  if (recovery.complete) {
    if (backoff_.count() != 0) say(Level::info, name_ + ": recovery is complete");
    backoff_ = milliseconds(0);
    return;
  }
  if (watch_.poisoned()) return;  // nothing to come back for; look() says so
  if (backoff_.count() == 0) {
    say(Level::warning,
        name_ + ": a stopped process holds a lock, so what the dead left stays for now; see 'ipcq stat " + name_ + "'");
  }
  backoff_ = backoff_.count() == 0 ? kBackoffMin : std::min(2 * backoff_, kBackoffMax);
  recover_at_ = now + backoff_;
}

void WatchedQueue::clean(Time now) {
  clean_at_ = kNever;
  CleanOptions options;
  options.names = {name_};
  options.with_messages = settings_.clean_with_messages;
  options.grace = settings_.grace;
  options.directory = directory_;
  try {
    for (const CleanAction& action : ipcq::clean(options)) {
      if (action.what != Cleaned::kept) {
        gone_ = true;
        say(Level::info, name_ + ": removed: " + action.reason);
        continue;
      }
      say(Level::debug, name_ + ": kept: " + action.reason);
      if (action.again_in) clean_at_ = now + std::clamp(*action.again_in, kCleanSoonest, kCleanLatest);
    }
  } catch (const Error& error) {
    gone_ = gone_ || error.errc() == Errc::no_such_queue;
    if (!gone_) say(Level::warning, std::string("not cleaned: ") + error.what());
  }
}

}  // namespace ipcq::daemon
