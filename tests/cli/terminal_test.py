#!/usr/bin/env python3
"""What the program does on a terminal: progress, colour, typed lines."""

import fcntl
import os
import pty
import select
import struct
import termios
import time

from ipcq_cli import INTERRUPTED, SECONDS, CliTest, default_signals, lines, main

CLEARED = b"\r\033[K"


class TerminalTest(CliTest):
    def setUp(self):
        super().setUp()
        self.environment["TERM"] = "xterm"
        self.master, self.slave = pty.openpty()
        self.addCleanup(os.close, self.master)
        self.addCleanup(self.close_slave)
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
        self.seen = b""

    def close_slave(self):
        if self.slave is not None:
            os.close(self.slave)
            self.slave = None

    def read_until(self, words):
        """Reads the terminal until `words` have come."""
        end = time.monotonic() + SECONDS
        while words not in self.seen:
            self.assertLess(time.monotonic(), end, f"{words} did not come, but {self.seen}")
            if select.select([self.master], [], [], 0.1)[0]:
                self.seen += os.read(self.master, 4096)

    def read_to_the_end(self):
        """Reads what is left, after every process with the terminal has ended."""
        self.close_slave()
        try:
            while part := os.read(self.master, 4096):
                self.seen += part
        except OSError:  # the terminal's way to say end of file
            pass
        return self.seen

    def test_put_of_a_file_shows_its_progress_and_takes_it_away(self):
        self.create("q", "--capacity", "64K")
        data = lines(20_000)
        process = self.start("put", "q", "--close", "--file", self.file("input", data), stderr=self.slave)
        self.read_until(b"waiting for room")
        self.assertRegex(self.seen, rb"\r\d+ messages  [\d.]+K  \d+/s  [\d.]+[BKM]/s  \d+%")
        self.assertEqual(self.get("q", "--follow"), data)
        process.wait(timeout=SECONDS)
        self.assertTrue(self.read_to_the_end().endswith(CLEARED))
        self.assertNotIn(b"\n", self.seen)

    def test_progress_does_not_wrap_on_a_narrow_terminal(self):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 20, 0, 0))
        self.create("q", "--capacity", "64K")
        process = self.start("put", "q", "--file", self.file("input", lines(20_000)), stderr=self.slave)
        self.read_until(b"messages")
        process.kill()
        process.wait()
        shown = [part.replace(b"\033[K", b"") for part in self.read_to_the_end().split(b"\r") if part]
        self.assertTrue(shown)
        self.assertLessEqual(max(map(len, shown)), 19)

    def test_quiet_shows_no_progress(self):
        self.create("q", "--capacity", "64K")
        source = self.file("input", lines(20_000))
        process = self.start("put", "q", "-q", "--close", "--file", source, stderr=self.slave)
        self.wait_for_endpoint("q", process, lambda endpoint: endpoint["attached_ns"] > 1_000_000_000)
        self.get("q", "--follow")
        self.assertEqual(process.wait(timeout=SECONDS), 0)
        self.assertEqual(self.read_to_the_end(), b"")

    def test_a_note_comes_after_the_progress_line_is_gone(self):
        self.create("q", "--capacity", "64K")
        source = self.file("input", lines(20_000))
        process = self.start("put", "q", "--file", source, "--timeout", "1s", stderr=self.slave)
        process.wait(timeout=SECONDS)
        _, _, after = self.read_to_the_end().rpartition(CLEARED)
        self.assertRegex(after, rb"\Aipcq: .*full.*\r\nipcq:   \d+ messages went in\r\n\Z")

    def test_get_into_a_file_shows_its_progress_when_it_takes_long(self):
        self.create("q")
        self.put("q", lines(100))
        with open(self.directory / "out", "wb") as out:
            process = self.start("get", "q", "--follow", stdout=out, stderr=self.slave)
        self.read_until(b"waiting for messages")
        self.assertIn(b"100 messages", self.seen)
        self.ipcq("close", "q")
        self.assertEqual(process.wait(timeout=SECONDS), 0)
        self.assertTrue(self.read_to_the_end().endswith(CLEARED))

    def test_get_to_the_terminal_shows_messages_only(self):
        self.create("q")
        self.put("q", b"one\ntwo\n")
        process = self.start("get", "q", "--follow", stdout=self.slave, stderr=self.slave)
        self.wait_for_endpoint("q", process, lambda endpoint: endpoint["attached_ns"] > 1_500_000_000)
        self.ipcq("close", "q")
        self.assertEqual(process.wait(timeout=SECONDS), 0)
        self.assertEqual(self.read_to_the_end(), b"one\r\ntwo\r\n")

    def test_typed_lines_are_in_the_queue_at_once(self):
        self.create("q")
        process = self.start("put", "q", stdin=self.slave, stderr=self.slave)
        self.wait_for_endpoint("q", process)
        os.write(self.master, b"first\n")
        self.wait_for_messages("q", 1)
        os.write(self.master, b"second\nthird")
        self.wait_for_messages("q", 2)
        os.write(self.master, b"\x04\x04")  # Ctrl-D: hands over the unfinished line, then ends the input
        self.assertEqual(process.wait(timeout=SECONDS), 0)
        self.assertEqual(self.get("q"), b"first\nsecond\nthird\n")

    def test_ctrl_c_on_the_terminal_ends_put(self):
        self.create("q")
        slave = self.slave

        def own_terminal():
            default_signals()
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

        process = self.start("put", "q", stdin=self.slave, stderr=self.slave, preexec_fn=own_terminal)
        self.wait_for_endpoint("q", process)
        os.write(self.master, b"first\nunfinished")
        self.wait_for_messages("q", 1)
        os.write(self.master, b"\x03")
        self.assertEqual(process.wait(timeout=SECONDS), INTERRUPTED)
        self.assertIn(b"1 message went in", self.read_to_the_end())
        self.assertEqual(self.get("q"), b"first\n")

    def test_reports_are_coloured_on_a_terminal_unless_forbidden(self):
        self.create("q")
        for environment, expected in [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]:
            with self.subTest(environment=environment):
                self.seen = b""
                process = self.start("ls", stdout=self.slave, env=dict(self.environment, **environment))
                self.read_until(b"open")
                self.assertEqual(process.wait(timeout=SECONDS), 0)
                self.assertEqual(b"\033[1m" in self.seen, expected)


if __name__ == "__main__":
    main()
