# SPDX-License-Identifier: Apache-2.0
"""Brokers with persistence, and their ends: by SIGTERM and by SIGKILL, with clients connected."""

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import time

import pytest

import raw
from conftest import STOP_SECONDS, Broker

CONFIG = """
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {dir}/store/
"""
NEVER = 0xFFFFFFFF
PROPERTIES = [("payload_format", 1), ("content_type", "text/plain"), ("response_topic", "re/ply"),
              ("correlation_data", b"\0\1\2"), ("user", ("k", "v")), ("user", ("k", "w")), ("user", ("a", "é"))]


def without_expiry(packet):
    return [(name, value) for name, value in packet.props if name != "message_expiry"]


def bytes_of(pairs):
    """Properties as they are read."""
    def plain(value):
        return value if isinstance(value, int) else tuple(map(raw.to_bytes, value)) if isinstance(value, tuple) \
            else raw.to_bytes(value)
    return [(name, plain(value)) for name, value in pairs]


def drain(client):
    """All messages that come, acknowledged; none does when pings are answered for a while without one.

    Of a long queue the broker reads the next part from its store, and answers pings meanwhile.
    """
    got, quiet = [], 0
    while quiet < 4:
        time.sleep(0.1 if quiet > 0 else 0)
        client.send(raw.packet(raw.PINGREQ))
        before = len(got)
        while (packet := client.receive()).kind != raw.PINGRESP:
            assert packet.kind == raw.PUBLISH, packet
            got.append(packet)
            client.acknowledge(packet)
        quiet = quiet + 1 if len(got) == before else 0
    return got


class Durable(Broker):
    """A broker on a folder of its own, which is made before the first start."""

    def __init__(self, folder, config=CONFIG, **options):
        super().__init__(folder, config, **options)
        os.makedirs(self.store, exist_ok=True)

    @property
    def store(self):
        return os.path.join(self.folder, "store")

    def end(self, how):
        """End it under its clients: how is "stop", as a service manager does, or "kill"."""
        self.process.send_signal(signal.SIGTERM if how == "stop" else signal.SIGKILL)
        status = self.process.wait(STOP_SECONDS)
        assert status == (0 if how == "stop" else -signal.SIGKILL), self.log()
        self.process = None
        for client in self.clients:
            client.close()
        self.clients.clear()

    def fail_to_start(self):
        """Start it where it can't: the status with which it ends, and its lines of that time."""
        before = len(self.log()) if os.path.exists(self.log_path) else 0
        with open(self.log_path, "ab") as log:
            status = subprocess.run(self.command(), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                    env=self.environment, timeout=STOP_SECONDS, check=False).returncode
        return status, self.log()[before:]

    def again(self, how):
        self.end(how)
        return self.start()

    def store_all(self):
        """Have it store what nobody waits for, and wait until it has."""
        before = self.log().count("SIGUSR1:")
        self.process.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + 5
        while self.log().count("SIGUSR1: all that waited is stored.") <= before:
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.005)

    def keep(self, client_id, version=5, expiry=NEVER, props=(), **options):
        """A connected client whose session is kept."""
        if version == 5:
            options["props"] = [("session_expiry", expiry), *props]
        return self.client(client_id, version, clean=False, **options)


@pytest.fixture
def durable(tmp_path):
    """Start a broker with persistence: durable("option value", ...); with is_started=False only make it."""
    made = contextlib.ExitStack()
    numbers = itertools.count()

    def make(*lines, kind=Durable, is_started=True, store=None, **options):
        """store: a folder to begin with a copy of."""
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        if store:
            shutil.copytree(store, folder / "store")
        broker = kind(folder, CONFIG + "\n".join([*lines, ""]), **options)
        made.callback(broker.stop)
        return broker.start() if is_started else broker

    with made:
        yield make


@pytest.fixture(params=["stop", "kill"])
def how(request):
    """How the broker ends."""
    return request.param
