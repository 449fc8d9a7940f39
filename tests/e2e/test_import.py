# SPDX-License-Identifier: Apache-2.0
"""Databases of Mosquitto's, taken over at the first start: each client finds what it finds with Mosquitto.

Debian's mosquitto fills a database. Then two brokers start on copies of it, Mosquitto again and this one, and
what each client is told there is compared.
"""

import base64
import collections
import json
import os
import shutil
import signal
import subprocess
import time

import pytest

import raw
from conftest import PROGRAM, Broker

pytestmark = pytest.mark.noctule_only

THEIRS = "/usr/sbin/mosquitto"
CONFIG = """
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {dir}/store/
autosave_interval 0
"""
WEEK = 7 * 86400


def lasting(version):
    return {"clean": False, "props": [("session_expiry", WEEK)]} if version == 5 else {"clean": False}


def fill(broker):
    """Sessions of both versions with queues, flows that stand in each state, and retained messages."""
    for name, version in [("three", 4), ("five", 5)]:
        client = broker.client(name, version, **lasting(version))
        client.subscribe(("q/1", 1), ("q/2", 2), (f"{name}/+/x", 1))
        client.disconnect()
    numbered = broker.client("numbered", 5, **lasting(5))
    numbered.subscribe(("q/1", 1), props=[("subscription_id", 77)])
    numbered.disconnect()
    flows = broker.client("flows", 5, **lasting(5))
    flows.subscribe(("f/#", 2))
    sender = broker.client("sender", 5)
    sender.publish("f/1", "unanswered", 1)
    sender.publish("f/2", "unreceived", 2)
    flows.expect_message("f/1", "unanswered")
    flows.expect_message("f/2", "unreceived")
    sender.publish("f/3", "received", 2)
    got = flows.expect_message("f/3", "received")
    flows.send(raw.ack(raw.PUBREC, got.packet_id))
    flows.wait_for(raw.PUBREL, got.packet_id)
    flows.send(raw.publish("q/1", "never released", 2, 99, version=5))
    flows.wait_for(raw.PUBREC, 99)
    flows.close()
    for number in range(40):
        sender.publish(f"q/{1 + number % 2}", f"m{number}", 1 + number % 2, props=[("user", ("n", str(number)))])
    sender.publish("q/1", "for a while", 1, props=[("message_expiry", 3600)])
    sender.publish("r/1", "kept", 1, retain=True, props=[("content_type", "text")])
    sender.publish("r/2", "taken away", 1, retain=True)
    sender.publish("r/2", "", 1, retain=True)
    sender.disconnect()


def told(packet):
    props = [(name, value) for name, value in getattr(packet, "props", []) if name != "message_expiry"]
    return (packet.kind, packet.topic, packet.payload, packet.qos, packet.retain, packet.dup, packet.packet_id, props)


def drain(client, count):
    got = []
    for _ in range(count):
        packet = client.expect(raw.PUBLISH)
        got.append(told(packet))
        client.acknowledge(packet)
    client.expect_nothing()
    return got


def find(broker):
    """What each client finds, in its order."""
    found = {}
    for name, version, count in [("three", 4, 41), ("five", 5, 41), ("numbered", 5, 21)]:
        client = broker.client(name, version, **lasting(version))
        found[name] = (client.connack.session_present, drain(client, count))
    flows = broker.client("flows", 5, **lasting(5))
    packets = [flows.read() for _ in range(3)]
    found["flows"] = sorted((p.kind, p.packet_id, getattr(p, "payload", None), getattr(p, "dup", None)) for p in packets)
    for packet in packets:
        if packet.kind == raw.PUBREL:
            flows.send(raw.ack(raw.PUBCOMP, packet.packet_id))
        else:
            flows.acknowledge(packet)
    watcher = broker.client("watcher", 5)
    watcher.subscribe(("q/1", 1), ("r/#", 1))
    found["retained"] = drain(watcher, 1)
    flows.send(raw.ack(raw.PUBREL, 99))
    found["pubcomp"] = flows.wait_for(raw.PUBCOMP, 99).reason
    found["released"] = told(watcher.expect(raw.PUBLISH))[1:3]
    sender = broker.client("another", 5)
    sender.publish("three/0/x", "live", 1)
    three = broker.client("three", 4, **lasting(4))
    packets = [three.expect(raw.PUBLISH) for _ in range(2)]
    found["live"] = [(p.topic, p.payload) for p in packets]
    return found


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("filled")
    os.mkdir(folder / "store")
    broker = Broker(folder, CONFIG, program=THEIRS).start()
    fill(broker)
    broker.stop()
    return folder / "store"


def start_on_copy(folder, filled, **options):
    shutil.copytree(filled, folder / "store")
    return Broker(folder, CONFIG, **options)


def test_each_client_finds_what_it_finds_with_mosquitto(filled, tmp_path):
    found = {}
    for name, options in [("theirs", {"program": THEIRS}), ("ours", {})]:
        folder = tmp_path / name
        folder.mkdir()
        broker = start_on_copy(folder, filled, **options).start()
        found[name] = find(broker)
        broker.stop()
    assert found["ours"] == found["theirs"]


