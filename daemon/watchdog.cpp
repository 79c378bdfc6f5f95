#include "watchdog.hpp"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ipcq/admin.hpp>
#include <set>
#include <system_error>

#include "journal.hpp"

namespace ipcq::daemon {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// What no event tells is found so late: an attach that took long, a removal that was broken off. A scan of 1,000 idle
// queues takes some 10 ms.
constexpr seconds kTick{60};
constexpr seconds kTickWithoutEvents{1};
constexpr seconds kLeftoverFirst{31};
constexpr seconds kStatusAgain{1};

int checked(int result, const char* what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
  return result;
}

int signal_descriptor() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&set, number);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  return checked(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd");
}

void add(int epoll, int fd, std::uint64_t data) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = data;
  checked(::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
}

constexpr std::uint64_t kSignals = 1;
constexpr std::uint64_t kEvents = 2;

}  // namespace

Descriptor::~Descriptor() { ::close(fd_); }

Watchdog::Watchdog(const std::string& directory, const std::string& config)
    : directory_(directory),
      config_(config),
      policy_(config.empty() ? Policy() : Policy(config)),
      epoll_(checked(::epoll_create1(EPOLL_CLOEXEC), "epoll_create")),
      signals_(signal_descriptor()),
      processes_(epoll_.get()) {
  add(epoll_.get(), signals_.get(), kSignals);
  try {
    events_ = std::make_unique<DirectoryEvents>(directory_);  // before the first scan: what comes between is in both
    add(epoll_.get(), events_->fd(), kEvents);
  } catch (const std::system_error& error) {
    say(Level::warning,
        std::string(error.what()) + "; it is scanned every second instead (fs.inotify.max_user_instances?)");
  }
}

void Watchdog::adopt(const std::string& name, ino_t inode, Time now) {
  try {
    std::optional<Settings> settings;
    if (!config_.empty()) settings = policy_.for_queue(name);
    auto queue = std::make_unique<WatchedQueue>(name, directory_, processes_, audit_sums_, settings);
    queue->tick(now);
    queue->opened(now);
    by_inode_[queue->inode()] = name;
    queues_[name] = std::move(queue);
    say(Level::debug, name + ": watched");
  } catch (const Error& error) {
    // Out of descriptors or memory: the next scan tries again. What it is does not change, so that is said once.
    if (error.errc() != Errc::system) refused_[name] = inode;
    if (error.errc() != Errc::no_such_queue && error.errc() != Errc::removed)
      say(error.errc() == Errc::system ? Level::warning : Level::notice, std::string("not watched: ") + error.what());
  }
}

void Watchdog::came(const std::string& name, bool leftover, Time now) {
  if (leftover) {
    leftovers_.emplace(name, now + kLeftoverFirst);
    return;
  }
  struct stat info {};
  if (::lstat((directory_ + "/ipcq." + name).c_str(), &info) != 0) return;
  const auto at = queues_.find(name);
  if (at != queues_.end() && at->second->inode() == info.st_ino) return;
  if (at != queues_.end()) went(name);
  if (info.st_uid != ::geteuid()) {
    ++others_;
    return;
  }
  const auto refused = refused_.find(name);
  if (refused == refused_.end() || refused->second != info.st_ino) adopt(name, info.st_ino, now);
}

void Watchdog::went(const std::string& name) {
  refused_.erase(name);
  const auto at = queues_.find(name);
  if (at == queues_.end()) return;
  by_inode_.erase(at->second->inode());
  queues_.erase(at);
  say(Level::debug, name + ": gone");
}

void Watchdog::scan(Time now) {
  scan_soon_ = false;
  others_ = 0;
  std::set<std::string> seen;
  for (const FileName& file : file_names({directory_, {}})) {
    if (!file.leftover) seen.insert(file.name);
    came(file.name, file.leftover, now);
  }
  std::vector<std::string> gone;
  for (const auto& [name, queue] : queues_) {
    if (seen.count(name) == 0) gone.push_back(name);
  }
  for (const std::string& name : gone) went(name);
  for (auto at = refused_.begin(); at != refused_.end();)
    at = seen.count(at->first) ? std::next(at) : refused_.erase(at);
  for (const auto& [name, queue] : queues_) queue->tick(now);
}

void Watchdog::handle(const FileEvent& event, Time now) {
  if (event.what == FileEvent::What::lost_some) {
    scan_soon_ = true;
    return;
  }
  std::string name;
  bool leftover = false;
  if (event.inode != 0) {
    const auto at = by_inode_.find(event.inode);
    if (at == by_inode_.end()) return;
    name = at->second;
  } else {
    const std::optional<FileName> file = parse_file_name(event.name);
    if (!file) return;
    name = file->name;
    leftover = file->leftover;
  }
  if (event.what == FileEvent::What::came) return came(name, leftover, now);
  if (event.what == FileEvent::What::went) {
    if (leftover) leftovers_.erase(name);
    return went(name);
  }
  const auto at = queues_.find(name);
  if (at == queues_.end()) return;
  if (event.what == FileEvent::What::opened) at->second->opened(now);
  if (event.what == FileEvent::What::closed) at->second->look(now);
}

void Watchdog::read_events(Time now) {
  // Many of one kind for one file are one: a listing opens and closes each.
  std::set<std::pair<std::string, FileEvent::What>> done;
  for (const FileEvent& event : events_->read()) {
    const bool comes_or_goes = event.what == FileEvent::What::came || event.what == FileEvent::What::went;
    if (comes_or_goes || done.emplace(event.name, event.what).second) handle(event, now);
  }
}

