// Names of queues and groups, and the directory that they stand for.
#include <stdlib.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "queue_contract.hpp"

namespace ipcq::contract {
namespace {

using namespace std::string_view_literals;

class Names : public QueueContract {};
INSTANTIATE_TEST_SUITE_P(Modes, Names, every_mode(), name_of);

const std::string kLongest(64, 'n');
const std::string kTooLong(65, 'n');

const std::string_view kValid[] = {"a",  "_",    "0",   "orders", "Orders.eu-1_x", "a.",
                                   "a-", "a..b", "_.-", "9-9",    kLongest};
const std::string_view kInvalid[] = {"",         "/",         "a/b",   "/a",  "../a", ".",      "..",    ".a",   "-a",
                                     "-",        " ",         "a b",   "a\n", "a\tb", "a\0b"sv, "\0"sv,  "a\\b", "a*",
                                     "\xc3\xa4", "a\xc3\xa4", "a\x7f", "a:b", "a,b",  "a=b",    kTooLong};

TEST_P(Names, OfTheGrammarAreValid) {
  for (const std::string_view name : kValid) {
    EXPECT_TRUE(is_valid_name(name)) << name;
    const Queue queue = Queue::create(name, options());
    EXPECT_EQ(queue.name(), name);
    EXPECT_EQ(Queue::open(name, where()).name(), name);
    queue.add_group({.name = std::string(name)});
    EXPECT_EQ(queue.consumer(name).group(), name);
  }
  EXPECT_EQ(list(where()).size(), std::size(kValid));
}

TEST_P(Names, OutsideTheGrammarAreInvalid) {
  for (const std::string_view name : kInvalid) {
    SCOPED_TRACE(name);
    EXPECT_FALSE(is_valid_name(name));
    EXPECT_EQ(errc_of([&] { static_cast<void>(Queue::create(name, options())); }), Errc::invalid_name);
    EXPECT_EQ(errc_of([&] { static_cast<void>(Queue::open_or_create(name, options())); }), Errc::invalid_name);
    EXPECT_EQ(errc_of([&] { static_cast<void>(Queue::open(name, where())); }), Errc::invalid_name);
    EXPECT_EQ(errc_of([&] { static_cast<void>(inspect(name, where())); }), Errc::invalid_name);
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory()));
}

TEST_P(Names, OfGroupsHaveTheSameGrammar) {
  const Queue queue = create();
  for (const std::string_view name : kInvalid) {
    SCOPED_TRACE(name);
    EXPECT_EQ(errc_of([&] { queue.add_group({.name = std::string(name)}); }), Errc::invalid_name);
    const ConsumerOptions joining{.group = std::string(name), .create_group = GroupOptions{}};
    EXPECT_EQ(errc_of([&] { static_cast<void>(queue.consumer(joining)); }), Errc::invalid_name);
  }
  EXPECT_EQ(queue.inspect().groups.size(), 1U);
}

TEST_P(Names, StandForAFileOfTheDirectory) {
  const Queue queue = create();
  EXPECT_EQ(queue.path(), directory() + "/ipcq.contract");
  EXPECT_TRUE(std::filesystem::is_regular_file(queue.path()));
  EXPECT_EQ(std::filesystem::file_size(queue.path()), queue.inspect().segment_bytes);
}

TEST_P(Names, InDifferentDirectoriesAreDifferentQueues) {
  const support::ScratchDirectory elsewhere;
  CreateOptions there = options();
  there.directory = elsewhere.path();
  const Queue here_queue = create();
  const Queue there_queue = create(there);
  Producer producer = here_queue.producer();
  put(producer, {"here"});
  Consumer consumer = there_queue.consumer();
  EXPECT_FALSE(take(consumer));
}

/// IPCQ_DIR, for a while.
class DirectoryVariable {
 public:
  explicit DirectoryVariable(const std::string& value) {
    if (const char* before = std::getenv("IPCQ_DIR")) before_ = before;
    ::setenv("IPCQ_DIR", value.c_str(), 1);
  }
  DirectoryVariable(const DirectoryVariable&) = delete;
  DirectoryVariable& operator=(const DirectoryVariable&) = delete;
  ~DirectoryVariable() {
    if (before_) {
      ::setenv("IPCQ_DIR", before_->c_str(), 1);
    } else {
      ::unsetenv("IPCQ_DIR");
    }
  }

 private:
  std::optional<std::string> before_;
};

TEST_P(Names, WithoutADirectoryMeanTheEnvironments) {
  const DirectoryVariable during(directory());
  EXPECT_EQ(resolve_directory(""), directory());
  EXPECT_EQ(resolve_directory("/elsewhere"), "/elsewhere") << "what is said counts more";
  CreateOptions wanted = options();
  wanted.directory.clear();
  const Queue queue = create(wanted);
  EXPECT_EQ(queue.path(), directory() + "/ipcq.contract");
  EXPECT_FALSE(Queue::open("contract").created());
  EXPECT_EQ(inspect("contract").path, queue.path());
  EXPECT_EQ(list().size(), 1U);
  remove("contract");
  EXPECT_TRUE(std::filesystem::is_empty(directory()));
}

}  // namespace
}  // namespace ipcq::contract
