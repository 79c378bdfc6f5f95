"""What the tests of this folder share: the program, a directory of queues for each test, and ways to run and to wait.

IPCQ_BIN names the program, or the folder it is in. IPCQ_DIR names a tmpfs directory for the queues; without it, one is
made in /dev/shm.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

SECONDS = 50  # no step of a test takes a tenth of it on an idle machine; more is a hang, and says so before ctest ends it
SOURCE = Path(__file__).resolve().parents[2]

# Exit codes, as docs/command-line.md promises them.
DONE, ERROR, USAGE, MISSING, PERMISSION, NOTHING, DAMAGED, FOREIGN, EXISTS = range(9)
INTERRUPTED, BROKEN_PIPE = 130, 141

# Not 65534, the overflow uid, which stands for "unknown" and is trusted nowhere.
OTHER_UID = 61234


def program():
    named = os.environ.get("IPCQ_BIN")
    if not named:
        raise RuntimeError("set IPCQ_BIN to the program ipcq, or to its folder")
    path = Path(named).resolve()
    return str(path / "ipcq" if path.is_dir() else path)


def default_signals():
    # A runner in the background of a script has SIGINT ignored, and ignored signals are inherited.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def lines(count, first=0):
    """`count` different lines, as bytes."""
    return b"".join(b"line %d\n" % number for number in range(first, first + count))


class CliTest(unittest.TestCase):
    maxDiff = 2000

    def setUp(self):
        base = os.environ.get("IPCQ_DIR") or "/dev/shm"
        self.directory = Path(tempfile.mkdtemp(prefix="cli-", dir=base))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.environment = dict(os.environ, IPCQ_DIR=str(self.directory), LC_ALL="C")
        self.environment.pop("NO_COLOR", None)

    # Running the program. Input and output are bytes; the notes on standard error are text.

    def start(self, *arguments, **options):
        """A running ipcq; killed and collected at the latest when the test ends."""
        return self.start_program(program(), *arguments, **options)

    def start_program(self, path, *arguments, **options):
        """A running program at `path`; killed and collected at the latest when the test ends."""
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
                   "preexec_fn": default_signals, "env": self.environment, **options}
        process = subprocess.Popen([path, *map(str, arguments)], **options)

        def end():
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    stream.close()

        self.addCleanup(end)
        return process

    def finish(self, process, status=DONE, data=None):
        """Feeds `data`, waits for the end. Standard output as bytes, standard error as text; fails at another exit
        status (None: any will do)."""
        out, err = process.communicate(data, timeout=SECONDS)
        err = (err or b"").decode(errors="replace")
        if status is not None:
            self.assertEqual(process.returncode, status, f"{process.args}\nstderr:\n{err}")
        return out, err

    def ipcq(self, *arguments, status=DONE, data=None, **options):
        """Runs ipcq to its end with `data` as standard input."""
        if data is not None:
            options["stdin"] = subprocess.PIPE
        return self.finish(self.start(*arguments, **options), status, data)

    def create(self, name, *options):
        self.ipcq("create", name, *options)

    def put(self, name, data, *options):
        self.ipcq("put", name, *options, data=data)

    def get(self, name, *options, status=DONE):
        return self.ipcq("get", name, *options, status=status)[0]

    def stat(self, name):
        return json.loads(self.ipcq("stat", name, "--json")[0])

    def group(self, name, group="default"):
        return next(each for each in self.stat(name)["groups"] if each["name"] == group)

    def queue_file(self, name):
        return self.directory / f"ipcq.{name}"

    def file(self, name, data=b""):
        """A file beside the queues that is none."""
        path = self.directory / name
        path.write_bytes(data)
        return path

    # Waiting and checking.

    def wait_until(self, condition, what):
        """The first true value of `condition`; fails when it does not come."""
        end = time.monotonic() + SECONDS
        while True:
            value = condition()
            if value:
                return value
            self.assertLess(time.monotonic(), end, f"did not come: {what}")
            time.sleep(0.005)

    def wait_for_messages(self, name, count):
        self.wait_until(lambda: self.stat(name)["messages"] >= count, f"{count} messages in {name}")

    def wait_for_endpoint(self, name, process, condition=lambda endpoint: True):
        """The endpoint of `process` in `name`, as soon as there is one for which `condition` holds."""
        def find():
            endpoints = self.stat(name)["endpoints"]
            return next((each for each in endpoints if each["pid"] == process.pid and condition(each)), None)
        return self.wait_until(find, f"an endpoint of process {process.pid}")

    def wait_until_it_catches(self, process, number):
        """Until `process` has a handler for the signal; before, it would end the ordinary way."""
        def caught():
            status = Path(f"/proc/{process.pid}/status").read_text()
            mask = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
            return int(mask.split()[1], 16) >> (number - 1) & 1
        self.wait_until(caught, f"a handler of signal {number}")

    def assert_notes(self, text):
        """Whatever stands on standard error is marked as ours."""
        for line in text.splitlines():
            self.assertTrue(line.startswith("ipcq: "), repr(line))

    def number_before(self, words, text):
        """The number in front of `words` in a note: 'ipcq:   12 messages went in'."""
        for line in text.splitlines():
            before, found, _ = line.partition(words)
            if found:
                return int(before.split()[-1])
        self.fail(f"no {words!r} in {text!r}")

    def stopped_inside_a_claim(self, name, behind):
        """A producer that is stopped between its claim and its commit, and the message `behind` that was put after it."""
        process = self.start_program(Path(program()).with_name("ipcq_claimant"), self.directory, name)
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        self.assertTrue(os.WIFSTOPPED(status), f"ipcq_claimant ended instead: {status}")
        self.put(name, behind)
        return process

    # What a machine may lack.

    def need_root(self):
        if os.geteuid() != 0:
            self.skipTest("only root can act as another user")

    def as_other_user(self, uid=OTHER_UID, groups=()):
        """Options for start() that run ipcq as another user, who is also in these groups; skips where that user cannot
        reach the program."""
        self.need_root()

        def become():
            default_signals()
            os.setgroups(groups)
            os.setgid(uid)
            os.setuid(uid)

        try:
            subprocess.run([program(), "--version"], preexec_fn=become, check=True, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, env=self.environment, cwd="/")
        except (OSError, subprocess.SubprocessError):
            self.skipTest(f"another user may not run {program()}")
        return {"preexec_fn": become, "cwd": "/"}

    def in_small_tmpfs(self, size, script):
        """Runs a shell script in a private mount name space in which $SMALL is a tmpfs of `size`. Skips where that is
        forbidden. The script's result, with output as bytes."""
        small = self.directory / "small"
        small.mkdir()
        mount = f'mount -t tmpfs -o size={size} none "$SMALL"'
        environment = dict(self.environment, SMALL=str(small), IPCQ=program())
        for unshare in (["unshare", "--mount"], ["unshare", "--mount", "--map-root-user"]):
            try:
                probe = subprocess.run([*unshare, "sh", "-c", mount], env=environment, stdout=subprocess.PIPE,
                                       stderr=subprocess.STDOUT, timeout=SECONDS)
            except OSError as error:
                self.skipTest(f"no unshare: {error}")
            if probe.returncode == 0:
                return subprocess.run([*unshare, "sh", "-c", f"{mount} && {script}"], env=environment, timeout=SECONDS,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=default_signals)
        self.skipTest("no tmpfs can be mounted here: " + probe.stdout.decode(errors="replace").strip())


def main():
    # Verbose, so that each test is named and each skip has its reason.
    unittest.main(verbosity=2)
