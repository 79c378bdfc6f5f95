// Inspection: what a queue says of itself, who holds what in it, and what a directory holds.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "queue_contract.hpp"
#include "support/waiting.hpp"

namespace ipcq::contract {
namespace {

using std::chrono::milliseconds;

std::uint32_t own_pid() { return static_cast<std::uint32_t>(::getpid()); }

class Inspect : public QueueContract {};
INSTANTIATE_TEST_SUITE_P(Modes, Inspect, every_mode(), name_of);

TEST_P(Inspect, TellsWhatTheQueueWasCreatedAs) {
  CreateOptions wanted = options();
  wanted.mode = 0640;
  wanted.overflow = Overflow::reject;
  wanted.type = "orders";
  wanted.alignment_bytes = 64;
  wanted.endpoints_max = 12;
  wanted.groups_max = 5;
  wanted.ledger_entries = 17;
  const Queue queue = create(wanted);
  const QueueInfo info = queue.inspect();
  EXPECT_EQ(info.name, "contract");
  EXPECT_EQ(info.path, queue.path());
  EXPECT_EQ(info.layout_version, ipcq::detail::kLayoutVersion);
  EXPECT_EQ(info.segment_bytes, std::filesystem::file_size(queue.path()));
  EXPECT_EQ(info.capacity_bytes, kSmallestCapacity);
  EXPECT_EQ(info.message_bytes_max, queue.message_bytes_max());
  EXPECT_EQ(info.owner, ::geteuid());
  EXPECT_EQ(info.file_group, ::getegid());
  EXPECT_EQ(info.mode, mode_t{0640});
  EXPECT_EQ(info.producers, GetParam().producers);
  EXPECT_EQ(info.consumers, GetParam().consumers);
  EXPECT_EQ(info.overflow, Overflow::reject);
  EXPECT_EQ(info.type, "orders");
  EXPECT_EQ(info.alignment_bytes, 64U);
  EXPECT_EQ(info.endpoints_max, 12U);
  EXPECT_EQ(info.groups_max, 5U);
  EXPECT_EQ(info.ledger_entries, 17U);
  EXPECT_TRUE(info.timestamps);
  EXPECT_TRUE(info.metrics);
}

TEST_P(Inspect, OfAFreshQueueShowsNothingInIt) {
  const Queue queue = create();
  const QueueInfo info = queue.inspect();
  EXPECT_FALSE(info.closed || info.removed || info.poisoned);
  EXPECT_EQ(info.depth_bytes, 0U);
  EXPECT_EQ(info.messages, 0U);
  EXPECT_EQ(info.bytes, 0U);
  EXPECT_EQ(info.abandoned_claims, 0U);
  EXPECT_EQ(info.recoveries, 0U);
  EXPECT_TRUE(info.endpoints.empty());
  ASSERT_EQ(info.groups.size(), 1U);
  EXPECT_EQ(info.groups[0].name, "default");
  EXPECT_EQ(info.groups[0].depth_messages, 0U);
  EXPECT_TRUE(info.groups[0].depth_exact);
  EXPECT_EQ(info.groups[0].members, 0U);
  EXPECT_FALSE(info.groups[0].unattended) << "no member, but no backlog either";
  EXPECT_TRUE(info.groups[0].leases.empty());
}

TEST_P(Inspect, ByNameTellsTheSame) {
  const Queue queue = create();
  Producer producer = queue.producer();
  put(producer, {"a", "b"});
  const QueueInfo info = inspect("contract", where());
  EXPECT_EQ(info.name, "contract");
  EXPECT_EQ(info.messages, 2U);
  EXPECT_EQ(info.claim_position, queue.inspect().claim_position);
  ASSERT_EQ(info.endpoints.size(), 1U);
  EXPECT_EQ(info.endpoints[0].pid, own_pid());
}

TEST_P(Inspect, NamesWhoIsAttached) {
  const Queue queue = create();
  const Producer producer = queue.producer();
  const Consumer consumer = queue.consumer();
  const std::optional<EndpointInfo> writes = endpoint_info(queue, producer.row());
  const std::optional<EndpointInfo> reads = endpoint_info(queue, consumer.row());
  ASSERT_TRUE(writes && reads);
  EXPECT_TRUE(writes->producer);
  EXPECT_FALSE(reads->producer);
  EXPECT_EQ(writes->group, "");
  EXPECT_EQ(reads->group, "default");
  for (const EndpointInfo& info : {*writes, *reads}) {
    EXPECT_EQ(info.pid, own_pid());
    EXPECT_EQ(info.uid, ::getuid());
    EXPECT_FALSE(info.command.empty());
    EXPECT_EQ(info.life, Life::alive);
    EXPECT_FALSE(info.revoked);
    EXPECT_FALSE(info.open_claim);
    EXPECT_EQ(info.open_leases, 0U);
    EXPECT_EQ(info.messages, 0U);
  }
  EXPECT_EQ(group_info(queue, "default")->members, 1U);
}

TEST_P(Inspect, NamesWhoHoldsALease) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put_numbers(producer, 5);
  ipcq::Lease lease = take(consumer, 3);
  const std::optional<GroupInfo> group = group_info(queue, "default");
  ASSERT_EQ(group->leases.size(), 1U);
  const LeaseInfo& info = group->leases[0];
  EXPECT_EQ(info.state, "leased");
  EXPECT_EQ(info.row, consumer.row());
  EXPECT_EQ(info.pid, own_pid());
  EXPECT_FALSE(info.command.empty());
  EXPECT_EQ(info.deliveries, 0U);
  EXPECT_EQ(info.begin, lease.begin()->position);
  EXPECT_GT(info.end, info.begin);
  EXPECT_LT(info.end, queue.inspect().claim_position);
  EXPECT_EQ(endpoint_info(queue, consumer.row())->open_leases, 1U);
  EXPECT_EQ(lease.ack(), Outcome::ok);
  EXPECT_TRUE(group_info(queue, "default")->leases.empty());
  EXPECT_EQ(endpoint_info(queue, consumer.row())->open_leases, 0U);
}

TEST_P(Inspect, DepthCountsWhatIsCommittedAndNotFinished) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  const auto depth = [&] { return group_info(queue, "default")->depth_messages; };
  put_numbers(producer, 10);
  {
    ipcq::Claim aborted = producer.claim({.messages = 5, .bytes = 100}, now);
    aborted.append(10);
  }
  EXPECT_EQ(depth(), 10U);
  ipcq::Lease lease = take(consumer, 4);
  EXPECT_EQ(depth(), 10U) << "what is leased is not finished";
  EXPECT_EQ(lease.ack(1), Outcome::ok);
  EXPECT_EQ(depth(), 9U);
  EXPECT_EQ(lease.ack(), Outcome::ok);
  EXPECT_EQ(depth(), 6U);
  EXPECT_TRUE(group_info(queue, "default")->depth_exact);
  EXPECT_GT(queue.inspect().depth_bytes, 0U);
  EXPECT_EQ(drain(consumer).size(), 6U);
  EXPECT_EQ(depth(), 0U);
}

