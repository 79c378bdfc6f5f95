#include "group_spec.hpp"

#include <algorithm>
#include <vector>

#include "arguments.hpp"
#include "units.hpp"

namespace ipcq::cli {
namespace {

std::vector<std::string> split_at_commas(const std::string& text) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  while (true) {
    const std::size_t comma = text.find(',', begin);
    parts.push_back(text.substr(begin, comma - begin));
    if (comma == std::string::npos) return parts;
    begin = comma + 1;
  }
}

}  // namespace

Overflow parse_overflow(std::string_view option, std::string_view text) {
  return parse_choice<Overflow>(
      option, text, {{"block", Overflow::block}, {"reject", Overflow::reject}, {"drop-oldest", Overflow::drop_oldest}});
}

ProducerMode parse_producers(std::string_view option, std::string_view text) {
  return parse_choice<ProducerMode>(option, text,
                                    {{"shared", ProducerMode::shared}, {"exclusive", ProducerMode::exclusive}});
}

ConsumerMode parse_consumers(std::string_view option, std::string_view text) {
  return parse_choice<ConsumerMode>(option, text,
                                    {{"shared", ConsumerMode::shared}, {"exclusive", ConsumerMode::exclusive}});
}

GroupOptions parse_group(std::string_view where, const std::string& text) {
  const std::vector<std::string> parts = split_at_commas(text);
  GroupOptions group;
  group.name = parts.front();
  Arguments::check_name("group", group.name);

  std::vector<std::string> seen;
  for (auto part = parts.begin() + 1; part != parts.end(); ++part) {
    const std::size_t equals = part->find('=');
    const std::string key = part->substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : part->substr(equals + 1);
    if (std::find(seen.begin(), seen.end(), key) != seen.end()) {
      throw UsageError(std::string(where) + " " + group.name + ": '" + key + "' is given twice");
    }
    seen.push_back(key);

    const std::string option = std::string(where) + " " + group.name + "," + key;
    if (key == "from") {
      group.start = parse_choice<Start>(option, value, {{"oldest", Start::oldest}, {"newest", Start::newest}});
    } else if (key == "overflow") {
      group.overflow = parse_overflow(option, value);
    } else if (key == "consumers") {
      group.consumers = parse_consumers(option, value);
    } else if (*part == "ephemeral") {
      group.lifetime = Lifetime::ephemeral;
    } else {
      throw UsageError(std::string(where) + " " + group.name + ": '" + *part +
                       "' is none of: from=oldest|newest, overflow=block|reject|drop-oldest, "
                       "consumers=shared|exclusive, ephemeral");
    }
  }
  return group;
}

}  // namespace ipcq::cli
