#include "ipcq/audit.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "api/segment.hpp"
#include "core/endpoints.hpp"
#include "core/quota_table.hpp"
#include "core/tally.hpp"

// An observer of words that change under it: all relaxed loads here are of figures that are right by themselves. Where two
// are compared, it is said which is read first, and for whom that is the better.

namespace ipcq {
namespace audit_parts {

using core::Amount;
using core::View;

// Clocks, rounding, and what passes between two words that are read one after the other.
constexpr double kTolerance = 1.05;

/// What somebody owes: what he sent, less what his rate and the tolerance let through, never less than nothing.
class Debt {
 public:
  void add(std::uint64_t sent, double per_second, std::uint64_t elapsed_ns) noexcept {
    owed_ = std::max(
        0.0, owed_ + static_cast<double>(sent) - per_second * kTolerance * 1e-9 * static_cast<double>(elapsed_ns));
  }
  /// By how much more than `burst` and `open` batches, that were paid for before; 0: it is not.
  [[nodiscard]] std::uint64_t beyond(std::uint64_t burst, std::uint64_t batch, std::uint64_t open) const noexcept {
    const double allowed = static_cast<double>(std::max(burst, batch)) + static_cast<double>(batch * open);
    return owed_ > allowed ? static_cast<std::uint64_t>(std::ceil(owed_ - allowed)) : 0;
  }
  void forgive() noexcept { owed_ = 0; }
  [[nodiscard]] bool none() const noexcept { return owed_ <= 0; }

 private:
  double owed_ = 0;
};

/// What binds somebody, as it stands: another number, another limit, or a claim may still pass without.
struct Terms {
  std::uint64_t change = 0;
  bool bound = false;
  friend bool operator==(const Terms&, const Terms&) = default;
};

/// Of a producer, of a user's, or of all.
struct Account {
  Amount judged;  // of what it sent
  Debt messages;
  Debt bytes;
  Terms terms;
  bool begun = false;    // `judged` is of a time at which `terms` held already
  bool lossless = true;  // of what it owes everything was counted
  std::uint64_t since_ns = 0;

