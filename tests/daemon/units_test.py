#!/usr/bin/env python3
"""The units for systemd: what they allow, and that systemd understands them. Skipped without systemd-analyze."""

import re
import shutil
import subprocess

from ipcqd_process import SECONDS, SOURCE, DaemonTest, daemon_program, main

UNITS = SOURCE / "daemon" / "systemd"
EXPOSURE_MAX = 1.0  # of 10; systemd-analyze counts in tenths


class UnitsTest(DaemonTest):
    def setUp(self):
        super().setUp()
        if not shutil.which("systemd-analyze"):
            self.skipTest("systemd-analyze is not installed")

    def unit(self, name):
        """As it is installed, with this build's program."""
        text = (UNITS / f"{name}.service.in").read_text()
        text = text.replace("@CMAKE_INSTALL_FULL_BINDIR@/ipcqd", daemon_program())
        path = self.state / "ipcqd.service"
        path.write_text(re.sub("@[A-Z_]+@", "/nowhere", text))
        return path

    def analyze(self, *arguments):
        return subprocess.run(["systemd-analyze", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=SECONDS, text=True)

    def test_the_system_unit_leaves_next_to_nothing_exposed(self):
        done = self.analyze("security", "--offline=true", f"--threshold={int(EXPOSURE_MAX * 10)}", self.unit("ipcqd"))
        self.assertEqual(done.returncode, 0, done.stdout[-500:])
        self.assertIn("Overall exposure level", done.stdout)

    def test_systemd_understands_every_line(self):
        for name in ["ipcqd", "ipcqd-user"]:
            with self.subTest(unit=name):
                path = self.unit(name)
                done = self.analyze("verify", "--man=no", path)
                complaints = [line for line in done.stdout.splitlines() if str(path) in line or "ipcqd.service" in line]
                self.assertEqual(complaints, [], done.stdout)


if __name__ == "__main__":
    main()
