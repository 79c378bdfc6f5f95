"""What the tests of this folder share: the built programs, and a directory for the queues of one test."""

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 120  # no run of a test here takes a tenth of it on an idle machine


def program(name):
    folder = os.environ.get("IPCQ_BIN_DIR")
    if not folder:
        raise RuntimeError("set IPCQ_BIN_DIR to the folder of the built programs")
    return str(Path(folder).resolve() / name)


class QueueTest(unittest.TestCase):
    """A test with a queue directory of its own, in memory as the queues of users are."""

    def setUp(self):
        shared_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        folder = tempfile.TemporaryDirectory(prefix="ipcq-test-", dir=shared_memory)
        self.addCleanup(folder.cleanup)
        self.queue_dir = Path(folder.name)

    def start(self, name, *arguments, **options):
        """A started program; killed and collected at the latest when the test ends."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        process = subprocess.Popen([program(name), *arguments], text=True, stdin=subprocess.DEVNULL,
                                   env=dict(os.environ, IPCQ_DIR=str(self.queue_dir)), **options)

        def end():
            process.kill()
            process.communicate()

        self.addCleanup(end)
        return process

    def finish(self, process, status=0):
        """Waits for a program. Its stdout and stderr; fails if it ends with another exit status."""
        out, err = process.communicate(timeout=SECONDS)
        self.assertEqual(process.returncode, status, f"stdout:\n{out}\nstderr:\n{err}")
        return out, err

    def run_program(self, name, *arguments, status=0):
        return self.finish(self.start(name, *arguments), status)

    def queues(self):
        return sorted(path.name for path in self.queue_dir.iterdir())

    def assert_no_queue_left(self):
        self.assertEqual(self.queues(), [])
