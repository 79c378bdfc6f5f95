// Expectation: which messages each group must, may or must not get after a death, in this order and nothing else.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace ipcq::sweep {

using Ids = std::vector<std::uint64_t>;

/// What a check found wrong: the sweep's only failure.
class Wrong : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};
inline void require(bool condition, const std::string& what) {
  if (!condition) throw Wrong(what);
}

/// "1-4 7" is 1, 2, 3, 4, 7.
[[nodiscard]] Ids ids(const std::string& text);
[[nodiscard]] std::string text(const Ids& list);

enum class Presence : std::uint8_t {
  must,
  may,  ///< all of them or none
};
/// What the lease that brings a message says of earlier deliveries.
enum class Handed : std::uint8_t { never, before, either };

/// Messages that share one fate: a batch whose commit, or a lease whose ack, is one store.
struct Item {
  Ids ids;
  Presence presence = Presence::must;
  Handed handed = Handed::never;
};
using Items = std::vector<Item>;

[[nodiscard]] inline Item must(const std::string& list, Handed handed = Handed::never) {
  return {ids(list), Presence::must, handed};
}
[[nodiscard]] inline Item may(const std::string& list, Handed handed = Handed::never) {
  return {ids(list), Presence::may, handed};
}
/// What the child has not done yet may have happened already: the return comes after the store that decides.
[[nodiscard]] inline Item done_when(bool returned, const std::string& list, Handed handed = Handed::never) {
  return {ids(list), returned ? Presence::must : Presence::may, handed};
}

struct GroupExpectation {
  std::string group;
  Items items;                   ///< in the order of delivery to a sole consumer
  bool may_be_missing = false;   ///< the group was being added or removed
  unsigned may_lack_first = 0;   ///< of the messages, given up by drop-oldest
  bool began_meanwhile = false;  ///< where others worked at the same time, it may have begun behind any message
  Ids gone_meanwhile = {};       ///< what they may have had by then
};

enum class Closed : std::uint8_t { no, may, yes };

struct Expectation {
  std::vector<GroupExpectation> groups;
  Closed closed = Closed::no;
  /// What the dead-letter queue has in the end; empty: there is none. Moved at least once: the copy of somebody who died
  /// before he had finished the message is one too many.
  Items dead_letters = {};
  /// There is no room in the dead-letter queue until others have emptied it: messages may be parked.
  bool may_be_parked = false;
};

/// One message as a consumer got it.
struct Delivery {
  std::uint64_t id = 0;
  std::uint32_t deliveries = 0;
};
using Deliveries = std::vector<Delivery>;
[[nodiscard]] Ids ids_of(const Deliveries& deliveries);

/// Throws Wrong unless a sole consumer may have got exactly these, in this order.
void check_in_order(const GroupExpectation& expected, const Deliveries& got);
/// Throws Wrong unless these, in any order, each once, are what is expected: where others worked beside a living process.
void check_as_set(const GroupExpectation& expected, const Ids& got);

}  // namespace ipcq::sweep
