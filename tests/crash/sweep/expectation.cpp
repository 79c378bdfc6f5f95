#include "crash/sweep/expectation.hpp"

#include <algorithm>
#include <set>

namespace ipcq::sweep {

Ids ids(const std::string& text) {
  Ids list;
  std::size_t at = 0;
  while (at < text.size()) {
    std::size_t used = 0;
    const std::uint64_t first = std::stoull(text.substr(at), &used);
    at += used;
    std::uint64_t last = first;
    if (at < text.size() && text[at] == '-') {
      last = std::stoull(text.substr(at + 1), &used);
      at += used + 1;
    }
    for (std::uint64_t id = first; id <= last; ++id) list.push_back(id);
    while (at < text.size() && text[at] == ' ') ++at;
  }
  return list;
}

std::string text(const Ids& list) {
  std::string result;
  for (const std::uint64_t id : list) result += (result.empty() ? "" : " ") + std::to_string(id);
  return result.empty() ? "nothing" : result;
}

Ids ids_of(const Deliveries& deliveries) {
  Ids list;
  for (const Delivery& one : deliveries) list.push_back(one.id);
  return list;
}

void check_in_order(const GroupExpectation& expected, const Deliveries& got) {
  const std::string where = "group '" + expected.group + "' got " + text(ids_of(got)) + ": ";
  std::size_t at = 0;
  unsigned lacking = 0;
  for (const Item& item : expected.items) {
    const bool begins = at < got.size() && !item.ids.empty() && got[at].id == item.ids.front();
    if (!begins && item.presence == Presence::may) continue;
    for (const std::uint64_t id : item.ids) {
      if (at < got.size() && got[at].id == id) {
        const bool before = got[at].deliveries > 0;
        require(item.handed == Handed::either || before == (item.handed == Handed::before),
                where + "message " + std::to_string(id) + " says it was handed out " +
                    std::to_string(got[at].deliveries) + " times before");
        ++at;
      } else if (at == 0 && lacking < expected.may_lack_first) {
        ++lacking;
      } else {
        throw Wrong(where + "no " + std::to_string(id) + " at place " + std::to_string(at));
      }
    }
  }
  require(at == got.size(), where + "too many, from place " + std::to_string(at) + " on");
}

void check_as_set(const GroupExpectation& expected, const Ids& got) {
  const std::string where = "group '" + expected.group + "' got " + text(got) + ": ";
  std::set<std::uint64_t> left;
  for (const std::uint64_t id : got)
    require(left.insert(id).second, where + "message " + std::to_string(id) + " twice, though it was acked");
  unsigned lacking = 0;
  for (const Item& item : expected.items) {
    const auto there = [&](std::uint64_t id) { return left.count(id) != 0; };
    if (item.presence == Presence::may && std::none_of(item.ids.begin(), item.ids.end(), there)) continue;
    for (const std::uint64_t id : item.ids) {
      if (left.erase(id) == 1) continue;
      require(++lacking <= expected.may_lack_first, where + "no " + std::to_string(id));
    }
  }
  require(left.empty(), where + "message " + std::to_string(left.empty() ? 0 : *left.begin()) + " must not come");
}

}  // namespace ipcq::sweep
