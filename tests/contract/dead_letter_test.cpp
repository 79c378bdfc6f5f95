// max_deliveries: what becomes of messages that were handed out so often and not finished.
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "queue_contract.hpp"

namespace ipcq::contract {
namespace {

constexpr std::uint32_t kMost = 2;

class DeadLetters : public QueueContract {
 protected:
  [[nodiscard]] CreateOptions options() const {
    CreateOptions options = QueueContract::options();
    options.max_deliveries = kMost;
    options.dead_letter = "dead";
    return options;
  }
  [[nodiscard]] Queue create_dead(CreateOptions dead = {}) const {
    dead.capacity_bytes = kSmallestCapacity;
    dead.directory = directory();
    return Queue::create("dead", dead);
  }
  /// Hands the next message out as often as may be.
  static void use_up_next(Consumer& consumer) {
    for (std::uint32_t before = 0; before < kMost; ++before) {
      ipcq::Lease lease = take(consumer, 1);
      ASSERT_EQ(lease.deliveries(), before);
      ASSERT_EQ(lease.requeue(), Outcome::ok);
    }
  }
  static GroupInfo group(const Queue& queue) { return *group_info(queue, "default"); }
  /// Takes until `text` comes or a parked message has been tried again.
  static Texts drain_until(Consumer& consumer, const std::string& text) {
    Texts all;
    support::wait_until("'" + text + "' comes", [&] {
      for (std::string& one : drain(consumer)) all.push_back(std::move(one));
      return !all.empty() && all.back() == text;
    });
    return all;
  }
};
INSTANTIATE_TEST_SUITE_P(Modes, DeadLetters, every_mode(), name_of);

TEST_P(DeadLetters, CarryWhereTheyComeFrom) {
  const Queue dead = create_dead();
  const Queue queue = create(options());
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  ASSERT_EQ(producer.send("finished", 0), Outcome::ok);
  EXPECT_EQ(drain(consumer), Texts{"finished"});
  ASSERT_EQ(producer.send("poison", 77), Outcome::ok);
  std::uint64_t position = 0;
  {
    const ipcq::Lease lease = take(consumer);
    position = lease.begin()->position;
    EXPECT_FALSE(dead_letter(*lease.begin())) << "an ordinary message";
  }
  {
    const ipcq::Lease lease = take(consumer);
    EXPECT_EQ(lease.deliveries(), 1U) << "a lease that is destroyed open is given back, and counts";
  }
  EXPECT_FALSE(take(consumer));

  Consumer reader = dead.consumer();
  ipcq::Lease lease = take(reader);
  ASSERT_EQ(lease.size(), 1U);
  const std::optional<DeadLetter> letter = dead_letter(*lease.begin());
  ASSERT_TRUE(letter);
  EXPECT_EQ(letter->queue, "contract");
  EXPECT_EQ(letter->group, "default");
  EXPECT_EQ(letter->position, position);
  EXPECT_EQ(letter->deliveries, kMost);
  EXPECT_EQ(letter->tag, 77);
  EXPECT_EQ(lease.begin()->tag, 77);
  EXPECT_EQ(letter->text(), "poison");
  EXPECT_FALSE(dead_letter(letter->inner));
  EXPECT_EQ(letter->queue_created_unix_ns, queue.inspect().created_unix_ns);
  EXPECT_GE(letter->sent_unix_ns, letter->queue_created_unix_ns);
  EXPECT_GE(letter->moved_unix_ns, letter->sent_unix_ns);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(letter->payload.data()) % 16, 0U);
  EXPECT_EQ(lease.ack(), Outcome::ok);

  EXPECT_EQ(group(queue).dead_lettered_messages, 1U);
  EXPECT_EQ(group(queue).depth_messages, 0U);
  EXPECT_EQ(dead.inspect().endpoints.size(), 1U) << "no row is kept there but the reader's";
}

TEST_P(DeadLetters, OfAMessageWithoutBytesHaveNone) {
  const Queue dead = create_dead({.alignment_bytes = 512});
  const Queue queue = create(options());
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  ASSERT_EQ(producer.send("", 0), Outcome::ok);
  use_up_next(consumer);
  EXPECT_FALSE(take(consumer));
  Consumer reader = dead.consumer();
  const ipcq::Lease lease = take(reader);
  const std::optional<DeadLetter> letter = dead_letter(*lease.begin());
  ASSERT_TRUE(letter);
  EXPECT_TRUE(letter->payload.empty());
}

TEST_P(DeadLetters, AreTakenWhileTheLeaseForTheNextMessageIsMade) {
  const Queue dead = create_dead();
  const Queue queue = create(options());
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"poison", "next"});
  use_up_next(consumer);
  EXPECT_EQ(drain(consumer), Texts{"next"});
  Consumer reader = dead.consumer();
  EXPECT_EQ(take(reader).size(), 1U);
}