bool Watchdog::read_signals(Time now) {
  signalfd_siginfo info{};
  bool stop = false;
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    if (info.ssi_signo == SIGHUP) {
      reload(now);
    } else {
      stop = true;
    }
  }
  return stop;
}

void Watchdog::reload(Time now) {
  if (config_.empty()) return say(Level::notice, "no policy to read again (--config)");
  try {
    policy_ = Policy(config_);
  } catch (const PolicyError& error) {
    return say(Level::error, std::string("the policy stays as it was: ") + error.what());
  }
  for (const auto& [name, queue] : queues_) queue->apply(policy_.for_queue(name), now);
  say(Level::info, "policy read again: " + std::to_string(policy_.rules()) + " rules");
}

void Watchdog::clean_leftover(const std::string& name, Time now) {
  leftovers_.erase(name);
  CleanOptions options;
  options.names = {name};
  options.directory = directory_;
  try {
    for (const CleanAction& action : clean(options)) {
      if (action.what != Cleaned::kept) say(Level::info, name + ": removed: " + action.reason);
      if (action.what == Cleaned::kept && action.again_in)
        leftovers_[name] = now + std::max<std::chrono::nanoseconds>(*action.again_in, kLeftoverFirst);
    }
  } catch (const Error& error) {
    say(Level::warning, std::string("not cleaned: ") + error.what());
  }
}

Time Watchdog::due() const {
  Time due = kNever;
  for (const auto& [name, queue] : queues_) due = std::min(due, queue->due());
  for (const auto& [name, time] : leftovers_) due = std::min(due, time);
  return due;
}

void Watchdog::act(Time now) {
  std::vector<std::string> gone;
  for (const auto& [name, queue] : queues_) {
    if (queue->due() <= now) queue->act(now);
    if (queue->gone()) gone.push_back(name);
  }
  for (const std::string& name : gone) {
    went(name);
    came(name, false, now);  // a new queue may have the name
  }
  std::vector<std::string> leftovers;
  for (const auto& [name, time] : leftovers_) {
    if (time <= now) leftovers.push_back(name);
  }
  for (const std::string& name : leftovers) clean_leftover(name, now);
}

std::string Watchdog::status() const {
  return "watching " + std::to_string(queues_.size()) + " queues in " + directory_ + ", of uid " +
         std::to_string(::geteuid()) + (others_ == 0 ? "" : "; " + std::to_string(others_) + " of other uids") +
         (audit_sums_.revoked == 0 ? "" : "; " + std::to_string(audit_sums_.revoked) + " producers revoked") +
         (audit_sums_.unaccounted_messages == 0
              ? ""
              : "; " + std::to_string(audit_sums_.unaccounted_messages) + " messages unaccounted");
}

void Watchdog::once() {
  const Time now = Clock::now();
  scan(now);
  act(now);
  std::vector<std::string> leftovers;
  for (const auto& [name, time] : leftovers_) leftovers.push_back(name);
  for (const std::string& name : leftovers) clean_leftover(name, now);
  say(Level::info, status());
}

void Watchdog::run(const ServiceManager& manager) {
  scan(Clock::now());
  act(Clock::now());
  say(Level::info, status());
  manager.tell("READY=1\nSTATUS=" + status());
  const auto tick = events_ != nullptr ? kTick : kTickWithoutEvents;
  Time tick_at = Clock::now() + tick;
  Time told = Clock::now();
  Time status_at = Clock::now();
  AuditSums status_sums = audit_sums_;
  for (bool stop = false; !stop;) {
    Time until = std::min(due(), tick_at);
    if (manager.watchdog_interval()) until = std::min<Time>(until, told + *manager.watchdog_interval());
    const auto left = std::chrono::ceil<milliseconds>(until - Clock::now());
    std::array<epoll_event, 64> ready;
    const int count = ::epoll_wait(epoll_.get(), ready.data(), ready.size(),
                                   static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 60'000)));
    if (count < 0 && errno != EINTR) throw std::system_error(errno, std::generic_category(), "epoll_wait");
    const Time now = Clock::now();
    for (int i = 0; i < count; ++i) {
      const std::uint64_t data = ready[static_cast<std::size_t>(i)].data.u64;
      if (data == kSignals) stop = read_signals(now) || stop;
      if (data == kEvents) read_events(now);
      if ((data & Processes::kTag) == 0) continue;
      const auto pid = static_cast<std::uint32_t>(data);
      const std::string text = processes_.text(pid);  // whom it meant is not known any more once it has ended
      for (const std::string& name : processes_.ended(pid)) {
        if (const auto at = queues_.find(name); at != queues_.end()) at->second->process_ended(pid, text, now);
      }
    }
    if (now >= tick_at || scan_soon_) {
      scan(now);
      tick_at = now + tick;
      manager.tell("STATUS=" + status());
    }
    act(now);
    if (audit_sums_ != status_sums && now - status_at >= kStatusAgain) {
      manager.tell("STATUS=" + status());
      status_sums = audit_sums_;
      status_at = now;
    }
    if (manager.watchdog_interval() && now - told >= *manager.watchdog_interval()) {
      manager.tell("WATCHDOG=1");
      told = now;
    }
  }
  manager.tell("STOPPING=1");
  say(Level::info, "stopped");
}

}  // namespace ipcq::daemon
