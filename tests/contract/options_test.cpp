// Options of creation: which are taken, how they are rounded, which are refused, and which are promises.
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <bit>
#include <cctype>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "queue_contract.hpp"

namespace ipcq::contract {
namespace {

class Options : public QueueContract {
 protected:
  /// What creating a queue with `change` made to the options throws. Whatever it is, nothing may be left behind.
  template <class Change>
  [[nodiscard]] std::optional<Errc> refusal(Change&& change) const {
    CreateOptions wanted = options();
    change(wanted);
    const std::optional<Errc> errc = errc_of([&] { static_cast<void>(Queue::create("refused", wanted)); });
    if (errc) {
      EXPECT_TRUE(std::filesystem::is_empty(directory()));
    } else {
      remove("refused", {.directory = directory(), .trusted_owners = {}});
    }
    return errc;
  }
  /// The text that open_or_create throws for the queue "contract" with `change` made to the options; empty: it opened.
  template <class Change>
  [[nodiscard]] std::string incompatibility(Change&& change) const {
    CreateOptions wanted = options();
    change(wanted);
    const auto open = [&] { static_cast<void>(Queue::open_or_create("contract", wanted)); };
    const std::optional<Errc> errc = errc_of(open);
    if (errc) {
      EXPECT_EQ(errc, Errc::incompatible);
    }
    return text_of(open);
  }
};
INSTANTIATE_TEST_SUITE_P(Modes, Options, every_mode(), name_of);

/// How many numbers stand in a text.
int numbers_in(std::string_view text) {
  int count = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto digit = [&](std::size_t at) { return std::isdigit(static_cast<unsigned char>(text[at])) != 0; };
    if (digit(i) && (i == 0 || !digit(i - 1))) ++count;
  }
  return count;
}

/// The process's umask, for a while.
class Umask {
 public:
  explicit Umask(mode_t mask) : before_(::umask(mask)) {}
  Umask(const Umask&) = delete;
  Umask& operator=(const Umask&) = delete;
  ~Umask() { ::umask(before_); }

