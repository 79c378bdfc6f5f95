// Endpoints: attach, detach, rows and their reuse, the only one of an exclusive side, handles that are not attached.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "queue_contract.hpp"

namespace ipcq::contract {
namespace {

std::string own_pid_text() { return std::to_string(::getpid()); }

class Endpoints : public QueueContract {
 protected:
  /// A queue with room for a producer and a consumer, and with a second group, so that no mode is short of sides.
  [[nodiscard]] Queue create_with_two_rows() const {
    CreateOptions wanted = options();
    wanted.endpoints_max = 2;
    wanted.groups = {{.name = "default"}, {.name = "other"}};
    return create(wanted);
  }
};
INSTANTIATE_TEST_SUITE_P(Modes, Endpoints, every_mode(), name_of);

TEST_P(Endpoints, AttachAndDetach) {
  const Queue queue = create();
  EXPECT_TRUE(queue.inspect().endpoints.empty());
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  EXPECT_TRUE(producer.attached());
  EXPECT_TRUE(consumer.attached());
  EXPECT_NE(producer.row(), consumer.row());
  EXPECT_EQ(queue.inspect().endpoints.size(), 2U);
  producer.detach();
  EXPECT_FALSE(producer.attached());
  EXPECT_EQ(queue.inspect().endpoints.size(), 1U);
  consumer.detach();
  EXPECT_FALSE(consumer.attached());
  EXPECT_TRUE(queue.inspect().endpoints.empty());
}

TEST_P(Endpoints, DestructionDetaches) {
  const Queue queue = create();
  {
    const Producer producer = queue.producer();
    const Consumer consumer = queue.consumer();
    EXPECT_EQ(queue.inspect().endpoints.size(), 2U);
  }
  EXPECT_TRUE(queue.inspect().endpoints.empty());
}

TEST_P(Endpoints, MoreThanTheQueueHasRowsForAreTooMany) {
  const Queue queue = create_with_two_rows();
  const Producer producer = queue.producer();
  std::optional<Consumer> consumer = queue.consumer();
  EXPECT_EQ(errc_of([&] { static_cast<void>(queue.consumer("other")); }), Errc::too_many_endpoints);
  consumer.reset();
  EXPECT_TRUE(queue.consumer("other").attached()) << "a row that was given back can be had";
}

TEST_P(Endpoints, RowsAreUsedAgainAndTheirIncarnationTellsTheUsersApart) {
  const Queue queue = create_with_two_rows();
  std::set<std::pair<std::uint32_t, std::uint32_t>> users;
  for (int i = 0; i < 300; ++i) {
    const Producer producer = queue.producer();
    const Consumer consumer = queue.consumer(i % 2 == 0 ? "default" : "other");
    for (const std::uint32_t row : {producer.row(), consumer.row()}) {
      EXPECT_LT(row, 2U);
      const std::optional<EndpointInfo> info = endpoint_info(queue, row);
      ASSERT_TRUE(info);
      const bool is_new = users.emplace(row, info->incarnation).second;
      EXPECT_TRUE(is_new) << "row " << row << " incarnation " << info->incarnation;
    }
  }
}

TEST_P(Endpoints, ARefusedAttachmentTakesNoRow) {
  const Queue queue = create_with_two_rows();
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(errc_of([&] { static_cast<void>(queue.consumer("missing")); }), Errc::no_such_group);
  }
  EXPECT_TRUE(queue.inspect().endpoints.empty());
  const Producer producer = queue.producer();
  const Consumer consumer = queue.consumer();
  EXPECT_EQ(queue.inspect().endpoints.size(), 2U);
}

TEST_P(Endpoints, NeverAttachedTheyAreNotOpen) {
  Producer producer;
  Consumer consumer;
  EXPECT_FALSE(producer.attached());
  EXPECT_FALSE(consumer.attached());
  std::string text;
  EXPECT_EQ(errc_of([&] { static_cast<void>(producer.claim({}, now)); }), Errc::not_open);
  EXPECT_EQ(errc_of([&] { static_cast<void>(producer.send("x", 0, now)); }), Errc::not_open);
  EXPECT_EQ(errc_of([&] { static_cast<void>(producer.row()); }), Errc::not_open);
  EXPECT_EQ(errc_of([&] { producer.detach(); }), Errc::not_open);
  EXPECT_EQ(errc_of([&] { static_cast<void>(consumer.lease({.deadline = now})); }), Errc::not_open);
  EXPECT_EQ(errc_of([&] { static_cast<void>(consumer.receive(text, now)); }), Errc::not_open);
  EXPECT_EQ(errc_of([&] { static_cast<void>(consumer.row()); }), Errc::not_open);
  EXPECT_EQ(errc_of([&] { static_cast<void>(consumer.group()); }), Errc::not_open);
  EXPECT_EQ(errc_of([&] { consumer.detach(); }), Errc::not_open);
}

TEST_P(Endpoints, DetachedTheyAreNotOpen) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  producer.detach();
  consumer.detach();
  EXPECT_EQ(errc_of([&] { static_cast<void>(producer.claim({}, now)); }), Errc::not_open);
  EXPECT_EQ(errc_of([&] { producer.detach(); }), Errc::not_open);
  EXPECT_EQ(errc_of([&] { static_cast<void>(consumer.lease({.deadline = now})); }), Errc::not_open);
  EXPECT_EQ(errc_of([&] { consumer.detach(); }), Errc::not_open);
  producer = queue.producer();
  consumer = queue.consumer();
  put(producer, {"a"});
  EXPECT_EQ(drain(consumer), Texts{"a"}) << "assigned anew they work";
}

