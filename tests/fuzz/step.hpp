// An input of the fuzz targets: a list of steps of 16 bytes, so that a mutation hits a field and not a boundary between
// two. What a step does is its target's business; edits of the image (image.hpp) are common to all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace ipcq::fuzz {

struct Step {
  std::uint8_t code = 0;   // what is done: a target's own step, or from kEdits on an edit
  std::uint8_t where = 0;  // to what: an index into some table, taken modulo its size
  std::uint8_t how = 0;
  std::uint8_t more = 0;
  std::uint32_t number = 0;
  std::uint64_t value = 0;
};
static_assert(sizeof(Step) == 16);

inline constexpr std::uint8_t kEdits = 128;
inline constexpr std::size_t kStepsMax = 32;

/// The steps of an input, in order; bytes behind the last whole one do not count.
class Steps {
 public:
  Steps(const std::uint8_t* bytes, std::size_t size) noexcept
      : bytes_(bytes), count_(size / sizeof(Step) < kStepsMax ? size / sizeof(Step) : kStepsMax) {}

  [[nodiscard]] std::size_t count() const noexcept { return count_; }
  [[nodiscard]] Step operator[](std::size_t i) const noexcept {
    Step step;
    std::memcpy(&step, bytes_ + i * sizeof(Step), sizeof step);
    return step;
  }

 private:
  const std::uint8_t* bytes_;
  std::size_t count_;
};

/// Says what was found and aborts: the fuzzer, or the driver, keeps the input.
[[noreturn]] void fail(const char* what) noexcept;
inline void expect(bool condition, const char* what) noexcept {
  if (!condition) fail(what);
}

/// Changes an input in place, by whole steps or inside one; returns its new size. `random` is a seed.
std::size_t mutate(std::uint8_t* bytes, std::size_t size, std::size_t size_max, std::uint32_t random) noexcept;

}  // namespace ipcq::fuzz
