#!/usr/bin/env python3
"""Runs ipcq-demo: its counts against Python's, its ends against what is left behind."""

import itertools
import json
import os
import pty
import random
import signal
import time
import unittest
from pathlib import Path

from programs import SECONDS, QueueTest

DEMO = "ipcq-demo"


def processes_of(group):
    """The living processes of a process group (zombies are not)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # gone meanwhile
            continue
        if int(fields[2]) == group and fields[0] not in "ZX":
            found.append(int(stat.parent.name))
    return found


def command_line(pid):
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


class DemoTest(QueueTest):
    def setUp(self):
        super().setUp()
        self.folder = self.queue_dir / "text"
        self.folder.mkdir()

    def write_text(self, name, megabytes=1):
        words = random.Random(name)
        line = " ".join("".join(words.choices("abcdefghij", k=words.randrange(1, 12))) for _ in range(10)) + "\n"
        (self.folder / name).write_text(line * (megabytes * 1_000_000 // len(line) + 1))

    def queues(self):
        return [name for name in super().queues() if name != "text"]

    def result(self, *arguments):
        """The result of a run over the folder that has to succeed, as the demo's JSON."""
        out, _ = self.run_program(DEMO, "--json", *arguments, str(self.folder))
        self.assert_no_queue_left()
        result = json.loads(out)
        self.assertTrue(result["counts_agree"])
        for figure in ("bytes", "lines", "words", "checksum"):
            self.assertEqual(result["total"][figure], result["plain"][figure], figure)
        return result

    def start_endless(self, *arguments):
        """A demo with far more to do than it is given time for, in a process group of its own, at work."""
        if not list(self.folder.iterdir()):
            self.write_text("a")
        process = self.start(DEMO, "--megabytes", "20000", *arguments, str(self.folder), start_new_session=True)
        self.addCleanup(self.end_group, process.pid)
        line = process.stderr.readline()
        self.assertRegex(line, r"^\d+ %  [\d,]+ messages/s  [\d.]+ MB/s  depth [\d,]+ messages")
        self.assertEqual(len(self.queues()), 2)
        return process

    def end_group(self, group):
        if processes_of(group):
            os.killpg(group, signal.SIGKILL)

    def wait_for_end_of(self, group):
        deadline = time.monotonic() + SECONDS
        while processes_of(group) and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertEqual([command_line(pid) for pid in processes_of(group)], [])


