// Target: an observer's look at a queue: inspect().
#include "api/inspection.hpp"
#include "api/names.hpp"
#include "api/segment.hpp"
#include "queue_file.hpp"

namespace {

using namespace ipcq;

struct Observed {
  fuzz::QueueFile file;
  Queue queue = Queue::open(fuzz::QueueFile::kName, file.options());
  Producer producer = queue.producer();
  Consumer consumer = queue.consumer();
  Consumer alone = queue.consumer("alone");
  Claim claim = producer.claim({.bytes = 100}, now);
  Lease lease = consumer.lease({.max_messages = 2, .deadline = now});
  Lease other = alone.lease({.max_messages = 2, .deadline = now});
  std::shared_ptr<detail::Segment> segment;

  Observed() {
    fuzz::expect(claim && lease && other, "nothing open to be observed");
    file.seal();
    const detail::Place place = detail::place_of(fuzz::QueueFile::kName, file.directory());
    segment = detail::Segment::map(place, detail::open_file(place, detail::Access::read_only, detail::Depth::whole, {}),
                                   detail::Access::read_only);
  }
};

void expect_bounded(const QueueInfo& info) {
  const std::uint64_t records = info.capacity_bytes / 16;
  fuzz::expect(info.depth_bytes <= info.capacity_bytes, "deeper than the ring");
  fuzz::expect(info.endpoints.size() <= info.endpoints_max && info.groups.size() <= info.groups_max,
               "more rows than the tables have");
  for (const GroupInfo& group : info.groups) {
    fuzz::expect(group.depth_bytes <= info.capacity_bytes, "a group deeper than the ring");
    fuzz::expect(group.depth_messages <= records, "more messages than the ring has room for");
    fuzz::expect(group.name.size() < layout::kNameBytes, "a name without end");
    fuzz::expect(group.leases.size() <= std::max(info.ledger_entries, 1U), "more leases than the ledger has entries");
    fuzz::expect(group.availability >= 0 && group.availability <= 1, "a utilisation that cannot be");
    for (const LatencyInfo* latency : {&group.queue, &group.transfer, &group.processing, &group.latency}) {
      fuzz::expect(latency->p50_ns <= latency->p90_ns && latency->p90_ns <= latency->p99_ns &&
                       latency->p99_ns <= latency->p999_ns,
                   "quantiles out of order");
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  static auto* const observed = new Observed;  // with things open, which a destructor would finish
  const fuzz::Steps steps(bytes, size);
  observed->file.restore();
  for (std::size_t i = 0; i < steps.count(); ++i) observed->file.edit(steps[i]);
  expect_bounded(detail::inspect_segment(*observed->segment));
  return 0;
}
