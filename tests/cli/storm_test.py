#!/usr/bin/env python3
"""A storm against the command line: puts and gets are killed at random and started again, through a ring of 64 KiB, and a
checker that knows nothing of the library goes over what came out.

Each put has a file of numbered lines with a checksum, of an incarnation of its own. A put that was killed may have sent
any number of its lines: those that came must be the first so many, in order, nothing left out. A put that ended by itself
has sent all. Each get writes to a file of its own; a get that was killed may have written lines that come again (it acks
behind the writing), and half a line at the end of its file, but nothing that was put may be missing in any group.

IPCQ_TEST_SCALE lengthens it, IPCQ_TEST_SEED repeats it.
"""

import os
import random
import signal
import subprocess
import time
import zlib
from collections import defaultdict

from ipcq_cli import SECONDS, CliTest, main, program

LINES_MAX = 600
SCALE = float(os.environ.get("IPCQ_TEST_SCALE") or 1)
FILLER = b"0123456789abcdef" * 600


def line(incarnation, number):
    """Line `number` of an incarnation, some hundred bytes, now and then some thousand; behind it its checksum."""
    value = zlib.crc32(b"%d %d" % (incarnation, number))
    body = b"%d %d %s" % (incarnation, number, FILLER[:value % 9000 if value % 61 == 0 else value % 500])
    return b"%s %08x\n" % (body, zlib.crc32(body))


def read_line(text):
    """(incarnation, number) of a whole line; None if one byte of it is wrong."""
    body, _, checksum = text.rpartition(b" ")
    if checksum != b"%08x" % zlib.crc32(body):
        return None
    incarnation, number, _ = body.split(b" ", 2)
    return (int(incarnation), int(number))


class Putter:
    """One put after another, each with an incarnation of its own."""
    incarnations = 0

    def __init__(self, test, rng):
        self.test = test
        self.rng = rng
        self.sent = {}  # incarnation: (lines it had, whether all of them went in)
        self.start()

    def start(self):
        Putter.incarnations += 1
        self.incarnation = Putter.incarnations
        self.count = self.rng.randint(1, LINES_MAX)
        path = self.test.directory / f"in-{self.incarnation}"
        path.write_bytes(b"".join(line(self.incarnation, number) for number in range(self.count)))
        self.process = self.test.storm_start("put", "q", "--file", path, "--batch", self.rng.choice([1, 7, 64, 256]))

    def ended(self, killed):
        if not killed:
            self.test.assertEqual(self.process.returncode, 0, self.test.notes_of(self.process))
        self.sent[self.incarnation] = (self.count, not killed)
        (self.test.directory / f"in-{self.incarnation}").unlink()


class Getter:
    """One get after another of a group, each writing a file of its own."""
    files = 0

    def __init__(self, test, rng, group):
        self.test = test
        self.rng = rng
        self.group = group
        self.paths = []  # in the order of their gets
        self.start()

    def start(self):
        Getter.files += 1
        self.paths.append(self.test.directory / f"out-{Getter.files}")
        with open(self.paths[-1], "wb") as out:
            self.process = self.test.storm_start("get", "q", "--group", self.group, "--follow", "--batch",
                                                 self.rng.choice([1, 16, 256]), stdout=out)

    def ended(self, killed):
        if not killed:
            self.test.assertEqual(self.process.returncode, 0, self.test.notes_of(self.process))


