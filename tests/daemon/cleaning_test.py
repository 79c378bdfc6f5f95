#!/usr/bin/env python3
"""What nobody needs goes by itself, with a reason; the policy says for which queues it goes sooner, or with what they hold."""

import os
import signal
import struct
import time

from ipcqd_process import DaemonTest, lines, main


class CleaningTest(DaemonTest):
    def attached(self, name):
        process = self.start("get", name, "--follow")
        self.wait_for_endpoint(name, process)
        return process

    def wait_until_gone(self, name):
        self.wait_until(lambda: name not in self.queues(), f"{name} to be removed")

    def test_a_drained_ephemeral_queue_of_a_dead_process_goes_and_a_full_persistent_one_stays(self):
        self.create("session", "--ephemeral", "--grace", "1s")
        self.create("orders")
        self.put("orders", lines(3))
        daemon = self.daemon()
        process = self.attached("session")
        self.end(process)
        self.wait_until_gone("session")
        daemon.wait_for_message("session: removed: drained, and nobody has been attached for 1 s")
        self.assertEqual(self.queues(), ["orders"])
        self.assertEqual(self.get("orders"), lines(3))

    def test_one_that_was_deserted_before_the_daemon_came_goes_too(self):
        self.create("session", "--ephemeral", "--grace", "0s")
        self.daemon()
        self.wait_until_gone("session")

    def test_messages_keep_it_until_they_are_acked(self):
        self.create("session", "--ephemeral", "--grace", "0s")
        self.put("session", lines(3))
        daemon = self.daemon("--verbose")
        daemon.wait_for_message("session: kept: it holds 3 unacked messages")
        consumer = self.start("get", "session", "--follow")
        self.wait_for_endpoint("session", consumer)
        self.wait_until(lambda: self.group("session")["depth_messages"] == 0, "the messages to be acked")
        self.assertEqual(self.queues(), ["session"])  # in use
        self.end(consumer)
        self.wait_until_gone("session")

    def test_the_policy_gives_messages_up_only_where_it_says_so(self):
        for name in ["temp.a", "kept"]:
            self.create(name, "--ephemeral", "--grace", "1h")
            self.put(name, lines(2))
        config = self.config('[[rule]]\nqueues = "*"\ngrace = "0"\n\n'
                             '[[rule]]\nqueues = "temp.*"\nclean_with_messages = true\n')
        daemon = self.daemon("--config", config, "--verbose")
        daemon.wait_for_message("temp.a: removed: 2 unacked messages, given up as asked")
        daemon.wait_for_message("kept: kept: it holds 2 unacked messages")
        self.assertEqual(self.queues(), ["kept"])

    def test_the_policy_holds_for_queues_created_later_and_a_reload_for_those_that_are_there(self):
        config = self.config('[[rule]]\nqueues = "now.*"\ngrace = "0s"\n')
        daemon = self.daemon("--config", config)
        self.create("now.a", "--ephemeral", "--grace", "1h")
        self.wait_until_gone("now.a")
        self.create("later", "--ephemeral", "--grace", "1h")
        config.write_text('[[rule]]\nqueues = "later"\ngrace = 5\n')
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for_message("the policy stays as it was: " + str(config) + ":3: grace is a text")
        self.create("now.b", "--ephemeral", "--grace", "1h")  # as it was
        self.wait_until_gone("now.b")
        self.assertEqual(self.queues(), ["later"])
        config.write_text('[[rule]]\nqueues = "later"\ngrace = "0s"\n')
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for_message("policy read again: 1 rules")
        self.wait_until_gone("later")

    def test_a_queue_of_the_same_name_is_watched_after_the_old_one_went(self):
        daemon = self.daemon()
        for _ in range(5):
            self.create("q")
            self.end(self.attached("q"))
            self.wait_until(lambda: self.stat("q")["endpoints"] == [], "the row of the dead to be freed")
            self.ipcq("rm", "q")
            # Its memory goes with it: ipcqd has let go of the file.
            self.wait_until(lambda: "ipcq.q" not in open(f"/proc/{daemon.pid}/maps").read(), "ipcqd to let go")

    def test_a_removal_that_was_broken_off_is_finished(self):
        self.create("gone")
        with open(self.queue_file("gone"), "r+b") as file:
            file.seek(12)
            file.write(struct.pack("<I", 2))  # removed
        self.daemon()
        self.wait_until_gone("gone")

    def test_leftovers_of_dead_creators_go_in_one_pass(self):
        path = self.file(".ipcq-new.12.34", bytes(4096))
        hour_ago = time.time() - 3600
        os.utime(path, (hour_ago, hour_ago))
        self.create("q", "--ephemeral", "--grace", "0s")
        self.create("p")
        daemon = self.daemon("--once", wait=False)
        self.assertEqual(daemon.exit_code(), 0, daemon.messages())
        self.assertEqual(self.queues(), ["p"])
        self.assertIn(".ipcq-new.12.34: removed: its creator died", daemon.messages())

    def test_two_cleaners_and_a_user_at_once(self):
        self.daemon()
        for number in range(20):
            self.ipcq("create", "q", "--ephemeral", "--grace", "0s", "--if-not-exists", status=None)
            cleaner = self.start("gc", "--grace", "0")
            put = self.ipcq("put", "q", data=b"%d\n" % number, status=None)
            self.finish(cleaner)
            if "q" in self.queues():
                self.get("q", status=None)
            del put
        self.wait_until_gone("q")


if __name__ == "__main__":
    main()
