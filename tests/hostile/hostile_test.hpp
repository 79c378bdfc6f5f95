// HostileTest: a directory with queues and with files that only look like queues.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <ipcq/ipcq.hpp>
#include <iterator>
#include <string>
#include <string_view>

#include "support/child_process.hpp"
#include "support/scratch_directory.hpp"

namespace ipcq::hostile {

using support::Child;
using support::ChildProcess;
using support::ChildRole;
using support::Ending;
using support::kNotPermitted;
using support::require;

inline constexpr std::size_t kCapacity = 65536;
inline constexpr const char* kQueue = "hostile";

/// A file with these bytes, as private as a queue whatever the umask: the mode is not what is tested.
inline void write_file(const std::string& path, std::string_view bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  require(static_cast<bool>(file), "cannot write " + path);
  std::filesystem::permissions(path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

inline std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class HostileTest : public testing::Test {
 protected:
  HostileTest() { ::setenv("IPCQ_DIR", scratch_.path().c_str(), 1); }
  ~HostileTest() override { ::unsetenv("IPCQ_DIR"); }

  [[nodiscard]] const std::string& directory() const noexcept { return scratch_.path(); }
  /// The file of a queue of that name, there or not.
  [[nodiscard]] std::string path_of(const std::string& name) const { return directory() + "/ipcq." + name; }

  static Queue create(const std::string& name = kQueue) { return Queue::create(name, {.capacity_bytes = kCapacity}); }

  /// Bytes of a sound queue with a few messages in it.
  [[nodiscard]] std::string sound_bytes() const {
    {
      const Queue queue = create("sound");
      Producer producer = queue.producer();
      for (int i = 0; i < 10; ++i) {
        require(producer.send("message " + std::to_string(i)) == Outcome::ok, "send");
      }
    }
    return read_file(path_of("sound"));
  }

 private:
  support::ScratchDirectory scratch_;
};

/// Whether an error's text is what a user can act on: one line that names the file and says what to do.
inline testing::AssertionResult is_helpful(const Error& error, const std::string& path) {
  const std::string_view text = error.what();
  if (text.find(path) == std::string_view::npos)
    return testing::AssertionFailure() << "does not name " << path << ": " << text;
  if (text.find('\n') != std::string_view::npos)
    return testing::AssertionFailure() << "is more than one line: " << text;
  // What to do is said with one of these.
  for (const std::string_view word :
       {"remove", "delete", "create", "use ", "upgrade", "update", "rebuild", "run ",  "choose", "check",  "ask",
        "trust",  "free",   "move",   "set ", "chmod",   "rename", "pick",    "start", "open",   "attach", "make"}) {
    const std::size_t at = text.find(word);
    // The path itself may contain the word.
    if (at != std::string_view::npos && text.substr(text.find(path), path.size()).find(word) == std::string_view::npos) {
      return testing::AssertionSuccess();
    }
  }
  return testing::AssertionFailure() << "does not say what to do: " << text;
}

}  // namespace ipcq::hostile
