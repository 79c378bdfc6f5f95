#!/usr/bin/env python3
"""Whole transfers between processes: real files, several of each side, and some of them killed."""

import os
import random
import subprocess
import sys
from pathlib import Path

from ipcq_cli import SECONDS, CliTest, lines, main


def real_text(size):
    """About `size` bytes of text that every machine has: the sources of Python's own library."""
    parts = []
    total = 0
    for path in sorted(Path(os.__file__).parent.glob("*.py")):
        parts.append(path.read_bytes())
        total += len(parts[-1])
        if total >= size:
            break
    data = b"".join(parts)
    return data * (size // len(data) + 1) if data else lines(size // 10)


class TransferTest(CliTest):
    def follow(self, name, count):
        """`count` gets that follow, each into a file of its own: the processes and the files."""
        files = [self.directory / f"out-{number}" for number in range(count)]
        processes = []
        for path in files:
            with open(path, "wb") as out:
                processes.append(self.start("get", name, "--follow", stdout=out))
        return processes, files

    def test_a_file_through_a_small_queue_is_the_same_file(self):
        data = real_text(20 << 20)
        source = self.file("big.log", data if data.endswith(b"\n") else data + b"\n")
        for kind in [[], ["--producers", "exclusive", "--consumers", "exclusive"]]:
            with self.subTest(kind=kind):
                self.create("q", "--capacity", "256K", *kind)
                producer = self.start("put", "q", "--close", "--file", source)
                (consumer,), (copy,) = self.follow("q", 1)
                self.finish(producer)
                self.finish(consumer)
                self.assertEqual(subprocess.run(["cmp", source, copy], timeout=SECONDS).returncode, 0)
                self.ipcq("rm", "q")

    def test_any_bytes_through_a_small_queue_are_the_same_bytes(self):
        data = random.Random(5).randbytes(8 << 20)
        self.create("q", "--capacity", "256K")
        producer = self.start("put", "q", "--close", "-0", "--file", self.file("random", data))
        out = self.get("q", "-0", "--follow")
        self.finish(producer)
        self.assertEqual(out, data if data.endswith(b"\0") else data + b"\0")

    def sides(self, name, producers):
        """Starts puts of different lines; all lines, sorted."""
        everything = []
        processes = []
        for number in range(producers):
            mine = [b"%d %d %s\n" % (number, line, b"x" * (line % 50)) for line in range(30_000)]
            everything += mine
            processes.append(self.start("put", name, "--file", self.file(f"in-{number}", b"".join(mine)), "--batch",
                                        [1, 64, 256][number % 3]))
        return processes, sorted(everything)

    def test_three_puts_and_three_gets_of_one_group_share_the_work(self):
        self.create("q", "--capacity", "256K")
        consumers, files = self.follow("q", 3)
        producers, everything = self.sides("q", 3)
        for process in producers:
            self.finish(process)
        self.ipcq("close", "q")
        for process in consumers:
            self.finish(process)
        parts = [path.read_bytes().splitlines(keepends=True) for path in files]
        self.assertEqual(sorted(line for part in parts for line in part), everything)
        # One consumer sees each producer's lines in order.
        for part in parts:
            for number in range(3):
                mine = [int(line.split()[1]) for line in part if line.startswith(b"%d " % number)]
                self.assertEqual(mine, sorted(mine))

    def test_two_groups_each_get_everything(self):
        self.create("q", "--capacity", "256K", "--group", "one", "--group", "two")
        files = {}
        consumers = []
        for group in ["one", "two"]:
            for number in range(2):
                files.setdefault(group, []).append(self.directory / f"{group}-{number}")
                with open(files[group][-1], "wb") as out:
                    consumers.append(self.start("get", "q", "--follow", "--group", group, stdout=out))
        producers, everything = self.sides("q", 2)
        for process in producers:
            self.finish(process)
        self.ipcq("close", "q")
        for process in consumers:
            self.finish(process)
        for group, paths in files.items():
            with self.subTest(group=group):
                got = sorted(line for path in paths for line in path.read_bytes().splitlines(keepends=True))
                self.assertEqual(got, everything)

    def test_a_killed_get_loses_nothing(self):
        # At least once: what the dead one had written but not acked comes again, so the copies are compared without
        # repetition. A line it had half written stands at the end of its file alone.
        self.create("q", "--capacity", "256K")
        consumers, files = self.follow("q", 3)
        producers, everything = self.sides("q", 3)
        victim = consumers[0]
        self.wait_for_endpoint("q", victim, lambda endpoint: endpoint["messages"] > 1000)
        victim.kill()
        victim.wait()
        for process in producers:
            self.finish(process)
        self.ipcq("close", "q")
        for process in consumers[1:]:
            self.finish(process)
        got = set()
        for path in files:
            got |= {line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")}
        self.assertEqual(sorted(got), everything)
        # The living wrote nothing twice.
        for path in files[1:]:
            written = path.read_bytes().splitlines()
            self.assertEqual(len(written), len(set(written)))

    def test_a_get_killed_again_and_again_loses_nothing(self):
        self.create("q")
        everything = lines(60_000)
        self.put("q", everything, "--close")
        got = set()
        for number in range(20):
            path = self.directory / f"killed-{number}"
            with open(path, "wb") as out:
                process = self.start("get", "q", "--batch", 7, "--follow", stdout=out)
            self.wait_until(lambda: process.poll() is not None or path.stat().st_size > 3000, "some output")
            process.kill()
            process.wait()
            got |= {line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")}
        got |= set(self.get("q", "--follow").splitlines(keepends=True))
        self.assertEqual(got, set(everything.splitlines(keepends=True)))

    def test_a_killed_put_leaves_whole_messages_in_order_and_the_others_go_on(self):
        self.create("q", "--capacity", "256K")
        producers, everything = self.sides("q", 3)
        victim = producers[0]
        # The queue holds a part of what comes only, so without a consumer the victim cannot have ended before.
        self.wait_for_endpoint("q", victim, lambda endpoint: endpoint["waits"] > 0)
        (consumer,), (copy,) = self.follow("q", 1)
        self.wait_until(lambda: copy.stat().st_size > 0, "output")
        victim.kill()
        victim.wait()
        for process in producers[1:]:
            self.finish(process)
        self.ipcq("close", "q")
        self.finish(consumer)
        got = copy.read_bytes().splitlines(keepends=True)
        self.assertGreater(len(got), 60_000)
        dead = [line for line in got if line.startswith(b"0 ")]
        self.assertEqual([int(line.split()[1]) for line in dead], list(range(len(dead))))
        self.assertEqual(sorted(line for line in got if not line.startswith(b"0 ")),
                         [line for line in everything if not line.startswith(b"0 ")])
        self.assertTrue(set(dead) <= set(everything))

    def test_a_stream_from_a_program_passes_through_a_pipe_at_each_end(self):
        self.create("q", "--capacity", "64K")
        script = "for i in range(100000): print(i)"
        source = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
        self.addCleanup(source.wait)
        producer = self.start("put", "q", "--close", stdin=source.stdout)
        source.stdout.close()
        out = self.get("q", "--follow")
        self.finish(producer)
        self.assertEqual(out, b"".join(b"%d\n" % number for number in range(100000)))


if __name__ == "__main__":
    main()
