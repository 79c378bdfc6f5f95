#!/usr/bin/env python3
"""Unprivileged users beside each other: each with a watchdog of his own in one directory, and a service with a directory that
others enter by its group. Nobody's watchdog touches what is another's, whatever is in it."""

import os
import subprocess
from pathlib import Path

from ipcqd_process import DONE, OTHER_UID, PERMISSION, DaemonTest, main

ANNE, BERT, CARL = OTHER_UID, OTHER_UID + 1, OTHER_UID + 2


class UsersTest(DaemonTest):
    def setUp(self):
        super().setUp()
        self.anne = self.as_other_user(ANNE)
        self.bert = self.as_other_user(BERT)
        os.chmod(self.state, 0o777)

    def row_of(self, user, name, process):
        return str(process.pid).encode() in self.ipcq("stat", name, "--json", **user)[0]

    def dies_in(self, user, name):
        """One of `user` leases all that is in the queue, and is killed."""
        process = self.start("get", name, "--follow", **user, stdout=subprocess.PIPE)
        self.wait_until(lambda: b'"leased"' in self.ipcq("stat", name, "--json", **user)[0], f"a lease in {name}")
        self.end(process)
        return process

    def fill_of(self, user, name, *options):
        self.ipcq("create", name, *options, **user)
        self.ipcq("put", name, data=b"".join(b"%04d" % number + b"x" * 8000 + b"\n" for number in range(40)), **user)

    def has_open(self, daemon, name):
        """Mapped, or a descriptor."""
        process = Path(f"/proc/{daemon.pid}")
        text = (process / "maps").read_text()
        for descriptor in (process / "fd").iterdir():
            text += os.readlink(descriptor) + "\n"
        return f"/ipcq.{name}\n" in text

    def assert_closed_to(self, daemon, name):
        self.assertFalse(self.has_open(daemon, name))

    def test_two_in_one_directory_have_each_their_own_and_recover_their_own(self):
        os.chmod(self.directory, 0o1777)
        self.fill_of(self.anne, "annes", "--mode", "0666")
        self.fill_of(self.bert, "berts", "--mode", "0666")
        of_anne = self.daemon("--verbose", **self.anne)
        killed = self.dies_in(self.bert, "berts")
        self.dies_in(self.anne, "annes")
        of_anne.wait_for_message("annes: pid ")
        self.assertTrue(self.row_of(self.bert, "berts", killed))  # nobody watches for Bert
        of_bert = self.daemon("--verbose", **self.bert)
        of_bert.wait_for_message("1 lease given back")
        self.assertFalse(self.row_of(self.bert, "berts", killed))
        self.assertNotIn("berts", of_anne.messages())
        self.assertNotIn("annes", of_bert.messages())
        self.assertTrue(self.has_open(of_anne, "annes"))
        self.assert_closed_to(of_anne, "berts")
        self.assert_closed_to(of_bert, "annes")
        for user, name in ((self.anne, "annes"), (self.bert, "berts")):
            self.assertEqual(self.ipcq("get", name, **user)[0].count(b"\n"), 40)

    def test_a_service_has_a_directory_that_members_of_its_group_enter_and_nobody_else(self):
        os.chown(self.directory, ANNE, ANNE)
        os.chmod(self.directory, 0o2770)  # as ipcqd.tmpfiles.conf makes /run/ipcq
        member = self.as_other_user(BERT, groups=(ANNE,))
        stranger = self.as_other_user(CARL)
        self.fill_of(self.anne, "jobs", "--mode", "0660")
        daemon = self.daemon("--verbose", **self.anne)
        # A member dies in the service's queue; the service's watchdog gives back what he held.
        killed = self.dies_in(member, "jobs")
        daemon.wait_for_message(f"jobs: pid {killed.pid} ")
        daemon.wait_for_message("1 lease given back")
        self.assertEqual(self.ipcq("get", "jobs", **self.anne)[0].count(b"\n"), 40)
        # A queue of the member's own belongs to the group, and is not the service's to lock.
        self.fill_of(member, "members", "--mode", "0660")
        self.assertEqual((self.queue_file("members").stat().st_uid, self.queue_file("members").stat().st_gid),
                         (BERT, ANNE))
        self.dies_in(member, "members")
        self.assert_closed_to(daemon, "members")
        self.assertIn(b'"dead"', self.ipcq("stat", "members", "--json", **member)[0])
        for command in (("ls",), ("stat", "jobs"), ("create", "strangers")):
            self.ipcq(*command, status=PERMISSION, **stranger)

    def test_what_another_user_has_planted_is_not_opened_and_holds_nobody_up(self):
        os.chmod(self.directory, 0o1777)
        self.ipcq("create", "annes", **self.anne)
        self.ipcq("create", "good", "--mode", "0666", **self.bert)
        whole = self.queue_file("good").read_bytes()
        # As Bert would make them: garbage, a queue cut short, a queue of random words, a pipe that nobody writes, a link to Anne's.
        self.file("ipcq.garbage", b"no queue" * 1000)
        self.file("ipcq.short", whole[:5000])
        self.file("ipcq.words", whole[:4096] + os.urandom(len(whole) - 4096))
        os.mkfifo(self.queue_file("pipe"))
        os.symlink(self.queue_file("annes"), self.queue_file("link"))
        planted = ("garbage", "short", "words", "pipe", "link")
        for name in planted:
            os.chown(self.queue_file(name), BERT, BERT, follow_symlinks=False)
            if name != "link":
                os.chmod(self.queue_file(name), 0o666)
        daemon = self.daemon("--verbose", **self.anne)
        for name in ("good", *planted):
            self.assert_closed_to(daemon, name)
        process = self.start("get", "annes", "--follow", **self.anne)
        self.wait_until(lambda: self.row_of(self.anne, "annes", process), "Anne's consumer")
        self.end(process)
        daemon.wait_for_message(f"annes: pid {process.pid} ")
        self.assertEqual(daemon.stop(), DONE)

    def test_a_queue_of_its_own_user_that_it_may_not_open_is_named_and_the_others_are_watched(self):
        os.chmod(self.directory, 0o1777)
        for name in ("shut", "annes"):
            self.fill_of(self.anne, name)
        self.queue_file("shut").chmod(0)
        daemon = self.daemon(**self.anne)
        daemon.wait_for_message("not watched: ")
        self.assertIn("/ipcq.shut", daemon.messages())
        self.dies_in(self.anne, "annes")
        daemon.wait_for_message("1 lease given back")
        self.assertEqual(daemon.messages().count("not watched: "), 1)


if __name__ == "__main__":
    main()
