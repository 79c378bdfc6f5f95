// docs/layout.md shows every byte that processes share. What it says is held against the compiler's offsets and sizes, and
// the list of fields here against the sources, so that neither a page nor this list can lag behind a struct.
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <map>
#include <ostream>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "core/ledger.hpp"
#include "core/parking.hpp"
#include "core/view.hpp"
#include "layout/dead_letter.hpp"
#include "layout/format.hpp"
#include "layout/layout.hpp"

namespace ipcq {
namespace {

using namespace layout;

/// Where a field is: bytes in a struct, bits in a word.
struct Place {
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  friend bool operator==(const Place&, const Place&) = default;
};
std::ostream& operator<<(std::ostream& out, const Place& place) { return out << place.size << " at " << place.offset; }

/// A struct, a word, or an area of the file.
struct Table {
  std::uint64_t size = 0;
  std::map<std::string, Place> fields;
};
using Tables = std::map<std::string, Table>;

std::string read(const std::string& path) {
  std::ifstream file(std::string(IPCQ_SOURCE_DIR) + "/" + path);
  std::ostringstream text;
  text << file.rdbuf();
  EXPECT_FALSE(text.str().empty()) << path << " cannot be read";
  return text.str();
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// A heading "### `NAME`", a line "Size: N bytes" (or bits), rows "| offset | size | `field` | …".
Tables tables_in(const std::string& document) {
  static const std::regex kHeading("^#+ (?:`([^`]+)`)?.*");
  static const std::regex kSize("^Size: (\\d+) (?:bytes|bits)\\b.*");
  static const std::regex kRow("^\\| *(\\d+) *\\| *(\\d+) *\\| *`([^`]+)` *\\|.*");
  Tables tables;
  std::string name;
  for (const std::string& line : lines_of(document)) {
    std::smatch found;
    if (std::regex_match(line, found, kHeading)) {
      name = found[1];
    } else if (name.empty()) {
      continue;
    } else if (std::regex_match(line, found, kSize)) {
      tables[name].size = std::stoull(found[1]);
    } else if (std::regex_match(line, found, kRow)) {
      EXPECT_TRUE(tables[name].fields.try_emplace(found[3], Place{std::stoull(found[1]), std::stoull(found[2])}).second)
          << name << "::" << found[3] << " is shown twice";
    }
  }
  return tables;
}

// What differs, a line each.
std::vector<std::string> differences(const Tables& shown, const Tables& real) {
  std::vector<std::string> lines;
  for (const auto& [name, table] : real) {
    if (!shown.contains(name)) lines.push_back(name + " is not shown");
  }
  for (const auto& [name, table] : shown) {
    const auto found = real.find(name);
    if (found == real.end()) {
      lines.push_back(name + " is shown, but is nothing");
      continue;
    }
    const Table& other = found->second;
    const auto differ = [&lines](const std::string& what, const auto& one, const auto& two) {
      std::ostringstream line;
      line << what << " is shown as " << one << ", it is " << two;
      lines.push_back(line.str());
    };
    if (table.size != other.size) differ("the size of " + name, table.size, other.size);
    for (const auto& [field, place] : other.fields) {
      if (!table.fields.contains(field)) lines.push_back(name + "::" + field + " is not shown");
    }
    for (const auto& [field, place] : table.fields) {
      const auto it = other.fields.find(field);
      if (it == other.fields.end()) {
        lines.push_back(name + "::" + field + " is shown, but is nothing");
      } else if (it->second != place) {
        differ(name + "::" + field, place, it->second);
      }
    }
  }
  return lines;
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

#define IPCQ_FIELD(type, member) \
  std::pair<const std::string, Place>(#member, Place{offsetof(type, member), sizeof(type::member)})

Tables structs() {
  using detail::RecordHeader;
  return {
      {"FrozenHeader",
       {sizeof(FrozenHeader),
        {IPCQ_FIELD(FrozenHeader, magic), IPCQ_FIELD(FrozenHeader, layout_version), IPCQ_FIELD(FrozenHeader, flags),
         IPCQ_FIELD(FrozenHeader, segment_bytes), IPCQ_FIELD(FrozenHeader, life_begin),
         IPCQ_FIELD(FrozenHeader, life_count), IPCQ_FIELD(FrozenHeader, owner_uid),
         IPCQ_FIELD(FrozenHeader, pid_namespace_dev), IPCQ_FIELD(FrozenHeader, pid_namespace_ino),
         IPCQ_FIELD(FrozenHeader, time_namespace_dev), IPCQ_FIELD(FrozenHeader, time_namespace_ino),
         IPCQ_FIELD(FrozenHeader, created_unix_ns), IPCQ_FIELD(FrozenHeader, reserved)}}},
      {"Fingerprint",
       {sizeof(Fingerprint),
        {IPCQ_FIELD(Fingerprint, byte_order), IPCQ_FIELD(Fingerprint, word_bytes), IPCQ_FIELD(Fingerprint, cache_line),
         IPCQ_FIELD(Fingerprint, page_bytes), IPCQ_FIELD(Fingerprint, mutex_bytes), IPCQ_FIELD(Fingerprint, structs),
         IPCQ_FIELD(Fingerprint, c_library)}}},
      {"Header",
       {sizeof(Header),
        {IPCQ_FIELD(Header, fingerprint),    IPCQ_FIELD(Header, capacity),       IPCQ_FIELD(Header, control_bytes),
         IPCQ_FIELD(Header, rows_offset),    IPCQ_FIELD(Header, groups_offset),  IPCQ_FIELD(Header, group_stride),
         IPCQ_FIELD(Header, quota_offset),   IPCQ_FIELD(Header, clock_mult),     IPCQ_FIELD(Header, clock_shift),
         IPCQ_FIELD(Header, alignment),      IPCQ_FIELD(Header, endpoints_max),  IPCQ_FIELD(Header, groups_max),
         IPCQ_FIELD(Header, ledger_entries), IPCQ_FIELD(Header, max_deliveries), IPCQ_FIELD(Header, uid_buckets),
         IPCQ_FIELD(Header, producers),      IPCQ_FIELD(Header, consumers),      IPCQ_FIELD(Header, overflow),
         IPCQ_FIELD(Header, metrics),        IPCQ_FIELD(Header, clock),          IPCQ_FIELD(Header, lifetime),
         IPCQ_FIELD(Header, drop_after),     IPCQ_FIELD(Header, reserved0),      IPCQ_FIELD(Header, grace_s),
         IPCQ_FIELD(Header, type),           IPCQ_FIELD(Header, dead_letter),    IPCQ_FIELD(Header, reserved)}}},
      {"LockLine", {sizeof(LockLine), {IPCQ_FIELD(LockLine, mutex)}}},
      {"EventLine", {sizeof(EventLine), {IPCQ_FIELD(EventLine, word), IPCQ_FIELD(EventLine, streaming)}}},
      {"ClaimLine",
       {sizeof(ClaimLine),
        {IPCQ_FIELD(ClaimLine, claim_position), IPCQ_FIELD(ClaimLine, last_time), IPCQ_FIELD(ClaimLine, least_retired)}}},
      {"CloseLine",
       {sizeof(CloseLine),
        {IPCQ_FIELD(CloseLine, closed_at), IPCQ_FIELD(CloseLine, exclusive_owner), IPCQ_FIELD(CloseLine, reserved),
         IPCQ_FIELD(CloseLine, abandoned_claims), IPCQ_FIELD(CloseLine, recoveries)}}},
      {"Side",
       {sizeof(Side),
        {IPCQ_FIELD(Side, producer_lock), IPCQ_FIELD(Side, claim), IPCQ_FIELD(Side, close), IPCQ_FIELD(Side, data),
         IPCQ_FIELD(Side, space), IPCQ_FIELD(Side, table_lock)}}},
      {"Counters",
       {sizeof(Counters),
        {IPCQ_FIELD(Counters, messages), IPCQ_FIELD(Counters, bytes), IPCQ_FIELD(Counters, batches),
         IPCQ_FIELD(Counters, waits), IPCQ_FIELD(Counters, refusals), IPCQ_FIELD(Counters, wait_ns),
         IPCQ_FIELD(Counters, processing_ticks), IPCQ_FIELD(Counters, reserved)}}},
      {"EndpointRow",
       {sizeof(EndpointRow),
        {IPCQ_FIELD(EndpointRow, state), IPCQ_FIELD(EndpointRow, incarnation), IPCQ_FIELD(EndpointRow, pid),
         IPCQ_FIELD(EndpointRow, uid), IPCQ_FIELD(EndpointRow, start_time), IPCQ_FIELD(EndpointRow, kind),
         IPCQ_FIELD(EndpointRow, group), IPCQ_FIELD(EndpointRow, group_incarnation), IPCQ_FIELD(EndpointRow, flags),
         IPCQ_FIELD(EndpointRow, attached_ns), IPCQ_FIELD(EndpointRow, image), IPCQ_FIELD(EndpointRow, left_ns),
         IPCQ_FIELD(EndpointRow, open_claim), IPCQ_FIELD(EndpointRow, reserved1), IPCQ_FIELD(EndpointRow, produced),
         IPCQ_FIELD(EndpointRow, consumed), IPCQ_FIELD(EndpointRow, base)}}},
      {"GroupRow",
       {sizeof(GroupRow),
        {IPCQ_FIELD(GroupRow, retired),
         IPCQ_FIELD(GroupRow, state),
         IPCQ_FIELD(GroupRow, incarnation),
         IPCQ_FIELD(GroupRow, mutex),
         IPCQ_FIELD(GroupRow, drop_to),
         IPCQ_FIELD(GroupRow, drop_count),
         IPCQ_FIELD(GroupRow, index_first),
         IPCQ_FIELD(GroupRow, index_count),
         IPCQ_FIELD(GroupRow, leased_messages),
         IPCQ_FIELD(GroupRow, redelivered_messages),
         IPCQ_FIELD(GroupRow, dropped_messages),
         IPCQ_FIELD(GroupRow, recovered_leases),
         IPCQ_FIELD(GroupRow, dead_lettered_messages),
         IPCQ_FIELD(GroupRow, purged_messages),
         IPCQ_FIELD(GroupRow, parked_tried_ns),
         IPCQ_FIELD(GroupRow, owner),
         IPCQ_FIELD(GroupRow, takeover_count),
         IPCQ_FIELD(GroupRow, takeover_retired),
         IPCQ_FIELD(GroupRow, leased_to),
         IPCQ_FIELD(GroupRow, again_to),
         IPCQ_FIELD(GroupRow, parked_at),
         IPCQ_FIELD(GroupRow, parked_why),
         IPCQ_FIELD(GroupRow, reserved0),
         IPCQ_FIELD(GroupRow, name),
         IPCQ_FIELD(GroupRow, start),
         IPCQ_FIELD(GroupRow, overflow),
         IPCQ_FIELD(GroupRow, consumers),
         IPCQ_FIELD(GroupRow, lifetime),
         IPCQ_FIELD(GroupRow, reserved2),
         IPCQ_FIELD(GroupRow, reserved3)}}},
      {"LedgerEntry",
       {sizeof(LedgerEntry),
        {IPCQ_FIELD(LedgerEntry, begin), IPCQ_FIELD(LedgerEntry, end), IPCQ_FIELD(LedgerEntry, word),
         IPCQ_FIELD(LedgerEntry, leased_at)}}},
      {"Histogram",
       {sizeof(Histogram),
        {IPCQ_FIELD(Histogram, messages), IPCQ_FIELD(Histogram, sum_ns), IPCQ_FIELD(Histogram, max_ns),
         IPCQ_FIELD(Histogram, reserved), IPCQ_FIELD(Histogram, buckets)}}},
      {"Histograms",
       {sizeof(Histograms),
        {IPCQ_FIELD(Histograms, queue), IPCQ_FIELD(Histograms, transfer), IPCQ_FIELD(Histograms, processing),
         IPCQ_FIELD(Histograms, latency)}}},
      {"QuotaBucket",
       {sizeof(QuotaBucket),
        {IPCQ_FIELD(QuotaBucket, whose), IPCQ_FIELD(QuotaBucket, change), IPCQ_FIELD(QuotaBucket, message_time),
         IPCQ_FIELD(QuotaBucket, byte_time), IPCQ_FIELD(QuotaBucket, message_interval),
         IPCQ_FIELD(QuotaBucket, byte_interval), IPCQ_FIELD(QuotaBucket, byte_burst),
         IPCQ_FIELD(QuotaBucket, message_burst), IPCQ_FIELD(QuotaBucket, event), IPCQ_FIELD(QuotaBucket, refusals),
         IPCQ_FIELD(QuotaBucket, wait_ns)}}},
      {"DeadLetterOrigin",
       {sizeof(DeadLetterOrigin),
        {IPCQ_FIELD(DeadLetterOrigin, version), IPCQ_FIELD(DeadLetterOrigin, payload_offset),
         IPCQ_FIELD(DeadLetterOrigin, position), IPCQ_FIELD(DeadLetterOrigin, queue_created_unix_ns),
         IPCQ_FIELD(DeadLetterOrigin, sent_unix_ns), IPCQ_FIELD(DeadLetterOrigin, moved_unix_ns),
         IPCQ_FIELD(DeadLetterOrigin, deliveries), IPCQ_FIELD(DeadLetterOrigin, tag),
         IPCQ_FIELD(DeadLetterOrigin, flags), IPCQ_FIELD(DeadLetterOrigin, queue), IPCQ_FIELD(DeadLetterOrigin, group)}}},
      {"RecordHeader", {sizeof(RecordHeader), {IPCQ_FIELD(RecordHeader, head), IPCQ_FIELD(RecordHeader, time)}}},
  };
}

// The bits that a value of all ones sets.
Place bits(std::uint64_t mask) {
  return {static_cast<std::uint64_t>(std::countr_zero(mask)), static_cast<std::uint64_t>(std::popcount(mask))};
}

Tables words() {
  using detail::make_head;
  using detail::RecordState;
  const std::uint64_t length = detail::kLengthMask;
  const std::uint64_t state = make_head(static_cast<RecordState>(3), 0, 0);
  const auto high = [](std::uint32_t value) { return bits(make_head(RecordState::none, 0, value)); };
  // The reading side names the fields: a bit that it takes for the tag is one.
  EXPECT_EQ(detail::head_tag(make_head(RecordState::committed, 0, 0xffffffff)), 0xffff);
  return {
      {"head of an open claim",
       {64,
        {{"length", bits(length)},
         {"state", bits(state)},
         {"row", high(core::make_owner(0xff, 0))},
         {"incarnation", high(core::make_owner(0, 0xffffff))}}}},
      {"head of a message",
       {64,
        {{"length", bits(length)},
         {"state", bits(state)},
         {"tag", high(0xffff)},
         {"flags", high(0xf0000)},
         {"run", high(0xfff0'0000)}}}},
      {"word of a ledger entry",
       {64,
        {{"state", bits(core::make_word(static_cast<core::EntryState>(7), 0, 0, 0))},
         {"deliveries", bits(core::make_word(core::EntryState::free, core::kDeliveriesMax, 0, 0))},
         {"sequence", bits(core::make_word(core::EntryState::free, 0, 0xffff, 0))},
         {"row", bits(core::make_word(core::EntryState::free, 0, 0, core::make_owner(0xff, 0)))},
         {"incarnation", bits(core::make_word(core::EntryState::free, 0, 0, core::make_owner(0, 0xffffff)))}}}},
  };
}

// A queue made with default options, on pages of 4 KiB.
Tables areas() {
  constexpr std::uint64_t kEntries = 256;
  constexpr std::uint64_t kEndpoints = 128;
  constexpr std::uint64_t kGroups = 16;
  const std::uint64_t groups = kRowsOffset + kEndpoints * sizeof(EndpointRow);
  const std::uint64_t quotas = groups + kGroups * group_bytes(kEntries);
  const std::uint64_t entries = kEntries * sizeof(LedgerEntry);
  return {
      {"group",
       {group_bytes(kEntries),
        {{"GroupRow", {0, sizeof(GroupRow)}},
         {"LedgerEntry[]", {sizeof(GroupRow), entries}},
         {"index", {sizeof(GroupRow) + entries, ledger_bytes(kEntries) - entries}},
         {"Histograms", {sizeof(GroupRow) + ledger_bytes(kEntries), sizeof(Histograms)}}}}},
      {"control area",
       {control_bytes(kEndpoints, kGroups, kEntries),
        {{"FrozenHeader", {0, sizeof(FrozenHeader)}},
         {"Header", {kHeaderOffset, sizeof(Header)}},
         {"Side", {kSideOffset, sizeof(Side)}},
         {"EndpointRow[]", {kRowsOffset, kEndpoints * sizeof(EndpointRow)}},
         {"group[]", {groups, kGroups * group_bytes(kEntries)}},
         {"QuotaBucket[]", {quotas, (1 + kUidBuckets + kEndpoints) * sizeof(QuotaBucket)}}}}},
  };
}

Tables everything() {
  Tables all = structs();
  all.merge(words());
  all.merge(areas());
  return all;
}

// Names of the members of each struct, as the sources declare them.
std::map<std::string, std::set<std::string>> members_in(const std::string& source) {
  static const std::regex kOpening("^struct (?:alignas\\(\\w+\\) )?(\\w+) \\{$");
  static const std::regex kMember("^ +(?:alignas\\(\\w+\\) )?[\\w:]+(?:<[\\w:]+>)? (\\w+)(?:\\[[^\\]]+\\])?;.*");
  std::map<std::string, std::set<std::string>> members;
  std::string name;
  for (const std::string& line : lines_of(source)) {
    std::smatch found;
    if (std::regex_match(line, found, kOpening)) {
      name = found[1];
    } else if (line == "};") {
      name.clear();
    } else if (!name.empty() && std::regex_match(line, found, kMember)) {
      members[name].insert(found[1]);
    }
  }
  return members;
}

std::map<std::string, std::uint64_t> values() {
  const auto number = [](auto value) { return static_cast<std::uint64_t>(value); };
  return {
      {"flag::kClosed", flag::kClosed},
      {"flag::kRemoved", flag::kRemoved},
      {"flag::kPoisoned", flag::kPoisoned},
      {"kRevoked", kRevoked},
      {"kLimited", kLimited},
      {"RecordState::none", number(detail::RecordState::none)},
      {"RecordState::claimed", number(detail::RecordState::claimed)},
      {"RecordState::committed", number(detail::RecordState::committed)},
      {"RecordState::skipped", number(detail::RecordState::skipped)},
      {"EntryState::free", number(core::EntryState::free)},
      {"EntryState::leased", number(core::EntryState::leased)},
      {"EntryState::done", number(core::EntryState::done)},
      {"EntryState::redeliverable", number(core::EntryState::redeliverable)},
      {"EntryState::parked", number(core::EntryState::parked)},
      {"Parked::no", number(core::Parked::no)},
      {"Parked::missing", number(core::Parked::missing)},
      {"Parked::not_writable", number(core::Parked::not_writable)},
      {"Parked::full", number(core::Parked::full)},
      {"Parked::too_big", number(core::Parked::too_big)},
      {"Parked::closed", number(core::Parked::closed)},
      {"Parked::refused", number(core::Parked::refused)},
      {"Parked::unusable", number(core::Parked::unusable)},
      {"RowState::free", number(RowState::free)},
      {"RowState::attached", number(RowState::attached)},
      {"RowKind::none", number(RowKind::none)},
      {"RowKind::producer", number(RowKind::producer)},
      {"RowKind::consumer", number(RowKind::consumer)},
      {"GroupState::free", number(GroupState::free)},
      {"GroupState::active", number(GroupState::active)},
      {"GroupState::marked", number(GroupState::marked)},
      {"ClockKind::off", number(ClockKind::off)},
      {"ClockKind::tsc", number(ClockKind::tsc)},
      {"ClockKind::monotonic", number(ClockKind::monotonic)},
      {"ProducerMode::shared", number(ProducerMode::shared)},
      {"ProducerMode::exclusive", number(ProducerMode::exclusive)},
      {"ConsumerMode::shared", number(ConsumerMode::shared)},
      {"ConsumerMode::exclusive", number(ConsumerMode::exclusive)},
      {"Overflow::block", number(Overflow::block)},
      {"Overflow::reject", number(Overflow::reject)},
      {"Overflow::drop_oldest", number(Overflow::drop_oldest)},
      {"Start::oldest", number(Start::oldest)},
      {"Start::newest", number(Start::newest)},
      {"Lifetime::persistent", number(Lifetime::persistent)},
      {"Lifetime::ephemeral", number(Lifetime::ephemeral)},
  };
}

// Rows "| value | `name` | …".
std::map<std::string, std::uint64_t> values_in(const std::string& document) {
  static const std::regex kRow("^\\| *(\\d+) *\\| *`([^`]+)` *\\|.*");
  std::map<std::string, std::uint64_t> found_values;
  for (const std::string& line : lines_of(document)) {
    std::smatch found;
    if (std::regex_match(line, found, kRow)) found_values.emplace(found[2], std::stoull(found[1]));
  }
  return found_values;
}

// The bytes of a hex dump: lines of an eight-digit offset and sixteen bytes.
std::vector<std::uint8_t> dump_in(const std::string& document) {
  static const std::regex kDumped("^ *([0-9a-f]{8})  ((?:[0-9a-f]{2} +){16}).*");
  std::vector<std::uint8_t> bytes;
  for (const std::string& line : lines_of(document)) {
    std::smatch found;
    if (!std::regex_match(line, found, kDumped)) continue;
    EXPECT_EQ(std::stoull(found[1], nullptr, 16), bytes.size()) << line;
    std::istringstream in(found[2]);
    for (std::string byte; in >> byte;) bytes.push_back(static_cast<std::uint8_t>(std::stoul(byte, nullptr, 16)));
  }
  return bytes;
}

TEST(LayoutDocument, ShowsEveryFieldWhereItIs) {
  const std::vector<std::string> lines = differences(tables_in(read("docs/layout.md")), everything());
  EXPECT_TRUE(lines.empty()) << "docs/layout.md:\n" << joined(lines);
}

TEST(LayoutDocument, ListsEveryMemberThatTheSourcesDeclare) {
  auto declared = members_in(read("libipcq/src/layout/layout.hpp"));
  declared.merge(members_in(read("libipcq/include/ipcq/detail/record.hpp")));
  declared.merge(members_in(read("libipcq/src/layout/dead_letter.hpp")));
  std::map<std::string, std::set<std::string>> listed;
  for (const auto& [name, table] : structs()) {
    for (const auto& [field, place] : table.fields) listed[name].insert(field);
  }
  EXPECT_EQ(listed, declared);
}

TEST(LayoutDocument, ShowsEveryValueAsItIs) { EXPECT_EQ(values_in(read("docs/layout.md")), values()); }

TEST(LayoutDocument, DumpsTheFirstBytesOfADefaultQueue) {
  const std::vector<std::uint8_t> bytes = dump_in(read("docs/layout.md"));
  ASSERT_EQ(bytes.size(), sizeof(FrozenHeader));
  const auto* dumped = reinterpret_cast<const std::byte*>(bytes.data());
  Plan plan;
  plan.capacity = std::uint64_t{8} << 20;
  HeaderCopy header;
  // 128 bytes are all that is shown: enough to be told from everything that is no queue, too few to be opened.
  EXPECT_STREQ(validate(dumped, bytes.size(), segment_bytes(plan), header).reason,
               "the file is too short to be a queue");
  EXPECT_EQ(header.layout_version, kLayoutVersion);
  EXPECT_EQ(header.flags, 0U);
  EXPECT_EQ(header.segment_bytes, segment_bytes(plan));
  EXPECT_EQ(header.life_begin, kLifeBegin);
  EXPECT_EQ(header.life_count, plan.endpoints_max);
  EXPECT_NE(header.created_unix_ns, 0U);
}

TEST(LayoutDocument, ThatLagsBehindIsFoundOut) {
  const std::string right = "### `word`\n\nSize: 8 bytes\n\n| 0 | 4 | `low` | |\n| 4 | 4 | `high` | |\n";
  const Tables real = {{"word", {8, {{"low", {0, 4}}, {"high", {4, 4}}}}}};
  ASSERT_TRUE(differences(tables_in(right), real).empty());
  const auto with = [&](const std::string& before, const std::string& after) {
    std::string document = right;
    document.replace(document.find(before), before.size(), after);
    return joined(differences(tables_in(document), real));
  };
  EXPECT_EQ(with("| 4 | 4 |", "| 4 | 8 |"), "word::high is shown as 8 at 4, it is 4 at 4\n");
  EXPECT_EQ(with("| 4 | 4 |", "| 0 | 4 |"), "word::high is shown as 4 at 0, it is 4 at 4\n");
  EXPECT_EQ(with("8 bytes", "16 bytes"), "the size of word is shown as 16, it is 8\n");
  EXPECT_EQ(with("| 4 | 4 | `high` | |\n", ""), "word::high is not shown\n");
  EXPECT_EQ(with("| 4 | 4 | `high` | |\n", "| 4 | 4 | `high` | |\n| 8 | 1 | `more` | |\n"),
            "word::more is shown, but is nothing\n");
  EXPECT_EQ(with("### `word`", "### `other`"), "word is not shown\nother is shown, but is nothing\n");
}

}  // namespace
}  // namespace ipcq
