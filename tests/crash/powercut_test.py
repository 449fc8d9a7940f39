#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of powercut: what is not synced is seen to be lost, what is synced never is.

powercut_test.py LIBRARY        the path of powercut.so
"""

import os
import random
import socket
import sqlite3
import subprocess
import sys
import tempfile
import unittest

from powercut import MODES, Disk, preload, read_log

LIBRARY = ""
SCRATCH = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # where a sync costs nothing
ACKNOWLEDGE = """
import os, socket, sys
peer = socket.socket(fileno=0)
def acknowledge(n):
    peer.send(b"%d;" % n)
def write(name, n):
    fd = os.open(name, os.O_WRONLY | os.O_CREAT, 0o600)
    os.write(fd, b"%d." % n)
    return fd
def sync_folder():
    fd = os.open(".", os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
"""
REPLACE = ACKNOWLEDGE + """
for n in range(1, 6):
    fd = write("new", n)
    {after_write}
    os.close(fd)
    os.rename("new", "value")
    {after_rename}
    acknowledge(n)
"""
TRANSACTIONS = ACKNOWLEDGE + """
import sqlite3
base = sqlite3.connect(os.path.join(os.getcwd(), "base.db"), isolation_level=None)
base.execute("PRAGMA journal_mode = {journal}")
base.execute("PRAGMA synchronous = {synchronous}")
base.execute("PRAGMA wal_autocheckpoint = 8")
base.execute("CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY, filler BLOB)")
for n in range(1, 31):
    base.execute("INSERT INTO t VALUES (?, zeroblob(?))", (n, n * 397 % 9000))
    acknowledge(n)
"""


class Run:
    """A Python program, recorded while it ran in a folder of its own."""

    def __init__(self, folder, program, before=None):
        self.folder = os.path.join(folder, "disk")
        os.mkdir(self.folder)
        for name, content in (before or {}).items():
            with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
                file.write(content)
        self.disk = Disk(self.folder)
        log = os.path.join(folder, "log")
        ours, its = socket.socketpair()
        with ours, its:
            subprocess.run([sys.executable, "-c", program], cwd=self.folder, stdin=its, check=True, timeout=60,
                           env=preload(LIBRARY, self.folder, log))
        self.records = list(read_log(log))

    def cuts(self, modes=MODES, seed=1):
        """At each point, in each mode: the last number acknowledged, and the folder after a cut there."""
        rng, acknowledged = random.Random(seed), 0
        for record in self.records:
            self.disk.feed(record)
            if record.kind == "A":
                acknowledged = int(record.data.split(b";")[-2])
            for mode in modes:
                with tempfile.TemporaryDirectory(dir=SCRATCH) as target:
                    self.disk.build(target, rng, mode)
                    yield acknowledged, target


class Case(unittest.TestCase):
    def setUp(self):
        self.place = tempfile.TemporaryDirectory(dir=SCRATCH)
        self.addCleanup(self.place.cleanup)


class Files(Case):
    def losses(self, after_write, after_rename, before=None):
        """How many cuts leave less in "value" than was acknowledged."""
        run = Run(self.place.name, REPLACE.format(after_write=after_write, after_rename=after_rename), before)
        return sum(self.value(target) < acknowledged for acknowledged, target in run.cuts())

    @staticmethod
    def value(target):
        try:
            with open(os.path.join(target, "value"), "rb") as file:
                return int(file.read().rstrip(b"\0").partition(b".")[0] or 0)
        except FileNotFoundError:
            return 0

    def test_nothing_is_lost_that_was_synced_with_its_name(self):
        self.assertEqual(self.losses("os.fsync(fd)", "sync_folder()"), 0)

    def test_fdatasync_does_too(self):
        self.assertEqual(self.losses("os.fdatasync(fd)", "sync_folder()"), 0)

    def test_a_file_without_sync_is_lost(self):
        self.assertGreater(self.losses("", "sync_folder()"), 0)

    def test_a_name_without_sync_is_lost(self):
        self.assertGreater(self.losses("os.fsync(fd)", ""), 0)

    def test_what_was_there_before_is_safe(self):
        run = Run(self.place.name, ACKNOWLEDGE + "acknowledge(7)", before={"value": "7."})
        for _, target in run.cuts():
            self.assertEqual(self.value(target), 7)

    def test_a_sync_covers_what_was_written_before_it_began(self):
        program = ACKNOWLEDGE + """
fd = write("value", 1); sync_folder(); os.fsync(fd)
os.pwrite(fd, b"2", 0); acknowledge(1)
"""
        values = {self.value(target) for acknowledged, target in Run(self.place.name, program).cuts() if acknowledged}
        self.assertEqual(values, {1, 2})

    def test_a_write_is_torn_by_sectors(self):
        program = ACKNOWLEDGE + """
fd = os.open("value", os.O_WRONLY | os.O_CREAT, 0o600); sync_folder()
os.pwrite(fd, b"x" * 4096, 100)
"""
        sizes = set()
        for _, target in Run(self.place.name, program).cuts(["torn"] * 40):
            if "value" not in os.listdir(target):
                continue
            with open(os.path.join(target, "value"), "rb") as file:
                content = file.read()
            sectors = [content[at:at + 512].strip(b"\0") for at in range(512, len(content) - 512, 512)]
            self.assertTrue(all(sector in (b"", b"x" * 512) for sector in sectors))
            sizes.add(content.count(b"x"))
        self.assertGreater(len(sizes), 3)

    def test_a_removed_file_may_be_there_again(self):
        program = ACKNOWLEDGE + "os.unlink('value'); acknowledge(1)"
        run = Run(self.place.name, program, before={"value": "7."})
        self.assertEqual({self.value(target) for acknowledged, target in run.cuts() if acknowledged}, {0, 7})

    def test_truncation_without_sync_may_have_happened_or_not(self):
        program = ACKNOWLEDGE + "fd = os.open('value', os.O_RDWR); os.ftruncate(fd, 1); acknowledge(1)"
        run = Run(self.place.name, program, before={"value": "77."})
        self.assertEqual({self.value(target) for acknowledged, target in run.cuts() if acknowledged}, {7, 77})


class Sqlite(Case):
    def losses(self, journal, synchronous):
        """Cuts after which an acknowledged transaction is missing or the file is damaged, and all cuts."""
        run = Run(self.place.name, TRANSACTIONS.format(journal=journal, synchronous=synchronous))
        self.assertEqual(sum(record.kind == "A" for record in run.records), 30)
        bad = count = 0
        for acknowledged, target in run.cuts():
            count += 1
            bad += not self.is_whole(os.path.join(target, "base.db"), acknowledged)
        self.assertGreater(count, 500)
        return bad

    @staticmethod
    def is_whole(path, acknowledged):
        """All that was acknowledged is there, and nothing but a part of the sequence."""
        if not os.path.exists(path):
            return acknowledged == 0
        base = sqlite3.connect(path)
        try:
            if base.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
                return False
            if acknowledged == 0:
                return True
            numbers = [n for n, in base.execute("SELECT n FROM t ORDER BY n")]
            return numbers == list(range(1, len(numbers) + 1)) and len(numbers) >= acknowledged
        except sqlite3.DatabaseError:
            return False
        finally:
            base.close()

    def test_no_committed_transaction_is_lost_with_wal_and_full(self):
        self.assertEqual(self.losses("WAL", "FULL"), 0)

    def test_none_is_lost_with_a_rollback_journal_and_extra(self):
        self.assertEqual(self.losses("DELETE", "EXTRA"), 0)

    def test_transactions_are_lost_with_off(self):
        self.assertGreater(self.losses("WAL", "OFF"), 0)

    def test_transactions_are_lost_with_normal(self):
        self.assertGreater(self.losses("WAL", "NORMAL"), 0)


if __name__ == "__main__":
    LIBRARY = os.path.abspath(sys.argv.pop(1))
    unittest.main()
