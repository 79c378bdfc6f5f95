// Validation of a file's first bytes: each field that is wrong has its verdict, no file is too short, no bytes are too
// strange.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "fixture.hpp"
#include "layout/format.hpp"

namespace ipcq::unit {
namespace {

using layout::FrozenHeader;
using layout::Header;
using layout::HeaderCopy;

constexpr std::size_t kBytes = layout::kSideOffset;
using Bytes = std::array<std::byte, kBytes>;

class Validate : public ::testing::Test {
 protected:
  Validate() { std::memcpy(sound_.data(), segment_.view().control, kBytes); }

  [[nodiscard]] layout::Verdict verdict(const Bytes& bytes, std::size_t available = kBytes) const {
    HeaderCopy copy;
    return layout::validate(bytes.data(), available, file_bytes(), copy).verdict;
  }
  [[nodiscard]] std::uint64_t file_bytes() const { return layout::segment_bytes(plan_of({})); }
  /// The sound bytes with `value` at `offset`.
  template <class Value>
  [[nodiscard]] Bytes with(std::size_t offset, Value value) const {
    Bytes bytes = sound_;
    std::memcpy(bytes.data() + offset, &value, sizeof value);
    return bytes;
  }
  template <class Value>
  [[nodiscard]] Bytes with_header(std::size_t offset, Value value) const {
    return with(layout::kHeaderOffset + offset, value);
  }

