// Ready: whether a lease or a claim would get what it asks for, without taking it: what a wait set asks of each of its
// endpoints. Nothing is handed out, counted or paid; but what a waiting call does for others on its way, a look does too: it
// retires what is acked and passes skipped records, or those who wait for that room would wait for ever.
#pragma once

#include <cstdint>

#include "core/exclusive_consumer.hpp"
#include "core/lease.hpp"
#include "core/producer_side.hpp"
#include "core/view.hpp"

namespace ipcq::core {

/// For a member of a shared group. `leased`: a lease would take messages, or find some to be given up or moved; nothing is
/// leased. nothing, claimed, too_many_leases, lock_held: it would wait. Others: as lease(), for good. Of the rest `stop` and
/// `head` are set.
[[nodiscard]] LeaseTaken look_for_messages(const View& view, std::uint32_t group, std::uint32_t incarnation) noexcept;

/// For an exclusive consumer: likewise; `parked`: it would wait.
[[nodiscard]] LeaseTaken look_for_messages_exclusive(const View& view, std::uint32_t group, std::uint32_t incarnation,
                                                     ExclusiveState& state, bool nothing_open) noexcept;

/// What claim() would answer, quotas left aside: ok, full, blocked; others for good.
[[nodiscard]] Outcome look_for_room(const View& view, ProducerState& producer, std::uint64_t need) noexcept;

/// CLOCK_MONOTONIC of the moment from which on the quotas that bind `owner` would let so much pass, as they stand; 0: they
/// bind it not. No place in the line is taken.
[[nodiscard]] std::int64_t quota_turn_ns(const View& view, Owner owner, std::uint64_t messages,
                                         std::uint64_t bytes) noexcept;

}  // namespace ipcq::core