TEST_P(Inspect, DepthIsEachGroupsOwnAndTheQueuesThatOfTheGroupFurthestBehind) {
  CreateOptions wanted = options();
  wanted.groups = {{.name = "fast"}, {.name = "slow"}};
  const Queue queue = create(wanted);
  Producer producer = queue.producer();
  Consumer fast = queue.consumer("fast");
  put_numbers(producer, 10);
  drain(fast);
  EXPECT_EQ(group_info(queue, "fast")->depth_messages, 0U);
  EXPECT_EQ(group_info(queue, "slow")->depth_messages, 10U);
  EXPECT_GE(group_info(queue, "slow")->depth_bytes, 10U * 32);
  EXPECT_EQ(queue.inspect().depth_bytes, group_info(queue, "slow")->depth_bytes);
}

TEST_P(Inspect, DepthOfARingFullOfSmallMessagesIsExact) {
  const Queue queue = create();
  Producer producer = queue.producer();
  const std::uint32_t sent = fill(producer, 0);
  EXPECT_GT(sent, 1000U);
  const std::optional<GroupInfo> group = group_info(queue, "default");
  EXPECT_TRUE(group->depth_exact);
  EXPECT_EQ(group->depth_messages, sent);
}

TEST_P(Inspect, ABacklogWithoutMembersIsUnattended) {
  const Queue queue = create();
  Producer producer = queue.producer();
  put(producer, {"a"});
  EXPECT_TRUE(group_info(queue, "default")->unattended);
  Consumer consumer = queue.consumer();
  EXPECT_FALSE(group_info(queue, "default")->unattended) << "somebody is there, even if idle";
  consumer.detach();
  EXPECT_TRUE(group_info(queue, "default")->unattended);
  consumer = queue.consumer();
  drain(consumer);
  consumer.detach();
  EXPECT_FALSE(group_info(queue, "default")->unattended) << "nobody, but nothing to do either";
}