def test_it_is_taken_over_once_and_left_as_it_is(filled, tmp_path):
    before = (filled / "mosquitto.db").read_bytes()
    broker = start_on_copy(tmp_path, filled).start()
    assert "Took over" in broker.log()
    client = broker.client("three", 4, **lasting(4))
    drain(client, 41)
    client.disconnect()
    broker.process.send_signal(signal.SIGUSR1)  # nobody waits for what is over
    broker.wait_log("SIGUSR1: all that waited is stored.")
    broker.process.kill()
    broker.process.wait()
    broker.start()
    assert broker.log().count("Took over") == 1
    assert (tmp_path / "store" / "mosquitto.db").read_bytes() == before
    client = broker.client("three", 4, **lasting(4))
    assert client.connack.session_present
    client.expect_nothing()
    broker.stop()


def test_one_that_was_cut_short_begins_anew(filled, tmp_path):
    broker = start_on_copy(tmp_path, filled)
    (tmp_path / "store" / "noctule.import").touch()
    (tmp_path / "store" / "noctule.db").write_bytes(b"half of it")
    broker.start()
    drain(broker.client("three", 4, **lasting(4)), 41)
    assert not (tmp_path / "store" / "noctule.import").exists()
    broker.stop()


def test_a_damaged_one_is_refused_with_the_remedy(filled, tmp_path):
    broker = start_on_copy(tmp_path, filled)
    whole = (tmp_path / "store" / "mosquitto.db").read_bytes()
    (tmp_path / "store" / "mosquitto.db").write_bytes(whole[:len(whole) // 2])
    with pytest.raises(AssertionError, match="noctule db salvage"):
        broker.start()
    (tmp_path / "store" / "mosquitto.db").write_bytes(whole)
    broker.start()
    drain(broker.client("three", 4, **lasting(4)), 41)
    broker.stop()


# ---- our own store, and the way back ----


def db(*words):
    return subprocess.run([PROGRAM, "db", *map(str, words)], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_the_way_back_each_client_finds_with_mosquitto_what_it_would_find_here(filled, tmp_path, how):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    broker = start_on_copy(ours, filled).start()
    broker.process.send_signal(signal.SIGTERM if how == "stop" else signal.SIGKILL)
    broker.process.wait()
    (theirs / "store").mkdir(parents=True)
    done = db("export", "--mosquitto", ours / "store", theirs / "store" / "mosquitto.db")
    assert (done.returncode, done.stderr) == (0, ""), done
    assert "4 sessions" in done.stdout
    assert os.stat(theirs / "store" / "mosquitto.db").st_mode & 0o777 == 0o600
    os.chmod(theirs / "store" / "mosquitto.db", 0o644)
    found = {}
    back = Broker(theirs, CONFIG, program=THEIRS)
    for name, where in [("theirs", back), ("ours", broker)]:
        where.start()
        try:
            found[name] = find(where)
        finally:
            where.stop()
    assert found["theirs"] == found["ours"]


def test_our_own_store_is_dumped_and_checked(filled, tmp_path):
    broker = start_on_copy(tmp_path, filled).start()
    store = tmp_path / "store"
    done = db("check", store)
    assert done.returncode == 2 and f"process {broker.process.pid}" in done.stderr
    broker.stop()
    for path in [store, store / "noctule.db"]:
        done = db("check", path)
        assert (done.returncode, done.stderr) == (0, ""), done
        assert "sound               yes" in done.stdout
        assert "sessions            4\n" in done.stdout
    done = db("dump", store)
    assert (done.returncode, done.stderr) == (0, ""), done
    records = [json.loads(line) for line in done.stdout.splitlines()]
    count = collections.Counter(record["type"] for record in records)
    assert count == {"session": 4, "subscription": 8, "outgoing": 41 + 41 + 21 + 3, "incoming": 1, "retained": 1}
    queued = [record for record in records if record["type"] == "outgoing" and record["clientid"] == "numbered"]
    assert [base64.b64decode(record["payload"]).decode() for record in queued] == [
        *(f"m{number}" for number in range(0, 40, 2)), "for a while"]
    assert {tuple(record["identifiers"]) for record in queued} == {(77,)}
    assert queued[0]["expires"] is None and queued[-1]["expires"] > time.time() + 3000
    assert [record["mid"] for record in records if record["type"] == "incoming"] == [99]


def test_what_cannot_be_done_with_our_own_store_is_said(filled, tmp_path):
    broker = start_on_copy(tmp_path, filled).start()
    broker.stop()
    store = tmp_path / "store"
    (tmp_path / "there").write_text("before")
    done = db("export", "--mosquitto", store, tmp_path / "there")
    assert done.returncode == 2 and "File exists" in done.stderr
    assert (tmp_path / "there").read_text() == "before"
    for words in [("export", store, tmp_path / "new"), ("dump", "--mosquitto", store), ("dump", "--stats", store),
                  ("salvage", store, tmp_path / "new"), ("check", tmp_path), ("check", tmp_path / "no" / "noctule.db"),
                  ("export", "--mosquitto", store / "mosquitto.db", tmp_path / "new")]:
        done = db(*words)
        assert done.returncode == 2 and done.stderr.startswith("noctule db: "), (words, done)
        assert not (tmp_path / "new").exists()
    whole = bytearray((store / "noctule.db").read_bytes())
    whole[whole.index(b"for a while")] ^= 1
    (store / "noctule.db").write_bytes(whole)
    done = db("check", store)
    assert done.returncode == 1 and "put a backup in its place" in done.stderr, done
    done = db("export", "--mosquitto", store, tmp_path / "new")
    assert done.returncode == 1 and not (tmp_path / "new").exists()