TEST_P(Endpoints, AProducerDoesNotDetachWithAClaimOpen) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  ipcq::Claim claim = producer.claim({.messages = 1, .bytes = 1}, now);
  EXPECT_EQ(errc_of([&] { producer.detach(); }), Errc::claim_open);
  EXPECT_TRUE(producer.attached());
  claim.append_copy(bytes_of("a"));
  EXPECT_EQ(claim.commit(), Outcome::ok);
  producer.detach();
  EXPECT_EQ(drain(consumer), Texts{"a"});
}

TEST_P(Endpoints, AConsumerDoesNotDetachWithALeaseOpen) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a"});
  ipcq::Lease lease = take(consumer);
  EXPECT_EQ(errc_of([&] { consumer.detach(); }), Errc::in_use);
  EXPECT_TRUE(consumer.attached());
  EXPECT_EQ(lease.ack(), Outcome::ok);
  consumer.detach();
}

TEST_P(Endpoints, DestroyedWithAClaimOpenAProducerDetachesWhenTheClaimEnds) {
  const Queue queue = create();
  std::optional<Producer> producer = queue.producer();
  const std::uint32_t row = producer->row();
  ipcq::Claim claim = producer->claim({.messages = 1, .bytes = 1}, now);
  producer.reset();
  EXPECT_TRUE(endpoint_info(queue, row));
  claim.append_copy(bytes_of("a"));
  EXPECT_EQ(claim.commit(), Outcome::ok);
  EXPECT_FALSE(endpoint_info(queue, row));
  Consumer consumer = queue.consumer();
  EXPECT_EQ(drain(consumer), Texts{"a"});
}

TEST_P(Endpoints, DestroyedWithLeasesOpenAConsumerDetachesWhenTheLastOfThemEnds) {
  const Queue queue = create();
  Producer producer = queue.producer();
  put(producer, {"a", "b"});
  std::optional<Consumer> consumer = queue.consumer();
  const std::uint32_t row = consumer->row();
  ipcq::Lease first = take(*consumer, 1);
  ipcq::Lease second = take(*consumer, 1);
  consumer.reset();
  EXPECT_TRUE(endpoint_info(queue, row));
  EXPECT_EQ(first.ack(), Outcome::ok);
  EXPECT_TRUE(endpoint_info(queue, row));
  EXPECT_EQ(second.ack(), Outcome::ok);
  EXPECT_FALSE(endpoint_info(queue, row));
}

TEST_P(Endpoints, MovedTheyGoOnWithWhatIsOpen) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a", "b"});
  ipcq::Claim claim = producer.claim({.messages = 1, .bytes = 1}, now);
  ipcq::Lease lease = take(consumer, 1);

  Producer moved_producer = std::move(producer);
  Consumer moved_consumer;
  moved_consumer = std::move(consumer);
  EXPECT_FALSE(producer.attached());  // NOLINT(bugprone-use-after-move): what a moved-from handle answers is tested
  EXPECT_FALSE(consumer.attached());  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(errc_of([&] { static_cast<void>(producer.claim({}, now)); }), Errc::not_open);
  EXPECT_EQ(errc_of([&] { static_cast<void>(consumer.lease({.deadline = now})); }), Errc::not_open);

  claim.append_copy(bytes_of("c"));
  EXPECT_EQ(claim.commit(), Outcome::ok);
  EXPECT_EQ(lease.ack(), Outcome::ok);
  put(moved_producer, {"d"});
  EXPECT_EQ(drain(moved_consumer), (Texts{"b", "c", "d"}));
}

TEST_P(Endpoints, AssignedOverTheyDetach) {
  const Queue queue = create();
  const Queue other = Queue::create("other", options());
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  producer = other.producer();
  consumer = other.consumer();
  EXPECT_TRUE(queue.inspect().endpoints.empty());
  EXPECT_EQ(other.inspect().endpoints.size(), 2U);
}

TEST_P(Endpoints, OutliveTheQueueObjects) {
  std::optional<Queue> queue = create();
  Producer producer = queue->producer();
  Consumer consumer = queue->consumer();
  queue.reset();
  put(producer, {"a"});
  EXPECT_EQ(drain(consumer), Texts{"a"});
}

TEST_P(Endpoints, ComeFromACopyOfTheQueueObjectAsWell) {
  const Queue queue = create();
  const Queue copy = queue;  // NOLINT(performance-unnecessary-copy-initialization): the copy is what is tested
  Producer producer = queue.producer();
  Consumer consumer = copy.consumer();
  put(producer, {"a"});
  EXPECT_EQ(drain(consumer), Texts{"a"});
  EXPECT_EQ(copy.path(), queue.path());
}