TEST_P(Inspect, CountsWhatEachEndpointDid) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"12345", "123"});
  put(producer, {"12"});
  {
    ipcq::Claim aborted = producer.claim({.messages = 1, .bytes = 7}, now);
    aborted.append(7);
  }
  EXPECT_EQ(drain(consumer).size(), 3U);
  const std::optional<EndpointInfo> writes = endpoint_info(queue, producer.row());
  EXPECT_EQ(writes->messages, 3U);
  EXPECT_EQ(writes->bytes, 10U);
  EXPECT_EQ(writes->batches, 2U);
  const std::optional<EndpointInfo> reads = endpoint_info(queue, consumer.row());
  EXPECT_EQ(reads->messages, 3U);
  EXPECT_EQ(reads->bytes, 10U);
  EXPECT_EQ(reads->batches, 1U);
  EXPECT_EQ(queue.inspect().messages, 3U);
  EXPECT_EQ(queue.inspect().bytes, 10U);
  EXPECT_EQ(group_info(queue, "default")->leased_messages, 3U);
  EXPECT_EQ(group_info(queue, "default")->redelivered_messages, 0U);
}

TEST_P(Inspect, CountsWaitsAndRefusals) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  const auto wait_until_it_waits = [&](std::uint32_t row) {
    support::wait_until("a call sleeps", [&] { return endpoint_info(queue, row)->waits > 0; });
  };
  {
    support::Background waiting([&] { EXPECT_EQ(consumer.lease({.deadline = kPatience}).outcome(), Outcome::cancelled); });
    wait_until_it_waits(consumer.row());
    consumer.cancel();
  }
  EXPECT_EQ(endpoint_info(queue, consumer.row())->waits, 1U);
  fill(producer, 1000);  // its end is the first refusal
  EXPECT_EQ(producer.send(std::string(1000, 'x'), 0, milliseconds(5)), Outcome::full);
  EXPECT_EQ(endpoint_info(queue, producer.row())->refusals, 2U);
  {
    const std::string more(1000, 'x');
    support::Background waiting([&] { EXPECT_EQ(producer.send(more, 0, kPatience), Outcome::cancelled); });
    wait_until_it_waits(producer.row());
    producer.cancel();
  }
}

TEST_P(Inspect, CountsStartAnewWithTheNextUserOfARowWhileTheQueuesTotalsStay) {
  CreateOptions wanted = options();
  wanted.endpoints_max = 2;
  const Queue queue = create(wanted);
  for (std::uint32_t i = 1; i <= 5; ++i) {
    Producer producer = queue.producer();
    EXPECT_EQ(endpoint_info(queue, producer.row())->messages, 0U);
    put(producer, {"123"});
    EXPECT_EQ(endpoint_info(queue, producer.row())->messages, 1U);
    producer.detach();
    EXPECT_EQ(queue.inspect().messages, i);
    EXPECT_EQ(queue.inspect().bytes, 3 * i);
  }
}

TEST_P(Inspect, CountsRedeliveries) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a", "b"});
  EXPECT_EQ(take(consumer).requeue(), Outcome::ok);
  EXPECT_EQ(drain(consumer).size(), 2U);
  EXPECT_EQ(group_info(queue, "default")->leased_messages, 2U) << "for the first time";
  EXPECT_EQ(group_info(queue, "default")->redelivered_messages, 2U);
  EXPECT_EQ(group_info(queue, "default")->recovered_leases, 0U) << "nobody died";
}

TEST_P(Inspect, ShowsThatTheQueueIsClosed) {
  const Queue queue = create();
  queue.close();
  EXPECT_TRUE(queue.inspect().closed);
  queue.reopen();
  EXPECT_FALSE(queue.inspect().closed);
}