 private:
  mode_t before_;
};

TEST_P(Options, CapacityIsRoundedUpToAPowerOfTwo) {
  int i = 0;
  for (const auto& [asked, made] : std::vector<std::pair<std::size_t, std::size_t>>{
           {65536, 65536}, {65537, 131072}, {100'000, 131072}, {131072, 131072}, {1'000'000, 1048576}}) {
    CreateOptions wanted = options();
    wanted.capacity_bytes = asked;
    const Queue queue = Queue::create("sized-" + std::to_string(i++), wanted);
    EXPECT_EQ(queue.capacity_bytes(), made) << "asked for " << asked;
    EXPECT_EQ(queue.inspect().capacity_bytes, made);
  }
}

TEST_P(Options, ACapacityOfZeroIsInvalid) {
  EXPECT_EQ(refusal([](CreateOptions& o) { o.capacity_bytes = 0; }), Errc::invalid_option);
}

TEST_P(Options, MoreThanTheMemoryThereIsIsNoSpaceAndNamesTheSizes) {
  struct statvfs space {};
  ASSERT_EQ(::statvfs(directory().c_str(), &space), 0);
  if (space.f_blocks == 0) GTEST_SKIP() << "the file system of " << directory() << " has no limit to exceed";
  CreateOptions wanted = options();
  wanted.capacity_bytes = 2 * std::bit_ceil(std::size_t{space.f_blocks} * space.f_frsize);
  const auto create = [&] { static_cast<void>(Queue::create("toolarge", wanted)); };
  EXPECT_EQ(errc_of(create), Errc::no_space);
  std::string text = text_of(create);
  EXPECT_TRUE(contains(text, "toolarge")) << text;
  // The scratch directory's random name may hold digits.
  if (const std::size_t at = text.find(directory()); at != std::string::npos) text.erase(at, directory().size());
  EXPECT_GE(numbers_in(text), 2) << "how much was asked for, and how much is there: " << text;
  EXPECT_TRUE(std::filesystem::is_empty(directory()));
}

TEST_P(Options, ACapacityNearTheEndOfArithmeticIsRefusedAndNotWrappedAround) {
  for (const std::size_t capacity : {std::numeric_limits<std::size_t>::max(), (std::size_t{1} << 63) + 1,
                                     std::size_t{1} << 63, std::size_t{1} << 62}) {
    const std::optional<Errc> errc = refusal([&](CreateOptions& o) { o.capacity_bytes = capacity; });
    EXPECT_TRUE(errc == Errc::invalid_option || errc == Errc::no_space) << capacity;
  }
}

TEST_P(Options, ModeIsExactlyAsAskedWhateverTheUmask) {
  int i = 0;
  for (const mode_t mask : {mode_t{0}, mode_t{022}, mode_t{077}}) {
    for (const mode_t mode : {mode_t{0600}, mode_t{0640}, mode_t{0660}}) {
      const Umask during(mask);
      CreateOptions wanted = options();
      wanted.mode = mode;
      const Queue queue = Queue::create("mode-" + std::to_string(i++), wanted);
      struct stat file {};
      ASSERT_EQ(::stat(queue.path().c_str(), &file), 0);
      EXPECT_EQ(file.st_mode & 07777, mode) << std::oct << "umask " << mask;
      EXPECT_EQ(queue.inspect().mode, mode);
    }
  }
}

TEST_P(Options, ModeIsForTheOwnerAloneUnlessAskedOtherwise) {
  const Umask during(0);
  const Queue queue = create();
  struct stat file {};
  ASSERT_EQ(::stat(queue.path().c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 07777, mode_t{0600});
}

TEST_P(Options, AModeBeyondPermissionsIsInvalid) {
  for (const mode_t mode : {mode_t{04600}, mode_t{01777}, mode_t{0100600}}) {
    EXPECT_EQ(refusal([&](CreateOptions& o) { o.mode = mode; }), Errc::invalid_option) << std::oct << mode;
  }
}

TEST_P(Options, TheFileMayBelongToAGroupByNumber) {
  CreateOptions wanted = options();
  wanted.file_group = std::to_string(::getgid());
  const Queue queue = create(wanted);
  struct stat file {};
  ASSERT_EQ(::stat(queue.path().c_str(), &file), 0);
  EXPECT_EQ(file.st_gid, ::getgid());
}

TEST_P(Options, AFileGroupThatIsNotThereIsInvalid) {
  EXPECT_EQ(refusal([](CreateOptions& o) { o.file_group = "no such group at all"; }), Errc::invalid_option);
}

TEST_P(Options, AlignmentIsAPowerOfTwoFrom16To4096) {
  for (const std::uint32_t alignment : {0U, 1U, 8U, 24U, 100U, 8192U}) {
    EXPECT_EQ(refusal([&](CreateOptions& o) { o.alignment_bytes = alignment; }), Errc::invalid_option) << alignment;
  }
  for (const std::uint32_t alignment : {16U, 32U, 4096U}) {
    CreateOptions wanted = options();
    wanted.alignment_bytes = alignment;
    EXPECT_EQ(Queue::create("aligned-" + std::to_string(alignment), wanted).inspect().alignment_bytes, alignment);
  }
}

TEST_P(Options, CountsOutsideTheirRangeAreInvalid) {
  for (const std::uint32_t count : {0U, 1U, 256U}) {
    EXPECT_EQ(refusal([&](CreateOptions& o) { o.endpoints_max = count; }), Errc::invalid_option) << count;
  }
  for (const std::uint32_t count : {0U, 65U}) {
    EXPECT_EQ(refusal([&](CreateOptions& o) { o.groups_max = count; }), Errc::invalid_option) << count;
  }
  for (const std::uint32_t count : {0U, 3U, 4097U}) {
    EXPECT_EQ(refusal([&](CreateOptions& o) { o.ledger_entries = count; }), Errc::invalid_option) << count;
  }
}

TEST_P(Options, CountsAtTheEndsOfTheirRangeAreTaken) {
  const auto check = [&](std::uint32_t endpoints, std::uint32_t groups, std::uint32_t entries) {
    CreateOptions wanted = options();
    wanted.endpoints_max = endpoints;
    wanted.groups_max = groups;
    wanted.ledger_entries = entries;
    const Queue queue = Queue::create("counts-" + std::to_string(endpoints), wanted);
    EXPECT_EQ(queue.inspect().endpoints_max, endpoints);
    EXPECT_EQ(queue.inspect().groups_max, groups);
    EXPECT_EQ(queue.inspect().ledger_entries, entries);
    Producer producer = queue.producer();
    Consumer consumer = queue.consumer();
    put(producer, {"a"});
    EXPECT_EQ(drain(consumer), Texts{"a"});
  };
  check(2, 1, 4);
  check(255, 64, 4096);
}

TEST_P(Options, TypeIsUpTo63Bytes) {
  CreateOptions wanted = options();
  wanted.type = std::string(63, 't');
  EXPECT_EQ(create(wanted).inspect().type, wanted.type);
  remove("contract", {.directory = directory(), .trusted_owners = {}});
  EXPECT_EQ(refusal([](CreateOptions& o) { o.type = std::string(64, 't'); }), Errc::invalid_option);
}

TEST_P(Options, GroupsAreMadeAsNamed) {
  CreateOptions wanted = options();
  wanted.groups = {{.name = "one", .start = Start::newest, .overflow = Overflow::reject}, {.name = "two"}};
  const Queue queue = create(wanted);
  ASSERT_EQ(queue.inspect().groups.size(), 2U);
  EXPECT_EQ(group_info(queue, "one")->start, Start::newest);
  EXPECT_EQ(group_info(queue, "one")->overflow, Overflow::reject);
  EXPECT_EQ(group_info(queue, "two")->start, Start::oldest);
  EXPECT_EQ(group_info(queue, "two")->overflow, Overflow::block);
}

TEST_P(Options, ABadGroupNameAtCreationIsInvalidName) {
  EXPECT_EQ(refusal([](CreateOptions& o) { o.groups = {{.name = "good"}, {.name = "b/ad"}}; }), Errc::invalid_name);
}

TEST_P(Options, CreateOfATakenNameThrowsExists) {
  const Queue queue = create();
  Producer producer = queue.producer();
  put(producer, {"a"});
  EXPECT_EQ(errc_of([&] { static_cast<void>(create()); }), Errc::exists);
  Consumer consumer = queue.consumer();
  EXPECT_EQ(drain(consumer), Texts{"a"}) << "the queue that was there is unharmed";
}

TEST_P(Options, OpenOfAMissingNameThrowsNoSuchQueue) {
  EXPECT_EQ(errc_of([&] { static_cast<void>(Queue::open("missing", where())); }), Errc::no_such_queue);
  EXPECT_EQ(errc_of([&] { static_cast<void>(inspect("missing", where())); }), Errc::no_such_queue);
  EXPECT_TRUE(std::filesystem::is_empty(directory())) << "asking creates none";
}

TEST_P(Options, OpenOrCreateCreatesOnceAndOpensFromThenOn) {
  const Queue first = Queue::open_or_create("contract", options());
  EXPECT_TRUE(first.created());
  Producer producer = first.producer();
  put(producer, {"a"});
  const Queue second = Queue::open_or_create("contract", options());
  EXPECT_FALSE(second.created());
  EXPECT_FALSE(Queue::open("contract", where()).created());
  Consumer consumer = second.consumer();
  EXPECT_EQ(drain(consumer), Texts{"a"});
}

TEST_P(Options, OpenOrCreateWithAnotherProducerModeIsIncompatibleAndNamesBoth) {
  const Queue queue = create();
  const std::string text = incompatibility([](CreateOptions& o) {
    o.producers = o.producers == ProducerMode::shared ? ProducerMode::exclusive : ProducerMode::shared;
  });
  EXPECT_TRUE(contains(text, "contract") && contains(text, "shared") && contains(text, "exclusive")) << text;
}

TEST_P(Options, OpenOrCreateWithAnotherAlignmentIsIncompatibleAndNamesBoth) {
  const Queue queue = create();
  const std::string text = incompatibility([](CreateOptions& o) { o.alignment_bytes = 256; });
  EXPECT_TRUE(contains(text, "16") && contains(text, "256")) << text;
}

TEST_P(Options, OpenOrCreateWithAnotherTypeIsIncompatibleAndNamesBoth) {
  CreateOptions wanted = options();
  wanted.type = "orders";
  const Queue queue = create(wanted);
  const std::string text = incompatibility([](CreateOptions& o) { o.type = "trades"; });
  EXPECT_TRUE(contains(text, "orders") && contains(text, "trades")) << text;
}

TEST_P(Options, OpenOrCreateWithAnotherKindOfANamedGroupIsIncompatibleAndNamesBoth) {
  CreateOptions wanted = options();
  wanted.groups = {{.name = "g", .consumers = ConsumerMode::shared}};
  const Queue queue = create(wanted);
  const std::string text =
      incompatibility([](CreateOptions& o) { o.groups = {{.name = "g", .consumers = ConsumerMode::exclusive}}; });
  EXPECT_TRUE(contains(text, "shared") && contains(text, "exclusive")) << text;
  EXPECT_EQ(incompatibility([](CreateOptions& o) { o.groups = {{.name = "g", .consumers = ConsumerMode::shared}}; }),
            "");
}

TEST_P(Options, OpenOrCreateWithOtherOptionsThatAreNoPromisesOpens) {
  const Queue queue = create();
  EXPECT_EQ(incompatibility([](CreateOptions& o) {
              o.capacity_bytes = std::size_t{1} << 20;
              o.mode = 0640;
              o.overflow = Overflow::reject;
              o.timestamps = false;
              o.metrics = false;
              o.endpoints_max = 7;
              o.groups_max = 3;
              o.ledger_entries = 9;
            }),
            "");
  EXPECT_EQ(queue.inspect().capacity_bytes, kSmallestCapacity) << "the queue stays what it was";
}

}  // namespace
}  // namespace ipcq::contract