TEST_P(DeadLetters, ThatTheirQueueHasNoRoomForAreParkedAndGoWhenItHas) {
  const Queue dead = create_dead();
  Producer filler = dead.producer();
  fill(filler, 1000);
  const Queue queue = create(options());
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {std::string(2000, 'p')});
  use_up_next(consumer);
  EXPECT_FALSE(take(consumer));
  const GroupInfo parked = group(queue);
  EXPECT_EQ(parked.parked_messages, 1U);
  EXPECT_EQ(parked.dead_lettered_messages, 0U);
  ASSERT_EQ(parked.leases.size(), 1U);
  EXPECT_EQ(parked.leases[0].state, "parked");
  EXPECT_EQ(parked.leases[0].reason, "full");
  EXPECT_EQ(parked.leases[0].deliveries, kMost);

  Consumer reader = dead.consumer();
  drain(reader);
  support::wait_until("it goes", [&] { return !take(consumer) && group(queue).dead_lettered_messages == 1; });
  EXPECT_EQ(group(queue).parked_messages, 0U);
  const ipcq::Lease lease = take(reader);
  ASSERT_EQ(lease.size(), 1U);
  EXPECT_EQ(dead_letter(*lease.begin())->payload.size(), 2000U);
}

TEST_P(DeadLetters, WhoseQueueIsMissingGoWhenItIsMade) {
  const Queue queue = create(options());
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"poison", "next"});
  use_up_next(consumer);
  const Texts got = drain(consumer);
  EXPECT_EQ(got, shared_consumers() ? Texts{"next"} : Texts{}) << "an exclusive group keeps its order";
  EXPECT_EQ(group(queue).leases.at(0).reason, "missing");
  const Queue dead = create_dead();
  if (!shared_consumers()) {
    EXPECT_EQ(drain_until(consumer, "next"), Texts{"next"});
  }
  support::wait_until("it goes", [&] { return !take(consumer) && group(queue).dead_lettered_messages == 1; });
}

TEST_P(DeadLetters, WhoseQueueWasMadeAnewGoToTheNewOne) {
  const Queue queue = create(options());
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  for (int round = 0; round < 2; ++round) {
    const Queue dead = create_dead();
    put(producer, {"poison"});
    use_up_next(consumer);
    EXPECT_FALSE(take(consumer));
    Consumer reader = dead.consumer();
    EXPECT_EQ(take(reader).size(), 1U) << round;
    reader = Consumer();
    ipcq::remove(std::string_view("dead"), {.directory = directory(), .trusted_owners = {}});
  }
}

TEST_P(DeadLetters, ThatAreTooLargeWithTheirOriginAreParked) {
  const Queue dead = create_dead();
  const Queue queue = create(options());
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {std::string(queue.message_bytes_max(), 'p')});
  use_up_next(consumer);
  EXPECT_FALSE(take(consumer));
  EXPECT_EQ(group(queue).leases.at(0).reason, "message too large");
}

TEST_P(DeadLetters, ThatAnExclusiveProducerKeepsOutAreParkedUntilItGoes) {
  const Queue dead = create_dead({.producers = ProducerMode::exclusive});
  Producer alone = dead.producer();
  const Queue queue = create(options());
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"poison"});
  use_up_next(consumer);
  EXPECT_FALSE(take(consumer));
  EXPECT_EQ(group(queue).leases.at(0).reason, "no row free");
  alone.detach();
  support::wait_until("it goes", [&] { return !take(consumer) && group(queue).dead_lettered_messages == 1; });
}

TEST_P(DeadLetters, ThatAreParkedDoNotKeepConsumersFromEnding) {
  const Queue queue = create(options());
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"first"});
  EXPECT_EQ(drain(consumer), Texts{"first"});
  put(producer, {"poison"});
  use_up_next(consumer);
  producer.detach();
  queue.close();
  EXPECT_EQ(consumer.lease({.deadline = support::kPatience}).outcome(), Outcome::closed);
  EXPECT_EQ(group(queue).parked_messages, 1U);
}

TEST_P(DeadLetters, ThatAreParkedCanBePurged) {
  const Queue queue = create(options());
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"poison", "next"});
  use_up_next(consumer);
  drain(consumer);
  if (!shared_consumers()) {
    EXPECT_EQ(errc_of([&] { queue.purge_parked("default"); }), Errc::in_use) << "its place is its consumer's";
    consumer.detach();
  }
  EXPECT_EQ(queue.purge_parked("default"), 1U);
  EXPECT_EQ(queue.purge_parked("default"), 0U);
  EXPECT_EQ(group(queue).purged_messages, 1U);
  EXPECT_EQ(group(queue).parked_messages, 0U);
  if (!shared_consumers()) {
    Consumer successor = queue.consumer();
    EXPECT_EQ(drain(successor), Texts{"next"});
  }
  EXPECT_EQ(group(queue).depth_messages, 0U);
  EXPECT_EQ(errc_of([&] { queue.purge_parked("nobody"); }), Errc::no_such_group);
}

