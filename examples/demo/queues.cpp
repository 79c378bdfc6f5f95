#include "queues.hpp"

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <iostream>
#include <ipcq/ipcq.hpp>
#include <string_view>

namespace demo {
namespace {

constexpr std::string_view kPrefix = "demo.";

void remove_quietly(const std::string& name) noexcept {
  try {
    ipcq::remove(name, {.force = true});  // force: every process that used it has been waited for
  } catch (const ipcq::Error& error) {
    if (error.errc() != ipcq::Errc::no_such_queue) std::cerr << "ipcq-demo: " << error.what() << '\n';
  }
}

// The process in a name like demo.1234.text; 0 if it is no such name.
pid_t process_of(std::string_view name) {
  if (!name.starts_with(kPrefix)) return 0;
  name.remove_prefix(kPrefix.size());
  pid_t pid = 0;
  const auto [rest, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
  const std::string_view kind(rest, static_cast<std::size_t>(name.data() + name.size() - rest));
  return error == std::errc() && (kind == ".text" || kind == ".reports") ? pid : 0;
}

}  // namespace

Queues::Queues(const Options& options) {
  const std::string stem = std::string(kPrefix) + std::to_string(getpid());
  text_ = stem + ".text";
  reports_ = stem + ".reports";
  ipcq::CreateOptions text;
  text.capacity_bytes = options.capacity_bytes;
  text.endpoints_max = options.producers + options.consumers;
  text.type = "text lines";
  if (options.exclusive) {
    text.producers = ipcq::ProducerMode::exclusive;
    text.consumers = ipcq::ConsumerMode::exclusive;
  }
  (void)ipcq::Queue::create(text_, text);
  try {
    ipcq::CreateOptions reports;
    reports.endpoints_max = options.consumers + 1;
    reports.type = "demo reports";
    (void)ipcq::Queue::create(reports_, reports);
  } catch (...) {
    remove_quietly(text_);
    throw;
  }
}

Queues::~Queues() {
  remove_quietly(reports_);
  if (!keep_text_) remove_quietly(text_);
}

void remove_leftovers() {
  for (const ipcq::QueueSummary& queue : ipcq::list()) {
    const pid_t pid = process_of(queue.name);
    if (pid <= 0 || queue.problem || queue.closed) continue;
    if (kill(pid, 0) == 0 || errno != ESRCH) continue;  // lives, or was followed by another of its number
    try {
      ipcq::remove(queue.name);
    } catch (const ipcq::Error&) {  // in use after all, or another's: leave it
    }
  }
}

}  // namespace demo
