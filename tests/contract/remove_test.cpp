// Removal: refused while someone lives, told to whoever is there all the same, and the name is free at once.
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>

#include "queue_contract.hpp"

namespace ipcq::contract {
namespace {

class Remove : public QueueContract {
 protected:
  [[nodiscard]] std::optional<Errc> remove_contract(bool force = false) const {
    return errc_of([&] { remove("contract", with(force)); });
  }
  [[nodiscard]] RemoveOptions with(bool force) const {
    return {.force = force, .directory = directory(), .trusted_owners = {}};
  }
};
INSTANTIATE_TEST_SUITE_P(Modes, Remove, every_mode(), name_of);

TEST_P(Remove, TakesTheQueueAndItsMessagesAway) {
  {
    const Queue queue = create();
    Producer producer = queue.producer();
    put(producer, {"a"});
  }
  EXPECT_EQ(remove_contract(), std::nullopt);
  EXPECT_TRUE(std::filesystem::is_empty(directory()));
  EXPECT_TRUE(list(where()).empty());
  EXPECT_EQ(errc_of([&] { static_cast<void>(Queue::open("contract", where())); }), Errc::no_such_queue);

  const Queue queue = create();
  Consumer consumer = queue.consumer();
  EXPECT_EQ(take(consumer).outcome(), Outcome::empty) << "a new queue of the name knows nothing of the old";
}

TEST_P(Remove, OfAMissingQueueThrowsNoSuchQueue) {
  EXPECT_EQ(remove_contract(), Errc::no_such_queue);
  EXPECT_EQ(remove_contract(true), Errc::no_such_queue);
}

TEST_P(Remove, IsRefusedWhileAnEndpointLivesAndNamesIt) {
  const Queue queue = create();
  std::optional<Producer> producer = queue.producer();
  EXPECT_EQ(remove_contract(), Errc::in_use);
  const std::string text = text_of([&] { remove("contract", with(false)); });
  EXPECT_TRUE(contains(text, std::to_string(::getpid()))) << text;
  put(*producer, {"a"});
  producer.reset();
  std::optional<Consumer> consumer = queue.consumer();
  EXPECT_EQ(remove_contract(), Errc::in_use);
  EXPECT_EQ(drain(*consumer), Texts{"a"}) << "a refused removal changes nothing";
  consumer.reset();
  EXPECT_EQ(remove_contract(), std::nullopt);
}

TEST_P(Remove, IsNotHeldUpByAQueueObjectWithoutEndpoints) {
  const Queue queue = create();
  EXPECT_EQ(remove_contract(), std::nullopt);
  EXPECT_EQ(errc_of([&] { static_cast<void>(queue.producer()); }), Errc::removed);
  EXPECT_EQ(errc_of([&] { static_cast<void>(queue.consumer()); }), Errc::removed);
  EXPECT_EQ(errc_of([&] { queue.add_group({.name = "late"}); }), Errc::removed);
}

TEST_P(Remove, ByForceIsToldToWhoeverIsAttached) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a"});
  EXPECT_EQ(remove_contract(true), std::nullopt);
  EXPECT_EQ(producer.claim({.messages = 1, .bytes = 1}, now).outcome(), Outcome::removed);
  EXPECT_EQ(producer.send("x", 0, kPatience), Outcome::removed);
  EXPECT_EQ(take(consumer).outcome(), Outcome::removed);
  std::string text;
  EXPECT_EQ(consumer.receive(text, kPatience), Outcome::removed);
  EXPECT_TRUE(queue.inspect().removed);
  producer.detach();
  consumer.detach();
}

TEST_P(Remove, ByForceLeavesOpenSpansReadableAndWritable) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a"});
  ipcq::Claim claim = producer.claim({.messages = 1, .bytes = 100}, now);
  ipcq::Lease lease = take(consumer);
  EXPECT_EQ(remove_contract(true), std::nullopt);
  std::ranges::fill(claim.append(100), std::byte{7});
  EXPECT_EQ(texts_of(lease), Texts{"a"});
}

TEST_P(Remove, FreesTheNameWhileOldHandlesLiveOn) {
  const Queue old_queue = create();
  Producer old_producer = old_queue.producer();
  EXPECT_EQ(remove_contract(true), std::nullopt);

  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"new"});
  EXPECT_EQ(old_producer.send("old", 0, now), Outcome::removed);
  EXPECT_EQ(drain(consumer), Texts{"new"});
  EXPECT_FALSE(queue.inspect().removed);
}

TEST_P(Remove, LeavesOtherQueuesAlone) {
  const Queue queue = create();
  const Queue other = Queue::create("other", options());
  Producer producer = other.producer();
  put(producer, {"a"});
  EXPECT_EQ(remove_contract(), std::nullopt);
  Consumer consumer = other.consumer();
  EXPECT_EQ(drain(consumer), Texts{"a"});
  ASSERT_EQ(list(where()).size(), 1U);
  EXPECT_EQ(list(where()).at(0).name, "other");
}

}  // namespace
}  // namespace ipcq::contract
