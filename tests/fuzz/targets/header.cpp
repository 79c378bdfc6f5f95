// Target: validation of a file's first bytes. What it accepts lies inside the file.
#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "layout/format.hpp"
#include "step.hpp"

namespace {

using namespace ipcq;

constexpr std::size_t kHeaderBytes = layout::kSideOffset;

// A new segment's first bytes, and how long its file is.
struct Sound {
  std::vector<std::byte> bytes;
  std::uint64_t file_bytes = 0;
};

Sound make_sound() {
  layout::Plan plan;
  plan.capacity = 64 * 1024;
  plan.endpoints_max = 16;
  plan.groups_max = 2;
  plan.ledger_entries = 8;
  plan.type = "a type";
  const std::uint64_t control = layout::control_bytes(plan.endpoints_max, plan.groups_max, plan.ledger_entries);
  std::vector<std::max_align_t> memory(control / sizeof(std::max_align_t) + 8);
  void* at = memory.data();
  std::size_t room = memory.size() * sizeof(std::max_align_t);
  auto* bytes = static_cast<std::byte*>(std::align(layout::kCacheLine, control, at, room));
  fuzz::expect(bytes != nullptr && layout::format(bytes, plan) == 0, "no sound header");
  return {{bytes, bytes + kHeaderBytes}, layout::segment_bytes(plan)};
}

// The tables one behind the other inside the control area, the ring behind it, and nothing behind that.
void expect_inside(const layout::HeaderCopy& copy, std::uint64_t file_bytes) {
  const layout::Header& header = copy.header;
  fuzz::expect(copy.segment_bytes == file_bytes, "the segment is not as long as its file");
  fuzz::expect(header.capacity >= 65536 && (header.capacity & (header.capacity - 1)) == 0, "a capacity that cannot be");
  fuzz::expect(header.control_bytes < file_bytes && header.capacity == file_bytes - header.control_bytes,
               "the ring does not end with the file");
  fuzz::expect(header.rows_offset == layout::kRowsOffset, "rows in the header");
  const std::uint64_t rows_end = header.rows_offset + std::uint64_t{header.endpoints_max} * sizeof(layout::EndpointRow);
  fuzz::expect(header.groups_offset == rows_end, "rows over groups");
  const std::uint64_t groups_end = header.groups_offset + header.groups_max * header.group_stride;
  fuzz::expect(header.group_stride == layout::group_bytes(header.ledger_entries), "groups over each other");
  fuzz::expect(header.quota_offset == groups_end && groups_end <= header.control_bytes, "groups over the ring");
  fuzz::expect(copy.life_count == header.endpoints_max && copy.life_begin > 0, "life bytes for other rows");
  fuzz::expect(header.clock_shift < 64, "a shift that cannot be");
  fuzz::expect(std::memchr(header.type, '\0', sizeof header.type) != nullptr, "a type without end");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  static const Sound sound = make_sound();
  const fuzz::Steps steps(input, size);
  // On the heap, exactly so long: a byte read behind it is found.
  std::vector<std::byte> bytes = sound.bytes;
  std::uint64_t file_bytes = sound.file_bytes;
  for (std::size_t i = 0; i < steps.count(); ++i) {
    const fuzz::Step step = steps[i];
    switch (step.code % 16) {
      case 0:
        bytes.resize(std::min<std::size_t>(step.number, kHeaderBytes));
        bytes.shrink_to_fit();
        break;
      case 1:
        file_bytes = step.how % 2 == 0 ? step.value : file_bytes + step.value % 64;
        break;
      case 2: {  // the file as long as the header says
        if (bytes.size() >= 24) std::memcpy(&file_bytes, bytes.data() + 16, sizeof file_bytes);
        break;
      }
      default: {
        const std::size_t width = std::size_t{1} << (step.how & 3U);
        const std::size_t at = (step.number ^ step.where * 8U) % kHeaderBytes / width * width;
        if (at + width <= bytes.size()) std::memcpy(bytes.data() + at, &step.value, width);
        break;
      }
    }
  }
  layout::HeaderCopy copy;
  const layout::Validation found = layout::validate(bytes.data(), bytes.size(), file_bytes, copy);
  if (found.verdict == layout::Verdict::ok) expect_inside(copy, file_bytes);
  fuzz::expect(found.reason != nullptr && (found.verdict == layout::Verdict::ok || found.reason[0] != '\0'),
               "refused without a reason");
  return 0;
}