TEST_P(Inspect, LatenciesHaveSamplesInOrder) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  for (int i = 0; i < 320; ++i) {  // one lease in 16 is sampled
    put(producer, {"a", "b"});
    drain(consumer);
  }
  const std::optional<GroupInfo> group = group_info(queue, "default");
  for (const LatencyInfo* latency : {&group->queue, &group->transfer, &group->processing, &group->latency}) {
    EXPECT_GT(latency->messages, 0U);
    EXPECT_LE(latency->messages, 640U);
    EXPECT_LE(latency->p50_ns, latency->p90_ns);
    EXPECT_LE(latency->p90_ns, latency->p99_ns);
    EXPECT_LE(latency->p99_ns, latency->p999_ns);
  }
  EXPECT_GT(group->latency.mean_ns, 0);
  EXPECT_GT(group->latency.max_ns, 0U);
  // latency is the exact sum of the three; each mean is its own histogram's, within 9 %.
  const double sum = group->queue.mean_ns + group->transfer.mean_ns + group->processing.mean_ns;
  EXPECT_NEAR(group->latency.mean_ns, sum, sum * 0.2);
  EXPECT_GT(group->availability, 0);
}

TEST_P(Inspect, WithMetricsOffThereAreNoSamplesAndThatIsSaid) {
  CreateOptions wanted = options();
  wanted.metrics = false;
  const Queue queue = create(wanted);
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  for (int i = 0; i < 100; ++i) {
    put(producer, {"a"});
    drain(consumer);
  }
  EXPECT_FALSE(queue.inspect().metrics);
  EXPECT_EQ(group_info(queue, "default")->latency.messages, 0U);
  EXPECT_EQ(queue.inspect().messages, 100U) << "counters are no metrics that can be switched off";
}

TEST_P(Inspect, NamesWhoHasAClaimOpen) {
  const Queue queue = create();
  Producer producer = queue.producer();
  put(producer, {"before"});
  const std::uint64_t position = queue.inspect().claim_position;
  for (const bool commits : {true, false}) {
    ipcq::Claim claim = producer.claim({.messages = 3, .bytes = 300}, now);
    claim.append(1);
    const std::optional<EndpointInfo> info = endpoint_info(queue, producer.row());
    ASSERT_TRUE(info && info->open_claim);
    EXPECT_EQ(info->pid, own_pid());
    EXPECT_GE(info->open_claim->position, position);
    EXPECT_EQ(group_info(queue, "default")->depth_messages, commits ? 1U : 2U) << "an open claim is no message yet";
    if (commits) {
      claim.commit();
    } else {
      claim.abort();
    }
    EXPECT_FALSE(endpoint_info(queue, producer.row())->open_claim);
  }
  EXPECT_EQ(group_info(queue, "default")->depth_messages, 2U);
}

class InspectSharedProducers : public QueueContract {};
INSTANTIATE_TEST_SUITE_P(Modes, InspectSharedProducers, modes_of_shared_producers(), name_of);

TEST_P(InspectSharedProducers, TellsWhichOfThemHasAClaimOpenAndHowMuchItTook) {
  const Queue queue = create();
  Producer idle = queue.producer();
  Producer producer = queue.producer();
  put(idle, {"before"});
  const std::uint64_t position = queue.inspect().claim_position;
  const ipcq::Claim claim = producer.claim({.messages = 3, .bytes = 300}, now);
  const std::optional<EndpointInfo> info = endpoint_info(queue, producer.row());
  ASSERT_TRUE(info && info->open_claim);
  EXPECT_EQ(info->open_claim->position, position);
  EXPECT_GE(info->open_claim->bytes, 300U + 3 * 16U);
  EXPECT_FALSE(endpoint_info(queue, idle.row())->open_claim);
}

class InspectASharedGroup : public QueueContract {};
INSTANTIATE_TEST_SUITE_P(Modes, InspectASharedGroup, modes_of_shared_consumers(), name_of);

