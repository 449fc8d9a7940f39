# SPDX-License-Identifier: Apache-2.0
"""`noctule db`, at files that Debian's Mosquitto wrote, and Debian's Mosquitto at files of ours."""

import collections
import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

import raw
from conftest import IS_MOSQUITTO, PROGRAM, TOP, Broker

THEIRS = "/usr/sbin/mosquitto"
CONFIG = """
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {dir}/
"""
CORPUS = os.path.join(TOP, "tests", "fuzz", "corpus", "mosquitto_db")
WEEK = {"session_expiry": 604800}
KINDS = ("base-messages", "clients", "client-messages", "retained-messages", "subscriptions")
QUEUED, WAIT_PUBACK, WAIT_PUBREC, WAIT_PUBREL, WAIT_PUBCOMP = 11, 3, 5, 7, 9

pytestmark = [
    pytest.mark.noctule_only,
    pytest.mark.skipif(IS_MOSQUITTO or not os.path.exists(THEIRS), reason="needs both brokers"),
]


def db(*words, **options):
    return subprocess.run([PROGRAM, "db", *words], capture_output=True, timeout=60, text=True,
                          errors="surrogateescape", **options)


def dump_json(path):
    done = db("dump", "--json", path)
    assert (done.returncode, done.stderr) == (0, ""), done
    return json.loads(done.stdout, object_pairs_hook=collections.OrderedDict)


def by(records, name):
    return {record[name]: record for record in records}


# ---- Debian's, at work ----

def subscribe(client, filters, **options):
    client.send(raw.subscribe(1, filters, client.version, **options))
    client.expect(raw.SUBACK)


def make_sessions(broker):
    """Sessions in all states that a broker can be found in, while it runs and their clients are there."""
    queued = broker.client("queued", 5, clean=False, user="annuser", props=WEEK)
    subscribe(queued, [("t/#", 2), ("opt/+", 1 | 4 | 8), ("$share/group/s", 1)],
              props={"subscription_id": 300})
    queued.close()
    nameless = broker.client("nameless", 4, clean=False)
    subscribe(nameless, [("t/1", 1)])
    nameless.close()
    acks = broker.client("acks", 5, clean=False, props=WEEK)
    subscribe(acks, [("t/#", 2)])
    sender = broker.client("sender", 5, clean=False, user="someone", props=WEEK)
    sender.send(raw.publish("t/1", b"one", 1, 1, version=5, props=[
        ("payload_format", 1), ("message_expiry", 3600), ("content_type", "text/plain"),
        ("response_topic", "r"), ("correlation_data", b"\0\xff"), ("user", ("k", "v"))]))
    sender.wait_for(raw.PUBACK, 1)
    for packet_id, payload in ((2, b"two"), (3, b"three")):
        sender.send(raw.publish("t/2", payload, 2, packet_id, version=5))
        sender.wait_for(raw.PUBREC, packet_id)
        sender.send(raw.ack(raw.PUBREL, packet_id))
        sender.wait_for(raw.PUBCOMP, packet_id)
    sender.send(raw.publish("kept", b"ret\x01ained", 1, 4, retain=True, version=5, props=[
        ("content_type", "kept/props"), ("user", ("a", "b")), ("user", ("a", "c"))]))
    sender.wait_for(raw.PUBACK, 4)
    sender.send(raw.publish("unfinished", b"x", 2, 5, version=5))
    sender.wait_for(raw.PUBREC, 5)  # and no PUBREL
    got = [acks.expect(raw.PUBLISH) for _ in range(3)]
    acks.send(raw.ack(raw.PUBREC, got[1].packet_id))
    acks.wait_for(raw.PUBREL, got[1].packet_id)  # and no PUBCOMP; the others are not acknowledged


def save(broker, path):
    """Have it write its file, and take a copy."""
    written = os.path.join(broker.folder, "mosquitto.db")
    broker.process.send_signal(signal.SIGUSR1)
    deadline = time.monotonic() + 10
    while not os.path.exists(written):  # it is renamed into place
        assert time.monotonic() < deadline, broker.log()
        time.sleep(0.01)
    shutil.copy(written, path)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The files that Debian's broker wrote while it ran, and as it ended."""
    folder = tmp_path_factory.mktemp("written")
    broker = Broker(tmp_path_factory.mktemp("broker"), CONFIG, program=THEIRS)
    try:
        broker.start()
        make_sessions(broker)
        save(broker, folder / "running.db")
    finally:
        broker.stop()
    shutil.copy(os.path.join(broker.folder, "mosquitto.db"), folder / "ended.db")
    return folder


