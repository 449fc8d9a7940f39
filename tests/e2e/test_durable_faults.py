# SPDX-License-Identifier: Apache-2.0
"""Persistence where something is wrong with the folder or the file; for disk and clock see test_durable_disk.py.

What can't be read is never written to, and each error names the file, the cause and the remedy.
"""

import os
import re
import sqlite3

import pytest

import raw
from durable import CONFIG, Durable, drain, durable  # noqa: F401  (a fixture)

pytestmark = pytest.mark.noctule_only

COUNT = 60


def payload(number):
    return f"message {number} " + "x" * (number * 97 % 1500)


def fill(broker):
    client = broker.keep("one")
    client.subscribe(("q", 1))
    client.disconnect()
    sender = broker.client("sender", 5)
    for number in range(COUNT):
        sender.publish("q", payload(number), 1)
        sender.publish(f"r/{number}", payload(number), 1, retain=True)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """The folder of a store with one session, COUNT messages in its queue, and COUNT retained ones."""
    broker = Durable(tmp_path_factory.mktemp("filled")).start()
    fill(broker)
    broker.stop()
    assert "noctule.db-wal" not in os.listdir(broker.store)
    return broker.store


@pytest.fixture
def on_copy(durable, filled):
    """A broker that is not started, on a copy of that folder: on_copy("option value", ...)."""
    return lambda *lines: durable(*lines, is_started=False, store=filled)


def numbers(client):
    """Those of all messages that come; each must be whole."""
    packets = drain(client)
    found = [int(packet.payload.split()[1]) for packet in packets]
    assert [packet.payload for packet in packets] == [payload(number).encode() for number in found]
    return found


def find(broker):
    """What there is of the messages: queued, and retained."""
    queued = numbers(broker.keep("one"))
    probe = broker.client("probe", 5)
    probe.subscribe(("r/#", 1))
    return queued, sorted(numbers(probe))


def error_of(log):
    """The one line that says why it did not start."""
    lines = re.findall("Error: .*", log)
    assert len(lines) == 1, log
    return lines[0]


# ---- the folder ----


def test_two_brokers_do_not_share_a_folder(durable):
    first = durable()
    second = durable(is_started=False)
    second.configure(CONFIG.replace("{dir}/store", first.store))
    status, log = second.fail_to_start()
    assert status == 1
    error = error_of(log)
    assert first.store in error and f"process {first.process.pid}" in error
    assert "stop it, or give this one another persistence_location" in error
    first.end("kill")
    second.start()  # a lock dies with its process


def test_a_folder_that_is_missing_is_named(durable):
    broker = durable(is_started=False)
    os.rmdir(broker.store)
    status, log = broker.fail_to_start()
    assert status == 1
    assert broker.store in error_of(log) and "No such file or directory" in error_of(log)
    assert not os.path.exists(broker.store)


def test_a_folder_that_may_not_be_written_is_named(on_copy):
    broker = on_copy("user nobody") if os.geteuid() == 0 else on_copy()
    if os.geteuid() == 0:
        for folder in [os.path.dirname(os.path.dirname(broker.folder)), os.path.dirname(broker.folder), broker.folder]:
            os.chmod(folder, 0o755)
        os.chmod(broker.config_path, 0o644)
    os.chmod(broker.store, 0o555)
    before = contents(broker.store)
    status, log = broker.fail_to_start()
    os.chmod(broker.store, 0o755)
    assert status == 1
    error = error_of(log)
    assert broker.store in error and "Permission denied" in error
    assert "persistence_location must be a folder that the broker may write to" in error
    assert contents(broker.store) == before


# ---- the file ----


def contents(folder):
    return {name: open(os.path.join(folder, name), "rb").read() for name in sorted(os.listdir(folder))
            if name.startswith("noctule.db") and os.path.getsize(os.path.join(folder, name)) > 0}


def spoil_version(path):
    with sqlite3.connect(path) as base:
        base.execute("PRAGMA user_version = 99")
    base.close()


def spoil_by(change):
    def spoil(path):
        with open(path, "rb") as file:
            whole = file.read()
        with open(path, "wb") as file:
            file.write(change(bytearray(whole)))
    return spoil


def flip(at):
    def change(content):
        content[int(len(content) * at)] ^= 0x10
        return content
    return change


def cut(at):
    return lambda content: content[:int(len(content) * at)]


