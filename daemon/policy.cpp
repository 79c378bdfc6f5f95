#include "policy.hpp"

#include <fcntl.h>
#include <fnmatch.h>
#include <grp.h>
#include <pwd.h>
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

// Who is in a group of users, by their user's entry or by the group's.
std::vector<uid_t> members_of(gid_t gid) {
  std::vector<uid_t> all;
  ::setpwent();
  while (const passwd* entry = ::getpwent()) {
    if (entry->pw_gid == gid) all.push_back(entry->pw_uid);
  }
  ::endpwent();
  const group* found = ::getgrgid(gid);
  std::vector<std::string> names;
  for (char** name = found == nullptr ? nullptr : found->gr_mem; name != nullptr && *name != nullptr; ++name)
    names.emplace_back(*name);
  for (const std::string& name : names) {
    const passwd* entry = ::getpwnam(name.c_str());
    if (entry != nullptr) all.push_back(entry->pw_uid);
  }
  return all;
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
  std::optional<std::uint64_t> size(const char* key) {
    const toml::node* node = find(key);
    if (node == nullptr) return std::nullopt;
    std::optional<std::uint64_t> value;
    if (node->is_integer()) value = node->value<std::uint64_t>();
    if (const auto written = node->value<std::string>(); node->is_string() && written) value = parse_size(*written);
    if (!value || *value == 0) fail(*node, std::string(key) + " is a number of bytes from 1 on, like 4096 or \"64K\"");
    return value;
  }
  /// Users of a list of numbers and names.
  std::vector<uid_t> users(const char* key) {
    std::vector<uid_t> all;
    for_each(
        key, "users, like [1000, \"alice\"]",
        [&](const toml::node& node, const std::string& name) {
          const passwd* entry = ::getpwnam(name.c_str());
          if (entry == nullptr) fail(node, "there is no user '" + name + "'");
          all.push_back(entry->pw_uid);
        },
        [&](std::uint32_t number) { all.push_back(number); });
    return all;
  }
  /// The members of groups, of a list of numbers and names.
  std::vector<uid_t> members(const char* key) {
    std::vector<uid_t> all;
    const auto add = [&](gid_t gid) {
      for (const uid_t uid : members_of(gid)) all.push_back(uid);
    };
    for_each(
        key, "groups of users, like [1000, \"traders\"]",
        [&](const toml::node& node, const std::string& name) {
          const group* entry = ::getgrnam(name.c_str());
          if (entry == nullptr) fail(node, "there is no group of users '" + name + "'");
          add(entry->gr_gid);
        },
        add);
    return all;
  }
  [[nodiscard]] bool has(const char* key) const { return table_.contains(key); }
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
  template <class Name, class Number>
  void for_each(const char* key, const char* what, const Name& name, const Number& number) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const std::string wanted = std::string(key) + " is a list of " + what;
    const toml::array* array = node->as_array();
    if (array == nullptr || array->empty()) fail(*node, wanted);
    for (const toml::node& each : *array) {
      const std::optional<std::uint32_t> value = each.is_integer() ? each.value<std::uint32_t>() : std::nullopt;
      if (!each.is_string() && !value) fail(each, wanted);
      if (value) {
        number(*value);
      } else {
        name(each, *each.value<std::string>());
      }
    }
  }
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

std::optional<std::uint64_t> parse_size(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || number == 0) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  if (text.empty()) return number;
  const std::size_t size = std::string_view("KMG").find(text.front());
  if (size == std::string_view::npos || text.size() > 1 ||
      __builtin_mul_overflow(number, std::uint64_t{1} << (10 * (size + 1)), &number))
    return std::nullopt;
  return number;
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
    rule.of_users = reader.has("uids") || reader.has("gids");
    rule.uids = reader.users("uids");
    for (const uid_t uid : reader.members("gids")) rule.uids.push_back(uid);
    rule.rate = reader.rate("rate", false);
    rule.byte_rate = reader.rate("byte_rate", true);
    rule.burst = reader.count("burst");
    rule.byte_burst = reader.size("byte_burst");
    rule.producer_rate = reader.rate("producer_rate", false);
    rule.report = reader.boolean("report");
    reader.finish();
    if (!queues || queues->empty())
      reader.fail(*table, "the rule does not say for which queues: queues = \"orders.*\"");
    if (rule.of_users && !rule.rate && !rule.byte_rate)
      reader.fail(*table, "uids and gids say whose rate it is: the rule needs rate or byte_rate");
    if (rule.burst && !rule.rate)
      reader.fail(*table, "burst is how much of rate may come at once: the rule needs rate");
    if (rule.byte_burst && !rule.byte_rate)
      reader.fail(*table, "byte_burst is how much of byte_rate may come at once: the rule needs byte_rate");
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
    if (rule.report) settings.report = *rule.report;
    if (rule.producer_rate) settings.producer_quota.messages_per_second = *rule.producer_rate;
    const auto limit = [&rule](Quota& quota) {
      if (rule.rate) quota.messages_per_second = *rule.rate;
      if (rule.rate) quota.burst_messages = rule.burst.value_or(0);  // a burst goes with its rate
      if (rule.byte_rate) quota.bytes_per_second = *rule.byte_rate;
      if (rule.byte_rate) quota.burst_bytes = rule.byte_burst.value_or(0);
    };
    if (!rule.of_users) limit(settings.quota);
    for (const uid_t uid : rule.uids) limit(settings.user_quotas[uid]);
  }
  return settings;
}

}  // namespace ipcq::daemon
