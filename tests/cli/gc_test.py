#!/usr/bin/env python3
"""ipcq gc: what nobody needs goes, with a reason, and nothing else does; ipcq create --ephemeral."""

import fcntl
import json
import os
import signal
import struct
import subprocess
import time
import unittest

from ipcq_cli import DAMAGED, DONE, ERROR, MISSING, PERMISSION, USAGE, CliTest, lines, main

REMOVED = 2  # the flag in the frozen header, at offset 12


class GcTest(CliTest):
    def gc(self, *arguments):
        """What gc says: name -> (action, reason)."""
        files = json.loads(self.ipcq("gc", *arguments, "--json")[0])["files"]
        return {file["name"]: (file["action"], file["reason"]) for file in files}

    def queues(self):
        return sorted(file.removeprefix("ipcq.") for file in os.listdir(self.directory))

    def mark_removed(self, name):
        """As a remover leaves it that dies between the mark and the unlink."""
        with open(self.queue_file(name), "r+b") as file:
            file.seek(12)
            file.write(struct.pack("<I", REMOVED))


class EphemeralTest(GcTest):
    def test_a_drained_one_of_nobody_goes_after_the_grace_time(self):
        self.create("q", "--ephemeral", "--grace", "1h")
        self.put("q", lines(3))
        self.get("q")
        action, reason = self.gc()["q"]
        self.assertEqual(action, "kept")
        self.assertIn("3600 s", reason)
        self.assertEqual(self.gc("--grace", "0")["q"][0], "removed")
        self.assertEqual(self.queues(), [])

    def test_the_grace_time_is_the_queues_own(self):
        self.create("q", "--ephemeral", "--grace", "0s")
        self.assertEqual(self.gc()["q"][0], "removed")

    def test_create_and_stat_tell_what_it_is(self):
        self.create("q", "--ephemeral")
        stat = self.stat("q")
        self.assertEqual((stat["lifetime"], stat["grace_ns"]), ("ephemeral", 30_000_000_000))
        self.create("p")
        stat = self.stat("p")
        self.assertEqual((stat["lifetime"], stat["grace_ns"]), ("persistent", None))
        self.ipcq("create", "r", "--grace", "3s", status=USAGE)
        self.ipcq("create", "r", "--ephemeral", "--grace", "3500ms", status=USAGE)

    def test_messages_go_by_name_and_only_when_that_is_said(self):
        self.create("q", "--ephemeral", "--grace", "0")
        self.put("q", lines(4))
        self.assertEqual(self.gc()["q"], ("kept", "it holds 4 unacked messages"))
        self.assertEqual(self.gc("q")["q"][0], "kept")
        self.ipcq("gc", "--with-messages", status=USAGE)
        self.assertEqual(self.get("q"), lines(4))
        self.put("q", lines(2))
        action, reason = self.gc("q", "--with-messages")["q"]
        self.assertEqual(action, "removed")
        self.assertIn("2 unacked messages", reason)
        self.assertEqual(self.queues(), [])

    def test_a_lease_of_the_dead_is_unacked(self):
        self.create("q", "--ephemeral", "--grace", "0")
        self.put("q", lines(5))
        consumer = self.start("get", "q", "--follow", stdout=subprocess.PIPE)  # blocks on nobody: takes all, acks all
        self.wait_for_endpoint("q", consumer)
        self.wait_until(lambda: self.group("q")["depth_messages"] == 0, "the messages to be taken")
        consumer.kill()
        consumer.wait()
        # One that dies with its lease open: it cannot write what it leased.
        self.put("q", lines(5))
        with open(os.open("/dev/full", os.O_WRONLY), "wb") as full:
            self.ipcq("get", "q", stdout=full, status=None)
        self.assertEqual(self.gc()["q"][0], "kept")
        self.assertEqual(self.get("q"), lines(5))
        self.assertEqual(self.gc()["q"][0], "removed")

    def test_after_a_death_the_grace_time_begins_when_it_is_found(self):
        self.create("q", "--ephemeral", "--grace", "1h")
        process = self.start("get", "q", "--follow")
        self.wait_for_endpoint("q", process)
        process.kill()
        process.wait()
        self.assertIn("begins now", self.gc("--dry-run")["q"][1])
        self.assertEqual(len(self.stat("q")["endpoints"]), 1)  # a dry run recovers nothing
        action, reason = self.gc()["q"]
        self.assertEqual(action, "kept")
        self.assertIn("for 0 s", reason)
        self.assertEqual(self.stat("q")["endpoints"], [])
        self.assertEqual(self.gc("--grace", "0")["q"][0], "removed")

    def test_the_living_keep_it_and_the_stopped_too(self):
        self.create("q", "--ephemeral", "--grace", "0")
        process = self.start("get", "q", "--follow")
        self.wait_for_endpoint("q", process)
        self.assertEqual(self.gc()["q"], ("kept", "in use: 1 attached"))
        process.send_signal(signal.SIGSTOP)
        self.assertEqual(self.gc()["q"][0], "kept")
        process.send_signal(signal.SIGCONT)
        self.put("q", b"still\n", "--close")
        self.assertEqual(self.finish(process)[0], b"still\n")
        self.assertEqual(self.gc()["q"][0], "removed")

    def test_a_dry_run_says_what_would_go_and_keeps_it(self):
        self.create("q", "--ephemeral", "--grace", "0")
        out, _ = self.ipcq("gc", "--dry-run")
        self.assertIn("would go", out.decode())
        self.assertEqual(self.queues(), ["q"])

    def test_cleaners_and_users_at_once_lose_nothing(self):
        """Everybody creates, attaches, puts and gets under one name while others clean: what is put is got, or its queue
        was never removed with it in."""
        def cleaner():
            return self.start("gc", "--grace", "0", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for number in range(40):
            self.ipcq("create", "q", "--ephemeral", "--grace", "0", "--if-not-exists")
            cleaners = [cleaner() for _ in range(2)]
            put = self.start("put", "q", stdin=subprocess.PIPE)
            _, _ = put.communicate(b"%d\n" % number, timeout=60)
            for process in cleaners:
                self.finish(process)
            if put.returncode == DONE:  # attached in time: it is there, however much is cleaned
                self.assertEqual(self.gc()["q"][0], "kept")
                self.assertEqual(self.get("q"), b"%d\n" % number)
            else:
                self.assertIn(put.returncode, [MISSING, ERROR])  # before it was opened, or before it was attached to
                self.assertEqual(self.queues(), [])


class OthersTest(GcTest):
    def test_a_persistent_queue_is_not_even_mentioned_unless_it_is_named(self):
        self.create("p")
        self.assertEqual(self.gc("--grace", "0"), {})
        self.assertIn("persistent", self.gc("p")["p"][1])
        self.assertEqual(self.gc("p", "--with-messages", "--grace", "0")["p"][0], "kept")
        self.assertEqual(self.queues(), ["p"])

    def test_a_removal_that_was_broken_off_is_finished(self):
        self.create("gone")
        self.put("gone", lines(3))
        self.mark_removed("gone")
        self.assertEqual(self.gc("--dry-run")["gone"][0], "removal_finished")
        self.assertEqual(self.queues(), ["gone"])
        self.assertEqual(self.gc()["gone"][0], "removal_finished")
        self.assertEqual(self.queues(), [])

    def test_the_leftover_of_a_dead_creator_goes_and_that_of_one_at_work_stays(self):
        name = ".ipcq-new.1234.5678"
        path = self.file(name, bytes(4096))
        self.assertEqual(self.gc()[name][0], "kept")  # it may be a second old
        hour_ago = time.time() - 3600
        os.utime(path, (hour_ago, hour_ago))
        with open(path, "r+b") as creator:
            fcntl.fcntl(creator, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 1, 0))  # F_OFD_SETLK
            self.assertEqual(self.gc()[name], ("kept", "its creator is at work"))
        self.assertEqual(self.gc()[name][0], "leftover_removed")
        self.assertEqual(os.listdir(self.directory), [])

    def test_what_is_no_queue_is_left_alone(self):
        self.file("ipcq.garbage", os.urandom(4096))
        self.file("ipcq.empty")
        self.file("notes")
        os.mkfifo(self.directory / "ipcq.fifo")
        os.symlink("/dev/null", self.directory / "ipcq.link")
        os.mkfifo(self.directory / ".ipcq-new.1.2")
        before = sorted(os.listdir(self.directory))
        self.assertEqual(self.gc("--grace", "0"), {})
        self.assertEqual(sorted(os.listdir(self.directory)), before)
        self.ipcq("gc", "garbage", status=DAMAGED)
        self.ipcq("gc", "missing", status=MISSING)
        self.ipcq("gc", "a/b", status=USAGE)

    def test_another_users_queue_is_left_alone_and_never_locked(self):
        options = self.as_other_user()
        os.chmod(self.directory, 0o777)
        self.ipcq("create", "theirs", "--ephemeral", "--grace", "0", "--mode", "0666", **options)
        self.assertEqual(self.gc("--grace", "0"), {})
        self.ipcq("gc", "theirs", status=PERMISSION)
        self.assertEqual(self.queues(), ["theirs"])
        self.ipcq("gc", **options)
        self.assertEqual(self.queues(), [])


if __name__ == "__main__":
    main()
