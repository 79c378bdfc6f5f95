#include "result.hpp"

#include <array>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <utility>

#include "format.hpp"

namespace demo {
namespace {

using Json = nlohmann::ordered_json;

double per_second(std::uint64_t amount, double seconds) {
  return seconds > 0 ? static_cast<double>(amount) / seconds : 0;
}

// The group's four latencies, in the order of a batch's way; the last is the sum of the others.
std::array<std::pair<const char*, const ipcq::LatencyInfo*>, 4> latencies(const ipcq::GroupInfo& group) {
  return {{{"queue", &group.queue},
           {"transfer", &group.transfer},
           {"processing", &group.processing},
           {"latency", &group.latency}}};
}

void print_counts(std::ostream& out, const std::string& what, const std::string& messages, const Counts& counts) {
  out << std::left << std::setw(14) << what << std::right << std::setw(14) << messages << std::setw(14)
      << megabytes(static_cast<double>(counts.bytes)) << std::setw(14) << grouped(counts.lines) << std::setw(14)
      << grouped(counts.words) << '\n';
}

void print_latencies(std::ostream& out, const ipcq::GroupInfo& group) {
  out << "\n"
      << std::left << std::setw(14) << "latency" << std::right << std::setw(14) << "p50" << std::setw(14) << "p99"
      << std::setw(14) << "highest" << '\n';
  for (const auto& [name, latency] : latencies(group)) {
    out << std::left << std::setw(14) << (latency == &group.latency ? "sum" : name) << std::right << std::setw(14)
        << duration(latency->p50_ns) << std::setw(14) << duration(latency->p99_ns) << std::setw(14)
        << duration(latency->max_ns) << '\n';
  }
}

Json counts_json(const Counts& counts) {
  return {{"bytes", counts.bytes}, {"lines", counts.lines}, {"words", counts.words}, {"checksum", counts.checksum}};
}

}  // namespace

void print_text(std::ostream& out, const Result& result) {
  const Options& options = result.options;
  const Tally::Share& total = result.tally.total();
  const double seconds = result.tally.seconds();

  out << grouped(result.corpus_files) << " text files of " << megabytes(static_cast<double>(result.corpus_bytes))
      << ", repeated to " << megabytes(static_cast<double>(result.streamed.bytes)) << "; " << grouped(result.left_out)
      << " left out (not readable, not text, or a word longer than a message)\n"
      << options.producers << " producer(s) -> " << result.queue.capacity_bytes / 1024 << " KiB ring, "
      << (options.exclusive ? "exclusive" : "shared") << " -> " << options.consumers << " consumer(s); batches of "
      << options.batch << " messages of up to " << grouped(std::uint64_t{options.message_bytes}) << " bytes\n\n";

  out << std::left << std::setw(14) << "" << std::right << std::setw(14) << "messages" << std::setw(14) << "bytes"
      << std::setw(14) << "lines" << std::setw(14) << "words" << '\n';
  for (std::size_t i = 0; i < result.tally.shares().size(); ++i) {
    const Tally::Share& share = result.tally.shares()[i];
    print_counts(out, "consumer " + std::to_string(i), grouped(share.messages), share.counts);
  }
  print_counts(out, "together", grouped(total.messages), total.counts);
  print_counts(out, "plain count", "", result.plain);
  out << (result.counts_agree() ? "The counts agree, and so do the checksums of all words.\n"
                                : "THE COUNTS DIFFER (bytes, lines, words, or the checksum of all words).\n");
  if (result.killed != 0) {
    out << "Consumer 0 (pid " << result.killed
        << ") was killed with SIGKILL midway: " << grouped(result.tally.redelivered())
        << " messages were delivered again, " << grouped(result.tally.counted_already())
        << " of them it had counted already.\n";
  } else if (options.kill) {
    out << "No consumer was killed: half of the text was counted only at the end. Stream more.\n";
  }

  out << "\nthrough the queue   " << grouped(per_second(total.messages, seconds)) << " messages/s, "
      << megabytes(per_second(total.counts.bytes, seconds)) << "/s (" << fixed(seconds, 2)
      << " s from the first message to the last)\n"
      << "plain count         " << megabytes(per_second(result.plain.bytes, result.plain_seconds)) << "/s ("
      << fixed(result.plain_seconds, 2) << " s in one process, without a queue)\n";
  for (const ipcq::GroupInfo& group : result.queue.groups) print_latencies(out, group);
  if (options.keep) out << "\nkept: ipcq stat " << result.queue.name << '\n';
}

void print_json(std::ostream& out, const Result& result) {
  const Tally::Share& total = result.tally.total();
  const double seconds = result.tally.seconds();
  Json json;
  json["corpus"] = {{"files", result.corpus_files}, {"bytes", result.corpus_bytes}, {"left_out", result.left_out}};
  json["streamed"] = {{"files", result.streamed.count}, {"bytes", result.streamed.bytes}};
  json["queue"] = {{"name", result.queue.name},
                   {"capacity_bytes", result.queue.capacity_bytes},
                   {"mode", result.options.exclusive ? "exclusive" : "shared"},
                   {"producers", result.options.producers},
                   {"consumers", result.options.consumers},
                   {"batch", result.options.batch},
                   {"message_bytes_max", result.options.message_bytes},
                   {"kept", result.options.keep}};
  json["consumers"] = Json::array();
  for (const Tally::Share& share : result.tally.shares()) {
    Json one = counts_json(share.counts);
    one["messages"] = share.messages;
    one["batches"] = share.batches;
    json["consumers"].push_back(std::move(one));
  }
  json["total"] = counts_json(total.counts);
  json["total"]["messages"] = total.messages;
  json["total"]["batches"] = total.batches;
  json["plain"] = counts_json(result.plain);
  json["plain"]["seconds"] = result.plain_seconds;
  json["plain"]["bytes_per_second"] = per_second(result.plain.bytes, result.plain_seconds);
  json["counts_agree"] = result.counts_agree();
  json["seconds"] = seconds;
  json["messages_per_second"] = per_second(total.messages, seconds);
  json["bytes_per_second"] = per_second(total.counts.bytes, seconds);
  json["killed_pid"] = result.killed != 0 ? Json(result.killed) : Json(nullptr);
  json["redelivered_messages"] = result.tally.redelivered();
  json["counted_already_messages"] = result.tally.counted_already();
  for (const ipcq::GroupInfo& group : result.queue.groups) {
    for (const auto& [name, latency] : latencies(group)) {
      json["latency_ns"][name] = {{"p50", latency->p50_ns}, {"p99", latency->p99_ns}, {"max", latency->max_ns}};
    }
  }
  out << json.dump(2) << '\n';
}

}  // namespace demo
