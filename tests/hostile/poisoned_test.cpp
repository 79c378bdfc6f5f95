// A poisoned queue: every call of everybody is answered by name, at once, whether it was attached before or comes now, and
// whether it sleeps already. Nobody hangs and nobody is let in.
#include <gtest/gtest.h>

#include <functional>
#include <ipcq/ipcq.hpp>
#include <string>
#include <utility>
#include <vector>

#include "image.hpp"

namespace ipcq::hostile {
namespace {

class Poisoned : public HostileTest {
 protected:
  Poisoned() : queue_(Queue::create(kQueue, Image::options())) {}
  void poison() const { Image(path_of(kQueue)).poison(); }

  /// Calls each, and expects this error of it.
  static void expect_all(Errc code, const std::vector<std::pair<const char*, std::function<void()>>>& calls) {
    for (const auto& [name, call] : calls) {
      try {
        call();
        ADD_FAILURE() << name << " was let in";
      } catch (const Error& error) {
        EXPECT_EQ(error.errc(), code) << name << ": " << error.what();
        EXPECT_NE(std::string(error.what()).find(kQueue), std::string::npos) << name << ": " << error.what();
      }
    }
  }

  Queue queue_;
};

TEST_F(Poisoned, answers_whoever_comes_by_name) {
  poison();
  const Queue later = Queue::open(kQueue);  // takes no part yet, and may look
  for (const Queue* queue : {&std::as_const(queue_), &later}) {
    expect_all(Errc::poisoned,
               {
                   {"producer", [&] { static_cast<void>(queue->producer()); }},
                   {"consumer", [&] { static_cast<void>(queue->consumer("first")); }},
                   {"consumer of a new group",
                    [&] { static_cast<void>(queue->consumer({.group = "new", .create_group = GroupOptions{}})); }},
                   {"add_group", [&] { queue->add_group({.name = "new"}); }},
                   {"remove_group", [&] { queue->remove_group("first"); }},
                   {"close", [&] { queue->close(); }},
                   {"reopen", [&] { queue->reopen(); }},
               });
    EXPECT_TRUE(queue->inspect().poisoned);
    EXPECT_FALSE(queue->closed());
  }
  EXPECT_TRUE(inspect(kQueue).poisoned);
  EXPECT_FALSE(ipcq::verify(kQueue).sound());
  EXPECT_EQ(list().size(), 1U);
  ipcq::remove(std::string_view(kQueue));
  EXPECT_EQ(list().size(), 0U);
}

TEST_F(Poisoned, answers_whoever_was_there_by_name_however_long_he_would_wait) {
  Producer producer = queue_.producer();
  Consumer consumer = queue_.consumer("first");
  ASSERT_EQ(producer.send("one"), Outcome::ok);
  poison();
  for (const Deadline deadline : {Deadline(now), Deadline(forever)}) {
    EXPECT_EQ(producer.claim({.messages = 1, .bytes = 8}, deadline).outcome(), Outcome::poisoned);
    EXPECT_EQ(producer.send("two", 0, deadline), Outcome::poisoned);
    EXPECT_EQ(consumer.lease({.deadline = deadline}).outcome(), Outcome::poisoned);
    std::string text;
    EXPECT_EQ(consumer.receive(text, deadline), Outcome::poisoned);
  }
  EXPECT_FALSE(is_transient(Outcome::poisoned));
}

TEST_F(Poisoned, ends_what_was_open_without_a_hang) {
  Producer producer = queue_.producer();
  Consumer consumer = queue_.consumer("first");
  ASSERT_EQ(producer.send("one"), Outcome::ok);
  Claim claim = producer.claim({.messages = 1, .bytes = 8});
  static_cast<void>(claim.append(8));
  Lease lease = consumer.lease();
  poison();
  static_cast<void>(claim.commit());
  static_cast<void>(lease.ack());
  EXPECT_EQ(producer.send("two", 0, now), Outcome::poisoned);
  producer.detach();
}

const ChildRole kSleeps("sleeps in a queue that is poisoned", [](Child& self) {
  const Queue queue = Queue::open(kQueue);
  if (self.argument(0) == "consumer") {
    Consumer consumer = queue.consumer({.group = "first", .wait = WaitStrategy::sleep});
    self.report("waiting");
    self.report(to_string(consumer.lease().outcome()));
  } else {
    Producer producer = queue.producer({.wait = WaitStrategy::sleep});
    while (producer.send(std::string(1000, 'x'), 0, now) == Outcome::ok) {
    }
    self.report("waiting");
    self.report(to_string(producer.send(std::string(1000, 'x'), 0, forever)));
  }
  return 0;
});

TEST_F(Poisoned, wakes_whoever_sleeps) {
  for (const char* who : {"consumer", "producer"}) {
    ChildProcess process(kSleeps, {who});
    ASSERT_EQ(process.next_report(), "waiting");
    ASSERT_TRUE(process.wait_until_asleep());
    poison();
    EXPECT_EQ(process.next_report(), "poisoned") << who;
    EXPECT_TRUE(process.succeeds());
    EXPECT_TRUE(ipcq::repair(kQueue).whole());
  }
}

// Poisoned by what stands in a mutex, before anybody has set the flag: the first to meet it sets it.
TEST_F(Poisoned, by_a_mutex_alone_is_found_by_the_first_who_needs_it) {
  Producer producer = queue_.producer();
  Consumer consumer = queue_.consumer("first");
  Image(path_of(kQueue)).give_up(Image::kProducerMutex);
  EXPECT_EQ(producer.claim({.messages = 1, .bytes = 8}, forever).outcome(), Outcome::poisoned);
  EXPECT_EQ(consumer.lease({.deadline = forever}).outcome(), Outcome::poisoned) << "and tells all the others";
  expect_all(Errc::poisoned, {{"producer", [&] { static_cast<void>(queue_.producer()); }}});
}

}  // namespace
}  // namespace ipcq::hostile