  CoreSegment segment_;
  Bytes sound_;
};

// What any flipped bit of a field comes to.
struct Field {
  const char* name;
  std::size_t offset;
  std::size_t bytes;
  std::set<layout::Verdict> verdicts;
};

std::vector<Field> fields() {
  const std::set<layout::Verdict> ok = {layout::Verdict::ok};
  const std::set<layout::Verdict> damaged = {layout::Verdict::damaged};
  const std::set<layout::Verdict> either = {layout::Verdict::ok, layout::Verdict::damaged};  // another value may be as good
  std::vector<Field> all;
  const auto next = [&](const char* name, std::size_t bytes, const std::set<layout::Verdict>& verdicts) {
    const std::size_t offset = all.empty() ? 0 : all.back().offset + all.back().bytes;
    all.push_back({name, offset, bytes, verdicts});
  };
  next("magic", 8, {layout::Verdict::not_a_queue});
  next("layout_version", 4, {layout::Verdict::other_layout});
  next("flags", 4, ok);
  next("segment_bytes", 8, {layout::Verdict::not_a_queue, layout::Verdict::damaged});  // the file is shorter, or longer
  next("life_begin", 8, either);
  next("life_count", 4, damaged);
  next("owner_uid, namespaces, created", 44, ok);
  next("reserved of the frozen part", 48, ok);
  next("fingerprint", sizeof(layout::Fingerprint), {layout::Verdict::other_machine});
  next("capacity, places of the tables", 48, damaged);
  next("clock_mult", 8, either);
  next("clock_shift", 4, either);
  next("alignment", 4, damaged);
  next("endpoints_max, groups_max", 8, damaged);
  next("ledger_entries", 4, either);
  next("max_deliveries", 4, damaged);
  next("uid_buckets", 4, damaged);
  next("producers, consumers", 2, either);
  next("overflow", 1, either);
  next("metrics", 1, either);
  next("clock", 1, either);
  next("lifetime, drop_after", 2, either);
  next("reserved0, grace_s", 5, ok);
  next("type", layout::kTypeBytes, either);
  next("dead_letter", layout::kNameBytes, either);
  next("reserved", 104, ok);
  return all;
}

TEST_F(Validate, ASoundHeaderIsOk) { EXPECT_EQ(verdict(sound_), layout::Verdict::ok); }

TEST_F(Validate, EveryFieldWithABitFlippedHasItsVerdict) {
  const std::vector<Field> all = fields();
  ASSERT_EQ(all.back().offset + all.back().bytes, kBytes) << "every byte of the header has its line";
  for (const Field& field : all) {
    std::size_t wrong = 0;
    for (std::size_t bit = 8 * field.offset; bit < 8 * (field.offset + field.bytes); ++bit) {
      Bytes bytes = sound_;
      bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
      if (!field.verdicts.contains(verdict(bytes))) ++wrong;
    }
    EXPECT_EQ(wrong, 0U) << "of the " << 8 * field.bytes << " bits of " << field.name;
  }
}

TEST_F(Validate, AnOptionOutOfItsRangeIsDamage) {
  EXPECT_EQ(verdict(with_header(offsetof(Header, producers), std::uint8_t{2})), layout::Verdict::damaged);
  EXPECT_EQ(verdict(with_header(offsetof(Header, consumers), std::uint8_t{2})), layout::Verdict::damaged);
  EXPECT_EQ(verdict(with_header(offsetof(Header, overflow), std::uint8_t{3})), layout::Verdict::damaged);
  EXPECT_EQ(verdict(with_header(offsetof(Header, clock), std::uint8_t{3})), layout::Verdict::damaged);
  EXPECT_EQ(verdict(with_header(offsetof(Header, clock_shift), std::uint32_t{64})), layout::Verdict::damaged);
  EXPECT_EQ(verdict(with_header(offsetof(Header, clock_mult), std::uint64_t{0})), layout::Verdict::damaged);
}

TEST_F(Validate, ASizeOutOfItsRangeIsDamageThoughItIsAPowerOfTwo) {
  for (const std::uint64_t capacity : {std::uint64_t{0}, std::uint64_t{32768}, std::uint64_t{1} << 63}) {
    EXPECT_EQ(verdict(with_header(offsetof(Header, capacity), capacity)), layout::Verdict::damaged);
  }
  for (const std::uint32_t alignment : {0U, 8U, 8192U}) {
    EXPECT_EQ(verdict(with_header(offsetof(Header, alignment), alignment)), layout::Verdict::damaged);
  }
  for (const std::uint64_t life : {std::uint64_t{0}, UINT64_MAX}) {
    EXPECT_EQ(verdict(with(offsetof(FrozenHeader, life_begin), life)), layout::Verdict::damaged);
  }
  EXPECT_EQ(verdict(with(offsetof(FrozenHeader, life_count), std::uint32_t{0})), layout::Verdict::damaged);
}

TEST_F(Validate, ANameWithoutItsEndIsDamage) {
  Bytes bytes = sound_;
  std::memset(bytes.data() + layout::kHeaderOffset + offsetof(Header, type), 't', layout::kTypeBytes);
  EXPECT_EQ(verdict(bytes), layout::Verdict::damaged);
}

TEST_F(Validate, OfAnotherLayoutOnlyTheFrozenPartIsRead) {
  Bytes bytes = with(offsetof(FrozenHeader, layout_version), layout::kLayoutVersion + 1);
  std::memset(bytes.data() + layout::kHeaderOffset, 0xff, kBytes - layout::kHeaderOffset);
  HeaderCopy copy;
  EXPECT_EQ(layout::validate(bytes.data(), kBytes, file_bytes(), copy).verdict, layout::Verdict::other_layout);
  EXPECT_EQ(copy.layout_version, layout::kLayoutVersion + 1);
  EXPECT_EQ(copy.life_begin, layout::kLifeBegin);
  EXPECT_EQ(copy.life_count, segment_.view().endpoints_max);
  EXPECT_EQ(layout::validate(bytes.data(), sizeof(FrozenHeader), file_bytes(), copy).verdict, layout::Verdict::other_layout)
      << "and no more than that is needed";
}

TEST_F(Validate, AnEmptyFileIsNoQueue) {
  HeaderCopy copy;
  const layout::Validation found = layout::validate(sound_.data(), 0, 0, copy);
  EXPECT_EQ(found.verdict, layout::Verdict::not_a_queue);
  EXPECT_NE(std::string(found.reason).find("empty"), std::string::npos);
}

TEST_F(Validate, AFileCutAnywhereIsRefused) {
  for (std::size_t available = 1; available < kBytes; ++available) {
    // Its own memory, of this size: reading on is found by the address sanitizer.
    const std::vector<std::byte> cut(sound_.begin(), sound_.begin() + static_cast<std::ptrdiff_t>(available));
    HeaderCopy copy;
    EXPECT_EQ(layout::validate(cut.data(), available, available, copy).verdict, layout::Verdict::not_a_queue);
    // It says that it is so short.
    Bytes lying = with(offsetof(FrozenHeader, segment_bytes), std::uint64_t{available});
    EXPECT_EQ(layout::validate(lying.data(), available, available, copy).verdict, layout::Verdict::not_a_queue);
  }
}

TEST_F(Validate, AFileShorterThanItsHeaderSaysIsNoQueueAndALongerOneIsDamaged) {
  HeaderCopy copy;
  for (const std::uint64_t wrong : {file_bytes() - 1, file_bytes() / 2}) {
    EXPECT_EQ(layout::validate(sound_.data(), kBytes, wrong, copy).verdict, layout::Verdict::not_a_queue);
  }
  for (const std::uint64_t wrong : {file_bytes() + 1, UINT64_MAX}) {
    EXPECT_EQ(layout::validate(sound_.data(), kBytes, wrong, copy).verdict, layout::Verdict::damaged);
  }
}

TEST_F(Validate, RandomBytesAreNeverTakenForAQueue) {
  std::mt19937_64 random = random_numbers();
  for (std::uint32_t trial = 0; trial < scaled(50'000); ++trial) {
    Bytes bytes;
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
    // More and more of it sound, so that each check is come to.
    const std::uint64_t sound = pick(random, 0, 12);
    if (sound > 0) std::memcpy(bytes.data(), sound_.data(), std::min<std::size_t>(kBytes - 100, sound * 40));
    HeaderCopy copy;
    const layout::Verdict found =
        layout::validate(bytes.data(), pick(random, 0, kBytes), random() >> pick(random, 0, 63), copy).verdict;
    ASSERT_NE(found, layout::Verdict::ok);
  }
}

}  // namespace
}  // namespace ipcq::unit
