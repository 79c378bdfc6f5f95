// ipcq_claimant DIR QUEUE: claims room for one message in QUEUE and stops, as by SIGSTOP from outside, with the claim open.
// Continued, it commits an empty message and ends.
#include <csignal>
#include <cstdio>
#include <exception>
#include <ipcq/ipcq.hpp>
#include <span>

int main(int argc, char** argv) try {
  if (argc != 3) return 2;
  const ipcq::Queue queue = ipcq::Queue::open(argv[2], {.directory = argv[1]});
  ipcq::Producer producer = queue.producer();
  ipcq::Claim claim = producer.claim({.messages = 1, .bytes = 0});
  std::raise(SIGSTOP);
  claim.append_copy({});
  claim.commit();
} catch (const std::exception& failure) {
  std::fprintf(stderr, "ipcq_claimant: %s\n", failure.what());
  return 1;
}