class Counts(DemoTest):
    def test_counts_are_those_of_the_files_each_repeated_in_turn(self):
        self.write_text("b")
        (self.folder / "c-no-newline-at-the-end").write_bytes(b"one two\tthree\n\n  four\v\f five\r\nsix")
        (self.folder / "d-one-long-line").write_bytes(b"word " * 10_000)
        (self.folder / "e-a-word-as-long-as-a-message").write_bytes(b"x" * 4096 + b"\nand " + b"y" * 4096)
        (self.folder / "f-bytes-that-are-no-ascii").write_bytes("größer naïve\u00a0☃\n".encode())
        (self.folder / "a-empty").write_bytes(b"")
        streamed = sorted(path for path in self.folder.iterdir() if path.stat().st_size)
        (self.folder / "z-binary").write_bytes(b"text\0text")
        (self.folder / "z-word-longer-than-a-message").write_bytes(b"x" * 4097)
        (self.folder / "z-link").symlink_to(self.folder / "b")

        result = self.result("--megabytes", "3")
        wanted = {"bytes": 0, "lines": 0, "words": 0}
        files = 0
        for path in itertools.cycle(streamed):
            if wanted["bytes"] >= 3_000_000:
                break
            text = path.read_bytes()
            wanted["bytes"] += len(text)
            wanted["lines"] += text.count(b"\n")
            wanted["words"] += len(text.split())
            files += 1
        self.assertEqual({figure: result["total"][figure] for figure in wanted}, wanted)
        self.assertEqual(result["streamed"], {"files": files, "bytes": wanted["bytes"]})
        self.assertEqual(result["corpus"]["files"], len(streamed))
        self.assertEqual(result["corpus"]["left_out"], 2)

    def test_counts_agree_for_any_numbers_of_processes_and_sizes(self):
        self.write_text("a", 2)
        for arguments in (
                "--producers 1 --consumers 1",
                "--producers 3 --consumers 1",
                "--producers 1 --consumers 3",
                "--producers 5 --consumers 5",
                "--mode exclusive",
                "--batch 1 --message 256",
                "--batch 1000 --message 1K",
                "--capacity 64K --batch 7 --message 1000",
                "--capacity 64K --batch 4 --message 1000 --mode exclusive"):
            with self.subTest(arguments):
                result = self.result("--megabytes", "4", *arguments.split())
                self.assertEqual(sum(one["messages"] for one in result["consumers"]), result["total"]["messages"])
                self.assertEqual(sum(one["bytes"] for one in result["consumers"]), result["streamed"]["bytes"])
                self.assertEqual(result["redelivered_messages"], 0)

    def test_files_that_every_machine_has_are_streamed_without_being_named(self):
        out, err = self.run_program(DEMO, "--megabytes", "100")
        self.assertIn("The counts agree", out)
        self.assertRegex(out, r"through the queue +[\d,]+ messages/s, [\d.]+ MB/s")
        self.assertRegex(out, r"plain count +[\d.]+ MB/s")
        for name in ("queue", "transfer", "processing", "sum"):
            self.assertRegex(out, rf"(?m)^{name} +[\d.]+ [num]?s +[\d.]+ [num]?s +[\d.]+ [num]?s$")
        self.assertNotIn("\r", err)
        self.assert_no_queue_left()

    def test_counts_stay_exact_when_a_consumer_is_killed(self):
        self.write_text("a", 10)
        for _ in range(5):
            result = self.result("--megabytes", "100", "--kill", "--consumers", "3")
            self.assertIsNotNone(result["killed_pid"])

    def test_two_demos_run_at_once(self):
        self.write_text("a", 10)
        demos = [self.start(DEMO, "--megabytes", "50", str(self.folder)) for _ in range(2)]
        for demo in demos:
            self.assertIn("The counts agree", self.finish(demo)[0])
        self.assert_no_queue_left()

    def test_keep_leaves_the_queue_of_the_text_and_no_other(self):
        self.write_text("a")
        demo = self.start(DEMO, "--megabytes", "1", "--keep", str(self.folder))
        out, _ = self.finish(demo)
        self.assertEqual(self.queues(), [f"ipcq.demo.{demo.pid}.text"])
        self.assertIn(f"ipcq stat demo.{demo.pid}.text", out)
        self.run_program(DEMO, "--megabytes", "1", str(self.folder))
        self.assertEqual(self.queues(), [f"ipcq.demo.{demo.pid}.text"], "kept on purpose: a later demo leaves it alone")


class Progress(DemoTest):
    @staticmethod
    def read_terminal(ours):
        try:
            return os.read(ours, 4096)
        except OSError:  # how a terminal tells that its other end is closed
            return b""

    def test_a_terminal_shows_one_moving_line_that_is_gone_at_the_end(self):
        self.write_text("a", 10)
        ours, terminal = pty.openpty()
        self.addCleanup(os.close, ours)
        demo = self.start(DEMO, "--megabytes", "400", str(self.folder), stderr=terminal)
        os.close(terminal)
        shown = b""
        while part := self.read_terminal(ours):
            shown += part
        self.assertIn("The counts agree", self.finish(demo)[0])
        self.assertRegex(shown, rb"\r\[#*-*\] \d+ %  [\d,]+ messages/s  [\d.]+ MB/s  depth [\d,]+ messages")
        self.assertTrue(shown.endswith(b"\r\033[K"))
        self.assertNotIn(b"\n", shown)


