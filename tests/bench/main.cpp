// ipcq-bench: how fast ipcq is on this machine, set against what the machine itself can do. See README.md.
#include <sched.h>

#include <algorithm>
#include <array>
#include <boost/program_options.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <iostream>
#include <iterator>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "clock.hpp"
#include "interrupt.hpp"
#include "ipcq/ipcq.hpp"
#include "peer_rows.hpp"
#include "raw_rows.hpp"
#include "report.hpp"
#include "run_directory.hpp"
#include "runner.hpp"

namespace ipcq::bench {
namespace {

namespace po = boost::program_options;

constexpr int kFailed = 1;
constexpr int kUsage = 2;

struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Command {
  Settings settings;
  std::vector<std::string> only;
  std::string directory;
  std::string json;
  bool list = false, smoke = false, help = false;
};

template <class Number>
std::array<Number, 2> number_pair(const std::string& text, const char* option) {
  std::istringstream in(text);
  std::array<Number, 2> numbers{};
  char comma = 0;
  if (!(in >> numbers[0] >> comma >> numbers[1]) || comma != ',' || in.peek() != std::istringstream::traits_type::eof()) {
    throw UsageError(std::string(option) + " wants two numbers with a comma between, not '" + text + "'");
  }
  return numbers;
}

std::vector<int> allowed_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cpus;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<std::size_t>(cpu), &set)) cpus.push_back(cpu);
  }
  return cpus;
}

/// The two that were asked for, else the first two that this process may use.
std::array<int, 2> choose_cpus(const std::string& asked) {
  const std::vector<int> allowed = allowed_cpus();
  if (asked.empty()) {
    if (allowed.size() < 2) throw UsageError("measuring needs two cpus, and there is one; --smoke works here");
    return {allowed[0], allowed[1]};
  }
  const auto cpus = number_pair<int>(asked, "--cpus");
  if (cpus[0] == cpus[1]) throw UsageError("--cpus: the two must differ");
  for (const int cpu : cpus) {
    if (std::find(allowed.begin(), allowed.end(), cpu) == allowed.end()) {
      throw UsageError("--cpus: this process may not run on cpu " + std::to_string(cpu));
    }
  }
  return cpus;
}

Command parse(int argc, char** argv, po::options_description& options) {
  Command command;
  Settings& settings = command.settings;
  std::string cpus, near;
  bool quick = false;
  auto add = options.add_options();
  add("only", po::value(&command.only)->value_name("TEXT"), "only rows with TEXT in their name; may be repeated");
  add("list", po::bool_switch(&command.list), "show the rows and what they measure");
  add("repeats", po::value(&settings.repeats)->value_name("N"), "runs of a row (5)");
  add("seconds", po::value(&settings.seconds)->value_name("S"), "of each run (0.3)");
  add("quick", po::bool_switch(&quick), "3 runs of 0.1 s");
  add("cpus", po::value(&cpus)->value_name("A,B"), "the two cpus (the first two)");
  add("json", po::value(&command.json)->value_name("FILE"), "write every run there, too");
  add("dir", po::value(&command.directory)->value_name("D"),
      "tmpfs to make the directory for the queues in (IPCQ_DIR, else /dev/shm)");
  add("near", po::value(&near)->value_name("LO,HI"), "probes in ns that count as near (75,300)");
  add("far", po::value(&settings.rule.far_low_ns)->value_name("LO"), "probes above count as far (330)");
  add("smoke", po::bool_switch(&command.smoke),
      "measure nothing: each row for a few ms, and rings that are full all the time; check every payload");
  add("help", po::bool_switch(&command.help), "this");

  po::variables_map values;
  try {
    // An empty positional description: a stray word is an error, not ignored.
    po::store(po::command_line_parser(argc, argv).options(options).positional({}).run(), values);
    po::notify(values);
  } catch (const po::error& error) {
    throw UsageError(error.what());
  }
  if (quick && values.count("repeats") == 0) settings.repeats = 3;
  if (quick && values.count("seconds") == 0) settings.seconds = 0.1;
  if (settings.repeats < 1 || settings.repeats > 1000) throw UsageError("--repeats: 1 to 1000");
  if (!(settings.seconds >= 0.001 && settings.seconds <= 60)) throw UsageError("--seconds: 0.001 to 60");
  if (!near.empty()) {
    const auto range = number_pair<double>(near, "--near");
    settings.rule.near_low_ns = range[0];
    settings.rule.near_high_ns = range[1];
  }
  if (settings.rule.near_low_ns > settings.rule.near_high_ns || settings.rule.near_high_ns > settings.rule.far_low_ns) {
    throw UsageError("--near and --far: the ranges must be in order and not overlap");
  }
  if (command.smoke && !command.json.empty()) throw UsageError("--smoke measures nothing that --json could write");
  if (!command.help && !command.list && !command.smoke) settings.cpus = choose_cpus(cpus);
  return command;
}