DAMAGES = {
    "version": spoil_version,
    "nuls": spoil_by(lambda content: bytes(len(content))),
    "text": spoil_by(lambda content: b"Dear diary\n" * 1000),
    **{f"cut-{percent}": spoil_by(cut(percent / 100)) for percent in [1, 25, 50, 75, 97, 98]},
    "head": spoil_by(flip(0)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_bad_file_stops_the_start_and_stays_as_it_is(on_copy, damage):
    broker = on_copy()
    DAMAGES[damage](os.path.join(broker.store, "noctule.db"))
    before = contents(broker.store)
    for _ in range(2):
        status, log = broker.fail_to_start()
        assert status == 1
        error = error_of(log)
        assert f"cannot use '{broker.store}/noctule.db'" in error.replace("//", "/")
        assert "put a backup in its place, or set persistence_on_error recover (or empty)" in error
        assert contents(broker.store) == before
    if damage == "version":
        assert "it is of version 99, this program reads version 1" in error


@pytest.mark.parametrize("damage", ["version", "nuls", "text", "cut-50", "cut-97", "head"])
def test_recover_goes_on_with_what_is_whole(on_copy, damage):
    broker = on_copy("persistence_on_error recover")
    path = os.path.join(broker.store, "noctule.db")
    DAMAGES[damage](path)
    bad = contents(broker.store)["noctule.db"]
    broker.start()
    kept = [content for name, content in contents(broker.store).items() if name.endswith(".bad")]
    assert kept == [bad]
    assert re.search(r"cannot use '.*noctule.db': .*; a new store takes its place", broker.log())
    assert re.search(r"\d+ rows of '.*noctule.db' were whole and are in the new store, \d+ were damaged", broker.log())
    assert re.search(r"the old store is kept as '.*noctule.db\.\d{8}-\d{6}\.bad'", broker.log())
    queued, retained = find(broker)
    assert queued == sorted(queued)
    if damage in ("version", "head"):
        assert (queued, retained) == (list(range(COUNT)), list(range(COUNT)))
    elif damage == "cut-97":
        assert len(queued) + len(retained) > COUNT
    elif damage in ("nuls", "text"):
        assert (queued, retained) == ([], [])
    fill_and_kill(broker)


def test_recover_leaves_out_a_row_that_is_damaged(on_copy):
    """Where all tables can be read there is no need for a new file."""
    broker = on_copy("persistence_on_error recover")
    DAMAGES["cut-98"](os.path.join(broker.store, "noctule.db"))  # into the last page, the end of one message
    broker.start()
    assert re.search("'.*noctule.db': table [a-z]+, key .*; the row is left out", broker.log())
    queued, retained = find(broker)
    assert len(queued) + len(retained) == 2 * COUNT - 1
    fill_and_kill(broker)


def fill_and_kill(broker):
    """The new store is one."""
    client = broker.keep("another")
    client.subscribe(("n", 1))
    client.disconnect()
    broker.client("sender", 5).publish("n", "new", 1)
    broker.again("kill")
    broker.keep("another").expect_message("n", "new")


@pytest.mark.parametrize("damage", ["version", "nuls", "cut-75"])
def test_empty_begins_anew(on_copy, damage):
    broker = on_copy("persistence_on_error empty")
    DAMAGES[damage](os.path.join(broker.store, "noctule.db"))
    bad = contents(broker.store)["noctule.db"]
    broker.start()
    assert [content for name, content in contents(broker.store).items() if name.endswith(".bad")] == [bad]
    assert find(broker) == ([], [])
    fill_and_kill(broker)


def test_a_flipped_bit_costs_one_row_at_most(on_copy):
    """Anywhere in the file: it is seen, or is where nothing stands; recover loses no more than what it hit."""
    seen = 0
    broker = on_copy("persistence_on_error recover")
    path = os.path.join(broker.store, "noctule.db")
    whole = contents(broker.store)["noctule.db"]
    for percent in range(3, 100, 8):
        with open(path, "wb") as file:
            file.write(flip(percent / 100)(bytearray(whole)))
        before = len(broker.log()) if seen else 0
        broker.start()
        log = broker.log()[before:]
        seen += "cannot use" in log or "the row is left out" in log
        queued, retained = map(int, re.findall(r"Restored .*? (\d+) messages for them, (\d+) retained", log)[-1])
        assert queued + retained >= 2 * COUNT - 1, (percent, log)
        broker.stop()
    assert seen > 2
