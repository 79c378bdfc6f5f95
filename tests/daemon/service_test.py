#!/usr/bin/env python3
"""ipcqd as a service: how it starts, is told to reload, ends, and what keeps it from starting."""

import os
import signal
import statistics
import subprocess
import time

from ipcqd_process import (ANOTHER, BAD_CONFIG, ERROR, OTHER_UID, SECONDS, STOPPED, DaemonTest, daemon_program,
                           main)


class ServiceTest(DaemonTest):
    def run_daemon(self, *arguments, **options):
        return subprocess.run([daemon_program(), *map(str, arguments)], env=self.environment, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=SECONDS, **options)

    def test_it_tells_that_it_is_ready_alive_and_stopping(self):
        self.create("q")
        daemon = self.daemon(watchdog_us=20_000)
        self.assertTrue(any(line.startswith("STATUS=watching 1 queues") for line in daemon.told), daemon.told)
        for _ in range(5):
            daemon.wait_for("WATCHDOG=1")
        self.assertEqual(daemon.stop(), STOPPED)
        daemon.wait_for("STOPPING=1")
        self.assertIn("<6>stopped", daemon.messages())

    def test_a_second_one_for_the_same_directory_is_refused_and_names_the_first(self):
        first = self.daemon()
        second = self.run_daemon()
        self.assertEqual(second.returncode, ANOTHER)
        self.assertIn(str(first.pid).encode(), second.stderr)
        # Also when it was started with a runtime directory, and the first without.
        runtime = self.state / "run"
        runtime.mkdir()
        environment = dict(self.environment, XDG_RUNTIME_DIR=str(runtime))
        self.assertEqual(self.daemon(environment=environment, wait=False).exit_code(), ANOTHER)
        # It is a lock that counts, and it ends with its holder.
        first.kill()
        again = self.daemon()
        self.assertEqual(again.stop(), STOPPED)

    def test_each_directory_and_each_user_has_its_own(self):
        self.daemon()
        other = self.state / "other"
        other.mkdir()
        self.daemon("--dir", other)
        options = self.as_other_user()
        os.chmod(self.directory, 0o1777)
        self.daemon(**options)

    def test_a_lock_file_that_somebody_planted_keeps_nobody_out(self):
        self.need_root()
        os.chmod(self.directory, 0o1777)
        planted = self.directory / f".ipcqd-{os.geteuid()}.lock"
        planted.touch()
        os.chown(planted, OTHER_UID, OTHER_UID)
        self.assertEqual(self.run_daemon().returncode, ERROR)  # there is no other place: so it says what is wrong
        runtime = self.state / "run"
        runtime.mkdir()
        environment = dict(self.environment, XDG_RUNTIME_DIR=str(runtime))
        self.daemon(environment=environment)
        self.assertEqual(self.daemon(environment=environment, wait=False).exit_code(), ANOTHER)

    def test_what_cannot_be_a_policy_is_named_by_file_and_line(self):
        rule = '[[rule]]\nqueues = "*"\n'
        for text, complaint in [("[[rule]\n", ":1: "), (rule + 'grace = "soon"\n', ':3: grace is a duration like "30s"'),
                                (rule + "grace = 30\n", ":3: grace is a text in quotes"),
                                (rule + 'clean_with_messages = "yes"\n', ":3: clean_with_messages is true or false"),
                                (rule + 'colour = "red"\n', ":3: there is no key 'colour'; keys: queues, "),
                                ('[[rule]]\ngrace = "1s"\n', ":1: the rule does not say for which queues"),
                                ('[rule]\nqueues = "*"\n', ":1: a rule begins with [[rule]]"),
                                ("rule = [1]\n", ":1: a rule is a table"),
                                ('\nlimits = "none"\n', ":2: there are [[rule]] tables only, not 'limits'"),
                                (rule + 'queues = "again"\n', ":3: ")]:
            config = self.config(text)
            for arguments in (["--check-config"], []):
                with self.subTest(text=text, arguments=arguments):
                    done = self.run_daemon("--config", config, *arguments)
                    self.assertEqual(done.returncode, BAD_CONFIG)
                    self.assertIn(f"<3>{config}{complaint}", done.stderr.decode())
        self.assertEqual(self.run_daemon("--config", self.state / "missing", "--check-config").returncode, BAD_CONFIG)
        self.assertEqual(self.run_daemon("--config", self.state, "--check-config").returncode, BAD_CONFIG)
        self.assertEqual(self.run_daemon("--check-config").returncode, BAD_CONFIG)

    def test_a_policy_can_be_checked_while_a_daemon_is_at_work(self):
        self.daemon()
        config = self.config('# nothing but this\n[[rule]]\nqueues = "a.*"\ngrace = "1m30s"\n')
        done = self.run_daemon("--check-config", "--config", config)
        self.assertEqual((done.returncode, done.stdout.decode()), (STOPPED, f"{config}: 1 rules\n"))

    def test_a_wrong_option_or_directory(self):
        self.assertEqual(self.run_daemon("--frobnicate").returncode, BAD_CONFIG)
        self.assertEqual(self.run_daemon("extra").returncode, BAD_CONFIG)
        done = self.run_daemon("--dir", self.state / "missing")
        self.assertEqual(done.returncode, ERROR)
        self.assertIn(b"missing", done.stderr)
        self.assertEqual(self.run_daemon("--help").returncode, STOPPED)

    def test_it_raises_its_limit_of_descriptors(self):
        daemon = self.daemon()
        limits = open(f"/proc/{daemon.pid}/limits").read()
        line = next(line for line in limits.splitlines() if line.startswith("Max open files"))
        soft, hard = line.split()[3:5]
        self.assertEqual(soft, hard)

    def test_without_descriptors_it_says_so_and_goes_on_when_there_are_some(self):
        for number in range(40):
            self.create(f"q{number}", "--capacity", "64K")
        daemon = self.daemon(preexec_fn=lambda: few_descriptors(30))
        self.assertIn("not watched: ", daemon.messages())
        self.assertIn("Too many open files", daemon.messages())
        for number in range(35):
            self.ipcq("rm", f"q{number}")
        self.create("q")
        process = self.start("get", "q", "--follow")
        self.wait_for_endpoint("q", process)
        self.end(process)
        self.wait_until(lambda: self.stat("q")["endpoints"] == [], "the row of the dead to be freed")

    def test_what_is_no_queue_is_named_once_and_does_no_harm(self):
        self.file("ipcq.garbage", os.urandom(1 << 16))
        self.file("ipcq.empty")
        os.mkfifo(self.directory / "ipcq.fifo")
        os.symlink(self.directory / "ipcq.fifo", self.directory / "ipcq.link")
        (self.directory / "ipcq.folder").mkdir()
        self.create("cut")
        os.truncate(self.queue_file("cut"), 5000)
        # A header that is right, and nothing else that is.
        self.create("torn")
        with open(self.queue_file("torn"), "r+b") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(512)
            file.write(os.urandom(min(size, 200_000) - 512))
        self.create("good")
        daemon = self.daemon()
        for name in ["garbage", "empty", "fifo", "link", "folder", "cut"]:
            self.assertEqual(daemon.messages().count(f"'{name}'"), 1, daemon.messages())
        process = self.start("get", "good", "--follow")
        self.wait_for_endpoint("good", process)
        self.end(process)
        self.wait_until(lambda: self.stat("good")["endpoints"] == [], "the row of the dead to be freed")
        self.assertEqual(daemon.stop(), STOPPED)


