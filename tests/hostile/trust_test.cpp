// Whose queues are opened, and what the permissions of files and directories forbid. Needs root to be several users.
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <ipcq/ipcq.hpp>
#include <string>
#include <vector>

#include "hostile_test.hpp"

namespace ipcq::hostile {
namespace {

constexpr uid_t kUser = 12345;
constexpr uid_t kOther = 12346;

void become_user(std::uint64_t uid) {
  const auto user = static_cast<uid_t>(uid);
  require(setgroups(0, nullptr) == 0 && setresgid(user, user, user) == 0 && setresuid(user, user, user) == 0, "setuid");
  // A change of user makes /proc/self root's; a process that was started as this user would own it.
  require(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0, "prctl");
}

/// Does one thing as a user and reports how it ended: "ok", or the error and its text. Arguments: uid, verb, uid that it
/// trusts besides (or 0).
const ChildRole kAsUser("as user", [](Child& self) {
  become_user(self.number(0));
  const std::string& verb = self.argument(1);
  std::vector<uid_t> trusted;
  if (self.number(2) != 0) trusted.push_back(static_cast<uid_t>(self.number(2)));
  try {
    if (verb == "create") {
      static_cast<void>(Queue::create(kQueue, {.capacity_bytes = kCapacity, .mode = 0666, .trusted_owners = trusted}));
    } else if (verb == "inspect") {
      static_cast<void>(inspect(kQueue, {.trusted_owners = trusted}));
    } else if (verb == "remove") {
      remove(kQueue, {.trusted_owners = trusted});
    } else {
      const Queue queue = Queue::open(kQueue, {.trusted_owners = trusted});
      Producer producer = queue.producer();
      Consumer consumer = queue.consumer();
      std::string got;
      require(producer.send("sent") == Outcome::ok && consumer.receive(got, now) == Outcome::ok && got == "sent",
              "the queue does not work");
    }
    self.report("ok");
    self.report("");
  } catch (const Error& error) {
    self.report(to_string(error.errc()));
    self.report(error.what());
  }
  return 0;
});

class Trust : public HostileTest {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root, to act as several users";
  }
  void set_directory_mode(mode_t mode) const { ASSERT_EQ(chmod(directory().c_str(), mode), 0); }
  void make_queue(mode_t mode, uid_t owner) const {
    static_cast<void>(Queue::create(kQueue, {.capacity_bytes = kCapacity, .mode = mode}));
    ASSERT_EQ(chown(path_of(kQueue).c_str(), owner, owner), 0);
  }

  /// "ok" or the name of the error. An error has to be helpful.
  [[nodiscard]] std::string as_user(uid_t user, const char* verb, uid_t trusts = 0) const {
    ChildProcess process(kAsUser, {std::to_string(user), verb, std::to_string(trusts)});
    const std::string result = process.next_report();
    const std::string text = process.next_report();
    EXPECT_TRUE(result == "ok" || is_helpful(Error(Errc::system, text), directory()));
    EXPECT_TRUE(process.succeeds());
    return result;
  }
  [[nodiscard]] static std::string as_root(const OpenOptions& options = {}) {
    try {
      static_cast<void>(Queue::open(kQueue, options));
    } catch (const Error& error) {
      return to_string(error.errc());
    }
    return "ok";
  }
};

TEST_F(Trust, where_everybody_may_create_files_a_strangers_queue_is_not_opened_unless_he_is_trusted) {
  for (const mode_t mode : {01777U, 0777U}) {
    set_directory_mode(mode);
    ASSERT_EQ(as_user(kUser, "create"), "ok");
    EXPECT_EQ(as_user(kUser, "open"), "ok") << "his own";
    EXPECT_EQ(as_user(kOther, "open"), "untrusted_owner");
    EXPECT_EQ(as_user(kOther, "inspect"), "untrusted_owner");
    EXPECT_EQ(as_user(kOther, "open", kUser), "ok");
    EXPECT_EQ(as_root(), "untrusted_owner") << "root trusts nobody either";
    EXPECT_EQ(as_root({.trusted_owners = {kUser}}), "ok");
    EXPECT_EQ(as_root({.trusted_owners = {kOther}}), "untrusted_owner");
    ASSERT_EQ(as_user(kUser, "remove"), "ok");
  }
}

TEST_F(Trust, roots_queue_is_trusted_everywhere) {
  set_directory_mode(01777);
  make_queue(0666, 0);
  EXPECT_EQ(as_user(kUser, "open"), "ok");
}

TEST_F(Trust, where_only_the_directorys_owner_may_create_files_any_owner_is_accepted) {
  set_directory_mode(0755);
  make_queue(0666, kUser);
  EXPECT_EQ(as_root(), "ok");
  EXPECT_EQ(as_user(kOther, "open"), "ok");
}

TEST_F(Trust, the_uid_that_stands_for_unmapped_owners_is_never_trusted) {
  uid_t overflow = 65534;
  std::ifstream("/proc/sys/kernel/overflowuid") >> overflow;
  set_directory_mode(01777);
  make_queue(0666, overflow);
  EXPECT_EQ(as_root(), "untrusted_owner");
  EXPECT_EQ(as_root({.trusted_owners = {overflow}}), "untrusted_owner");
  EXPECT_EQ(as_user(overflow, "open"), "untrusted_owner") << "in a user namespace everybody may have this number";
}

TEST_F(Trust, a_queue_that_one_may_not_write_is_refused_and_one_that_one_may_read_is_inspected) {
  set_directory_mode(0755);
  make_queue(0644, 0);
  EXPECT_EQ(as_user(kUser, "open"), "permission_denied");
  EXPECT_EQ(as_user(kUser, "inspect"), "ok") << "an observer needs read permission only";
  ASSERT_EQ(chmod(path_of(kQueue).c_str(), 0600), 0);
  EXPECT_EQ(as_user(kUser, "open"), "permission_denied");
  EXPECT_EQ(as_user(kUser, "inspect"), "permission_denied");
  EXPECT_EQ(as_user(kUser, "remove"), "permission_denied");
  EXPECT_EQ(as_root(), "ok") << "it is still there";
}

TEST_F(Trust, a_directory_that_one_may_not_enter_or_write_is_named) {
  set_directory_mode(0755);
  EXPECT_EQ(as_user(kUser, "create"), "permission_denied");
  set_directory_mode(0700);
  EXPECT_EQ(as_user(kUser, "create"), "permission_denied");
  EXPECT_EQ(as_user(kUser, "open"), "permission_denied");
}

}  // namespace
}  // namespace ipcq::hostile
