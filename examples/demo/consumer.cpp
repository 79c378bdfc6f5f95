// A consumer process: counts words where they lie in the ring.
#include <chrono>
#include <ipcq/ipcq.hpp>
#include <span>
#include <stdexcept>
#include <string>

#include "report.hpp"
#include "roles.hpp"

namespace demo {
namespace {

std::int64_t now_ns() {
  using namespace std::chrono;
  return duration_cast<nanoseconds>(steady_clock::now().time_since_epoch()).count();
}

void expect_ok(const char* call, ipcq::Outcome outcome) {
  if (outcome != ipcq::Outcome::ok) throw std::runtime_error(std::string(call) + ": " + ipcq::to_string(outcome));
}

}  // namespace

void run_consumer(const Options& options) {
  ipcq::Producer reports = ipcq::Queue::open(options.report_queue).producer();
  ipcq::Consumer consumer = ipcq::Queue::open(options.text_queue).consumer();
  // [snippet]
  for (;;) {
    ipcq::Lease lease = consumer.lease({.max_messages = options.batch});
    if (lease.outcome() == ipcq::Outcome::closed) return;  // and drained
    expect_ok("lease", lease.outcome());
    Report report;
    report.consumer = options.index;
    report.messages = lease.size();
    report.deliveries = lease.deliveries();
    const ipcq::Message first = *lease.begin();
    report.first_position = first.position;
    report.enqueued_ns = now_ns() - lease.age(first).count();
    for (const ipcq::Message& message : lease) {
      report.counts += count_words(message.text());  // read in place
      report.last_position = message.position;
    }
    report.counted_ns = now_ns();
    expect_ok("report", reports.send(std::as_bytes(std::span(&report, 1))));
    expect_ok("ack", lease.ack());  // only now: killed before, the batch is handed to another
  }
  // [/snippet]
}

}  // namespace demo
