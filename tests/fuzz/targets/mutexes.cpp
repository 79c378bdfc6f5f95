// Target: mutexes whose bytes are not a mutex's, but for glibc's list pointers. Whoever finds a foreign owner in one
// waits for him as long as for any holder, by the clock of waits.cpp.
#include <cstring>

#include "core/exclusive_consumer.hpp"
#include "core/lease.hpp"
#include "core/producer_side.hpp"
#include "core/recovery.hpp"
#include "core/room.hpp"
#include "image.hpp"

namespace {

using namespace ipcq;

// glibc's __list, which unlock() writes through (pthread_mutex_t of x86-64).
constexpr std::size_t kListBegin = 24;
constexpr std::size_t kListEnd = 40;

void edit_mutex(const core::View& view, const fuzz::Step& step) {
  os::RobustMutex* mutexes[] = {&view.side().producer_lock.mutex, &view.side().table_lock.mutex, &view.group(0).mutex,
                                &view.group(1).mutex};
  auto* bytes = reinterpret_cast<std::byte*>(mutexes[step.where % 4]);
  const std::size_t width = std::size_t{1} << (step.how & 3U);
  const std::size_t at = step.number % sizeof(os::RobustMutex) / width * width;
  if (at + width > kListBegin && at < kListEnd) return;
  std::memcpy(bytes + at, &step.value, width);
}

void run(fuzz::Image& image, const fuzz::Steps& steps) {
  image.restore();
  const core::View& view = image.producer();
  core::ProducerState producer;
  producer.owner = image.owner(fuzz::row::kProducer);
  producer.position = producer.limit = view.side().claim.claim_position.load();
  const core::GroupId group = image.shared_group();
  for (std::size_t i = 1; i < steps.count() && i < 8; ++i) {
    const fuzz::Step step = steps[i];
    if (step.code >= fuzz::kEdits) {
      edit_mutex(view, step);
      continue;
    }
    switch (step.code % 5) {
      case 0: {
        core::ClaimTaken taken;
        if (core::claim(view, producer, 64, 0, taken) == Outcome::ok)
          (void)core::abort(view, producer, taken.position, 64);
        break;
      }
      case 1: {
        const core::LeaseTaken taken = core::lease(image.consumer(), group.row, group.incarnation,
                                                   image.owner(fuzz::row::kConsumer), {.max_messages = 1}, 0);
        if (taken.step == core::LeaseStep::leased)
          (void)core::ack(image.consumer(), group.row, group.incarnation, taken.entry, taken.word);
        break;
      }
      case 2:
        core::recover(image.consumer());
        break;
      case 3:
        core::free_room(view, view.side().claim.claim_position.load() + fuzz::kCapacity);
        break;
      default:
        core::free_row_of_dead(view, image.owner(fuzz::row::kDeadConsumer));
        break;
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const fuzz::Steps steps(bytes, size);
  if (steps.count() > 0) run(fuzz::image_for(steps[0]), steps);
  return 0;
}