def test_sessions_are_read_in_every_state(written):
    told = dump_json(written / "running.db")
    states = collections.defaultdict(list)
    for message in told["client-messages"]:
        states[message["clientid"]].append((message["qos"], message["state"], message["direction"]))
    assert dict(states) == {
        "queued": [(1, QUEUED, 1), (2, QUEUED, 1), (2, QUEUED, 1)],
        "nameless": [(1, QUEUED, 1)],
        "acks": [(1, WAIT_PUBACK, 1), (2, WAIT_PUBCOMP, 1), (2, WAIT_PUBREC, 1)],
        "sender": [(2, WAIT_PUBREL, 0)],
    }
    clients = by(told["clients"], "clientid")
    assert clients["queued"]["session-expiry-interval"] == WEEK["session_expiry"]
    assert clients["queued"]["session-expiry-time"] > time.time()
    assert clients["nameless"]["session-expiry-interval"] == 0xFFFFFFFF
    assert clients["queued"]["username"] == "annuser"
    ids = {message["storeid"] for message in told["client-messages"]}
    assert ids <= set(by(told["base-messages"], "storeid"))
    assert {m["subscription-identifier"] for m in told["client-messages"]
            if m["clientid"] == "queued"} == {300}


def test_subscriptions_are_read_but_debian_keeps_no_shared_ones(written):
    told = dump_json(written / "ended.db")["subscriptions"]
    assert {(s["clientid"], s["topic"], s["qos"], s["options"], s["identifier"]) for s in told} == {
        ("queued", "t/#", 2, 0, 300), ("queued", "opt/+", 1, 12, 300),
        ("nameless", "t/1", 1, 0, 0), ("acks", "t/#", 2, 0, 0)}


def test_messages_are_read_with_their_properties(written):
    told = dump_json(written / "running.db")
    messages = by(told["base-messages"], "topic")
    one = messages["t/1"]
    assert (one["qos"], one["retain"], one["payload"], one["clientid"]) == (1, 0, "b25l", "sender")
    assert one["username"] == "someone"
    assert time.time() < one["expiry-time"] < time.time() + 3700
    assert {(p["identifier"], p.get("name"), p["value"]) for p in one["properties"]} == {
        ("payload-format-indicator", None, 1), ("content-type", None, "text/plain"),
        ("response-topic", None, "r"), ("correlation-data", None, "00FF"), ("user-property", "k", "v")}
    kept = messages["kept"]
    assert [r["storeid"] for r in told["retained-messages"]] == [kept["storeid"]]
    assert (kept["retain"], kept["expiry-time"]) == (1, 0)
    assert len(kept["properties"]) == 3


def test_a_name_that_debian_writes_for_a_client_without_one_is_not_taken(written):
    path = written / "running.db"
    with open(path, "rb") as file:
        assert re.search(rb"namelessannuser\0", file.read()), "Debian has mended it"
    assert "username" not in by(dump_json(path)["clients"], "clientid")["nameless"]
    text = db("dump", path).stdout
    assert re.search(r"Client ID: nameless\n\tListener", text), text
    assert re.search(r"^doubtful_usernames +[1-9]", db("check", path).stdout, re.MULTILINE)


