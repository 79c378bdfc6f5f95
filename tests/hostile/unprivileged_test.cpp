// Twelve files that a stranger may put under a queue's name where everybody may create files, met by an unprivileged user:
// each is refused by name at once, and is afterwards what it was.
#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <ipcq/ipcq.hpp>
#include <set>
#include <string>
#include <vector>

#include "hostile_test.hpp"

namespace ipcq::hostile {
namespace {

constexpr uid_t kNobody = 12345;
constexpr uid_t kStranger = 12346;

void become(uid_t user) {
  require(setgroups(0, nullptr) == 0 && setresgid(user, user, user) == 0 && setresuid(user, user, user) == 0, "setuid");
  // A change of user makes /proc/self root's; a process that was started as this user would own it.
  require(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0, "prctl");
}

/// Tries every verb on the queue as an unprivileged user, and reports each one's name and what it came to.
const ChildRole kTries("tries everything as an unprivileged user", [](Child& self) {
  become(kNobody);
  const std::string& path = self.argument(0);
  const auto attempt = [&](const std::string& verb, const std::function<void()>& what) {
    std::string result = "ok";
    try {
      what();
    } catch (const Error& error) {
      result = to_string(error.errc());
      if (verb != "create") require(std::string(error.what()).find(path) != std::string::npos, error.what());
    }
    self.report(verb);
    self.report(result);
  };
  attempt("open", [] { static_cast<void>(Queue::open(kQueue)); });
  attempt("open_or_create", [] { static_cast<void>(Queue::open_or_create(kQueue, {.capacity_bytes = kCapacity})); });
  attempt("create", [] { static_cast<void>(Queue::create(kQueue, {.capacity_bytes = kCapacity})); });
  attempt("inspect", [] { static_cast<void>(inspect(kQueue)); });
  attempt("remove", [] { remove(std::string_view(kQueue), {.force = true}); });
  const std::vector<QueueSummary> all = list();
  require(all.size() == 1, "not listed");
  self.report("list");
  self.report(all.front().problem ? to_string(*all.front().problem) : "ok");
  return 0;
});

struct Hostile {
  const char* name;
  std::function<void(const std::string& path, const std::string& sound)> make;
  std::set<std::string> wanted;  ///< of open
};

void write_as(const std::string& path, const std::string& bytes, uid_t owner, mode_t mode) {
  write_file(path, bytes);
  require(chown(path.c_str(), owner, owner) == 0 && chmod(path.c_str(), mode) == 0, "chown");
}

const std::vector<Hostile>& kinds() {
  static const std::vector<Hostile> list = {
      {"a_strangers_queue",
       [](const auto& path, const auto& sound) { write_as(path, sound, kStranger, 0666); },
       {"untrusted_owner"}},
      {"a_queue_of_nobody_here",
       [](const auto& path, const auto& sound) { write_as(path, sound, 65534, 0666); },
       {"untrusted_owner"}},
      {"a_queue_that_may_only_be_read",
       [](const auto& path, const auto& sound) { write_as(path, sound, 0, 0644); },
       {"permission_denied"}},
      {"a_queue_that_may_not_even_be_read",
       [](const auto& path, const auto& sound) { write_as(path, sound, kStranger, 0); },
       {"permission_denied"}},
      {"an_empty_file", [](const auto& path, const auto&) { write_as(path, "", kNobody, 0600); }, {"not_a_queue"}},
      {"garbage_of_ones_own",
       [](const auto& path, const auto& sound) { write_as(path, std::string(sound.size(), '\xa5'), kNobody, 0600); },
       {"not_a_queue"}},
      {"half_a_queue_of_ones_own",
       [](const auto& path, const auto& sound) { write_as(path, sound.substr(0, sound.size() / 2), kNobody, 0600); },
       {"not_a_queue"}},
      {"a_symbolic_link_to_a_file_of_roots",
       [](const auto& path, const auto&) { require(symlink("/etc/passwd", path.c_str()) == 0, "symlink"); },
       {"not_a_queue"}},
      {"a_second_name_of_a_good_queue",
       [](const auto& path, const auto& sound) {
         const std::string other = path.substr(0, path.rfind('/')) + "/elsewhere";
         write_as(other, sound, kNobody, 0600);
         require(link(other.c_str(), path.c_str()) == 0, "link");
       },
       {"not_a_queue"}},
      {"a_fifo",
       [](const auto& path, const auto&) {
         require(mkfifo(path.c_str(), 0666) == 0 && chmod(path.c_str(), 0666) == 0, "mkfifo");
       },
       {"not_a_queue"}},
      {"a_directory",
       [](const auto& path, const auto&) {
         require(mkdir(path.c_str(), 0777) == 0 && chmod(path.c_str(), 0777) == 0, "mkdir");
       },
       {"not_a_queue"}},
      {"a_device",
       [](const auto& path, const auto&) {
         if (mknod(path.c_str(), S_IFCHR | 0666, makedev(1, 5)) != 0) GTEST_SKIP() << "no device may be made here";
         require(chmod(path.c_str(), 0666) == 0, "chmod");
       },
       {"not_a_queue", "permission_denied" /* a file system without devices */}},
  };
  return list;
}

void PrintTo(const Hostile& kind, std::ostream* out) { *out << kind.name; }

class Unprivileged : public HostileTest, public testing::WithParamInterface<Hostile> {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root, to make files of several users";
    const std::string sound = sound_bytes();
    ASSERT_EQ(unlink(path_of("sound").c_str()), 0);
    ASSERT_EQ(chmod(directory().c_str(), 01777), 0);
    GetParam().make(path_of(kQueue), sound);
  }
};

TEST_P(Unprivileged, each_is_refused_by_name_and_stays_what_it_is) {
  struct stat before {};
  ASSERT_EQ(lstat(path_of(kQueue).c_str(), &before), 0);
  ChildProcess user(kTries, {path_of(kQueue)});
  for (const std::string_view verb : {"open", "open_or_create", "create", "inspect", "remove", "list"}) {
    ASSERT_EQ(user.next_report(), verb);
    const std::string result = user.next_report();
    if (verb == "create") {
      EXPECT_EQ(result, "exists");
    } else if (std::string_view(GetParam().name) == "a_queue_that_may_only_be_read" &&
               (verb == "inspect" || verb == "list")) {
      EXPECT_EQ(result, "ok") << "an observer needs no more";
    } else {
      EXPECT_TRUE(GetParam().wanted.contains(result)) << verb << ": " << result;
    }
  }
  EXPECT_TRUE(user.succeeds());
  struct stat after {};
  ASSERT_EQ(lstat(path_of(kQueue).c_str(), &after), 0) << "it was removed";
  EXPECT_EQ(after.st_ino, before.st_ino);
  EXPECT_EQ(after.st_mode, before.st_mode);
  EXPECT_EQ(after.st_size, before.st_size);
  EXPECT_EQ(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
}

INSTANTIATE_TEST_SUITE_P(Files, Unprivileged, testing::ValuesIn(kinds()),
                         [](const auto& kind) { return std::string(kind.param.name); });

TEST(HostileNames, are_refused_before_anything_is_opened) {
  const std::string long_name(65, 'a');
  for (const std::string& name :
       {std::string(), std::string("."), std::string(".."), std::string(".hidden"), std::string("-option"),
        std::string("../etc/passwd"), std::string("a/b"), std::string("/a"), long_name, std::string("a\0b", 3),
        std::string("a\nb"), std::string("a b"), std::string("\x1b[31m"), std::string("\xc3\xa4")}) {
    for (const auto& verb : std::vector<std::function<void()>>{
             [&] { static_cast<void>(Queue::open(name)); },
             [&] { static_cast<void>(Queue::create(name, {.capacity_bytes = kCapacity})); },
             [&] { static_cast<void>(Queue::open_or_create(name, {.capacity_bytes = kCapacity})); },
             [&] { static_cast<void>(inspect(name)); }, [&] { remove(std::string_view(name)); }}) {
      try {
        verb();
        ADD_FAILURE() << "taken: " << testing::PrintToString(name);
      } catch (const Error& error) {
        EXPECT_EQ(error.errc(), Errc::invalid_name) << error.what();
      }
    }
  }
}

}  // namespace
}  // namespace ipcq::hostile
