#include "core/look.hpp"

#include <ctime>
#include <new>
#include <utility>

#include "core/groups.hpp"
#include "os/clock.hpp"
#include "os/process.hpp"

namespace ipcq::core {
namespace {

// Memory of no queue may break every invariant there is; nobody reads so many.
constexpr std::size_t kFindingsMax = 1000;
constexpr int kCopiesMax = 20;

// Each word once, in the order of the file; with acquire, so that what a later word was published after is not newer than
// it. The mutexes' words are glibc's, which ThreadSanitizer knows to be no atomics of ours.
__attribute__((no_sanitize("thread"))) void copy_words(std::byte* to, const std::byte* from, std::size_t bytes) noexcept {
  for (std::size_t at = 0; at < bytes; at += sizeof(std::uint64_t)) {
    const std::uint64_t word = __atomic_load_n(reinterpret_cast<const std::uint64_t*>(from + at), __ATOMIC_ACQUIRE);
    *reinterpret_cast<std::uint64_t*>(to + at) = word;
  }
}

bool somebody_is_inside(const Look& look) noexcept {
  const View& copy = look.copy();
  if (look.holding(copy.side().producer_lock.mutex) == Holding::living) return true;
  for (std::uint32_t i = 0; i < copy.groups_max; ++i) {
    if (look.holding(copy.group(i).mutex) == Holding::living) return true;
  }
  return false;
}

}  // namespace

bool holder_is_gone(const View& view, const os::MutexState& state) noexcept {
  if (state.holder == 0 || state.holder_died) return false;
  // Who asks holds none: the number is a former holder's, and this thread has got it since.
  return state.holder == os::own_thread() || !os::lives_and_maps(state.holder, 0, view.file);
}

Look::Look(const View& live) : live_(live), copy_(live), judged_(live.endpoints_max) {
  memory_.reset(static_cast<std::byte*>(std::aligned_alloc(4096, live.control_bytes)));
  if (memory_ == nullptr) throw std::bad_alloc();
  copy_.control = memory_.get();
  for (int attempt = 0; attempt < kCopiesMax; ++attempt) {
    copy_words(copy_.control, live.control, live.control_bytes);
    if (!somebody_is_inside(*this)) break;
    const timespec nap{0, 1'000'000};
    ::nanosleep(&nap, nullptr);
  }
  claim_position_ = live.side().claim.claim_position.load(std::memory_order_acquire);  // A:claim_position
}

Holding Look::holding(const os::RobustMutex& in_copy) const noexcept {
  const os::MutexState state = in_copy.look();
  if (state.holder_died || state.not_recoverable) return Holding::torn;
  if (state.holder == 0) return Holding::nobody;
  return holder_is_gone(live_, state) ? Holding::torn : Holding::living;
}

Verdict Look::verdict(Owner owner) {
  const std::uint32_t row = owner_row(owner);
  if (row >= judged_.size()) return judge(live_, owner);
  // Another incarnation than the row's is dead without a question to the kernel.
  if (!judged_[row].asked || judged_[row].owner != owner) judged_[row] = {true, owner, judge(live_, owner)};
  return judged_[row].verdict;
}

std::string Look::owner_text(Owner owner) const {
  std::string text =
      "row " + std::to_string(owner_row(owner)) + ", incarnation " + std::to_string(owner_incarnation(owner));
  if (owner_row(owner) >= copy_.endpoints_max || owner_of_row(copy_, owner_row(owner)) != owner) return text;
  const std::uint32_t pid = copy_.row(owner_row(owner)).pid.load(std::memory_order_relaxed);  // relaxed: a copy
  return text + " (pid " + std::to_string(pid) + ")";
}

void Look::expect_tried(std::uint32_t group, const std::string& text) {
  const auto& word = copy_.group(group).parked_tried_ns;
  const std::uint64_t tried = word.load(std::memory_order_relaxed);  // relaxed: a copy
  if (tried == 0) {
    broken("group.parked_tried", offset_of(&word),
           text + ", but says that nothing was ever tried: nobody tries it again");
  } else if (tried > static_cast<std::uint64_t>(os::monotonic_ns()) + kClockSlack_ns) {
    broken("group.parked_tried", offset_of(&word),
           text + ", and was tried at " + std::to_string(tried) + " ns, which is still to come");
  }
}

void Look::add(Finding finding) {
  if (findings_.size() < kFindingsMax) findings_.push_back(std::move(finding));
}

std::string group_text(const View& view, std::uint32_t group) {
  std::string text = "group '";
  const GroupName name(view.group(group));
  for (const char c : name.view()) text += c >= ' ' && c < 127 ? c : '?';
  return text + "' (row " + std::to_string(group) + ")";
}

}  // namespace ipcq::core