def test_the_file_is_told_in_the_words_of_mosquitto_db_dump(written, tmp_path):
    """Each line of a chunk has its place; a link of that name prints the same."""
    link = tmp_path / "mosquitto_db_dump"
    link.symlink_to(PROGRAM)
    path = written / "ended.db"
    text = db("dump", path).stdout
    assert text.startswith("Mosquitto DB dump\nCRC: 0\nDB version: 6\nDB_CHUNK_CFG:\n\tLength: 16\n"
                           "\tShutdown: 1\n\tDB ID size: 8\n\tLast DB ID: ")
    assert "\tPayload: one\n\tProperties:\n" in text
    assert "\t\tCorrelation data: 00FF\n" in text and "\t\tUser property: k , v\n" in text
    assert re.search(r"DB_CHUNK_BASE_MSG:\n\tLength: \d+\n\tStore ID: \d+\n\tSource Port: \d+\n"
                     r"\tSource MID: 4\n\tTopic: kept\n\tQoS: 1\n\tRetain: 1\n\tPayload Length: 9\n"
                     r"\tExpiry Time: 0\n\tProperties:\n", text), "no payload: it has a control character"
    assert re.search(r"DB_CHUNK_CLIENT:\n\tLength: \d+\n\tClient ID: queued\n\tUsername: annuser\n"
                     r"\tListener port: \d+\n\tLast MID: 3\n\tSession expiry time: \d+\n"
                     r"\tSession expiry interval: 604800\nDB_CHUNK_CLIENT_MSG:\n\tLength: 26\n"
                     r"\tClient ID: queued\n\tStore ID: \d+\n\tMID: 1\n\tQoS: 1\n\tRetain: 0\n"
                     r"\tDirection: 1\n\tState: 11\n\tDup: 0\n\tSubscription identifier: 300\n", text)
    assert ("DB_CHUNK_SUB:\n\tLength: 23\n\tClient ID: queued\n\tTopic: opt/+\n\tQoS: 1\n"
            "\tSubscription ID: 300\n\tOptions: 0x0C\n") in text
    for option in ([], ["--stats"], ["--client-stats"], ["--json"]):
        done = subprocess.run([link, *option, path], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == db("dump", *option, path).stdout != ""
    done = subprocess.run([link, "--nonsense", path], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "") and done.stderr.startswith("Usage: db_dump [")


def test_records_and_clients_are_counted(written):
    path = written / "ended.db"
    told = dump_json(path)
    assert tuple(told) == KINDS
    stats = db("dump", "--stats", path).stdout
    assert stats == "".join(f"DB_CHUNK_{name + ':':<12}{n}\n" for name, n in (
        ("CFG", 1), ("BASE_MSG", len(told["base-messages"])),
        ("CLIENT_MSG", len(told["client-messages"])), ("RETAIN", 1),
        ("SUB", 4), ("CLIENT", 4)))
    lines = db("dump", "--client-stats", path).stdout.splitlines()
    assert [re.fullmatch(r"SC: (\d+) SS: \d+ MC: (\d+) MS: \d+   (\w+)", line).groups() for line in lines] == [
        (str(sum(s["clientid"] == c["clientid"] for s in told["subscriptions"])),
         str(sum(m["clientid"] == c["clientid"] for m in told["client-messages"])), c["clientid"])
        for c in told["clients"]]
    check = db("check", path)
    assert check.returncode == 0 and re.search(r"^written +at shutdown$", check.stdout, re.MULTILINE)
    assert re.search(r"^sound +yes$", check.stdout, re.MULTILINE)


# ---- Debian's, at files of ours ----

def start_theirs(start_broker, tmp_path_factory, path):
    """Debian's broker with that file as its database."""
    folder = tmp_path_factory.mktemp("theirs")
    shutil.copy(path, folder / "mosquitto.db")
    return start_broker(CONFIG.replace("{dir}", str(folder)), program=THEIRS)


def test_debian_goes_on_with_what_we_wrote(written, tmp_path, start_broker, tmp_path_factory):
    done = db("salvage", written / "running.db", tmp_path / "new.db")
    assert (done.returncode, done.stderr) == (0, "")
    assert os.stat(tmp_path / "new.db").st_mode & 0o777 == 0o600
    assert dump_json(tmp_path / "new.db") == dump_json(written / "running.db")
    broker = start_theirs(start_broker, tmp_path_factory, tmp_path / "new.db")
    queued = broker.client("queued", 5, clean=False, user="annuser", props=WEEK)
    assert queued.connack.session_present
    got = [queued.expect(raw.PUBLISH) for _ in range(3)]
    assert [(g.topic, g.payload, g.qos) for g in got] == [
        ("t/1", b"one", 1), ("t/2", b"two", 2), ("t/2", b"three", 2)]
    assert got[0].prop("content_type") == b"text/plain" and got[0].prop("subscription_id") == 300
    assert 0 < got[0].prop("message_expiry") <= 3600
    for client_id in ("nameless", "acks", "sender"):
        assert broker.client(client_id, 4, clean=False).connack.session_present
    other = broker.client("other", 5)
    subscribe(other, [("kept", 1)])
    kept = other.expect_message("kept", b"ret\x01ained")
    assert kept.retain and [v for n, v in kept.props if n == "user"] == [(b"a", b"b"), (b"a", b"c")]
    other.send(raw.publish("opt/1", b"live", 1, 9, version=5))  # a subscription of the session
    queued.expect_message("opt/1", b"live")


@pytest.mark.parametrize("version", (3, 4, 5))
def test_debian_reads_old_versions_as_we_do(version, tmp_path, start_broker, tmp_path_factory):
    """The old files are made by hand: here Debian's own reader has its say on them, and on our copy."""
    with open(os.path.join(CORPUS, f"version-{version}"), "rb") as file:
        (tmp_path / "old.db").write_bytes(file.read()[1:])
    assert db("salvage", tmp_path / "old.db", tmp_path / "new.db").returncode == 0
    for name in ("old.db", "new.db"):
        broker = start_theirs(start_broker, tmp_path_factory, tmp_path / name)
        other = broker.client("other", 4)
        subscribe(other, [("a/b", 0)])
        assert other.expect_message("a/b", b"hello").retain
        if name == "old.db" and version < 5:
            continue  # it takes their sessions for expired ones
        ann = broker.client("ann", 4, clean=False)
        assert ann.connack.session_present
        got = ann.expect_message("a/b", b"hello")
        assert (got.packet_id, got.dup) == (5, True)
        other.send(raw.publish("a/c", b"live"))
        ann.expect_message("a/c", b"live")


def test_what_stands_before_a_fault_is_saved(written, tmp_path, start_broker, tmp_path_factory):
    data = (written / "ended.db").read_bytes()
    (tmp_path / "cut.db").write_bytes(data[:-3])
    check = db("check", tmp_path / "cut.db")
    assert check.returncode == 1 and re.search(r"^sound +no$", check.stdout, re.MULTILINE)
    assert re.fullmatch(rf"noctule db: '.*cut.db', byte {len(data) - 3}, in chunk \d+ \(retained message\): "
                        "the file ends within a chunk\n", check.stderr)
    assert db("dump", "--json", tmp_path / "cut.db").stdout == ""
    done = db("salvage", tmp_path / "cut.db", tmp_path / "new.db")
    assert done.returncode == 1 and done.stderr == check.stderr
    assert re.fullmatch(r"\d+ records written to '.*new.db'\n", done.stdout)
    whole, saved = dump_json(written / "ended.db"), dump_json(tmp_path / "new.db")
    assert saved.pop("retained-messages") == [] and whole.pop("retained-messages") != []
    assert saved == whole
    broker = start_theirs(start_broker, tmp_path_factory, tmp_path / "new.db")
    assert broker.client("queued", 5, clean=False, props=WEEK).connack.session_present


# ---- what goes wrong ----

def test_help_is_told():
    done = db("--help")
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("Usage: noctule db dump")


@pytest.mark.parametrize("words", (
    [], ["dump"], ["nonsense", "x"], ["dump", "x", "y"], ["salvage", "x"], ["check", "--json", "x"],
    ["dump", "--json", "--stats", "x"], ["dump", "--nonsense", "x"], ["dump", "/nowhere/at/all"],
    ["check", "/"], ["salvage", "/nowhere", "/nowhere/else"]))
def test_what_cannot_be_done_has_a_status_of_its_own(words):
    done = db(*words)
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.startswith("noctule db: ")


def test_what_is_no_database_is_said_to_be_none(tmp_path):
    (tmp_path / "text").write_text("hello")
    (tmp_path / "seven").write_bytes(b"\0\xb5\0mosquitto db\0\0\0\0\0\0\0\7")
    (tmp_path / "empty").write_bytes(b"")
    for name, byte, what in (("text", 0, "this is no mosquitto.db"), ("seven", 19, "a version other than 3 to 6"),
                             ("empty", 0, "the file ends within its head")):
        path = tmp_path / name
        for words in (["check", path], ["dump", path], ["dump", "--json", path], ["salvage", path, tmp_path / "new"]):
            done = db(*words)
            assert (done.returncode, done.stdout, done.stderr) == (
                1, "", f"noctule db: '{path}', byte {byte}: {what}\n")
        assert not (tmp_path / "new").exists()


def test_no_file_is_overwritten_and_none_left_half_written(written, tmp_path):
    (tmp_path / "there").write_text("precious")
    done = db("salvage", written / "ended.db", tmp_path / "there")
    assert done.returncode == 2 and "File exists" in done.stderr
    assert (tmp_path / "there").read_text() == "precious"
    done = subprocess.run(["sh", "-c", 'ulimit -f 0; trap "" XFSZ; exec "$0" db salvage "$1" "$2"', PROGRAM,
                           written / "ended.db", tmp_path / "new"], capture_output=True, timeout=60)
    assert done.returncode == 2 and b"cannot write" in done.stderr, done
    assert not (tmp_path / "new").exists()


def test_output_that_could_not_be_written_is_a_failure(written):
    with open("/dev/full", "wb") as full:
        for option in ([], ["--stats"], ["--json"]):
            done = subprocess.run([PROGRAM, "db", "dump", *option, written / "ended.db"], stdout=full,
                                  stderr=subprocess.PIPE, timeout=60)
            assert done.returncode == 2 and b"cannot write" in done.stderr


def test_a_pipe_can_be_read_once(written):
    data = (written / "ended.db").read_bytes()
    for option, status in ((["--stats"], 0), ([], 0), (["--json"], 2)):
        done = subprocess.run([PROGRAM, "db", "dump", *option, "/dev/stdin"], input=data, capture_output=True,
                              timeout=60)
        assert done.returncode == status, (option, done.stderr)