// In a forked child inherited handles are refused: the ring is not mapped there, and the row is the parent's.
TEST_P(Endpoints, InheritedThroughForkTheyAreRefusedAndTheParentGoesOn) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a"});
  const pid_t child = ::fork();
  ASSERT_NE(child, -1);
  if (child == 0) {
    int wrong = 0;  // bit by bit, as the exit status
    try {
      if (errc_of([&] { static_cast<void>(producer.claim({}, now)); }) != Errc::forked) wrong |= 1;
      if (errc_of([&] { static_cast<void>(producer.send("x", 0, now)); }) != Errc::forked) wrong |= 2;
      if (errc_of([&] { static_cast<void>(consumer.lease({.deadline = now})); }) != Errc::forked) wrong |= 4;
      if (errc_of([&] { static_cast<void>(queue.producer()); }) != Errc::forked) wrong |= 8;
      if (errc_of([&] { static_cast<void>(queue.consumer()); }) != Errc::forked) wrong |= 16;
      if (errc_of([&] { queue.close(); }) != Errc::forked) wrong |= 32;
      producer = Producer();  // the destructors do nothing
      consumer = Consumer();
    } catch (...) {
      wrong |= 64;
    }
    ::_exit(wrong);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status)) << "the child died of signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0) << "one bit for each call that was not refused";
  EXPECT_EQ(queue.inspect().endpoints.size(), 2U);
  put(producer, {"b"});
  EXPECT_EQ(drain(consumer), (Texts{"a", "b"}));
}

class ExclusiveProducer : public QueueContract {};
INSTANTIATE_TEST_SUITE_P(Modes, ExclusiveProducer, modes_of_exclusive_producers(), name_of);

TEST_P(ExclusiveProducer, KeepsASecondOneOutAndIsNamed) {
  const Queue queue = create();
  Producer producer = queue.producer();
  const auto attach = [&] { static_cast<void>(queue.producer()); };
  EXPECT_EQ(errc_of(attach), Errc::in_use);
  EXPECT_TRUE(contains(text_of(attach), own_pid_text())) << text_of(attach);
  put(producer, {"a"});
  producer.detach();
  EXPECT_EQ(errc_of(attach), std::nullopt);
}

TEST_P(ExclusiveProducer, KeepsOthersOutUntilItsLastClaimEnds) {
  const Queue queue = create();
  std::optional<Producer> producer = queue.producer();
  ipcq::Claim claim = producer->claim({.messages = 1, .bytes = 1}, now);
  producer.reset();
  EXPECT_EQ(errc_of([&] { static_cast<void>(queue.producer()); }), Errc::in_use);
  claim.abort();
  EXPECT_EQ(errc_of([&] { static_cast<void>(queue.producer()); }), std::nullopt);
}

TEST_P(ExclusiveProducer, ASuccessorGoesOnWhereItEnded) {
  const Queue queue = create();
  Consumer consumer = queue.consumer();
  Texts sent;
  for (int i = 0; i < 300; ++i) {  // more than a lap
    Producer producer = queue.producer();
    sent.push_back(std::to_string(i) + std::string(300, ' '));
    put(producer, {sent.back()});
    if (i % 3 == 0) {
      ipcq::Claim never = producer.claim({.messages = 1, .bytes = 300}, now);
      ASSERT_TRUE(never);
      never.append(300);
    }
    if (i % 50 == 49) {
      EXPECT_EQ(drain(consumer), std::exchange(sent, {}));
    }
  }
}

class ExclusiveConsumer : public QueueContract {};
INSTANTIATE_TEST_SUITE_P(Modes, ExclusiveConsumer, modes_of_exclusive_consumers(), name_of);

TEST_P(ExclusiveConsumer, KeepsASecondOneOutOfItsGroupAndIsNamed) {
  CreateOptions wanted = options();
  wanted.groups = {{.name = "a"}, {.name = "b"}};
  const Queue queue = create(wanted);
  Consumer consumer = queue.consumer("a");
  const auto attach = [&] { static_cast<void>(queue.consumer("a")); };
  EXPECT_EQ(errc_of(attach), Errc::in_use);
  EXPECT_TRUE(contains(text_of(attach), own_pid_text())) << text_of(attach);
  EXPECT_TRUE(queue.consumer("b").attached()) << "another group has its own";
  EXPECT_EQ(queue.inspect().endpoints.size(), 1U) << "the refused ones took no row";
  consumer.detach();
  EXPECT_EQ(errc_of(attach), std::nullopt);
}

TEST_P(ExclusiveConsumer, ASuccessorGoesOnWhereItEnded) {
  const Queue queue = create();
  Producer producer = queue.producer();
  put(producer, {"a", "b", "c"});
  {
    Consumer consumer = queue.consumer();
    EXPECT_EQ(take(consumer, 1).ack(), Outcome::ok);
    EXPECT_TRUE(take(consumer, 1)) << "given back: the next one gets it";
  }
  Consumer successor = queue.consumer();
  EXPECT_EQ(drain(successor), (Texts{"b", "c"}));
}

}  // namespace
}  // namespace ipcq::contract