TEST_P(InspectASharedGroup, ShowsWhatWillBeDeliveredAgain) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  put(producer, {"a", "b"});
  ipcq::Lease kept = take(consumer, 1);
  EXPECT_EQ(take(consumer, 1).requeue(), Outcome::ok);
  const std::optional<GroupInfo> group = group_info(queue, "default");
  ASSERT_EQ(group->leases.size(), 2U);
  EXPECT_EQ(group->leases[0].state, "leased");
  EXPECT_EQ(group->leases[1].state, "redeliverable");
  EXPECT_EQ(group->leases[1].deliveries, 1U);
  EXPECT_EQ(group->leases[0].end, group->leases[1].begin);
  EXPECT_EQ(kept.ack(), Outcome::ok);
}

TEST_P(InspectASharedGroup, CountsEveryMembersOpenLeases) {
  const Queue queue = create();
  Producer producer = queue.producer();
  Consumer one = queue.consumer();
  Consumer two = queue.consumer();
  put_numbers(producer, 3);
  const ipcq::Lease a = take(one, 1);
  const ipcq::Lease b = take(two, 1);
  const ipcq::Lease c = take(one, 1);
  EXPECT_EQ(group_info(queue, "default")->members, 2U);
  EXPECT_EQ(group_info(queue, "default")->leases.size(), 3U);
  EXPECT_EQ(endpoint_info(queue, one.row())->open_leases, 2U);
  EXPECT_EQ(endpoint_info(queue, two.row())->open_leases, 1U);
}

class List : public QueueContract {};
INSTANTIATE_TEST_SUITE_P(Modes, List, every_mode(), name_of);

TEST_P(List, OfAnEmptyDirectoryIsEmptyAndOfAMissingOneAnError) {
  EXPECT_TRUE(list(where()).empty());
  EXPECT_EQ(errc_of([&] { static_cast<void>(list({.directory = directory() + "/missing", .trusted_owners = {}})); }),
            Errc::no_such_queue);
}

TEST_P(List, ShowsTheQueuesByName) {
  for (const char* name : {"b", "c", "a"}) static_cast<void>(Queue::create(name, options()));
  const Queue queue = Queue::open("b", where());
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  queue.add_group({.name = "second"});
  put(producer, {"x"});
  Queue::open("c", where()).close();

  const std::vector<QueueSummary> all = list(where());
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0].name, "a");
  EXPECT_EQ(all[1].name, "b");
  EXPECT_EQ(all[2].name, "c");
  for (const QueueSummary& summary : all) {
    EXPECT_EQ(summary.path, directory() + "/ipcq." + summary.name);
    EXPECT_EQ(summary.owner, ::geteuid());
    EXPECT_EQ(summary.mode, mode_t{0600});
    EXPECT_EQ(summary.capacity_bytes, kSmallestCapacity);
    EXPECT_GT(summary.segment_bytes, kSmallestCapacity);
    EXPECT_EQ(summary.problem, std::nullopt) << summary.problem_text;
    EXPECT_FALSE(summary.leftover);
    EXPECT_EQ(summary.closed, summary.name == "c");
    EXPECT_EQ(summary.producers, summary.name == "b" ? 1U : 0U);
    EXPECT_EQ(summary.consumers, summary.name == "b" ? 1U : 0U);
    EXPECT_EQ(summary.groups, summary.name == "b" ? 2U : 1U);
    EXPECT_EQ(summary.depth_bytes > 0, summary.name == "b");
  }
}

TEST_P(List, ShowsAFileThatIsNoQueueWithItsProblem) {
  const Queue queue = create();
  std::ofstream(directory() + "/ipcq.garbage") << std::string(10'000, 'g');
  std::ofstream(directory() + "/ipcq.nothing");
  std::ofstream(directory() + "/not-a-queue-at-all") << "other programs' files are not looked at";
  const std::vector<QueueSummary> all = list(where());
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0].problem, std::nullopt);
  EXPECT_EQ(all[1].name, "garbage");
  EXPECT_EQ(all[2].name, "nothing");
  for (const QueueSummary& summary : {all[1], all[2]}) {
    EXPECT_EQ(summary.problem, Errc::not_a_queue) << summary.name;
    EXPECT_FALSE(summary.problem_text.empty());
    EXPECT_EQ(errc_of([&] { static_cast<void>(Queue::open(summary.name, where())); }), Errc::not_a_queue);
  }
}

}  // namespace
}  // namespace ipcq::contract
