# SPDX-License-Identifier: Apache-2.0
"""Persistence on disks that are full or fail, under clocks that are wrong, and what is synced before what is said."""

import os
import re
import shutil
import signal
import subprocess
import time

import pytest

import raw
from conftest import TOP
from durable import CONFIG, NEVER, Durable, drain, durable  # noqa: F401  (a fixture)

pytestmark = pytest.mark.noctule_only

YEAR = 365 * 86400
LARGE = bytes(1 << 20)  # more than the log has room for
no_preload = pytest.mark.skipif(bool(os.environ.get("NOCTULE_SANITIZER")),
                                reason="a sanitizer has to be loaded first itself")


# ---- a full disk ----


class OwnDisk(Durable):
    """Its store is on a disk of its own, of a few MB, in a mount namespace that outlives the broker."""

    def __init__(self, folder, mount, config=CONFIG):
        super().__init__(folder, config)
        script = f'mount -t tmpfs {mount} noctule-test "$0" && echo ready && exec sleep 600'
        self.holder = subprocess.Popen(["unshare", "-m", "sh", "-c", script, self.store], stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE)
        if self.holder.stdout.readline() != b"ready\n":
            pytest.skip("needs the right to mount: " + self.holder.communicate()[1].decode())

    def command(self):
        return ["nsenter", "-t", str(self.holder.pid), "-m", *super().command()]

    @property
    def disk(self):
        """The folder, as it is seen from here."""
        return f"/proc/{self.holder.pid}/root{self.store}"

    def fill_disk(self):
        with open(os.path.join(self.disk, "ballast"), "wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(bytes(65536))
            except OSError:
                pass
            try:
                while True:
                    ballast.write(bytes(512))
            except OSError:
                pass

    def make_room(self):
        os.remove(os.path.join(self.disk, "ballast"))

    def stop(self):
        try:
            super().stop()
        finally:
            self.holder.kill()
            self.holder.communicate()


def small_disk(tmp_path, mount):
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount")
    return OwnDisk(tmp_path, mount)


def subscribe_absent(broker, *filters):
    client = broker.keep("absent")
    client.subscribe(*[(one, 2) for one in filters])
    client.disconnect()


def payloads(packets):
    return [bytes(packet.payload) for packet in packets]


def test_a_full_disk_loses_nothing_and_ends(tmp_path):
    broker = small_disk(tmp_path, "-o size=4m").start()
    try:
        subscribe_absent(broker, "t")
        sender, old = broker.client("sender", 5), broker.client("old", 4)
        for number in range(20):
            assert sender.publish("t", f"before {number}", 1) == 0
        broker.fill_disk()
        # The first that finds no space waits for it; those behind it are refused, or wait.
        sender.send(raw.publish("t", LARGE, 1, 900, version=5))
        broker.wait_log("cannot write to '.*noctule.db': .*full; what is to be stored waits", 5)
        old.send(raw.publish("t", "waited", 1, 77))
        other = broker.client("other", 5)
        assert other.publish("nobody", "needs no space", 1) < 0x80
        assert other.publish("t", "refused", 1) == other.publish("t", "refused", 2) == 0x97
        old.send(raw.packet(raw.PINGREQ))
        with pytest.raises(TimeoutError):
            old.receive(0.3)  # paused
        broker.make_room()
        broker.wait_log("can be written again; nothing was lost", 5)
        assert sender.wait_for(raw.PUBACK, 900).reason == 0
        assert old.wait_for(raw.PUBACK, 77).reason == 0
        assert sender.publish("t", "after", 2) == 0
        broker.again("kill")
        assert payloads(drain(broker.keep("absent"))) == [
            *[f"before {number}".encode() for number in range(20)], LARGE, b"waited", b"after"]
    finally:
        broker.stop()
