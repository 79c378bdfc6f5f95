// Scenarios: the kinds of queue that are stormed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <ipcq/ipcq.hpp>
#include <ostream>
#include <stdexcept>
#include <string>
#include <vector>

#include "history.hpp"

namespace ipcq::stress {

inline constexpr const char* kQueue = "stress";
inline constexpr std::size_t kCapacity = 65536;

/// Group 0 has one consumer at a time, group 1 several; group 2 has one that is slow, and drops the oldest.
inline constexpr std::uint32_t kSolo = 0, kTeam = 1, kLossy = 2;
inline constexpr std::array<const char*, History::kGroups> kGroupNames = {"solo", "team", "lossy"};
inline constexpr std::uint32_t kTeamMembers = 3;
/// Where messages go that so many consumers died with. Small, and read slowly: some are parked.
inline constexpr const char* kDead = "dead";
inline constexpr std::uint32_t kMostDeliveries = 3;

struct Scenario {
  const char* name;
  ProducerMode producers = ProducerMode::shared;
  ConsumerMode solo = ConsumerMode::shared;  ///< of group 0
  Overflow overflow = Overflow::block;       ///< of groups 0 and 1
  bool lossy = false;                        ///< group 2 is there
  std::uint32_t visitors = 0;                ///< processes that add and remove groups of their own
  bool poison = false;                       ///< some messages kill their consumers: there is a dead-letter queue

  [[nodiscard]] History::Groups groups() const noexcept { return {lossy ? 3U : 2U, lossy, poison}; }
  [[nodiscard]] std::uint32_t producer_count() const noexcept {
    return producers == ProducerMode::exclusive ? 1 : History::kProducers;
  }
  [[nodiscard]] CreateOptions create_options() const {
    CreateOptions options{
        .capacity_bytes = kCapacity,
        .producers = producers,
        .overflow = overflow,
        .groups = {{.name = kGroupNames[kSolo], .consumers = solo}, {.name = kGroupNames[kTeam]}},
        .ledger_entries = 32,
    };
    if (lossy) options.groups.push_back({.name = kGroupNames[kLossy], .overflow = Overflow::drop_oldest});
    if (poison) {
      options.max_deliveries = kMostDeliveries;
      options.dead_letter = kDead;
    }
    return options;
  }
};

inline std::ostream& operator<<(std::ostream& out, const Scenario& scenario) { return out << scenario.name; }

inline constexpr auto kExclusiveProducer = ProducerMode::exclusive;
inline constexpr auto kExclusiveConsumer = ConsumerMode::exclusive;
inline constexpr std::array kScenarios = {
    Scenario{.name = "shared_producers_shared_groups"},
    Scenario{.name = "shared_producers_one_exclusive_group", .solo = kExclusiveConsumer},
    Scenario{.name = "exclusive_producer_shared_groups", .producers = kExclusiveProducer},
    Scenario{
        .name = "exclusive_producer_one_exclusive_group", .producers = kExclusiveProducer, .solo = kExclusiveConsumer},
    Scenario{.name = "shared_producers_groups_that_reject", .overflow = Overflow::reject},
    Scenario{.name = "shared_producers_a_group_that_drops", .lossy = true},
    Scenario{.name = "exclusive_producer_a_group_that_drops", .producers = kExclusiveProducer, .lossy = true},
    Scenario{.name = "shared_producers_groups_that_come_and_go", .visitors = 2},
    Scenario{.name = "exclusive_producer_groups_that_come_and_go", .producers = kExclusiveProducer, .visitors = 2},
    Scenario{.name = "shared_producers_poison_for_shared_groups", .poison = true},
    Scenario{.name = "shared_producers_poison_for_an_exclusive_group", .solo = kExclusiveConsumer, .poison = true},
};

inline const Scenario& scenario_named(const std::string& name) {
  for (const Scenario& scenario : kScenarios) {
    if (name == scenario.name) return scenario;
  }
  throw std::runtime_error("no scenario \"" + name + "\"");
}

}  // namespace ipcq::stress
