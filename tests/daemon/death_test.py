#!/usr/bin/env python3
"""A process dies: what it held is given back at once when ipcqd watches, and by whoever comes next when it does not."""

import os
import signal
import time

from ipcqd_process import NOTHING, SECONDS, DaemonTest, main


class DeathTest(DaemonTest):
    def dead_rows(self, name):
        return [each for each in self.stat(name)["endpoints"] if each["life"] == "dead"]

    def assert_recovered(self, name):
        """Nobody but ipcqd could have done it: stat only looks."""
        self.wait_until(lambda: self.stat(name)["endpoints"] == [], f"the row of the dead in {name} to be freed")

    def test_a_lease_is_given_back_although_nobody_else_comes(self):
        self.create("q")
        self.fill("q")
        self.end(self.holder_of_a_lease("q"))
        self.assertEqual(len(self.dead_rows("q")), 1)  # without ipcqd it stays so
        self.assertEqual(self.group("q")["leases"][0]["state"], "leased")
        daemon = self.daemon()
        self.assert_recovered("q")  # at its first scan
        self.assertEqual(self.group("q")["leases"][0]["state"], "redeliverable")
        daemon.wait_for_message("1 lease given back")
        self.assertEqual(self.get("q").count(b"\n"), 40)

    def test_a_death_is_an_event(self):
        daemon = self.daemon()
        self.create("q")
        self.fill("q")
        holder = self.holder_of_a_lease("q")
        daemon.wait_until_it_follows(holder)
        self.end(holder)
        self.assert_recovered("q")
        self.assertEqual(self.group("q")["leases"][0]["state"], "redeliverable")
        daemon.wait_for_message(f"q: pid {holder.pid} (ipcq) died: 1 row freed, 1 lease given back")

    def test_one_that_dies_before_it_was_looked_at_is_recovered(self):
        daemon = self.daemon()
        self.create("q")
        self.fill("q")
        holder = self.holder_of_a_lease("q")
        self.end(holder)
        daemon.wait_for_message(f"q: pid {holder.pid} ")  # with its command, if ipcqd was quick
        daemon.wait_for_message(" died: 1 row freed, 1 lease given back")
        self.assert_recovered("q")

    def test_how_soon_it_recovers_is_told(self):
        """From when the kernel has ended the process to when ipcqd has given its lease back and said so."""
        daemon = self.daemon()
        self.create("q")
        self.fill("q")
        took_ms = []
        for _ in range(5 * int(os.environ.get("IPCQ_TEST_SCALE", "1"))):
            self.fill("q", 10)  # as many as a consumer hands out before its pipe is full, and more
            holder = self.holder_of_a_lease("q")
            daemon.wait_until_it_follows(holder)
            text = f"q: pid {holder.pid} "
            self.end(holder)
            ended = time.monotonic()
            while text not in daemon.messages() and time.monotonic() < ended + SECONDS:
                pass  # to sleep would be most of what is measured
            took_ms.append(1000 * (time.monotonic() - ended))
            daemon.wait_for_message(text)
        took_ms.sort()
        print(f"recovered after its end, {len(took_ms)} deaths: least {took_ms[0]:.2f}, median "
              f"{took_ms[len(took_ms) // 2]:.2f}, most {took_ms[-1]:.2f} ms", flush=True)

    def test_an_open_claim_is_skipped_and_what_is_behind_it_comes(self):
        self.create("q")
        producer = self.stopped_inside_a_claim("q", b"behind\n")
        self.assertEqual(self.get("q", status=NOTHING), b"")
        daemon = self.daemon()
        self.assertTrue(self.stat("q")["endpoints"])  # alive, though it does nothing: never robbed
        self.end(producer)
        self.assert_recovered("q")
        self.assertEqual(self.stat("q")["abandoned_claims"], 1)
        daemon.wait_for_message("1 claim skipped")
        self.assertEqual(self.get("q"), b"behind\n")

    def test_a_stopped_process_keeps_what_it_holds_and_keeps_nobody_from_being_recovered(self):
        self.create("held")
        self.create("other")
        self.fill("held")
        self.fill("other")
        stopped = self.holder_of_a_lease("held")
        stopped.send_signal(signal.SIGSTOP)
        self.daemon()
        self.end(self.holder_of_a_lease("other"))
        self.assert_recovered("other")
        [endpoint] = self.stat("held")["endpoints"]
        self.assertEqual((endpoint["life"], endpoint["open_leases"]), ("alive", 1))
        self.end(stopped)
        self.assert_recovered("held")

    def test_one_process_in_many_queues_is_recovered_in_each(self):
        names = [f"q{number}" for number in range(5)]
        for name in names:
            self.create(name)
        self.daemon()
        processes = [self.start("get", name, "--follow") for name in names for _ in range(3)]
        for number, process in enumerate(processes):
            self.wait_for_endpoint(names[number // 3], process)
        for process in processes:
            process.kill()
        for name in names:
            self.assert_recovered(name)

    def test_a_zombie_is_dead(self):
        self.create("q")
        self.daemon()
        process = self.start("get", "q", "--follow")
        self.wait_for_endpoint("q", process)
        process.kill()  # and not waited for
        self.assert_recovered("q")

    def test_a_queue_of_another_user_is_neither_recovered_nor_locked(self):
        options = self.as_other_user()
        os.chmod(self.directory, 0o1777)
        self.ipcq("create", "theirs", "--mode", "0666", **options)
        process = self.start("get", "theirs", "--follow", **options)

        def find():
            out, _ = self.ipcq("stat", "theirs", "--json", **options)
            return str(process.pid).encode() in out
        self.wait_until(find, "the other user's consumer")
        daemon = self.daemon("--verbose")
        daemon.wait_for_message("1 of other uids")
        maps = open(f"/proc/{daemon.pid}/maps").read()
        self.assertNotIn("ipcq.theirs", maps)
        self.end(process)
        # One of ours, which dies later, is recovered; theirs is not even open.
        self.create("ours")
        mine = self.start("get", "ours", "--follow")
        self.wait_for_endpoint("ours", mine)
        self.end(mine)
        self.assert_recovered("ours")
        out, _ = self.ipcq("stat", "theirs", "--json", **options)
        self.assertIn(b'"dead"', out)
        # Their own watchdog does it, beside ours.
        theirs = self.daemon("--once", wait=False, **options)
        self.assertEqual(theirs.exit_code(), 0, theirs.messages())
        out, _ = self.ipcq("stat", "theirs", "--json", **options)
        self.assertNotIn(b'"dead"', out)


if __name__ == "__main__":
    main()
