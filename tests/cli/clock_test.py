#!/usr/bin/env python3
"""Waiting and the clocks: deadlines are absolute times of CLOCK_MONOTONIC, so that steps of the wall clock do not matter;
and in a time namespace with another monotonic clock queues of inside work, and those of outside are refused."""

import re
import shutil
import subprocess
import time

from ipcq_cli import DONE, FOREIGN, NOTHING, SECONDS, CliTest, main, program

OFFSET = 1_000_000  # seconds that the clock of the namespace is ahead


class ClockTest(CliTest):
    def traced(self, *arguments, status):
        """The futex calls of a run of ipcq, one text each."""
        if not shutil.which("strace"):
            self.skipTest("no strace")
        log = self.directory / "trace"
        command = ["strace", "-f", "-qq", "-e", "trace=futex,nanosleep,clock_nanosleep,poll,ppoll,select", "-o", log,
                   program(), *arguments]
        run = subprocess.run(command, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, timeout=SECONDS)
        if b"ptrace" in run.stderr:
            self.skipTest("no tracing here: " + run.stderr.decode(errors="replace").splitlines()[0])
        self.assertEqual(run.returncode, status, run.stderr.decode())
        return log.read_text().splitlines()

    def assert_waits_are_monotonic(self, calls):
        # Those without a time are the C library's, which joins a thread.
        waits = [call for call in calls if "FUTEX_WAIT" in call and "tv_sec" in call]
        self.assertGreaterEqual(len(waits), 3, calls)  # one a backstop
        for call in waits:
            self.assertRegex(call, r"FUTEX_WAIT_BITSET[,|]", "an absolute time")
            self.assertNotIn("FUTEX_CLOCK_REALTIME", call)
            self.assertNotIn("PRIVATE", call, "the waker is another process")
            # Far from the wall clock's, which is some fifty years.
            self.assertLess(abs(int(re.search(r"tv_sec=(\d+)", call)[1]) - time.clock_gettime(time.CLOCK_MONOTONIC)), 3600, call)

    def test_a_get_that_waits_sleeps_until_times_of_the_monotonic_clock(self):
        self.create("q")
        self.assert_waits_are_monotonic(self.traced("get", "q", "--timeout", "200ms", status=NOTHING))

    def test_a_put_that_waits_sleeps_until_times_of_the_monotonic_clock(self):
        self.create("q", "--capacity", "64K")
        self.put("q", b"x" * 30000 + b"\n" + b"x" * 30000 + b"\n")
        source = self.file("large", b"x" * 30000)
        self.assert_waits_are_monotonic(self.traced("put", "q", "--timeout", "200ms", "--file", source, status=NOTHING))

    def ahead(self, script):
        """Runs a shell script in a time namespace whose monotonic clock is ahead. $IPCQ is the program."""
        unshare = ["unshare", "--time", "--monotonic", str(OFFSET), "--fork"]
        try:
            probe = subprocess.run([*unshare, "true"], stderr=subprocess.PIPE, timeout=SECONDS)
        except OSError as error:
            self.skipTest(f"no unshare: {error}")
        if probe.returncode != 0:
            self.skipTest("no time namespace can be made here: " + probe.stderr.decode(errors="replace").strip())
        run = subprocess.run([*unshare, "sh", "-c", script], env=dict(self.environment, IPCQ=program()),
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=SECONDS)
        return run.returncode, run.stdout, run.stderr.decode()

    def test_a_queue_of_another_monotonic_clock_is_refused(self):
        self.create("q")
        self.put("q", b"outside\n")
        for verb in ["get q", "put q < /dev/null"]:
            with self.subTest(verb=verb):
                status, out, notes = self.ahead(f'"$IPCQ" {verb}')
                self.assertEqual((status, out), (FOREIGN, b""), notes)
                self.assertIn("namespace", notes)
        self.assertEqual(self.get("q"), b"outside\n")

    def test_deadlines_and_wakes_hold_where_the_monotonic_clock_is_ahead(self):
        begin = time.monotonic()
        status, out, notes = self.ahead("""
            "$IPCQ" create q && "$IPCQ" get q --timeout 300ms; test $? = 5 || exit 1
            "$IPCQ" get q -n 1 --timeout 60s & sleep 0.2; echo inside | "$IPCQ" put q && wait $!
        """)
        self.assertEqual(status, DONE, notes)
        self.assertTrue(out.endswith(b"inside\n"), out)
        took = time.monotonic() - begin
        self.assertGreater(took, 0.3)
        self.assertLess(took, 60, "a deadline of the other clock")


if __name__ == "__main__":
    main()
