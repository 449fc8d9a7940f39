# SPDX-License-Identifier: Apache-2.0
"""Persistence on disks that are full or fail, under clocks that are wrong, and what is synced before what is said."""

import os
import re
import subprocess
import time

import pytest

import raw
from conftest import TOP
from durable import NEVER, Durable, drain, durable  # noqa: F401  (a fixture)

pytestmark = pytest.mark.noctule_only

YEAR = 365 * 86400
LARGE = bytes(1 << 20)  # more than the log has room for
no_preload = pytest.mark.skipif(bool(os.environ.get("NOCTULE_SANITIZER")),
                                reason="a sanitizer has to be loaded first itself")


# ---- a full disk ----


class OwnDisk(Durable):
    """Its store is on a disk of its own, of a few MB, in a mount namespace that outlives the broker."""

    def __init__(self, folder, config):
        super().__init__(folder, config)
        script = f'mount -t tmpfs -o size=4m noctule-test "$0" && echo ready && exec sleep 600'
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


def subscribe_absent(broker, *filters):
    client = broker.keep("absent")
    client.subscribe(*[(one, 2) for one in filters])
    client.disconnect()


def payloads(packets):
    return [bytes(packet.payload) for packet in packets]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount")
def test_a_full_disk_loses_nothing_and_ends(durable):
    broker = durable(kind=OwnDisk)
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


def test_past_the_largest_size_messages_are_refused_until_there_is_room(durable):
    broker = durable("persistence_max_size 300000")
    subscribe_absent(broker, "t")
    sender = broker.client("sender", 5)
    taken = 0
    while sender.publish("t", f"{taken} " + "x" * 5000, 1) == 0:
        taken += 1
        assert taken < 200
    assert taken > 10
    broker.wait_log("has passed persistence_max_size")
    broker.again("kill")
    absent = broker.keep("absent")
    assert payloads(drain(absent)) == [f"{number} ".encode() + b"x" * 5000 for number in range(taken)]
    broker.store_all()
    assert broker.client("sender", 5).publish("t", "there is room", 1) == 0
    absent.acknowledge(absent.expect_message("t", "there is room"))


# ---- a disk that fails, a clock that is wrong ----


