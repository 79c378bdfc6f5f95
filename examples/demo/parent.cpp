#include "parent.hpp"

#include <chrono>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <ipcq/ipcq.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "children.hpp"
#include "corpus.hpp"
#include "interrupt.hpp"
#include "progress.hpp"
#include "queues.hpp"
#include "report.hpp"
#include "result.hpp"

namespace demo {
namespace {

using namespace std::chrono_literals;

// Takes the reports that a lease brings. False if it brought none.
bool take_reports(ipcq::Consumer& consumer, const ipcq::Take& take, Tally& tally) {
  ipcq::Lease lease = consumer.lease(take);
  if (!lease) {
    if (ipcq::is_transient(lease.outcome())) return false;
    throw std::runtime_error(std::string("reports: ") + ipcq::to_string(lease.outcome()));
  }
  for (const ipcq::Message& message : lease) {
    Report report;
    if (message.payload.size() != sizeof(report)) throw std::runtime_error("a report has the wrong size");
    std::memcpy(&report, message.payload.data(), sizeof(report));
    tally.add(report);
  }
  lease.ack();
  return true;
}

// Runs the children until every message is counted; nothing of it is left when this returns or throws.
void stream(const std::vector<File>& files, Result& result, Progress& progress) {
  const Options& options = result.options;
  Queues queues(options);
  Children children(options, queues, files, result.streamed.count);
  const ipcq::Queue text = ipcq::Queue::open(queues.text());
  ipcq::Consumer reports = ipcq::Queue::open(queues.reports()).consumer();

  bool closed = false;
  while (!children.consumers_ended()) {
    throw_if_interrupted();
    const bool kill_pending = options.kill && result.killed == 0;
    // Twenty times a second is often enough to be told; while a kill is due, each report counts.
    take_reports(reports, {.max_messages = 4096, .min_messages = kill_pending ? 1U : 256U, .deadline = 50ms},
                 result.tally);
    children.collect();
    if (!closed && children.producers_ended()) {
      text.close();
      closed = true;
    }
    if (kill_pending && result.tally.total().counts.bytes >= result.streamed.bytes / 2) {
      result.killed = children.kill_consumer(0);
    }
    progress.update(result.tally, text);
  }
  while (take_reports(reports, {.max_messages = 4096, .deadline = ipcq::now}, result.tally)) {
  }
  result.queue = text.inspect();
  if (options.keep) queues.keep_text();
}

void count_plainly(const std::vector<File>& files, Result& result) {
  const auto start = std::chrono::steady_clock::now();
  for (std::uint64_t i = 0; i < result.streamed.count; ++i) {
    throw_if_interrupted();
    result.plain += count_words(MappedFile(files[i % files.size()]).text());
  }
  result.plain_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int run_parent(const Options& options) {
  const std::uint64_t wanted = options.megabytes * 1'000'000;
  const Corpus corpus =
      find_corpus(options.roots.empty() ? default_roots() : options.roots, wanted, options.message_bytes);
  const Items streamed = first_items(corpus, wanted);
  if (streamed.count == 0) throw std::runtime_error("found no text files to stream; name some on the command line");

  Result result{.options = options,
                .corpus_files = corpus.files.size(),
                .corpus_bytes = corpus.bytes,
                .left_out = corpus.left_out,
                .streamed = streamed,
                .tally = Tally(options.consumers)};
  remove_leftovers();
  catch_interrupts();
  {
    Progress progress(streamed.bytes);
    stream(corpus.files, result, progress);
    progress.note("counting the same files without the queue");
    count_plainly(corpus.files, result);
  }
  if (options.json) {
    print_json(std::cout, result);
  } else {
    print_text(std::cout, result);
  }
  std::cout.flush();
  if (!std::cout) throw std::runtime_error("could not write the result");
  return result.counts_agree() ? 0 : 1;
}

}  // namespace demo
