// Groups: every message is for every group; groups come and go; the slowest one holds the room.
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "queue_contract.hpp"

namespace ipcq::contract {
namespace {

class Groups : public QueueContract {
 protected:
  [[nodiscard]] Queue create_with_groups(const std::vector<std::string>& names) const {
    CreateOptions wanted = options();
    for (const std::string& name : names) wanted.groups.push_back({.name = name});
    return create(wanted);
  }
};
INSTANTIATE_TEST_SUITE_P(Modes, Groups, every_mode(), name_of);

Texts names_of_groups(const Queue& queue) {
  Texts names;
  for (const GroupInfo& group : queue.inspect().groups) names.push_back(group.name);
  std::ranges::sort(names);
  return names;
}

TEST_P(Groups, EveryGroupSeesEveryMessage) {
  const Queue queue = create_with_groups({"a", "b", "c"});
  Producer producer = queue.producer();
  const Texts sent = put_numbers(producer, 10);
  for (const char* name : {"a", "b", "c"}) {
    Consumer consumer = queue.consumer(name);
    EXPECT_EQ(consumer.group(), name);
    EXPECT_EQ(drain(consumer), sent) << name;
  }
}

TEST_P(Groups, OneGroupsAckIsNoOtherGroups) {
  const Queue queue = create_with_groups({"a", "b"});
  Producer producer = queue.producer();
  Consumer a = queue.consumer("a");
  Consumer b = queue.consumer("b");
  put(producer, {"1", "2"});
  ipcq::Lease by_a = take(a, 1);
  ipcq::Lease by_b = take(b, 2);
  EXPECT_EQ(by_a.ack(), Outcome::ok);
  EXPECT_EQ(by_b.requeue(), Outcome::ok);
  EXPECT_EQ(drain(a), Texts{"2"});
  EXPECT_EQ(drain(b), (Texts{"1", "2"}));
}

TEST_P(Groups, WithoutAnyNamedThereIsOneCalledDefault) {
  const Queue queue = create();
  EXPECT_EQ(names_of_groups(queue), Texts{"default"});
  EXPECT_EQ(queue.consumer().group(), "default");
}

TEST_P(Groups, NamedAtCreationTheyReplaceDefault) {
  const Queue queue = create_with_groups({"a", "b"});
  EXPECT_EQ(names_of_groups(queue), (Texts{"a", "b"}));
  EXPECT_EQ(errc_of([&] { static_cast<void>(queue.consumer()); }), Errc::no_such_group);
}

TEST_P(Groups, AMissingGroupIsNoSuchGroup) {
  const Queue queue = create();
  EXPECT_EQ(errc_of([&] { static_cast<void>(queue.consumer("missing")); }), Errc::no_such_group);
  EXPECT_EQ(errc_of([&] { queue.remove_group("missing"); }), Errc::no_such_group);
  EXPECT_EQ(names_of_groups(queue), Texts{"default"}) << "asking creates none";
}

TEST_P(Groups, AMissingGroupIsMadeIfTheConsumerAsksForThat) {
  const Queue queue = create();
  {
    const GroupOptions kind{.name = "ignored", .overflow = Overflow::reject};
    Consumer consumer = queue.consumer({.group = "made", .create_group = kind});
    EXPECT_EQ(consumer.group(), "made");
  }
  EXPECT_EQ(names_of_groups(queue), (Texts{"default", "made"}));
  EXPECT_EQ(group_info(queue, "made")->overflow, Overflow::reject);

  Consumer again = queue.consumer({.group = "made", .create_group = GroupOptions{}});
  EXPECT_EQ(again.group(), "made");
  EXPECT_EQ(names_of_groups(queue), (Texts{"default", "made"})) << "it is there already";
  EXPECT_EQ(group_info(queue, "made")->overflow, Overflow::reject);
}

TEST_P(Groups, AddedWithStartOldestItSeesWhatIsStillInTheRing) {
  const Queue queue = create();
  Producer producer = queue.producer();
  put(producer, {"a", "b"});
  queue.add_group({.name = "late", .start = Start::oldest});
  put(producer, {"c"});
  Consumer late = queue.consumer("late");
  EXPECT_EQ(drain(late), (Texts{"a", "b", "c"}));
}

TEST_P(Groups, AddedWithStartNewestItSeesOnlyWhatIsClaimedFromThenOn) {
  const Queue queue = create();
  Producer producer = queue.producer();
  put(producer, {"a", "b"});
  queue.add_group({.name = "late", .start = Start::newest});
  Consumer late = queue.consumer("late");
  EXPECT_FALSE(take(late));
  put(producer, {"c"});
  EXPECT_EQ(drain(late), Texts{"c"});
  Consumer all = queue.consumer();
  EXPECT_EQ(drain(all), (Texts{"a", "b", "c"}));
}

TEST_P(Groups, AddingATakenOrBadNameThrows) {
  const Queue queue = create();
  EXPECT_EQ(errc_of([&] { queue.add_group({.name = "default"}); }), Errc::group_exists);
  for (const char* name : {"", "a/b", ".a", "-a", "a b"}) {
    EXPECT_EQ(errc_of([&] { queue.add_group({.name = name}); }), Errc::invalid_name) << '"' << name << '"';
  }
  EXPECT_EQ(names_of_groups(queue), Texts{"default"});
}

TEST_P(Groups, MoreGroupsThanTheQueueHasRowsForAreTooMany) {
  CreateOptions wanted = options();
  wanted.groups_max = 2;
  const Queue queue = create(wanted);
  queue.add_group({.name = "second"});
  EXPECT_EQ(errc_of([&] { queue.add_group({.name = "third"}); }), Errc::too_many_groups);
  EXPECT_EQ(errc_of([&] { static_cast<void>(queue.consumer({.group = "third", .create_group = GroupOptions{}})); }),
            Errc::too_many_groups);
  for (int i = 0; i < 50; ++i) {  // a removed group's row is used again
    queue.remove_group("second");
    queue.add_group({.name = "second"});
  }
  EXPECT_EQ(names_of_groups(queue), (Texts{"default", "second"}));
}

TEST_P(Groups, TheLastOneCannotBeRemoved) {
  const Queue queue = create_with_groups({"a", "b"});
  queue.remove_group("a");
  EXPECT_EQ(errc_of([&] { queue.remove_group("b"); }), Errc::last_group);
  EXPECT_EQ(errc_of([&] { queue.remove_group("b", true); }), Errc::last_group);
  EXPECT_EQ(names_of_groups(queue), Texts{"b"});
}

TEST_P(Groups, WithALivingMemberItIsNotRemoved) {
  const Queue queue = create_with_groups({"a", "b"});
  Producer producer = queue.producer();
  Consumer member = queue.consumer("a");
  put(producer, {"1"});
  EXPECT_EQ(errc_of([&] { queue.remove_group("a"); }), Errc::in_use);
  ipcq::Lease lease = take(member);
  ASSERT_TRUE(lease);
  EXPECT_EQ(errc_of([&] { queue.remove_group("a", true); }), Errc::in_use) << "force stops at a lease";
  EXPECT_EQ(lease.ack(), Outcome::ok);
  member.detach();
  queue.remove_group("a");
  EXPECT_EQ(names_of_groups(queue), Texts{"b"});
}

TEST_P(Groups, RemovedItCannotBeJoined) {
  const Queue queue = create_with_groups({"a", "b"});
  queue.remove_group("a");
  EXPECT_EQ(errc_of([&] { static_cast<void>(queue.consumer("a")); }), Errc::no_such_group);
}

TEST_P(Groups, RemovedAndAddedAgainItIsANewOne) {
  const Queue queue = create_with_groups({"a", "b"});
  Producer producer = queue.producer();
  put(producer, {"1"});
  queue.remove_group("a");
  queue.add_group({.name = "a", .start = Start::newest});
  put(producer, {"2"});
  Consumer a = queue.consumer("a");
  EXPECT_EQ(drain(a), Texts{"2"});
}

TEST_P(Groups, TheSlowestOneHoldsTheRoom) {
  const Queue queue = create_with_groups({"fast", "slow"});
  Producer producer = queue.producer();
  Consumer fast = queue.consumer("fast");
  const std::uint32_t sent = fill(producer, 1000);
  EXPECT_EQ(drain(fast).size(), sent);
  EXPECT_EQ(fill(producer, 1000), 0U);
  Consumer slow = queue.consumer("slow");
  EXPECT_EQ(drain(slow).size(), sent);
  EXPECT_EQ(fill(producer, 1000), sent);
}

TEST_P(Groups, RemovingTheSlowestOneFreesItsRoom) {
  const Queue queue = create_with_groups({"fast", "slow"});
  Producer producer = queue.producer();
  Consumer fast = queue.consumer("fast");
  const std::uint32_t sent = fill(producer, 1000);
  EXPECT_EQ(drain(fast).size(), sent);
  EXPECT_EQ(fill(producer, 1000), 0U);
  queue.remove_group("slow");
  EXPECT_EQ(fill(producer, 1000), sent);
}

TEST_P(Groups, AnEphemeralOneGoesWithItsLastMember) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer persistent = queue.consumer();
  const ConsumerOptions ephemeral{.group = "guest", .create_group = GroupOptions{.lifetime = Lifetime::ephemeral}};
  {
    Consumer guest = queue.consumer(ephemeral);
    EXPECT_EQ(group_info(queue, "guest")->lifetime, Lifetime::ephemeral);
    const std::uint32_t sent = fill(producer, 1000);  // backlog does not keep it
    EXPECT_EQ(drain(persistent).size(), sent);
  }
  EXPECT_EQ(names_of_groups(queue), Texts{"default"});
  EXPECT_GT(fill(producer, 1000), 0U) << "nor does it hold room any more";

