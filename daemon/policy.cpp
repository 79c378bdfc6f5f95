#include "policy.hpp"

#include <fcntl.h>
#include <fnmatch.h>
#include <sys/stat.h>
#include <toml++/toml.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdint>
#include <system_error>
#include <utility>

namespace ipcq::daemon {
namespace {

using std::chrono::nanoseconds;

constexpr std::size_t kFileBytesMax = std::size_t{1} << 20;

std::string read_file(const std::string& path) {
  const auto fail = [&](const std::string& what) { throw PolicyError(path + ":0: " + what); };
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) fail(std::error_code(errno, std::generic_category()).message());
  std::string text(kFileBytesMax + 1, '\0');
  std::size_t used = 0;
  ssize_t length = 0;
  struct stat info {};
  const bool regular = ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
  while (regular && used < text.size() && (length = ::read(fd, &text[used], text.size() - used)) > 0)
    used += static_cast<std::size_t>(length);
  ::close(fd);
  if (!regular) fail("it is no regular file");
  if (length < 0) fail("it cannot be read");
  if (used > kFileBytesMax) fail("it is larger than 1 MiB");
  text.resize(used);
  return text;
}

/// Reads the keys of one table; what is left over is a mistake of the author's.
class Reader {
 public:
  Reader(const std::string& path, const toml::table& table) : path_(path), table_(table) {}

  std::optional<std::string> text(const char* key) {
    const toml::node* node = find(key);
    if (node == nullptr) return std::nullopt;
    if (!node->is_string()) fail(*node, std::string(key) + " is a text in quotes");
    return node->value<std::string>();
  }
  std::optional<bool> boolean(const char* key) {
    const toml::node* node = find(key);
    if (node == nullptr) return std::nullopt;
    if (!node->is_boolean()) fail(*node, std::string(key) + " is true or false");
    return node->value<bool>();
  }
  std::optional<nanoseconds> duration(const char* key) {
    const std::optional<std::string> value = text(key);
    if (!value) return std::nullopt;
    const std::optional<nanoseconds> time = parse_duration(*value);
    if (!time)
      fail(*table_.get(key), std::string(key) + " is a duration like \"30s\" or \"1m30s\", not \"" + *value + "\"");
    return time;
  }
  std::optional<double> rate(const char* key, bool sizes) {
    const std::optional<std::string> value = text(key);
    if (!value) return std::nullopt;
    const std::optional<double> rate = parse_rate(*value, sizes);
    if (!rate) {
      fail(*table_.get(key), std::string(key) + " is a rate like " +
                                 (sizes ? "\"10M/s\"" : "\"1000/s\" or \"90/min\"") + ", not \"" + *value + "\"");
    }
    return rate;
  }
  std::optional<std::uint32_t> count(const char* key) {
    const toml::node* node = find(key);
    if (node == nullptr) return std::nullopt;
    const std::optional<std::uint32_t> value = node->is_integer() ? node->value<std::uint32_t>() : std::nullopt;
    if (!value || *value == 0) fail(*node, std::string(key) + " is a whole number from 1 on");
    return value;
  }
  std::vector<uid_t> uids(const char* key) {
    const toml::node* node = find(key);
    if (node == nullptr) return {};
    std::vector<uid_t> all;
    const toml::array* array = node->as_array();
    if (array == nullptr || array->empty()) fail(*node, std::string(key) + " is a list of numbers, like [1000, 1001]");
    for (const toml::node& each : *array) {
      const std::optional<uid_t> uid = each.is_integer() ? each.value<uid_t>() : std::nullopt;
      if (!uid) fail(each, std::string(key) + " is a list of numbers, like [1000, 1001]");
      all.push_back(*uid);
    }
    return all;
  }
  /// Throws for a key that nobody asked for.
  void finish() const {
    for (const auto& [key, node] : table_) {
      bool known = false;
      for (const std::string& each : known_) known = known || key.str() == each;
      if (known) continue;
      std::string list;
      for (const std::string& each : known_) list += (list.empty() ? "" : ", ") + each;
      throw PolicyError(where(path_, key.source()) + "there is no key '" + std::string(key.str()) + "'; keys: " + list);
    }
  }
  [[noreturn]] void fail(const toml::node& node, const std::string& what) const {
    throw PolicyError(where(path_, node.source()) + what);
  }
  static std::string where(const std::string& path, const toml::source_region& region) {
    return path + ":" + std::to_string(region.begin.line) + ": ";
  }

 private:
  const toml::node* find(const char* key) {
    known_.emplace_back(key);
    return table_.get(key);
  }

