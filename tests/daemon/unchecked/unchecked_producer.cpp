// ipcq_unchecked DIR QUEUE COUNT [hide|slow]: sends COUNT messages of 8 bytes a millisecond, or with `slow` every 10 ms, one a
// claim, and keeps to no quota: it is linked with a library that has the check compiled out. With `hide` it also sets its
// counters back after each, as who writes the memory by himself can, and fills its messages slowly. When a claim is refused it
// prints why, and ends.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ipcq/ipcq.hpp>
#include <string>
#include <string_view>
#include <thread>

#include "layout/layout.hpp"

namespace {

/// The counters of a row, by a mapping of our own.
ipcq::layout::Counters& counters_of(const std::string& path, std::uint32_t row) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  struct stat info {};
  if (fd < 0 || ::fstat(fd, &info) != 0) std::abort();
  void* memory = ::mmap(nullptr, static_cast<std::size_t>(info.st_size), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ::close(fd);
  if (memory == MAP_FAILED) std::abort();
  auto* rows = reinterpret_cast<ipcq::layout::EndpointRow*>(static_cast<std::byte*>(memory) + ipcq::layout::kRowsOffset);
  return rows[row].produced;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace std::chrono_literals;
  if (argc < 4) return 2;
  const std::string_view how = argc > 4 ? argv[4] : "";
  const bool hide = how == "hide";
  const auto pause = how == "slow" ? 10ms : 1ms;
  const ipcq::Queue queue = ipcq::Queue::open(argv[2], {.directory = argv[1]});
  ipcq::Producer producer = queue.producer();
  ipcq::layout::Counters& counters = counters_of(queue.path(), producer.row());
  const std::uint64_t messages = counters.messages.load();
  const std::uint64_t bytes = counters.bytes.load();
  auto next = std::chrono::steady_clock::now();
  for (;;) {
    for (int left = std::atoi(argv[3]); left > 0; --left) {
      ipcq::Claim claim = producer.claim({.messages = 1, .bytes = 8}, ipcq::forever);
      if (claim.outcome() != ipcq::Outcome::ok) {
        std::puts(ipcq::to_string(claim.outcome()));
        return 0;
      }
      claim.append(8);
      if (hide) std::this_thread::sleep_for(100us);
      if (claim.commit() != ipcq::Outcome::ok) return 1;
      if (hide) {
        counters.messages.store(messages);
        counters.bytes.store(bytes);
      }
    }
    // Who sleeps too long makes up for it, but for the slow: never faster than it says.
    next = how == "slow" ? std::chrono::steady_clock::now() + pause : next + pause;
    std::this_thread::sleep_until(next);
  }
}