TEST_P(DeadLetters, OfEachGroupAreItsOwn) {
  const Queue dead = create_dead();
  const Queue queue = create(options());
  queue.add_group({.name = "other"});
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  Consumer other = queue.consumer("other");
  put(producer, {"message"});
  use_up_next(consumer);
  EXPECT_FALSE(take(consumer));
  EXPECT_EQ(drain(other), Texts{"message"}) << "it had been handed out there not once";
}

TEST_P(DeadLetters, OfADeadLetterQueueKeepBothOrigins) {
  CreateOptions second = options();
  second.dead_letter = "dead2";
  const Queue dead = Queue::create("dead", second);
  CreateOptions last = options();
  last.max_deliveries = 0;
  last.dead_letter.clear();
  const Queue dead2 = Queue::create("dead2", last);
  const Queue queue = create(options());
  Producer producer = queue.producer();
  put(producer, {"poison"});
  Consumer consumer = queue.consumer();
  use_up_next(consumer);
  EXPECT_FALSE(take(consumer));
  Consumer middle = dead.consumer();
  use_up_next(middle);
  EXPECT_FALSE(take(middle));
  Consumer reader = dead2.consumer();
  const ipcq::Lease lease = take(reader);
  const std::optional<DeadLetter> outer = dead_letter(*lease.begin());
  ASSERT_TRUE(outer);
  EXPECT_EQ(outer->queue, "dead");
  const std::optional<DeadLetter> inner = dead_letter(outer->inner);
  ASSERT_TRUE(inner);
  EXPECT_EQ(inner->queue, "contract");
  EXPECT_EQ(inner->text(), "poison");
}

TEST_P(DeadLetters, PastMaxDeliveriesOneMayDropThemInstead) {
  CreateOptions dropping = options();
  dropping.dead_letter.clear();
  dropping.drop_after = true;
  const Queue queue = create(dropping);
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"poison", "next"});
  use_up_next(consumer);
  EXPECT_EQ(drain(consumer), Texts{"next"});
  EXPECT_EQ(group(queue).dropped_messages, 1U);
}

TEST_P(DeadLetters, OptionsThatContradictEachOtherAreRefused) {
  const auto refused = [&](auto&& change) {
    CreateOptions changed = options();
    change(changed);
    return errc_of([&] { std::ignore = Queue::create("refused", changed); });
  };
  EXPECT_EQ(refused([](CreateOptions& o) { o.dead_letter.clear(); }), Errc::invalid_option);
  EXPECT_EQ(refused([](CreateOptions& o) { o.max_deliveries = 0; }), Errc::invalid_option);
  EXPECT_EQ(refused([](CreateOptions& o) { o.drop_after = true; }), Errc::invalid_option);
  EXPECT_EQ(refused([](CreateOptions& o) { o.max_deliveries = 8192; }), Errc::invalid_option);
  EXPECT_EQ(refused([](CreateOptions& o) { o.dead_letter = "a/b"; }), Errc::invalid_name);
  EXPECT_EQ(refused([](CreateOptions& o) { o.dead_letter = "refused"; }), Errc::invalid_option) << "itself";
  EXPECT_EQ(refused([](CreateOptions& o) { o.max_deliveries = 8191; }), std::nullopt);
}

class ParkedInASharedGroup : public DeadLetters {};
INSTANTIATE_TEST_SUITE_P(Modes, ParkedInASharedGroup, modes_of_shared_consumers(), name_of);

TEST_P(ParkedInASharedGroup, MessagesThatKeepTheRingFullAreMovedByTheProducerThatIsShortOfRoom) {
  const Queue queue = create(options());
  Producer producer = queue.producer();
  {
    Consumer consumer = queue.consumer();
    put(producer, {std::string(30'000, 'p')});
    use_up_next(consumer);
    EXPECT_FALSE(take(consumer));
  }
  EXPECT_EQ(producer.send(std::string(32'000, 'x'), 0, now), Outcome::ok);
  const Queue dead = create_dead();
  // No consumer is there. The claim fits only when both are gone from the front: the parked one goes.
  EXPECT_EQ(producer.send(std::string(20'000, 'y'), 0, support::kPatience), Outcome::ok);
  EXPECT_EQ(group(queue).dead_lettered_messages, 1U);
}

}  // namespace
}  // namespace ipcq::contract
