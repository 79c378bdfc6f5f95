"""What the tests of this folder share: a running ipcqd, as the service manager that started it sees it."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cli"))

from ipcq_cli import (DONE, NOTHING, OTHER_UID, PERMISSION, SECONDS, SOURCE, CliTest, default_signals, lines,  # noqa: E402, F401
                      main, program)

STOPPED, ERROR, BAD_CONFIG, ANOTHER = 0, 1, 2, 8


def daemon_program():
    return str(Path(program()).with_name("ipcqd"))


class Ipcqd:
    """A daemon in a process of its own, with a notification socket and its messages in a file."""

    def __init__(self, test, *arguments, environment=None, watchdog_us=None, wait=True, **options):
        self.test = test
        test.daemons = getattr(test, "daemons", 0) + 1
        place = test.state / f"daemon-{test.daemons}"
        self.log = place.with_suffix(".log")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        test.addCleanup(self.socket.close)
        path = place.with_suffix(".socket")
        self.socket.bind(str(path))
        os.chmod(path, 0o666)
        self.socket.settimeout(SECONDS)
        environment = dict(environment or test.environment, NOTIFY_SOCKET=str(path))
        if watchdog_us:
            environment["WATCHDOG_USEC"] = str(watchdog_us)
        self.told = []
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([daemon_program(), *map(str, arguments)], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, env=environment,
                                            **{"preexec_fn": default_signals, **options})
        self.pid = self.process.pid
        test.addCleanup(self.kill)
        if wait:
            self.wait_for("READY=1")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def wait_for(self, line):
        """Until it tells the service manager `line`."""
        while line not in self.told:
            self.told += self.socket.recv(4096).decode().split("\n")
        self.told.remove(line)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=SECONDS)

    def exit_code(self):
        return self.process.wait(timeout=SECONDS)

    def wait_until_it_follows(self, process):
        """Until it has a descriptor of that process, and so knows its command: who dies earlier is a mere number to it."""
        def follows():
            for path in Path(f"/proc/{self.pid}/fdinfo").iterdir():
                try:
                    if f"\nPid:\t{process.pid}\n" in path.read_text():
                        return True
                except FileNotFoundError:
                    pass  # closed since it was listed
            return False
        self.test.wait_until(follows, f"ipcqd to follow process {process.pid}")

    def messages(self):
        return self.log.read_text(errors="replace")

    def wait_for_message(self, text):
        self.test.wait_until(lambda: text in self.messages(), f"{text!r} from ipcqd; it said:\n{self.messages()}")


class DaemonTest(CliTest):
    def setUp(self):
        super().setUp()
        os.chmod(self.directory, 0o755)  # other users of a test have queues here too
        # Beside the queues, not among them.
        self.state = self.directory / "state"
        self.state.mkdir()
        self.directory = self.directory / "queues"
        self.directory.mkdir()
        self.environment["IPCQ_DIR"] = str(self.directory)
        for variable in ("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"):
            self.environment.pop(variable, None)

    def daemon(self, *arguments, **options):
        return Ipcqd(self, *arguments, **options)

    def config(self, text, name="ipcqd.toml"):
        path = self.state / name
        path.write_text(text)
        return path

    def queues(self):
        return sorted(name.removeprefix("ipcq.") for name in os.listdir(self.directory) if not name.startswith(".ipcqd-"))

    def holder_of_a_lease(self, name):
        """A get that has leased all messages and cannot write them out."""
        process = self.start("get", name, "--follow", stdout=subprocess.PIPE)
        self.wait_for_endpoint(name, process, lambda endpoint: endpoint["open_leases"] > 0)
        return process

    def fill(self, name, count=40):
        """More than a pipe takes."""
        self.put(name, b"".join(b"%04d" % number + b"x" * 8000 + b"\n" for number in range(count)))

    @staticmethod
    def end(process):
        process.kill()
        process.wait()