std::vector<Row> select_rows(const Command& command, const std::string& directory) {
  std::vector<Row> rows;
  const auto append = [&rows](std::vector<Row> more) { std::move(more.begin(), more.end(), std::back_inserter(rows)); };
  append(raw_round_trip_rows());
  append(raw_stream_rows());
  append(raw_rewrite_rows());
  append(ipcq_rows(directory));
  append(ipcq_crowd_rows(directory));
  append(ipcq_wait_set_rows(directory));
  append(ipcq_cost_rows(directory));
  append(peer_rows(directory));
  if (command.smoke || command.list) append(full_ring_rows(directory));
  if (command.only.empty()) return rows;
  std::erase_if(rows, [&](const Row& row) {
    return std::none_of(command.only.begin(), command.only.end(),
                        [&](const std::string& text) { return row.name.find(text) != std::string::npos; });
  });
  if (rows.empty()) throw UsageError("--only: no row has that in its name; --list shows them");
  return rows;
}

int list(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    std::printf("%-48s %s%s\n", row.name.c_str(), row.what.c_str(), row.smoke_only ? " (only with --smoke)" : "");
  }
  return 0;
}

int run_smoke(const std::vector<Row>& rows, const RunDirectory& directory) {
  const unsigned failed = smoke(rows, directory);
  if (const int number = interrupted(); number != 0) return 128 + number;
  std::printf("%zu rows, %u failed\n", rows.size(), failed);
  return failed == 0 ? 0 : kFailed;
}

using OutputFile = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

OutputFile open_output(const std::string& path) {
  if (path.empty()) return {nullptr, std::fclose};
  OutputFile file(std::fopen(path.c_str(), "w"), std::fclose);
  if (file == nullptr) throw std::runtime_error("cannot write " + path + ": " + std::strerror(errno));
  return file;
}

int run_benchmarks(const Command& command, const std::vector<Row>& rows, const RunDirectory& directory) {
  const OutputFile json = open_output(command.json);  // a path that cannot be written is said before the measuring
  const Machine machine = describe_machine();
  print_machine(stdout, machine, command.settings, rows.size());
  const std::vector<RowResult> rows_measured = measure(rows, command.settings, directory);
  const Results results(rows_measured);
  const int number = interrupted();
  print_tables(stdout, results);
  if (json != nullptr && !write_json(json.get(), machine, command.settings, results, number == 0)) {
    throw std::runtime_error("cannot write all of " + command.json);
  }
  if (number != 0) {
    std::fprintf(stderr, "ipcq-bench: interrupted; the tables hold what was measured until then\n");
    return 128 + number;
  }
  return std::any_of(rows_measured.begin(), rows_measured.end(),
                     [](const RowResult& result) { return !result.failure.empty(); })
             ? kFailed
             : 0;
}

int run(int argc, char** argv) {
  po::options_description options("Options");
  const Command command = parse(argc, argv, options);
  if (command.help) {
    std::cout << "ipcq-bench: two processes on two cpus, every payload byte written and checked, set against what the "
                 "machine\nitself can do. Exit: 0 done (bars met or missed), 1 a run failed, 2 usage, 130 Ctrl-C.\n\n"
              << options << "\nipcq-bench --quick --only 8B --only rtt\n";
    return 0;
  }
  if (command.list) return list(select_rows(command, ""));
  (void)select_rows(command, "");  // a wrong --only is said before anything is made
  catch_interrupts();
  tick_clock();
  const RunDirectory directory(resolve_directory(command.directory));
  const std::vector<Row> rows = select_rows(command, directory.path());
  return command.smoke ? run_smoke(rows, directory) : run_benchmarks(command, rows, directory);
}

}  // namespace
}  // namespace ipcq::bench

int main(int argc, char** argv) {
  int status = 0;
  try {
    status = ipcq::bench::run(argc, argv);
  } catch (const ipcq::bench::UsageError& error) {
    std::fprintf(stderr, "ipcq-bench: %s\n", error.what());
    return ipcq::bench::kUsage;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "ipcq-bench: %s\n", error.what());
    return ipcq::bench::kFailed;
  }
  if (std::fflush(stdout) != 0 && status == 0) status = ipcq::bench::kFailed;
  return status;
}
