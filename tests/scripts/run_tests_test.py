#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of scripts/run-tests: one deadline for all runners."""

import os
import stat
import subprocess
import tempfile
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NAME = "test-of-run-tests"


class Deadline(unittest.TestCase):
    def run_tests(self, *options):
        """Run it with a meson that only ends when it is told to. Its status and its lines."""
        with tempfile.TemporaryDirectory() as folder:
            meson = os.path.join(folder, "meson")
            with open(meson, "w", encoding="utf-8") as file:
                file.write("#!/bin/sh\nexec sleep 300\n")
            os.chmod(meson, stat.S_IRWXU)
            done = subprocess.run(
                [os.path.join(TOP, "scripts/run-tests"), "--name", NAME, *options,
                 "--unit", folder, "--e2e", "/nonexistent"],
                env=dict(os.environ, PATH=f"{folder}:{os.environ['PATH']}"),
                stdout=subprocess.PIPE, text=True, timeout=120, check=False)
        os.remove(os.path.join(TOP, "build-results", f"{NAME}.json"))
        return done.returncode, done.stdout.splitlines()

    def check(self, lines, unit):
        self.assertRegex(lines[-3], f"deadline of .* minutes: unit tests {unit}")
        self.assertRegex(lines[-2], "deadline of .* minutes: end-to-end tests NOT BEGUN")
        self.assertEqual(lines[-1], "0 passed, 2 failed")

    def test_what_the_first_runner_used_up_the_second_does_not_get(self):
        status, lines = self.run_tests("--minutes", "0.2")
        self.assertEqual(status, 1)
        self.check(lines, "(STOPPED after|NOT BEGUN)")

    def test_time_that_had_passed_before_counts(self):
        status, lines = self.run_tests("--minutes", "10", "--since", "1")
        self.assertEqual(status, 1)
        self.check(lines, "NOT BEGUN")


if __name__ == "__main__":
    unittest.main()
