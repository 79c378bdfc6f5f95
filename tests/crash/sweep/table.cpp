#include "crash/sweep/table.hpp"

#include <fcntl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstddef>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <stdexcept>
#include <tuple>

#include "crash/sweep/operation.hpp"
#include "os/unique_fd.hpp"

namespace ipcq::sweep {
namespace {

constexpr char kSeparator = '\t';

// Of this program's bytes: rows of another build are no evidence for this one.
std::string fingerprint() {
  std::ifstream self("/proc/self/exe", std::ios::binary);
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (std::istreambuf_iterator<char> byte(self), end; byte != end; ++byte) {
    hash = (hash ^ static_cast<unsigned char>(*byte)) * 0x100000001b3ULL;
  }
  std::ostringstream text;
  text << std::hex << hash;
  return text.str();
}

std::string line_of(const Row& row) {
  std::ostringstream line;
  line << row.operation << kSeparator << row.modes << kSeparator << row.instructions << kSeparator << row.points
       << kSeparator << row.states << kSeparator << row.kills << kSeparator << row.ok << kSeparator << row.wrong
       << kSeparator << row.hung << kSeparator << row.seconds << '\n';
  return line.str();
}

bool parse(const std::string& line, Row& row) {
  std::istringstream in(line);
  if (!std::getline(in, row.operation, kSeparator) || !std::getline(in, row.modes, kSeparator)) return false;
  return static_cast<bool>(in >> row.instructions >> row.points >> row.states >> row.kills >> row.ok >> row.wrong >>
                           row.hung >> row.seconds);
}

std::string machine() {
  utsname name{};
  ::uname(&name);
  std::string processor = "unknown processor";
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    if (line.rfind("model name", 0) != 0) continue;
    processor = line.substr(line.find(':') + 2);
    break;
  }
  return processor + ", " + std::to_string(::sysconf(_SC_NPROCESSORS_ONLN)) + " processors, " + name.sysname + " " +
         name.release;
}

std::string today() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d", &utc);
  return text;
}

}  // namespace

Table::Table(std::string file, const std::string& kind)
    : file_(std::move(file)), heading_("ipcq_sweep " + fingerprint() + " " + kind) {
  std::ifstream in(file_);
  std::string line;
  if (std::getline(in, line) && line == heading_) {
    for (Row row; std::getline(in, line);) {
      if (parse(line, row)) done_.insert(row.operation + kSeparator + row.modes);
    }
    return;
  }
  in.close();
  std::ofstream out(file_, std::ios::trunc);
  out << heading_ << '\n';
  if (!out.flush()) throw std::runtime_error("cannot write " + file_);
}

bool Table::has(const std::string& operation, const std::string& modes) const {
  return done_.count(operation + kSeparator + modes) != 0;
}

void Table::add(const Row& row) {
  const std::string line = line_of(row);
  const os::UniqueFd fd(::open(file_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  if (!fd || ::write(fd.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size()))
    throw std::runtime_error("cannot write " + file_);
}

std::vector<Row> Table::rows() const {
  std::vector<Row> rows;
  std::ifstream in(file_);
  std::string line;
  std::getline(in, line);
  while (std::getline(in, line)) {
    Row row;
    if (parse(line, row)) rows.push_back(row);
  }
  return rows;
}

namespace {

// Slices put together again, in the order of the operations.
std::vector<Row> in_order(const std::vector<Row>& rows) {
  const auto place = [](const std::string& name) {
    const auto& all = operations();
    return std::find_if(all.begin(), all.end(), [&](const Operation& one) { return one.name == name; }) - all.begin();
  };
  std::map<std::tuple<std::ptrdiff_t, std::string, std::string>, Row> ordered;
  for (const Row& row : rows) {
    const std::string modes = row.modes.substr(0, row.modes.find(' '));
    const auto [at, first] = ordered.try_emplace({place(row.operation), row.operation, modes}, row);
    Row& whole = at->second;
    whole.modes = modes;
    if (first) continue;
    whole.instructions = std::max(whole.instructions, row.instructions);
    whole.add(row);
  }
  std::vector<Row> list;
  for (const auto& [key, row] : ordered) list.push_back(row);
  return list;
}

}  // namespace

std::uint64_t print(const std::vector<Row>& rows, const std::string& command) {
  std::printf("| operation | modes | instructions | points | states | real kills | ok | wrong | hung | s |\n");
  std::printf("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|\n");
  Row total;
  const auto line = [](const Row& row) {
    std::printf("| %s | %s | %" PRIu64 " | %" PRIu64 " | %" PRIu64 " | %" PRIu64 " | %" PRIu64 " | %" PRIu64
                " | %" PRIu64 " | %.1f |\n",
                row.operation.c_str(), row.modes.c_str(), row.instructions, row.points, row.states, row.kills, row.ok,
                row.wrong, row.hung, row.seconds);
  };
  for (const Row& row : in_order(rows)) {
    line(row);
    total.instructions += row.instructions;
    total.add(row);
  }
  total.operation = "all";
  line(total);
  std::printf("\n`%s`, %s, %s\n", command.c_str(), machine().c_str(), today().c_str());
  return total.wrong + total.hung;
}

}  // namespace ipcq::sweep
