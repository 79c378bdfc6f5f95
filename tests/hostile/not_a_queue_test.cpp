// Files under a queue's name that are no queue: each is refused by name, nothing blocks, and nothing of it is changed.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <functional>
#include <ipcq/ipcq.hpp>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "hostile_test.hpp"

namespace ipcq::hostile {
namespace {

/// A file at `path`; `sound` is what a queue looks like.
struct Impostor {
  const char* name;
  std::function<void(const std::string& path, const std::string& sound)> make;
  std::vector<Errc> wanted = {Errc::not_a_queue};
};

std::string random_bytes(std::size_t count) {
  std::mt19937_64 random(20);  // the same ones in every run: any will do
  std::string bytes(count, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

const std::vector<Impostor>& impostors() {
  static const std::vector<Impostor> list = {
      {"an_empty_file", [](const auto& path, const auto&) { write_file(path, ""); }},
      {"a_few_bytes", [](const auto& path, const auto&) { write_file(path, "not a queue"); }},
      {"garbage", [](const auto& path, const auto&) { write_file(path, random_bytes(500'000)); }},
      {"zeros", [](const auto& path, const auto&) { write_file(path, std::string(500'000, '\0')); }},
      {"the_beginning_of_a_queue",
       [](const auto& path, const auto& sound) { write_file(path, std::string_view(sound).substr(0, 100)); }},
      {"the_first_page_of_a_queue",
       [](const auto& path, const auto& sound) { write_file(path, std::string_view(sound).substr(0, 4096)); }},
      {"half_a_queue", [](const auto& path,
                          const auto& sound) { write_file(path, std::string_view(sound).substr(0, sound.size() / 2)); }},
      {"a_queue_without_its_last_byte",
       [](const auto& path, const auto& sound) { write_file(path, std::string_view(sound).substr(0, sound.size() - 1)); }},
      {"a_queue_and_a_page_more",
       [](const auto& path, const auto& sound) { write_file(path, sound + std::string(4096, '\0')); },
       {Errc::not_a_queue, Errc::damaged}},
      {"a_fifo", [](const auto& path, const auto&) { ASSERT_EQ(mkfifo(path.c_str(), 0600), 0); }},
      {"a_directory", [](const auto& path, const auto&) { ASSERT_EQ(mkdir(path.c_str(), 0700), 0); }},
      {"a_symbolic_link_to_a_queue",
       [](const auto& path, const auto&) { ASSERT_EQ(symlink("ipcq.sound", path.c_str()), 0); }},
      {"a_symbolic_link_to_nothing",
       [](const auto& path, const auto&) { ASSERT_EQ(symlink("nothing", path.c_str()), 0); }},
      {"a_second_name_of_a_queue",
       [](const auto& path, const auto&) {
         const std::string sound = path.substr(0, path.rfind('/')) + "/ipcq.sound";
         ASSERT_EQ(link(sound.c_str(), path.c_str()), 0);
       },
       {Errc::not_a_queue, Errc::damaged}},
      {"a_socket",
       [](const auto& path, const auto&) {
         const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
         sockaddr_un address{};
         address.sun_family = AF_UNIX;
         ASSERT_LT(path.size(), sizeof address.sun_path);
         std::memcpy(static_cast<char*>(address.sun_path), path.c_str(), path.size());
         ASSERT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
         close(fd);
       }},
  };
  return list;
}

std::ostream& operator<<(std::ostream& out, const Impostor& impostor) { return out << impostor.name; }

class NotAQueue : public HostileTest, public testing::WithParamInterface<Impostor> {
 protected:
  void SetUp() override {
    GetParam().make(path_of(kQueue), sound_bytes());
    ASSERT_FALSE(HasFatalFailure());
    ASSERT_EQ(lstat(path_of(kQueue).c_str(), &before_), 0);
  }
  /// Nothing that was tried may have changed it.
  void TearDown() override {
    struct stat after {};
    ASSERT_EQ(lstat(path_of(kQueue).c_str(), &after), 0);
    EXPECT_EQ(after.st_ino, before_.st_ino);
    EXPECT_EQ(after.st_mode, before_.st_mode);
    EXPECT_EQ(after.st_size, before_.st_size);
    EXPECT_EQ(after.st_mtim.tv_sec, before_.st_mtim.tv_sec);
    EXPECT_EQ(after.st_mtim.tv_nsec, before_.st_mtim.tv_nsec);
  }

  static void expect_wanted(const Error& error) {
    const std::vector<Errc>& wanted = GetParam().wanted;
    EXPECT_TRUE(std::find(wanted.begin(), wanted.end(), error.errc()) != wanted.end())
        << to_string(error.errc()) << ": " << error.what();
  }

 private:
  struct stat before_ {};
};

TEST_P(NotAQueue, open_says_so) {
  try {
    static_cast<void>(Queue::open(kQueue));
    ADD_FAILURE() << "it was opened";
  } catch (const Error& error) {
    expect_wanted(error);
    EXPECT_TRUE(is_helpful(error, path_of(kQueue)));
  }
}

TEST_P(NotAQueue, open_or_create_says_so_and_does_not_replace_it) {
  try {
    static_cast<void>(Queue::open_or_create(kQueue, {.capacity_bytes = kCapacity}));
    ADD_FAILURE() << "it was opened or replaced";
  } catch (const Error& error) {
    expect_wanted(error);
  }
}

TEST_P(NotAQueue, create_finds_the_name_taken) {
  try {
    static_cast<void>(create());
    ADD_FAILURE() << "it was replaced";
  } catch (const Error& error) {
    EXPECT_EQ(error.errc(), Errc::exists) << error.what();
  }
}

TEST_P(NotAQueue, inspect_says_so) {
  try {
    static_cast<void>(inspect(kQueue));
    ADD_FAILURE() << "it was inspected";
  } catch (const Error& error) {
    expect_wanted(error);
  }
}

TEST_P(NotAQueue, list_names_its_problem_and_shows_the_others) {
  create("fine");
  bool listed = false;
  bool fine = false;
  for (const QueueSummary& summary : list()) {
    if (summary.name == kQueue) {
      listed = summary.problem.has_value() && !summary.problem_text.empty();
    }
    if (summary.name == "fine") fine = !summary.problem.has_value();
  }
  EXPECT_TRUE(listed);
  EXPECT_TRUE(fine);
}

INSTANTIATE_TEST_SUITE_P(Impostors, NotAQueue, testing::ValuesIn(impostors()),
                         [](const auto& impostor) { return std::string(impostor.param.name); });

}  // namespace
}  // namespace ipcq::hostile
