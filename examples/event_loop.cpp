// An event loop. One thread waits by epoll for a queue, a socket and a timer at once. A queue has no descriptor, since its
// sleepers are woken through memory; a wait set has one, which epoll sees readable whenever the queue is to be looked at.
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <iostream>
#include <ipcq/ipcq.hpp>
#include <string>
#include <thread>

#include "processes.hpp"

namespace {

using namespace std::chrono_literals;

// [snippet]
constexpr std::uint32_t kReadings = 1000;

int measure(int socket) {
  const ipcq::Queue queue = ipcq::Queue::open_or_create("readings");
  ipcq::Producer producer = queue.producer();
  for (std::uint32_t i = 1; i <= kReadings; ++i) {
    if (producer.send(std::to_string(i)) != ipcq::Outcome::ok) return 1;
    if (i % 100 == 0) std::this_thread::sleep_for(2ms);  // there is nothing to read for a while
  }
  queue.close();
  return write(socket, "done", 4) == 4 ? 0 : 1;
}

void watch(int epoll, int descriptor) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = descriptor;
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) != 0) std::abort();
}

int serve(int socket) {
  ipcq::Consumer consumer = ipcq::Queue::open_or_create("readings").consumer();
  ipcq::WaitSet set;
  set.add(consumer);  // and more of them, of any queues, producers too
  const int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
  const itimerspec every_5ms{{0, 5'000'000}, {0, 5'000'000}};
  timerfd_settime(timer, 0, &every_5ms, nullptr);
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  for (const int descriptor : {set.descriptor(), socket, timer}) watch(epoll, descriptor);

  std::uint64_t readings = 0, sum = 0, ticks = 0;
  std::string said;
  ipcq::Outcome outcome = ipcq::Outcome::ok;
  while (outcome != ipcq::Outcome::closed || said.empty() || ticks == 0) {
    epoll_event event{};
    if (epoll_wait(epoll, &event, 1, -1) != 1) return 1;
    if (event.data.fd == timer) {
      std::uint64_t expired = 0;
      if (read(timer, &expired, sizeof(expired)) == sizeof(expired)) ticks += expired;
    } else if (event.data.fd == socket) {
      char text[16];
      const ssize_t got = read(socket, text, sizeof(text));
      if (got <= 0) return 1;
      said.append(text, static_cast<std::size_t>(got));
    } else {
      do {  // take what is there, then arm for what comes; false: something has come meanwhile
        ipcq::Lease lease = consumer.lease({.deadline = ipcq::now});
        outcome = lease.outcome();
        for (const ipcq::Message& message : lease) {
          ++readings;
          sum += std::stoul(std::string(message.text()));
        }
        if (lease) lease.ack();
        if (outcome == ipcq::Outcome::closed) epoll_ctl(epoll, EPOLL_CTL_DEL, set.descriptor(), nullptr);
      } while (outcome != ipcq::Outcome::closed && !set.arm());
    }
  }
  std::cout << "queue: " << readings << " readings, sum " << sum << "\n"
            << "socket: " << said << "\n"
            << "timer: ticked meanwhile\n";
  close(epoll);
  close(timer);
  return 0;
}
// [/snippet]

}  // namespace

int main() {
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) return 1;
  example::Processes both;
  both.start([&] { return serve(sockets[0]); });
  both.start([&] { return measure(sockets[1]); });
  const bool succeeded = both.wait();
  ipcq::remove("readings");
  return succeeded ? 0 : 1;
}