  Consumer guest = queue.consumer(ephemeral);
  EXPECT_EQ(names_of_groups(queue), (Texts{"default", "guest"})) << "it can come again";
  guest.detach();
  EXPECT_EQ(names_of_groups(queue), Texts{"default"});
}

TEST_P(Groups, APersistentOneStaysWithoutMembers) {
  const Queue queue = create_with_groups({"a"});
  Producer producer = queue.producer();
  queue.consumer("a").detach();
  put(producer, {"1"});
  Consumer a = queue.consumer("a");
  EXPECT_EQ(drain(a), Texts{"1"});
}

TEST_P(Groups, TheirKindIsTheQueuesUnlessTheySaySo) {
  const ConsumerMode other = shared_consumers() ? ConsumerMode::exclusive : ConsumerMode::shared;
  CreateOptions wanted = options();
  wanted.overflow = Overflow::reject;
  wanted.groups = {{.name = "plain"}, {.name = "other", .overflow = Overflow::block, .consumers = other}};
  const Queue queue = create(wanted);
  queue.add_group({.name = "added"});
  for (const char* name : {"plain", "added"}) {
    EXPECT_EQ(group_info(queue, name)->consumers, GetParam().consumers) << name;
    EXPECT_EQ(group_info(queue, name)->overflow, Overflow::reject) << name;
  }
  EXPECT_EQ(group_info(queue, "other")->consumers, other);
  EXPECT_EQ(group_info(queue, "other")->overflow, Overflow::block);
}

class GroupsOfSharedConsumers : public QueueContract {};
INSTANTIATE_TEST_SUITE_P(Modes, GroupsOfSharedConsumers, modes_of_shared_consumers(), name_of);

TEST_P(GroupsOfSharedConsumers, MembersShareTheMessages) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer one = queue.consumer();
  Consumer two = queue.consumer();
  const Texts sent = put_numbers(producer, 12);
  ipcq::Lease first = take(one, 5);
  ipcq::Lease second = take(two, 5);
  ipcq::Lease third = take(one, 5);
  Texts seen;
  for (const ipcq::Lease* lease : {&first, &second, &third}) {
    for (std::string& text : texts_of(*lease)) seen.push_back(std::move(text));
  }
  EXPECT_EQ(seen, sent) << "batches are handed out in ring order, each message to one member";
  for (ipcq::Lease* lease : {&first, &second, &third}) EXPECT_EQ(lease->ack(), Outcome::ok);
  EXPECT_FALSE(take(two));
}