class Ends(DemoTest):
    def test_an_interrupt_leaves_no_process_and_no_queue(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue  # under nohup; the demo leaves that in force
            with self.subTest(number.name):
                demo = self.start_endless()
                demo.send_signal(number)
                _, err = self.finish(demo, 130)
                self.assertIn("interrupted", err)
                self.assertEqual(processes_of(demo.pid), [])
                self.assert_no_queue_left()

    def test_control_c_at_a_terminal_reaches_all_its_processes_and_leaves_nothing(self):
        demo = self.start_endless("--producers", "3", "--consumers", "3")
        self.assertEqual(len(processes_of(demo.pid)), 7)
        os.killpg(demo.pid, signal.SIGINT)
        self.finish(demo, 130)
        self.assertEqual(processes_of(demo.pid), [])
        self.assert_no_queue_left()

    def test_a_stopped_child_does_not_hold_up_an_interrupt(self):
        demo = self.start_endless()
        for pid in processes_of(demo.pid):
            if pid != demo.pid:
                os.kill(pid, signal.SIGSTOP)
        demo.send_signal(signal.SIGINT)
        self.finish(demo, 130)
        self.assertEqual(processes_of(demo.pid), [])
        self.assert_no_queue_left()

    def test_a_child_that_fails_ends_the_demo_and_is_named(self):
        for part in ("producer", "consumer"):
            with self.subTest(part):
                demo = self.start_endless()
                victim = next(pid for pid in processes_of(demo.pid)
                              if {f"--part={part}", "--index=1"} <= set(command_line(pid)))
                os.kill(victim, signal.SIGKILL)
                _, err = self.finish(demo, 1)
                self.assertIn(f"{part} 1 (pid {victim}) was ended by signal 9", err)
                self.assertEqual(processes_of(demo.pid), [])
                self.assert_no_queue_left()

    def test_a_file_that_changes_meanwhile_is_an_error_not_a_wrong_count(self):
        self.write_text("a")
        demo = self.start_endless()
        with open(self.folder / "a", "a") as file:
            file.write("one more line\n")
        _, err = self.finish(demo, 1)
        self.assertIn("changed while the demo ran", err)
        self.assertEqual(processes_of(demo.pid), [])
        self.assert_no_queue_left()

    def test_children_end_with_a_parent_that_is_killed_and_the_next_demo_cleans_up(self):
        demo = self.start_endless()
        demo.kill()
        demo.wait(timeout=SECONDS)
        self.wait_for_end_of(demo.pid)
        self.assertEqual(len(self.queues()), 2)
        self.result("--megabytes", "1")  # asserts that none is left

    def test_no_text_is_an_error(self):
        _, err = self.run_program(DEMO, str(self.folder), status=1)
        self.assertIn("no text files", err)
        self.assert_no_queue_left()


class Usage(DemoTest):
    def test_wrong_options_are_usage_errors_that_name_them(self):
        for arguments, said in (
                ("--producers 0", "--producers is 1 to 100, not 0"),
                ("--consumers 101", "--consumers is 1 to 100, not 101"),
                ("--megabytes 0", "--megabytes is 1"),
                ("--batch 5000", "--batch is 1 to 4096"),
                ("--message 1", "--message is 64"),
                ("--capacity 1K", "--capacity is 65536"),
                ("--capacity 8X", "'8X' is no size"),
                ("--capacity 64K", "more than half the ring"),
                ("--mode both", "shared or exclusive"),
                ("--mode exclusive --consumers 2", "one producer and one consumer"),
                ("--kill --consumers 1", "--kill needs"),
                ("--nonsense", "nonsense")):
            with self.subTest(arguments):
                out, err = self.run_program(DEMO, *arguments.split(), status=2)
                self.assertIn(said, err)
                self.assertEqual(out, "")
        self.assert_no_queue_left()

    def test_help_shows_the_options_of_users_only(self):
        out, _ = self.run_program(DEMO, "--help")
        self.assertIn("--producers", out)
        self.assertIn("Example:", out)
        self.assertNotIn("--list-fd", out)


if __name__ == "__main__":
    unittest.main(verbosity=2)
