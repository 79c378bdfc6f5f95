// Target: a consumer behind its public handle, while somebody writes to the segment: lease, walk, ack, give back.
#include <array>

#include "queue_file.hpp"

namespace {

using namespace ipcq;

// Each with a mapping of its own, behind whose ring there is nothing, and one lease at a time: an edited ledger may lease a
// range twice, and with AddressSanitizer the end of one lease is the end of all spans in its range of that mapping.
struct Member {
  fuzz::QueueFile file;
  std::array<Consumer, 4> consumers{attach(), attach(), attach(), attach()};
  Consumer receiver = attach();

  Member() { file.seal(); }

 private:
  Consumer attach() { return Queue::open(fuzz::QueueFile::kName, file.options()).consumer(); }
};

void read(const Lease& lease, std::uint64_t capacity) {
  volatile unsigned sum = 0;
  std::uint32_t messages = 0;
  for (const Message& message : lease) {
    fuzz::expect(message.payload.size() <= capacity, "a payload longer than the ring");
    if (!message.payload.empty()) {
      sum = sum + std::to_integer<unsigned>(message.payload.front()) + std::to_integer<unsigned>(message.payload.back());
    }
    fuzz::expect(lease.age(message).count() >= 0, "an age that cannot be");
    ++messages;
  }
  fuzz::expect(messages <= lease.size(), "more messages than the lease has");
}

void run(Member& attached, const fuzz::Steps& steps) {
  std::array<Lease, 4> leases;
  for (std::size_t i = 0; i < steps.count(); ++i) {
    const fuzz::Step step = steps[i];
    if (step.code >= fuzz::kEdits) {
      attached.file.edit(step);
      continue;
    }
    Lease& lease = leases[step.where % leases.size()];
    Consumer& consumer = attached.consumers[step.where % leases.size()];
    try {
      switch (step.code % 8) {
        case 0:
        case 1:
        case 2: {
          const Take take{.max_messages = 1 + step.number % 4096,
                          .max_bytes = (step.more & 1U) != 0 ? static_cast<std::size_t>(step.value) : SIZE_MAX,
                          .deadline = now};
          lease = Lease();
          lease = consumer.lease(take);
          if (lease) read(lease, 64 * 1024);
          break;
        }
        case 3:
          if (lease) read(lease, 64 * 1024);
          break;
        case 4:
          if (lease) (void)lease.ack();
          break;
        case 5:
          if (lease) (void)lease.ack(step.number % (lease.size() + 1), now);
          break;
        case 6:
          if (lease) (void)lease.requeue();
          break;
        default: {
          std::string text;
          (void)attached.receiver.receive(text, now);
          break;
        }
      }
    } catch (const Error& error) {
      fuzz::fail(error.what());  // nothing here is a misuse
    }
    attached.file.expect_unlocked();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  static auto* const attached = new Member;  // whose destructor would detach
  attached->file.restore();
  run(*attached, fuzz::Steps(bytes, size));
  return 0;
}
