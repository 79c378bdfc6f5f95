// A message that proves itself: who sent it, which of his it is, and that each of its bytes is its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

namespace ipcq::contract {

struct Identity {
  std::uint32_t producer = 0;
  std::uint32_t sequence = 0;
};

inline constexpr std::size_t kCheckedBytesMin = 16;  // identity, checksum

namespace detail {

// FNV-1a over everything but the checksum itself, begun with the length: a cut or grown message fails too.
inline std::uint64_t checksum(std::span<const std::byte> payload) {
  std::uint64_t sum = 0xcbf29ce484222325U ^ payload.size();
  for (std::size_t i = 0; i < payload.size(); ++i) {
    if (i >= 8 && i < 16) continue;
    sum = (sum ^ std::to_integer<std::uint64_t>(payload[i])) * 0x100000001b3U;
  }
  return sum;
}

}  // namespace detail

/// Fills `payload`, of at least kCheckedBytesMin bytes.
inline void write_checked(std::span<std::byte> payload, Identity identity) {
  std::memcpy(payload.data(), &identity, sizeof(identity));
  std::uint64_t state = (std::uint64_t{identity.producer} << 32) | identity.sequence;
  for (std::byte& byte : payload.subspan(kCheckedBytesMin)) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    byte = static_cast<std::byte>(state >> 56);
  }
  const std::uint64_t sum = detail::checksum(payload);
  std::memcpy(payload.data() + sizeof(identity), &sum, sizeof(sum));
}

/// Who it is; nothing if any byte is not as it was written.
inline std::optional<Identity> read_checked(std::span<const std::byte> payload) {
  if (payload.size() < kCheckedBytesMin) return std::nullopt;
  Identity identity;
  std::uint64_t sum = 0;
  std::memcpy(&identity, payload.data(), sizeof(identity));
  std::memcpy(&sum, payload.data() + sizeof(identity), sizeof(sum));
  if (sum != detail::checksum(payload)) return std::nullopt;
  return identity;
}

}  // namespace ipcq::contract