@pytest.fixture(scope="module")
def preload(tmp_path_factory):
    """The library of preload.c."""
    library = tmp_path_factory.mktemp("preload") / "preload.so"
    source = os.path.join(TOP, "tests", "e2e", "preload.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return str(library)


@no_preload
def test_after_a_failed_sync_nothing_is_acknowledged(durable, tmp_path, preload):
    mark = tmp_path / "the disk fails"
    broker = durable(environment={"LD_PRELOAD": preload, "SYNC_FAILS": str(mark)})
    subscribe_absent(broker, "t")
    sender = broker.client("sender", 4)
    for number in range(10):
        sender.publish("t", str(number), 1)
    mark.touch()
    sender.send(raw.publish("t", "10", 1, 99))
    with pytest.raises(raw.Closed):
        while True:
            assert sender.receive(20).kind != raw.PUBACK
    assert broker.process.wait(20) == 1
    assert re.search("Error: cannot write to '.*noctule.db': disk I/O error", broker.log())
    assert "stopping, so that nothing is acknowledged that could be lost" in broker.log()
    mark.unlink()
    broker.start()
    got = payloads(drain(broker.keep("absent")))
    assert got[:10] == [str(number).encode() for number in range(10)] and got[10:] in ([], [b"10"])


def fill_with_deadlines(broker):
    for name, expiry in [("hour", 3600), ("never", NEVER)]:
        client = broker.keep(name, expiry=expiry)
        client.subscribe(("t", 1))
        client.disconnect()
    sender = broker.client("sender", 5)
    for expiry in [3600, None]:
        props = [("message_expiry", expiry)] if expiry else []
        sender.publish("t", "queued", 1, props=props)
        sender.publish(f"r/{expiry}", "retained", 1, retain=True, props=props)


def see_that_nothing_expired(broker):
    for name in ["hour", "never"]:
        client = broker.keep(name, expiry=3600 if name == "hour" else NEVER)
        assert client.connack.session_present, name
        first, second = [client.expect_message("t", "queued") for _ in range(2)]
        # Of a life that was killed the last minute may not count.
        assert 3500 < first.prop("message_expiry") <= 3660 and second.props == []
    probe = broker.client("probe", 5)
    probe.subscribe(("r/#", 0))
    assert {probe.expect(raw.PUBLISH).topic for _ in range(2)} == {"r/3600", "r/None"}


@no_preload
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_wrong_clock_expires_nothing(durable, preload, how):
    """A machine without a battery begins in 1970; others jump by half a century, either way."""
    broker = durable(environment={"LD_PRELOAD": preload, "WALL_OFFSET": "0"})
    to_1970 = -int(time.time()) + 60
    fill_with_deadlines(broker)
    for offset in [to_1970, 50 * YEAR, 0, -20 * YEAR, to_1970]:
        broker.end(how)
        broker.environment["WALL_OFFSET"] = str(offset)
        see_that_nothing_expired(broker.start())
        assert abs(int(re.findall(r"(?m)^(-?\d+): ", broker.log())[-1]) - time.time() - offset) < 100


@no_preload
def test_a_store_that_was_made_in_1970_expires_nothing_when_the_clock_is_set(durable, preload):
    broker = durable(environment={"LD_PRELOAD": preload, "WALL_OFFSET": str(-int(time.time()) + 60)})
    fill_with_deadlines(broker)
    broker.end("kill")
    del broker.environment["WALL_OFFSET"]
    see_that_nothing_expired(broker.start())


# ---- what is synced before what is said ----


class Traced(Durable):
    """Under strace; its calls, once it has ended, are lines of (index of begin, index of end, text)."""

    CALLS = "trace=recvfrom,pwrite64,fdatasync,fsync,sendto,sendmsg"

    def command(self):
        return ["strace", "-D", "-f", "-xx", "-s", "100000", "-e", self.CALLS, "-o", self.trace_path, *super().command()]

    @property
    def trace_path(self):
        return os.path.join(self.folder, "trace")

    def calls(self):
        pid = self.process.pid
        self.end("stop")
        deadline = time.monotonic() + 10
        while True:
            with open(self.trace_path, encoding="ascii") as trace:
                lines = trace.read().splitlines()
            if re.search(rf"^{pid} .*exited with", lines[-1] if lines else ""):
                break
            assert time.monotonic() < deadline, lines[-1:]
            time.sleep(0.01)
        begun, calls = {}, []
        for at, line in enumerate(lines):
            thread, text = line.split(None, 1)
            if text.endswith("<unfinished ...>"):
                begun[thread] = (at, text[:-len("<unfinished ...>")])
            elif text.startswith("<... "):
                start, head = begun.pop(thread)
                calls.append((start, at, head + text.split("resumed>", 1)[1]))
            else:
                calls.append((at, at, text))
        return calls


def first_call(calls, name, content, after=-1):
    """Where the first call of that name with these bytes in it, begun after that line, begins and ends."""
    text = "".join(f"\\x{byte:02x}" for byte in content)
    found = [(begin, end) for begin, end, line in calls
             if begin > after and line.startswith(name) and text in line and not re.search("= -1", line)]
    assert found, (name, content, after)
    return min(found)


def is_synced_between(calls, after, before):
    """Has a sync begun after that line and ended before this one?"""
    return any(after < begin and end < before and re.match(r"f(data)?sync\(\d+\) += 0", re.sub(r"\s+", " ", line))
               for begin, end, line in calls)


def trace_a_life(broker):
    """One of each thing that has to be stored before it is answered."""
    absent = broker.keep("absent-client", 4)
    absent.subscribe(("filter/of/absent", 2))
    sender = broker.keep("sender-client", 4)
    sender.subscribe(("unused", 0))  # what follows is not stored together with the session itself
    absent.disconnect()
    sender.send(raw.publish("filter/of/absent", "qos 1 payload", 1, 0x1111))
    sender.wait_for(raw.PUBACK, 0x1111)
    sender.send(raw.publish("filter/of/absent", "qos 2 payload", 2, 0x2222))
    sender.wait_for(raw.PUBREC, 0x2222)
    sender.send(raw.ack(raw.PUBREL, 0x2222))
    sender.wait_for(raw.PUBCOMP, 0x2222)
    sender.send(raw.publish("retained/topic", "retained payload", 1, 0x3333, retain=True))
    sender.wait_for(raw.PUBACK, 0x3333)
    return broker.calls()


@no_preload
@pytest.mark.parametrize("sync", ["always", "off"])
def test_what_is_answered_was_synced(durable, sync):
    tried = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False)
    if tried.returncode != 0:
        pytest.skip("strace may not trace here: " + tried.stderr.decode().strip())
    calls = trace_a_life(durable(f"persistence_sync {sync}", kind=Traced))
    synced = {}
    for name, stored, answer in [
            ("CONNACK", b"absent-client", raw.packet(raw.CONNACK, b"\0\0")),
            ("SUBACK", b"filter/of/absent", raw.packet(raw.SUBACK, b"\0\1\2")),
            ("PUBACK", b"qos 1 payload", raw.ack(raw.PUBACK, 0x1111)),
            ("PUBREC", b"qos 2 payload", raw.ack(raw.PUBREC, 0x2222)),
            ("PUBACK of a retained message", b"retained payload", raw.ack(raw.PUBACK, 0x3333))]:
        received = first_call(calls, "recvfrom", stored)[1]
        written = first_call(calls, "pwrite64", stored, received)[1]
        said = first_call(calls, "send", answer, received)[0]
        assert written < said, name
        synced[name] = is_synced_between(calls, written, said)
    released = first_call(calls, "recvfrom", raw.ack(raw.PUBREL, 0x2222))[1]
    synced["PUBCOMP"] = is_synced_between(calls, released, first_call(calls, "send", raw.ack(raw.PUBCOMP, 0x2222))[0])
    assert synced == dict.fromkeys(synced, sync == "always")