def few_descriptors(count):
    import resource
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class ManyQueuesTest(DaemonTest):
    def test_queues_that_nobody_uses_cost_next_to_nothing(self):
        """1,000 at a scale of 10. What the machine takes for the tick is bounded loosely: others are busy on it."""
        count = 100 * int(os.environ.get("IPCQ_TEST_SCALE", "1"))
        for number in range(count):
            self.create(f"q{number}", "--capacity", "64K", "--groups-max", "2", "--ledger", "16")
        daemon = self.daemon()
        self.assertIn(f"watching {count} queues", daemon.messages())

        def status(key):
            text = open(f"/proc/{daemon.pid}/status").read()
            return int(next(line for line in text.splitlines() if line.startswith(key)).split()[1])
        smaps = open(f"/proc/{daemon.pid}/smaps_rollup").read().splitlines()
        private = sum(int(line.split()[1]) for line in smaps if line.startswith("Private"))
        self.assertLess(private, 20 << 10)
        before = status("voluntary_ctxt_switches:")
        # A death in one of them is found all the same.
        process = self.start("get", "q7", "--follow")
        self.wait_for_endpoint("q7", process)
        self.end(process)
        self.wait_until(lambda: self.stat("q7")["endpoints"] == [], "the row of the dead to be freed")
        # It sleeps: wake-ups come of what was done in that one queue, not of their number.
        self.assertLess(status("voluntary_ctxt_switches:") - before, 2 * count + 100)