  /// From here on. `before`, `after`: the terms, before and after the amount was read from which on it is judged.
  void begin(const Terms& before, const Terms& after, std::uint64_t now_ns) noexcept {
    begun = before == after;
    terms = after;
    since_ns = now_ns;
  }
  /// What it has sent by now, and what of that is new. `before`: the terms, before the amount was read; `lost`: not everything
  /// was counted.
  Amount go_on(const Amount& sent, const Terms& before, const Terms& after, const Quota& limit,
               std::uint64_t elapsed_ns, bool lost) noexcept {
    const Amount fresh = core::most(sent, judged) - judged;
    judged = core::most(sent, judged);
    const bool same = before == after && after == terms;
    if (!same || !begun || !after.bound) {
      forgive();
    } else {
      messages.add(limit.messages_per_second > 0 ? fresh.messages : 0, limit.messages_per_second, elapsed_ns);
      bytes.add(limit.bytes_per_second > 0 ? fresh.bytes : 0, limit.bytes_per_second, elapsed_ns);
    }
    begun = before == after;
    terms = after;
    lossless = !lost && (lossless || (messages.none() && bytes.none()));
    return fresh;
  }
  void forgive() noexcept {
    messages.forgive();
    bytes.forgive();
  }
  /// Fills in what is past `limit`, if anything is. `open`: batches that may have been paid for before.
  [[nodiscard]] bool is_past(const Quota& limit, const Amount& batch, std::uint64_t open, PastLimit& past) const {
    past.limit = limit;
    past.of_bytes = false;
    past.beyond = limit.messages_per_second > 0 ? messages.beyond(limit.burst_messages, batch.messages, open) : 0;
    if (past.beyond > 0) return true;
    past.of_bytes = true;
    past.beyond = limit.bytes_per_second > 0 ? bytes.beyond(limit.burst_bytes, batch.bytes, open) : 0;
    return past.beyond > 0;
  }
};

/// All producers of a user.
struct User {
  Amount sent;
  std::uint64_t producers = 0;  // attached now
  Account account;
};

struct Sender {
  Attached who;
  Amount base;    // of its counters, when the audit began
  Amount blamed;  // what nobody accounts for, and must be its
  bool revoked = false;
  bool hides = false;
  Account account;
};

static std::uint64_t audit_clock_ns() noexcept { return static_cast<std::uint64_t>(os::monotonic_ns()); }

static Amount sent_by(const layout::Counters& counters) noexcept {
  return {counters.messages.load(std::memory_order_relaxed), counters.bytes.load(std::memory_order_relaxed)};
}

// Of all rows: the counters of one that is used again go on.
static Amount accounted(const View& view) noexcept {
  Amount sum;
  for (std::uint32_t i = 0; i < view.endpoints_max; ++i) sum += sent_by(view.row(i).produced);
  return sum;
}

static std::uint64_t incarnations(const View& view) noexcept {
  std::uint64_t sum = 0;
  for (std::uint32_t i = 0; i < view.endpoints_max; ++i) sum += core::owner_incarnation(core::owner_of_row(view, i));
  return sum;
}

static std::uint32_t change_of(const View& view, std::uint32_t bucket) noexcept {
  return core::quota_bucket(view, bucket).change.load(std::memory_order_acquire);  // A:quota, with R:quota
}

static Terms terms_of(const View& view, std::uint32_t row) noexcept {
  const core::BucketLinks links = core::links_of(core::quota_bucket(view, core::row_bucket(row)));
  Terms terms;
  terms.change = std::uint64_t{change_of(view, core::kQueueBucket)} + change_of(view, core::row_bucket(row));
  if (links.user != 0) terms.change += change_of(view, links.user);
  if (links.each != 0) terms.change += change_of(view, links.each);
  terms.change = terms.change << 16 | core::links_word(links);
  terms.bound = (view.row(row).flags.load(std::memory_order_relaxed) & layout::kLimited) != 0;
  return terms;
}

static Terms terms_of_queue(const View& view) noexcept {
  return {change_of(view, core::kQueueBucket), core::has_limits(core::quota_bucket(view, core::kQueueBucket))};
}

static std::uint64_t changes_of(const View& view) noexcept {
  std::uint64_t sum = 0;
  for (std::uint32_t i = 0; i <= core::kUserBuckets; ++i) sum += change_of(view, i);
  return sum;
}

static Terms terms_of_all(const View& view) noexcept { return {changes_of(view), true}; }

static std::vector<Attached> attached_producers(const View& view) {
  std::vector<Attached> all;
  for (std::uint32_t i = 0; i < view.endpoints_max; ++i) {
    const core::Owner owner = core::attached_owner(view, i);
    const auto& row = view.row(i);
    if (owner == 0 || row.kind.load(std::memory_order_relaxed) != static_cast<std::uint32_t>(layout::RowKind::producer))
      continue;
    all.push_back({i, core::owner_incarnation(owner), row.pid.load(std::memory_order_relaxed), true});
  }
  return all;
}

static core::Owner owner_named(const Attached& who) noexcept { return core::make_owner(who.row, who.incarnation); }

// Those who are attached now, with what they have sent.
static std::map<core::Owner, Sender> enrolled(const View& view, std::uint64_t now_ns) {
  std::map<core::Owner, Sender> all;
  for (const Attached& who : attached_producers(view)) {
    Sender& producer = all[owner_named(who)];
    producer.who = who;
    const Terms before = terms_of(view, who.row);
    producer.base = sent_by(view.row(who.row).produced);
    producer.account.begin(before, terms_of(view, who.row), now_ns);
  }
  return all;
}

static std::uint64_t above(std::uint64_t a, std::uint64_t b) noexcept { return a > b ? a - b : 0; }

class State {
 public:
  // In this order: what is sent before the tally begins is told and not counted, never the other way round.
  explicit State(std::shared_ptr<detail::Segment> segment)
      : segment_(std::move(segment)),
        view_(segment_->view()),
        at_ns_(audit_clock_ns()),
        changes_(changes_of(view_)),
        sums_(accounted(view_)),
        producers_(enrolled(view_, at_ns_)),
        tally_(view_) {
    begin_epoch(sums_);
    queue_.begin(terms_of_queue(view_), terms_of_queue(view_), at_ns_);
  }

  AuditReport look();

 private:
  // Sums are read before the tally begins: what comes in between is accounted for and not counted.
  void begin_epoch(const Amount& sums) noexcept {
    epoch_sums_ = sums;
    epoch_counted_ = tally_.counted();
    epoch_incarnations_ = incarnations(view_);
    told_ = {};
  }
  [[nodiscard]] Amount largest_that_fits() const noexcept;
  [[nodiscard]] Amount batch(bool lossless) const noexcept;
  void find_unaccounted(AuditReport& report, const Amount& sums, std::size_t attached);
  void judge_producers(AuditReport& report);
  void judge_users(AuditReport& report, const Terms& before);
  void judge_queue(AuditReport& report, const Terms& before);

