// Runs of ipcq that several kinds of rows share: who makes the queue, who meets whom, who removes it. And the words that
// the names of rows are made of.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "ipcq_links.hpp"
#include "raw_rows.hpp"
#include "row.hpp"
#include "traffic.hpp"

namespace ipcq::bench {

inline std::vector<Consumer> attach_bystanders(const QueueUse& use, const Queue& queue) {
  std::vector<Consumer> bystanders;
  for (std::uint32_t i = 0; i < use.bystanders; ++i) bystanders.push_back(attach_consumer(use, queue));
  return bystanders;
}

/// Side one makes the queue and removes it after both have detached; a queue that a failed run leaves behind goes with
/// the directory. `send(side, queue)` and `receive(side, queue)` attach, pass messages and detach.
template <class Send, class Receive>
Run one_queue(const Plan& plan, const QueueUse& use, Send send, Receive receive) {
  const std::string name = "stream";
  return run_pair(
      plan,
      [&](Side& side) {
        {
          const Queue queue = create_queue(use, name);
          side.meet();
          send(side, queue);
        }
        side.meet();
        remove(name, {.directory = use.directory});
      },
      [&](Side& side) {
        side.meet();
        {
          const Queue queue = open_queue(use, name);
          const std::vector<Consumer> bystanders = attach_bystanders(use, queue);
          receive(side, queue);
        }
        side.meet();
      });
}

/// Two queues, there and back.
template <std::size_t PayloadBytes>
Run queue_round_trips(const Plan& plan, const QueueUse& use) {
  return run_pair(
      plan,
      [&](Side& side) {
        {
          const Queue there = create_queue(use, "there");
          const Queue back = create_queue(use, "back");
          side.meet();
          QueueLink<PayloadBytes> link(attach_producer(use, there), attach_consumer(use, back));
          ping(side, link);
        }
        side.meet();
        remove("there", {.directory = use.directory});
        remove("back", {.directory = use.directory});
      },
      [&](Side& side) {
        side.meet();
        {
          const Queue there = open_queue(use, "there");
          const Queue back = open_queue(use, "back");
          const std::vector<Consumer> of_there = attach_bystanders(use, there);
          const std::vector<Consumer> of_back = attach_bystanders(use, back);
          QueueLink<PayloadBytes> link(attach_producer(use, back), attach_consumer(use, there));
          pong(side, link);
        }
        side.meet();
      });
}

/// "shared" or "exclusive" on both sides, "exclusive-shared" where they differ.
inline std::string mode_name(const QueueUse& use) {
  const std::string producers = to_string(use.producers), consumers = to_string(use.consumers);
  return producers == consumers ? producers : producers + "-" + consumers;
}
inline std::string mode_text(const QueueUse& use) {
  const std::string producers = to_string(use.producers), consumers = to_string(use.consumers);
  return producers == consumers ? producers + " on both sides" : producers + " producer, " + consumers + " consumers";
}

inline const char* wait_name(WaitStrategy wait) {
  switch (wait) {
    case WaitStrategy::spin:
      return "spin";
    case WaitStrategy::adaptive:
      return "adaptive";
    case WaitStrategy::sleep:
      return "sleep";
  }
  return "";
}

inline const char* wait_text(WaitStrategy wait) {
  switch (wait) {
    case WaitStrategy::spin:
      return "spinning";
    case WaitStrategy::adaptive:
      return "adaptive";
    case WaitStrategy::sleep:
      return "sleeping";
  }
  return "";
}

/// "-notimes-nometrics": what of the default is switched off.
inline std::string options_name(const QueueUse& use) {
  return std::string(use.timestamps ? "" : "-notimes") + (use.metrics ? "" : "-nometrics");
}
inline std::string options_text(const QueueUse& use) {
  return std::string(use.timestamps ? "" : ", no time stamps") + (use.metrics ? "" : ", no latency histograms");
}

inline Facts facts_of(const QueueUse& use, std::uint64_t batch) {
  return {{"system", "ipcq"},
          {"batch", batch},
          {"ring_bytes", use.capacity_bytes},
          {"mode", mode_name(use)},
          {"wait", wait_name(use.wait)},
          {"options", options_name(use)},
          {"lease", std::uint64_t{use.lease_max}},
          {"groups", std::uint64_t{use.groups}},
          {"bystanders", std::uint64_t{use.bystanders}}};
}

}  // namespace ipcq::bench