class UnderLoadTest(DaemonTest):
    def test_killed_and_started_again_under_load_it_touches_nothing(self):
        """What goes in comes out once, in order, while ipcqd is killed and started again and again."""
        self.create("q", "--capacity", "64K")
        total = 200_000
        producer = self.start("put", "q", "--close", stdin=subprocess.PIPE)
        consumer = self.start("get", "q", "--follow", stdout=subprocess.PIPE)
        source = subprocess.Popen(["seq", str(total)], stdout=producer.stdin)
        producer.stdin.close()
        producer.stdin = None
        self.addCleanup(source.wait)
        kills = 0
        seen = b""
        os.set_blocking(consumer.stdout.fileno(), False)
        while True:
            daemon = self.daemon(wait=kills % 3 == 0)  # killed when it is ready, and before
            daemon.kill()
            kills += 1
            while chunk := consumer.stdout.read():
                seen += chunk
            if consumer.poll() is not None or kills > 500:
                break
        os.set_blocking(consumer.stdout.fileno(), True)
        seen += consumer.stdout.read() or b""
        self.assertEqual(producer.wait(timeout=SECONDS), 0)
        self.assertEqual(consumer.wait(timeout=SECONDS), 0)
        self.assertEqual(seen, b"".join(b"%d\n" % number for number in range(1, total + 1)))
        self.ipcq("verify", "q")
        print(f"ipcqd was killed {kills} times", flush=True)

    def test_what_a_storm_of_its_deaths_does_to_the_rate_of_others_is_told(self):
        """In turn: beside an ipcqd that is killed and started again and again, and beside one of another directory. The
        rates are printed, and only that there are some is demanded."""
        scale = int(os.environ.get("IPCQ_TEST_SCALE", "1"))
        self.create("q")
        elsewhere = self.state / "elsewhere"
        elsewhere.mkdir()
        endless = open("/dev/zero", "rb")
        self.addCleanup(endless.close)
        self.start("put", "q", "-0", "--batch", "64", stdin=endless)
        self.start("get", "q", "-0", "--follow", stdout=subprocess.DEVNULL)
        self.wait_for_messages("q", 1)
        rates = {self.directory: [], elsewhere: []}
        kills = 0
        for directory in [self.directory, elsewhere] * 5:
            began, before = time.monotonic(), self.stat("q")["messages"]
            while time.monotonic() < began + 0.15 * scale:
                daemon = subprocess.Popen([daemon_program(), "--dir", str(directory)], stderr=subprocess.DEVNULL)
                time.sleep(0.03)
                daemon.kill()
                daemon.wait()
                kills += 1
            after = self.stat("q")["messages"]
            self.assertGreater(after, before)
            rates[directory].append((after - before) / (time.monotonic() - began))
        here, there = (statistics.median(rates[directory]) for directory in (self.directory, elsewhere))
        print(f"{kills} kills; {here / 1e6:.2f} M/s beside its deaths, {there / 1e6:.2f} M/s beside those of another: "
              f"{here / there:.2f}", flush=True)


if __name__ == "__main__":
    main()