  std::shared_ptr<detail::Segment> segment_;
  const View& view_;
  std::uint64_t at_ns_;
  std::uint64_t changes_;  // of the limits that are not one producer's
  Amount sums_;
  std::map<core::Owner, Sender> producers_;
  core::RecordTally tally_;
  Amount counted_;
  std::uint64_t uncounted_bytes_ = 0;
  Amount epoch_sums_;
  Amount epoch_counted_;
  std::uint64_t epoch_incarnations_ = 0;
  Amount told_;  // of what nobody accounts for in this epoch
  std::map<uid_t, User> users_;
  Account queue_;
  int looks_off_ = 0;  // at which all together are not judged
};

Amount State::largest_that_fits() const noexcept {
  const Amount& counted = tally_.counted();
  const std::uint64_t each = counted.messages == 0 ? 0 : counted.bytes / counted.messages;
  return {view_.need_max / (view_.alignment + each), view_.need_max};
}

Amount State::batch(bool lossless) const noexcept {
  const Amount fits = largest_that_fits();
  if (!lossless || view_.clock == layout::ClockKind::off) return fits;
  return core::least(fits, tally_.largest_batch());
}

// Counters were read behind the count, so they tell of all that it saw but for a batch of each producer that is between its
// commit and its counter, for good if it was killed there.
void State::find_unaccounted(AuditReport& report, const Amount& sums, std::size_t attached) {
  const Amount counted = tally_.counted() - epoch_counted_;
  // A counter may have been set back.
  const Amount told{above(sums.messages, epoch_sums_.messages), above(sums.bytes, epoch_sums_.bytes)};
  const Amount excess{above(counted.messages, told.messages), above(counted.bytes, told.bytes)};
  const Amount one = batch(true);
  const std::uint64_t producers = attached + above(incarnations(view_), epoch_incarnations_) + 1;
  if (excess.messages <= told_.messages + one.messages * producers && excess.bytes <= told_.bytes + one.bytes * producers)
    return;
  report.unaccounted_messages = above(excess.messages, told_.messages);
  report.unaccounted_bytes = above(excess.bytes, told_.bytes);
  told_ = core::most(told_, excess);
}

void State::judge_producers(AuditReport& report) {
  const Amount one = batch(true);
  const std::uint64_t changes = changes_of(view_);
  struct Sent {
    Sender* producer;
    Amount told;
    Terms before;
    bool hides;
  };
  std::vector<Sent> all;
  std::map<core::Owner, Sender> still;
  for (const Attached& who : attached_producers(view_)) {
    const core::Owner owner = owner_named(who);
    const auto& row = view_.row(who.row);
    const auto known = producers_.find(owner);
    Sender producer;
    if (known != producers_.end()) {
      producer = known->second;
    } else {
      producer.who = who;
      producer.base = sent_by(row.base);
      producer.account.since_ns = row.attached_ns.load(std::memory_order_relaxed);
      // It is judged from its attach on if its limits are those that it found.
      producer.account.terms = terms_of(view_, who.row);
      producer.account.begun =
          changes == changes_ && !core::has_limits(core::quota_bucket(view_, core::row_bucket(who.row)));
    }
    const Terms before = terms_of(view_, who.row);
    const Amount now = sent_by(row.produced);
    // Nobody can have sent more than positions went on.
    const std::uint64_t unknown = tally_.uncounted_bytes() + tally_.pending_bytes();
    const Amount bound{tally_.counted().messages + unknown / view_.alignment, tally_.counted().bytes + unknown};
    const Amount told =
        core::least(bound, {above(now.messages, producer.base.messages), above(now.bytes, producer.base.bytes)});
    if (core::attached_owner(view_, who.row) != owner) continue;  // it went while it was read
    const Amount seen = tally_.seen(owner);
    const bool hides = seen.messages > told.messages + one.messages || seen.bytes > told.bytes + one.bytes;
    Sender& kept = still[owner] = producer;
    all.push_back({&kept, told, before, hides});
  }
  changes_ = changes;
  producers_ = std::move(still);  // elements stay where they are
  const auto hiding = std::count_if(all.begin(), all.end(), [](const Sent& sent) { return sent.hides; });
  const std::uint64_t after_ns = audit_clock_ns();
  for (const Sent& sent : all) {
    Sender& producer = *sent.producer;
    producer.hides = producer.hides || sent.hides;
    if (sent.hides && hiding == 1) producer.blamed += {report.unaccounted_messages, report.unaccounted_bytes};
    Amount amount = sent.told;
    amount += producer.blamed;
    amount = core::most(amount, tally_.seen(owner_named(producer.who)));
    const auto& row = view_.row(producer.who.row);
    const bool revoked = (row.flags.load(std::memory_order_relaxed) & layout::kRevoked) != 0;
    const Quota limit = core::quota_of_row(view_, producer.who.row);
    Account& account = producer.account;
    const Amount fresh = account.go_on(amount, sent.before, terms_of(view_, producer.who.row), limit,
                                       above(after_ns, account.since_ns), report.uncounted_bytes > 0);
    account.since_ns = at_ns_;
    // What it owed is dealt with; from here on it may send nothing but what is open.
    if (revoked != producer.revoked) account.forgive();
    producer.revoked = revoked;
    if (core::links_of(core::quota_bucket(view_, core::row_bucket(producer.who.row))).user != 0) {
      User& user = users_[row.uid.load(std::memory_order_relaxed)];
      user.sent += fresh;
      ++user.producers;
    }
    PastLimit past;
    past.producer = producer.who;
    past.revoked = revoked;
    past.hides = producer.hides;
    if (account.is_past(limit, batch(account.lossless), 1, past)) report.past_limit.push_back(past);
  }
}

// Of users with limits, while a producer of theirs is attached.
void State::judge_users(AuditReport& report, const Terms& before) {
  for (auto each = users_.begin(); each != users_.end();) {
    auto& [uid, user] = *each;
    const std::uint32_t bucket = core::find_bucket(view_, QuotaScope::user(uid));
    if (user.producers == 0 || bucket == core::quota_buckets(view_)) {
      each = users_.erase(each);
      continue;
    }
    const Quota limit = core::quota_info(view_, bucket, QuotaScope::user(uid)).holds;
    Account& account = user.account;
    account.go_on(user.sent, before, terms_of_all(view_), limit, above(audit_clock_ns(), account.since_ns),
                  report.uncounted_bytes > 0);
    account.since_ns = at_ns_;
    PastLimit past;
    past.user = uid;
    if (looks_off_ > 0) account.forgive();
    if (account.is_past(limit, batch(account.lossless), user.producers + 1, past)) report.past_limit.push_back(past);
    user.producers = 0;
    ++each;
  }
}

void State::judge_queue(AuditReport& report, const Terms& before) {
  const Quota limit = core::quota_info(view_, core::kQueueBucket, QuotaScope::queue()).holds;
  queue_.go_on(tally_.counted(), before, terms_of_queue(view_), limit, above(audit_clock_ns(), queue_.since_ns),
               report.uncounted_bytes > 0);
  queue_.since_ns = at_ns_;
  PastLimit past;
  if (looks_off_ > 0) queue_.forgive();
  if (queue_.is_past(limit, batch(queue_.lossless), producers_.size() + 1, past)) report.past_limit.push_back(past);
}

AuditReport State::look() {
  segment_->check_usable();
  AuditReport report;
  const std::uint64_t before_ns = audit_clock_ns();
  const Terms all_before = terms_of_all(view_);
  const Terms queue_before = terms_of_queue(view_);
  tally_.count();
  const Amount sums = accounted(view_);
  const Amount counted = tally_.counted() - counted_;
  const Amount told{above(sums.messages, sums_.messages), above(sums.bytes, sums_.bytes)};
  report.interval_ns = above(before_ns, at_ns_);
  report.messages = counted.messages;
  report.bytes = counted.bytes;
  const bool behind = tally_.behind();
  report.uncounted_bytes = tally_.uncounted_bytes() - uncounted_bytes_ + (behind ? tally_.pending_bytes() : 0);
  report.accounted_messages = told.messages;
  report.accounted_bytes = told.bytes;
  at_ns_ = before_ns;
  counted_ = tally_.counted();
  sums_ = sums;
  find_unaccounted(report, sums, producers_.size());
  judge_producers(report);
  // Of whom it is known by now whose it is, is not looked at together; nor what came until he was stopped.
  if (!report.past_limit.empty()) looks_off_ = 2;
  judge_users(report, all_before);
  judge_queue(report, queue_before);
  if (looks_off_ > 0) --looks_off_;
  if (report.uncounted_bytes > 0) {
    // What is not counted is accounted for by some: it would hide as much that nobody accounts for.
    const Amount anew = accounted(view_);
    tally_.begin();
    begin_epoch(anew);
    sums_ = anew;
  }
  uncounted_bytes_ = tally_.uncounted_bytes();
  return report;
}

}  // namespace audit_parts

class Audit::Impl : public audit_parts::State {
 public:
  using State::State;
};

Audit::Audit(const Watch& watch) : impl_(std::make_unique<Impl>(watch.segment_)) {}
Audit::Audit(Audit&&) noexcept = default;
Audit& Audit::operator=(Audit&&) noexcept = default;
Audit::~Audit() = default;

AuditReport Audit::look() { return impl_->look(); }

}  // namespace ipcq