  const std::string& path_;
  const toml::table& table_;
  std::vector<std::string> known_;
};

toml::table parse(const std::string& path) {
  const std::string text = read_file(path);
  try {
    return toml::parse(text, path);
  } catch (const toml::parse_error& error) {
    throw PolicyError(Reader::where(path, error.source()) + std::string(error.description()));
  }
}

}  // namespace

std::optional<nanoseconds> parse_duration(std::string_view text) {
  static constexpr std::pair<std::string_view, std::int64_t> kUnits[] = {
      {"ns", 1},  // two letters before one: "ms" is no "m"
      {"us", 1'000},
      {"ms", 1'000'000},
      {"s", 1'000'000'000},
      {"m", 60'000'000'000},
      {"h", 3'600'000'000'000},
      {"d", 86'400'000'000'000}};
  if (text == "0") return nanoseconds(0);
  std::int64_t sum = 0;
  if (text.empty()) return std::nullopt;
  while (!text.empty()) {
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || number < 0) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    std::int64_t unit = 0;
    for (const auto& [name, ns] : kUnits) {
      if (unit != 0 || !text.starts_with(name)) continue;
      unit = ns;
      text.remove_prefix(name.size());
    }
    std::int64_t part = 0;
    if (unit == 0 || __builtin_mul_overflow(number, unit, &part) || __builtin_add_overflow(sum, part, &sum))
      return std::nullopt;
  }
  return nanoseconds(sum);
}

std::optional<double> parse_rate(std::string_view text, bool sizes) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (error != std::errc{} || !(number > 0)) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  static constexpr std::string_view kSizes = "KMG";
  if (const std::size_t size = text.empty() ? std::string_view::npos : kSizes.find(text.front());
      sizes && size != std::string_view::npos) {
    number *= static_cast<double>(std::uint64_t{1} << (10 * (size + 1)));
    text.remove_prefix(1);
  }
  if (text == "/s") return number;
  if (text == "/min" || text == "/m") return number / 60;
  if (text == "/h") return number / 3600;
  return std::nullopt;
}

Policy::Policy(const std::string& path) {
  const toml::table file = parse(path);
  for (const auto& [key, node] : file) {
    if (key.str() != "rule")
      throw PolicyError(Reader::where(path, key.source()) + "there are [[rule]] tables only, not '" +
                        std::string(key.str()) + "'");
  }
  const toml::node* all = file.get("rule");
  if (all == nullptr) return;
  const toml::array* tables = all->as_array();
  if (tables == nullptr)
    throw PolicyError(Reader::where(path, all->source()) + "a rule begins with [[rule]], in two brackets");
  for (const toml::node& node : *tables) {
    const toml::table* table = node.as_table();
    if (table == nullptr) throw PolicyError(Reader::where(path, node.source()) + "a rule is a table: [[rule]]");
    Reader reader(path, *table);
    Rule rule;
    const std::optional<std::string> queues = reader.text("queues");
    rule.grace = reader.duration("grace");
    rule.clean_with_messages = reader.boolean("clean_with_messages");
    rule.uids = reader.uids("uids");
    rule.rate = reader.rate("rate", false);
    rule.byte_rate = reader.rate("byte_rate", true);
    rule.burst = reader.count("burst");
    rule.producer_rate = reader.rate("producer_rate", false);
    reader.finish();
    if (!queues || queues->empty())
      reader.fail(*table, "the rule does not say for which queues: queues = \"orders.*\"");
    if (!rule.uids.empty() && !rule.rate && !rule.byte_rate)
      reader.fail(*table, "uids say whose rate it is: the rule needs rate or byte_rate");
    if (rule.burst && !rule.rate)
      reader.fail(*table, "burst is how much of rate may come at once: the rule needs rate");
    rule.queues = *queues;
    rules_.push_back(std::move(rule));
  }
}

Settings Policy::for_queue(const std::string& name) const {
  Settings settings;
  for (const Rule& rule : rules_) {
    if (::fnmatch(rule.queues.c_str(), name.c_str(), 0) != 0) continue;
    if (rule.grace) settings.grace = rule.grace;
    if (rule.clean_with_messages) settings.clean_with_messages = *rule.clean_with_messages;
    if (rule.producer_rate) settings.producer_quota.messages_per_second = *rule.producer_rate;
    const auto limit = [&rule](Quota& quota) {
      if (rule.rate) quota.messages_per_second = *rule.rate;
      if (rule.rate) quota.burst_messages = rule.burst.value_or(0);  // a burst goes with its rate
      if (rule.byte_rate) quota.bytes_per_second = *rule.byte_rate;
    };
    if (rule.uids.empty()) limit(settings.quota);
    for (const uid_t uid : rule.uids) limit(settings.user_quotas[uid]);
  }
  return settings;
}

}  // namespace ipcq::daemon
