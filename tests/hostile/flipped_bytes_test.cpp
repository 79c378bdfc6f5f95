// A queue of which one byte is wrong, whichever: it is opened or refused by name, never hung on and never crashed on.
#include <gtest/gtest.h>

#include <cstddef>
#include <ipcq/ipcq.hpp>
#include <set>
#include <string>

#include "hostile_test.hpp"

namespace ipcq::hostile {
namespace {

/// Opens copies of a queue with one byte changed and reports the errors it got, each once. Arguments: path of the sound
/// queue, path and name of the copy, first and last byte.
const ChildRole kOpensFlipped("opens flipped copies", [](Child& self) {
  const std::string sound = read_file(self.argument(0));
  const std::string& path = self.argument(1);
  const std::string& name = self.argument(2);
  std::set<std::string> seen;
  for (std::size_t at = self.number(3); at <= self.number(4); ++at) {
    for (const unsigned flip : {0x01U, 0x10U, 0x80U, 0xffU}) {
      std::string bytes = sound;
      bytes[at] = static_cast<char>(static_cast<unsigned char>(bytes[at]) ^ flip);
      write_file(path, bytes);
      const auto where = [&] { return "byte " + std::to_string(at) + ", flipped " + std::to_string(flip) + ": "; };
      try {
        static_cast<void>(Queue::open(name));
        seen.insert("opened");
      } catch (const Error& error) {
        const testing::AssertionResult helpful = is_helpful(error, path);
        require(static_cast<bool>(helpful), where() + helpful.message());
        seen.insert(to_string(error.errc()));
      }
      static_cast<void>(list());
    }
  }
  for (const std::string& outcome : seen) self.report(outcome);
  return 0;
});

class FlippedBytes : public HostileTest {
 protected:
  void SetUp() override { sound_ = sound_bytes(); }

  /// What opening copies with a wrong byte in this range came to.
  std::set<std::string> outcomes(std::size_t first, std::size_t last) {
    ChildProcess process(
        kOpensFlipped, {path_of("sound"), path_of("flipped"), "flipped", std::to_string(first), std::to_string(last)});
    const Ending ending = process.wait();
    EXPECT_TRUE(ending.exited_with(0)) << "bytes " << first << " to " << last << ": " << ending.text();
    std::set<std::string> outcomes;
    for (const std::string& line : process.rest_of_reports()) {
      if (!ending.exited_with(0)) ADD_FAILURE() << line;
      outcomes.insert(line);
    }
    return outcomes;
  }
  [[nodiscard]] std::size_t bytes() const noexcept { return sound_.size(); }

 private:
  std::string sound_;
};

TEST_F(FlippedBytes, a_copy_without_a_wrong_byte_is_a_queue) {
  write_file(path_of("copy"), read_file(path_of("sound")));
  Consumer consumer = Queue::open("copy").consumer();
  std::string first;
  ASSERT_EQ(consumer.receive(first, now), Outcome::ok);
  EXPECT_EQ(first, "message 0");
}

TEST_F(FlippedBytes, in_the_frozen_header_each_is_refused_by_name_or_does_not_matter) {
  std::set<std::string> all;
  for (std::size_t first = 0; first < 128; first += 32) {
    for (const std::string& outcome : outcomes(first, first + 31)) all.insert(outcome);
  }
  // Some byte is the magic, some the layout's version, some the size, some a namespace.
  EXPECT_TRUE(all.contains("not_a_queue"));
  EXPECT_TRUE(all.contains("other_layout"));
  EXPECT_TRUE(all.contains("damaged"));
  EXPECT_TRUE(all.contains("other_namespace"));
  for (const std::string& outcome : all) {
    EXPECT_TRUE(outcome == "opened" || outcome == "not_a_queue" || outcome == "other_layout" || outcome == "damaged" ||
                outcome == "other_namespace" || outcome == "no_such_queue" /* marked as removed */ ||
                outcome == "removed" || outcome == "poisoned" || outcome == "untrusted_owner")
        << outcome;
  }
}

TEST_F(FlippedBytes, in_the_rest_of_the_header_each_is_refused_by_name_or_does_not_matter) {
  std::set<std::string> all;
  for (std::size_t first = 128; first < 512; first += 64) {
    for (const std::string& outcome : outcomes(first, first + 63)) all.insert(outcome);
  }
  // The fingerprint of machine and C library; what contradicts itself.
  EXPECT_TRUE(all.contains("other_machine"));
  EXPECT_TRUE(all.contains("damaged"));
  for (const std::string& outcome : all) {
    EXPECT_TRUE(outcome == "opened" || outcome == "other_machine" || outcome == "damaged") << outcome;
  }
}

TEST_F(FlippedBytes, anywhere_else_opening_does_not_mind_or_says_so) {
  // Every byte would take long: those of a prime stride meet every field of every table somewhere.
  constexpr std::size_t kStride = 4093;
  for (std::size_t at = 512; at < bytes(); at += kStride) {
    for (const std::string& outcome : outcomes(at, at)) {
      EXPECT_TRUE(outcome == "opened" || outcome == "damaged" || outcome == "poisoned")
          << "byte " << at << ": " << outcome;
    }
  }
}

}  // namespace
}  // namespace ipcq::hostile