class StormTest(CliTest):
    def setUp(self):
        super().setUp()
        self.running = []
        self.addCleanup(lambda: [process.kill() for process in self.running if process.poll() is None])

    def storm_start(self, *arguments, stdout=subprocess.DEVNULL):
        notes = open(self.directory / "notes", "ab")
        process = subprocess.Popen([program(), *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=stdout,
                                   stderr=notes, env=self.environment)
        notes.close()
        self.running = [each for each in self.running if each.poll() is None] + [process]
        return process

    def notes_of(self, process):
        return f"{process.args}: {(self.directory / 'notes').read_text()[-2000:]}"

    def storm(self, kind, groups, producers, seconds, seed):
        """Kills for so long; then lets everything come to its end. Checks, and returns how many were killed and came."""
        rng = random.Random(seed)
        options = [option for group in groups for option in ("--group", group)]
        self.create("q", "--capacity", "64K", *options, *kind)
        putters = [Putter(self, rng) for _ in range(producers)]
        getters = [Getter(self, rng, group) for group, members in groups.items() for _ in range(members)]
        kills = 0
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(rng.uniform(0, 0.01))
            for putter in putters:
                if putter.process.poll() is not None:
                    putter.ended(killed=False)
                    putter.start()
            worker = rng.choice(putters + getters)
            if rng.random() < 0.2 and worker.process.poll() is None:
                worker.process.send_signal(signal.SIGSTOP)
                time.sleep(rng.uniform(0, 0.01))
                worker.process.send_signal(signal.SIGCONT)
            worker.process.kill()
            killed = worker.process.wait(SECONDS) == -signal.SIGKILL
            kills += killed
            worker.ended(killed)
            worker.start()
        for putter in putters:
            self.assertEqual(putter.process.wait(SECONDS), 0, self.notes_of(putter.process))
            putter.ended(killed=False)
        self.ipcq("close", "q")
        for getter in getters:
            self.assertEqual(getter.process.wait(SECONDS), 0, self.notes_of(getter.process))
        sent = {incarnation: about for putter in putters for incarnation, about in putter.sent.items()}
        came = {}
        for group, members in groups.items():
            of_group = [getter for getter in getters if getter.group == group]
            came[group] = self.check_group(group, of_group, sent, alone=members == 1)
        self.assertEqual(len(set(map(frozenset, came.values()))), 1, "the groups got different lines")
        for group in self.stat("q")["groups"]:
            self.assertEqual(group["depth_messages"], 0)
        self.ipcq("rm", "q")
        return kills, len(next(iter(came.values())))

    def check_group(self, group, getters, sent, alone):
        came = set()
        fresh = defaultdict(int)  # of a group with one get at a time: how many lines of an incarnation have come
        for getter in getters:
            for path in getter.paths:
                lines = path.read_bytes().split(b"\n")
                lines.pop()  # what stands behind the last newline: nothing, or the half line of the dead
                for text in lines:
                    name = read_line(text)
                    self.assertIsNotNone(name, f"torn, in group {group}: {text!r}")
                    incarnation, number = name
                    came.add(name)
                    if alone:
                        self.assertLessEqual(number, fresh[incarnation], f"a gap, in group {group}: {name}")
                        fresh[incarnation] = max(fresh[incarnation], number + 1)
        numbers = defaultdict(set)
        for incarnation, number in came:
            numbers[incarnation].add(number)
        for incarnation, (count, all_of_it) in sent.items():
            got = len(numbers[incarnation])
            self.assertEqual(numbers[incarnation], set(range(got)), f"a gap in put {incarnation}, in group {group}")
            self.assertLessEqual(got, count)
            if all_of_it:
                self.assertEqual(got, count, f"put {incarnation} ended well and lost lines, in group {group}")
        self.assertLessEqual(set(numbers), set(sent))
        return came

    def run_storm(self, kind, groups, producers):
        seed = int(os.environ.get("IPCQ_TEST_SEED") or random.SystemRandom().getrandbits(48))
        print(f"IPCQ_TEST_SEED={seed}")
        kills, came = self.storm(kind, groups, producers, 3 * SCALE, seed)
        print(f"{kills} killed, {came} lines")
        self.assertGreater(kills, 0)
        self.assertGreater(came, 0)

    def test_shared_puts_and_gets(self):
        self.run_storm([], {"alone": 1, "team": 3}, 3)

    def test_an_exclusive_put_and_exclusive_gets(self):
        self.run_storm(["--producers", "exclusive", "--consumers", "exclusive"], {"alone": 1, "other": 1}, 1)


if __name__ == "__main__":
    main()
