#!/usr/bin/env python3
"""The policy's limits: on queues created later, after a reload, with the daemon dead; and only where the policy says so.

The rates are a few an hour, so that what passes is the burst, whatever the machine is busy with."""

import grp
import os
import pwd
import signal
import time

from ipcqd_process import DONE, NOTHING, DaemonTest, lines, main

LIMIT = '[[rule]]\nqueues = "orders.*"\nrate = "1/h"\nburst = 5\n'


class QuotaTest(DaemonTest):
    def passes(self, name, count=20):
        """How many of `count` single messages go in without waiting."""
        before = self.stat(name)["messages"]
        self.ipcq("put", name, "--batch", "1", "--timeout", "0", data=lines(count), status=None)
        return self.stat(name)["messages"] - before

    def test_a_policy_limits_a_queue_created_later_and_no_other(self):
        daemon = self.daemon("--config", self.config(LIMIT), "--verbose")
        self.create("orders.eu")
        self.create("invoices")
        daemon.wait_for_message("orders.eu: the policy's limits are set")
        self.assertEqual(self.passes("orders.eu"), 5)
        self.ipcq("put", "orders.eu", "--timeout", "0", data=b"more\n", status=NOTHING)
        self.assertEqual(self.passes("invoices"), 20)
        # It holds with the daemon dead, and when it comes back: what was owed stays owed.
        daemon.kill()
        self.assertEqual(self.passes("orders.eu"), 0)
        again = self.daemon("--config", self.config(LIMIT), "--verbose")
        again.wait_for_message("orders.eu: the policy's limits are set")
        self.assertEqual(self.passes("orders.eu"), 0)
        # Without a policy nothing is set, and nothing taken away.
        again.kill()
        self.assertEqual(self.daemon("--once", wait=False).exit_code(), DONE)
        self.assertEqual(self.passes("orders.eu"), 0)

    def test_processes_share_a_rate_while_the_daemon_is_killed_and_comes_back(self):
        """Over some seconds, in two halves: the daemon works, and it is dead until it is started again."""
        rate, burst, seconds = 500, 50, 1.5
        config = self.config(f'[[rule]]\nqueues = "shared"\nrate = "{rate}/s"\nburst = {burst}\n')
        self.create("shared", "--overflow", "drop-oldest", "--capacity", "1M")
        daemon = self.daemon("--config", config, "--verbose")
        daemon.wait_for_message("shared: the policy's limits are set")
        endless = open("/dev/zero", "rb")
        self.addCleanup(endless.close)
        producers = [self.start("put", "shared", "-0", "--batch", "1", stdin=endless) for _ in range(2)]
        for producer in producers:
            self.wait_for_endpoint("shared", producer, lambda endpoint: endpoint["messages"] > 0)

        def sent():
            return {each["pid"]: each["messages"] for each in self.stat("shared")["endpoints"]}

        for act in (lambda: None, daemon.kill):
            act()
            earliest, before, latest = time.monotonic(), sent(), time.monotonic()
            time.sleep(seconds)
            self.assertEqual(daemon.process.poll() is None, act != daemon.kill)
            earliest_end, after, latest_end = time.monotonic(), sent(), time.monotonic()
            passed = [after[producer.pid] - before[producer.pid] for producer in producers]
            self.assertLessEqual(sum(passed), rate * (latest_end - earliest) + burst)
            self.assertGreaterEqual(sum(passed), 0.6 * rate * (earliest_end - latest), "others are busy here too")
            self.assertGreaterEqual(min(passed), 0.25 * sum(passed), "half of a fair share")
        again = self.daemon("--config", config, "--verbose")
        again.wait_for_message("shared: the policy's limits are set")
        earliest, before = time.monotonic(), sum(sent().values())
        time.sleep(0.5)
        self.assertLessEqual(sum(sent().values()) - before, rate * (time.monotonic() - earliest) + burst)

    def test_two_puts_keep_to_the_creators_rate_with_a_daemon_without_and_when_it_is_killed(self):
        """10 s each at a scale of 10; the rates are printed."""
        rate, seconds = 2000, float(os.environ.get("IPCQ_TEST_SCALE", "1"))
        for how in ("at work", "killed in the middle", "never started"):
            with self.subTest(ipcqd=how):
                name = how.replace(" ", "-")
                self.create(name, "--rate", f"{rate}/s", "--overflow", "drop-oldest")
                daemon = self.daemon() if how != "never started" else None
                endless = open("/dev/zero", "rb")
                self.addCleanup(endless.close)
                producers = [self.start("put", name, "-0", "--batch", "1", stdin=endless) for _ in range(2)]
                for producer in producers:
                    self.wait_for_endpoint(name, producer, lambda endpoint: endpoint["messages"] > 0)
                earliest, before, latest = time.monotonic(), self.stat(name)["messages"], time.monotonic()
                time.sleep(seconds / 2)
                if daemon and how != "at work":
                    daemon.kill()
                time.sleep(seconds / 2)
                earliest_end, after, latest_end = time.monotonic(), self.stat(name)["messages"], time.monotonic()
                passed = after - before
                middle = (latest_end + earliest_end - latest - earliest) / 2
                print(f"ipcqd {how}: {passed / middle:.1f} a second over {middle:.1f} s, of {rate}", flush=True)
                self.assertLessEqual(passed, rate * (latest_end - earliest) + rate / 100 + 1)
                self.assertGreaterEqual(passed, 0.6 * rate * (earliest_end - latest), "others are busy here too")
                for producer in producers:
                    self.end(producer)
                if daemon:
                    daemon.kill()

    def test_a_reload_changes_and_lifts_limits(self):
        self.create("orders.eu")
        config = self.config(LIMIT)
        daemon = self.daemon("--config", config, "--verbose")
        self.assertEqual(self.passes("orders.eu"), 5)
        config.write_text(LIMIT.replace("burst = 5", "burst = 7"))
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for_message("policy read again")
        self.wait_until(lambda: self.passes("orders.eu") == 7, "the new burst")
        config.write_text("")
        daemon.process.send_signal(signal.SIGHUP)
        self.wait_until(lambda: self.passes("orders.eu") == 20, "the limit to be lifted")

    def test_each_user_and_each_producer_can_have_limits_of_its_own(self):
        uid = os.geteuid()
        config = self.config(f'[[rule]]\nqueues = "mine"\nuids = [{uid}]\nrate = "1/h"\nburst = 3\n'
                             f'[[rule]]\nqueues = "theirs"\nuids = [{uid + 1}]\nrate = "1/h"\nburst = 3\n'
                             '[[rule]]\nqueues = "each"\nproducer_rate = "1/h"\n')
        for name in ["mine", "theirs", "each"]:
            self.create(name)
        daemon = self.daemon("--config", config, "--verbose")
        for name in ["mine", "theirs", "each"]:
            daemon.wait_for_message(f"{name}: the policy's limits are set")
        self.assertEqual([self.passes("mine"), self.passes("mine")], [3, 0])
        self.assertEqual(self.passes("theirs"), 20)
        self.assertEqual([self.passes("each"), self.passes("each")], [1, 1])  # each put is another producer

    def test_users_and_groups_of_users_can_be_named(self):
        user = pwd.getpwuid(os.geteuid())
        group = grp.getgrgid(user.pw_gid)
        other = next(each for each in grp.getgrall()
                     if each.gr_gid != user.pw_gid and user.pw_name not in each.gr_mem)
        config = self.config("".join(f'[[rule]]\nqueues = "{name}"\n{key} = [{who}]\nrate = "1/h"\nburst = 3\n'
                                     for name, key, who in [("user", "uids", f'"{user.pw_name}"'),
                                                            ("number", "gids", group.gr_gid),
                                                            ("name", "gids", f'"{group.gr_name}"'),
                                                            ("other", "gids", f'"{other.gr_name}"')]))
        for name in ["user", "number", "name", "other"]:
            self.create(name)
        daemon = self.daemon("--config", config, "--verbose")
        for name in ["user", "number", "name"]:
            daemon.wait_for_message(f"{name}: the policy's limits are set")
            self.assertEqual([self.passes(name), self.passes(name)], [3, 0], name)
        self.assertEqual(self.passes("other"), 20, "nobody's who is not in the group")

    def test_a_burst_of_bytes_may_come_at_once(self):
        self.create("bytes")
        config = self.config('[[rule]]\nqueues = "bytes"\nbyte_rate = "1/h"\nbyte_burst = "1K"\n')
        self.daemon("--config", config, "--verbose").wait_for_message("bytes: the policy's limits are set")
        self.ipcq("put", "bytes", "--batch", "1", "--timeout", "0", data=(b"x" * 100 + b"\n") * 20, status=NOTHING)
        self.assertEqual(self.stat("bytes")["messages"], 10)

    def test_wrong_limits_are_named_by_line(self):
        rule = '[[rule]]\nqueues = "*"\n'
        for text, complaint in [('rate = "fast"\n', ':3: rate is a rate like "1000/s"'),
                                ('rate = 1000\n', ":3: rate is a text"),
                                ('rate = "10K/s"\n', ":3: rate is a rate"),
                                ('byte_rate = "-1/s"\n', ':3: byte_rate is a rate like "10M/s"'),
                                ('rate = "1/s"\nburst = 0\n', ":4: burst is a whole number from 1 on"),
                                ("burst = 10\n", ":1: burst is how much of rate may come at once"),
                                ("uids = [1]\n", ":1: uids and gids say whose rate it is"),
                                ("gids = [1]\n", ":1: uids and gids say whose rate it is"),
                                ('uids = "root"\nrate = "1/s"\n', ":3: uids is a list of users"),
                                ('uids = [-1]\nrate = "1/s"\n', ":3: uids is a list of users"),
                                ('gids = []\nrate = "1/s"\n', ":3: gids is a list of groups of users"),
                                ('uids = ["no such user"]\nrate = "1/s"\n', ":3: there is no user 'no such user'"),
                                ('gids = ["no such"]\nrate = "1/s"\n', ":3: there is no group of users 'no such'"),
                                ('byte_burst = "64K"\n', ":1: byte_burst is how much of byte_rate may come at once"),
                                ('byte_rate = "1/s"\nbyte_burst = "64X"\n', ":4: byte_burst is a number of bytes"),
                                ('byte_rate = "1/s"\nbyte_burst = 0\n', ":4: byte_burst is a number of bytes")]:
            with self.subTest(text=text):
                daemon = self.daemon("--check-config", "--config", self.config(rule + text), wait=False)
                self.assertEqual(daemon.exit_code(), 2)
                self.assertIn(complaint, daemon.messages())


if __name__ == "__main__":
    main()
