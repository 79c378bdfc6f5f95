#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <random>

#include "step.hpp"

namespace ipcq::fuzz {
namespace {

// Values at which sums wrap, lengths end and positions lose their alignment.
constexpr std::uint64_t kTelling[] = {0,
                                      1,
                                      15,
                                      16,
                                      17,
                                      48,
                                      4096,
                                      32768,
                                      65535,
                                      65536,
                                      65552,
                                      (std::uint64_t{1} << 30) - 1,
                                      std::uint64_t{1} << 30,
                                      UINT32_MAX,
                                      std::uint64_t{1} << 32,
                                      std::uint64_t{1} << 62,
                                      std::uint64_t{1} << 63,
                                      UINT64_MAX - 15,
                                      UINT64_MAX};

void write(std::uint8_t* bytes, std::size_t i, const Step& step) {
  std::memcpy(bytes + i * sizeof step, &step, sizeof step);
}

}  // namespace

std::size_t mutate(std::uint8_t* bytes, std::size_t size, std::size_t size_max, std::uint32_t seed) noexcept {
  std::minstd_rand random(seed | 1U);
  random.discard(3);  // its first numbers are near the seed
  const auto below = [&](std::size_t limit) { return static_cast<std::size_t>(random()) % limit; };
  const auto telling = [&] { return kTelling[below(std::size(kTelling))]; };
  const std::size_t count_max = size_max / sizeof(Step) < kStepsMax ? size_max / sizeof(Step) : kStepsMax;
  std::size_t count = size / sizeof(Step);
  if (count > count_max) count = count_max;
  if (count_max == 0) return size;
  const auto fresh = [&] {
    Step step;
    step.code = static_cast<std::uint8_t>(random() >> 8);
    step.where = static_cast<std::uint8_t>(random() >> 8);
    step.how = static_cast<std::uint8_t>(random() >> 8);
    step.more = static_cast<std::uint8_t>(below(2) == 0 ? below(8) : random() >> 8);
    step.number = static_cast<std::uint32_t>(below(3) == 0 ? telling() : below(512));
    step.value = below(2) == 0 ? telling() : below(65536);
    return step;
  };
  for (std::size_t changes = 1 + below(3); changes > 0; --changes) {
    const std::size_t at = count == 0 ? 0 : below(count);
    switch (count == 0 ? 0 : below(8)) {
      case 0:  // one more
      case 1: {
        if (count == count_max) break;
        const std::size_t place = below(count + 1);
        std::memmove(bytes + (place + 1) * sizeof(Step), bytes + place * sizeof(Step), (count - place) * sizeof(Step));
        write(bytes, place, fresh());
        ++count;
        break;
      }
      case 2:  // one less
        std::memmove(bytes + at * sizeof(Step), bytes + (at + 1) * sizeof(Step), (count - at - 1) * sizeof(Step));
        --count;
        break;
      case 3: {  // one again, elsewhere
        const std::size_t place = below(count);
        std::memmove(bytes + place * sizeof(Step), bytes + at * sizeof(Step), sizeof(Step));
        break;
      }
      case 4:
        write(bytes, at, fresh());
        break;
      default: {  // a field of one
        Step step = Steps(bytes, size_max)[at];
        switch (below(6)) {
          case 0:
            step.code = static_cast<std::uint8_t>(random() >> 8);
            break;
          case 1:
            step.where = static_cast<std::uint8_t>(random() >> 8);
            break;
          case 2:
            step.how = static_cast<std::uint8_t>(random() >> 8);
            break;
          case 3:
            step.more = static_cast<std::uint8_t>(random() >> 8);
            break;
          case 4:
            step.number = static_cast<std::uint32_t>(below(2) == 0 ? telling() : step.number ^ (1U << below(32)));
            break;
          default:
            step.value = below(2) == 0 ? telling() : step.value ^ (std::uint64_t{1} << below(64));
            break;
        }
        write(bytes, at, step);
        break;
      }
    }
  }
  return count * sizeof(Step);
}

void fail(const char* what) noexcept {
  std::fprintf(stderr, "ERROR: %s\n", what);
  std::abort();
}

}  // namespace ipcq::fuzz

// libFuzzer's, when it is linked in.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* bytes, std::size_t size, std::size_t size_max,
                                               unsigned seed) {
  return ipcq::fuzz::mutate(bytes, size, size_max, seed);
}