TEST_P(GroupsOfSharedConsumers, ForceRemovesAGroupFromUnderIdleMembersWhoAreTold) {
  CreateOptions wanted = options();
  wanted.groups = {{.name = "a"}, {.name = "b"}};
  const Queue queue = create(wanted);
  Producer producer = queue.producer();
  Consumer member = queue.consumer("a");
  put(producer, {"1"});
  queue.remove_group("a", true);
  EXPECT_EQ(take(member).outcome(), Outcome::group_removed);

  queue.add_group({.name = "a"});
  put(producer, {"2"});
  EXPECT_EQ(take(member).outcome(), Outcome::group_removed) << "a new group of the name is not the member's";
  member.detach();
}

TEST_P(GroupsOfSharedConsumers, AnEphemeralOneStaysWhileAnyMemberIsAttached) {
  const Queue queue = create();
  const ConsumerOptions ephemeral{.group = "guest", .create_group = GroupOptions{.lifetime = Lifetime::ephemeral}};
  Consumer one = queue.consumer(ephemeral);
  Consumer two = queue.consumer(ephemeral);
  one.detach();
  EXPECT_TRUE(group_info(queue, "guest"));
  two.detach();
  EXPECT_FALSE(group_info(queue, "guest"));
}

class GroupsOfAnExclusiveConsumer : public QueueContract {};
INSTANTIATE_TEST_SUITE_P(Modes, GroupsOfAnExclusiveConsumer, modes_of_exclusive_consumers(), name_of);

TEST_P(GroupsOfAnExclusiveConsumer, ForceDoesNotRemoveAGroupFromUnderItsConsumer) {
  CreateOptions wanted = options();
  wanted.groups = {{.name = "a"}, {.name = "b"}};
  const Queue queue = create(wanted);
  Consumer consumer = queue.consumer("a");
  EXPECT_EQ(errc_of([&] { queue.remove_group("a", true); }), Errc::in_use);
  consumer.detach();
  queue.remove_group("a", true);
  EXPECT_FALSE(group_info(queue, "a"));
}

class GroupsOfSharedProducers : public QueueContract {};
INSTANTIATE_TEST_SUITE_P(Modes, GroupsOfSharedProducers, modes_of_shared_producers(), name_of);

TEST_P(GroupsOfSharedProducers, ABatchClaimedBeforeAGroupWithStartNewestIsNotForIt) {
  const Queue queue = create();
  Producer producer = queue.producer();
  ipcq::Claim claim = producer.claim({.messages = 1, .bytes = 6}, now);
  claim.append_copy(bytes_of("before"));
  queue.add_group({.name = "late", .start = Start::newest});
  claim.commit();
  put(producer, {"after"});
  Consumer late = queue.consumer("late");
  EXPECT_EQ(drain(late), Texts{"after"});
}

}  // namespace
}  // namespace ipcq::contract
