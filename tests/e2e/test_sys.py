# SPDX-License-Identifier: Apache-2.0
"""The $SYS topics that dashboards and exporters read."""

import re

import pytest

import raw

CONFIG = """
listener {port} 127.0.0.1
allow_anonymous true
sys_interval 1
"""

NUMBER = r"\d+"
DECIMAL = r"\d+\.\d\d"
TOPICS = {
    "version": r"\S+ version \S+",
    "uptime": r"\d+ seconds",
    "clients/total": NUMBER,
    "clients/maximum": NUMBER,
    "clients/connected": NUMBER,
    "clients/active": NUMBER,
    "clients/disconnected": NUMBER,
    "clients/inactive": NUMBER,
    "clients/expired": NUMBER,
    "messages/received": NUMBER,
    "messages/sent": NUMBER,
    "messages/stored": NUMBER,
    "store/messages/count": NUMBER,
    "store/messages/bytes": NUMBER,
    "subscriptions/count": NUMBER,
    "shared_subscriptions/count": NUMBER,
    "retained messages/count": NUMBER,
    "heap/current": NUMBER,
    "heap/maximum": NUMBER,
    "bytes/received": NUMBER,
    "bytes/sent": NUMBER,
    "publish/bytes/received": NUMBER,
    "publish/bytes/sent": NUMBER,
    "publish/messages/received": NUMBER,
    "publish/messages/sent": NUMBER,
    "publish/messages/dropped": NUMBER,
    **{f"load/{what}/{window}": DECIMAL
       for what in ("messages/received", "messages/sent", "publish/dropped", "publish/received",
                    "publish/sent", "bytes/received", "bytes/sent", "sockets", "connections")
       for window in ("1min", "5min", "15min")},
}


def collect(client, seconds=4):
    """Values of $SYS by topic, until all that we know have come."""
    values = {}
    try:
        while not set(TOPICS) <= set(values):
            got = client.receive(seconds)
            if got.kind == raw.PUBLISH:
                values[got.topic[len("$SYS/broker/") :]] = got.payload.decode()
    except TimeoutError:
        pass
    return values


def test_known_topics_have_known_forms(broker):
    client = broker.client("watcher")
    client.subscribe(("$SYS/#", 0))
    client.publish("some/topic", "x", 1)
    values = collect(client)
    assert set(TOPICS) - set(values) == set()
    for name, form in TOPICS.items():
        assert re.fullmatch(form, values[name]), f"{name}: {values[name]}"


def test_values_are_retained(broker):
    client = broker.client("first")
    client.subscribe(("$SYS/broker/version", 0))
    assert client.expect(raw.PUBLISH).retain


def test_connected_clients_are_counted(broker):
    clients = [broker.client(f"counted{n}") for n in range(5)]
    clients[0].subscribe(("$SYS/broker/clients/connected", 0))
    for _ in range(5):
        if int(clients[0].expect(raw.PUBLISH).payload) == 5:
            return
    pytest.fail("never counted as five")


def test_stored_bytes_are_those_of_payloads(broker):
    client = broker.client("keeper")
    client.subscribe(("$SYS/broker/store/messages/bytes", 0))
    client.publish("kept", "x" * 100000, 1, retain=True)
    stored = 0
    for _ in range(5):
        if stored < 100000:
            stored = int(client.expect(raw.PUBLISH, 20).payload)
    assert 100000 <= stored < 101500  # the values of $SYS are stored, too
    client.publish("kept", "", 1, retain=True)


def test_clients_may_not_write(broker):
    reader = broker.client("reader")
    reader.subscribe(("$SYS/broker/fake", 0))
    writer = broker.client("writer", 5)
    writer.send(raw.publish("$SYS/broker/fake", "x", 1, 1, version=5))
    try:
        assert writer.receive().reason in (0x87, 0x10, 0)
    except raw.Closed:
        pass
    reader.expect_nothing()


@pytest.mark.noctule_only
def test_heap_current_rises_and_falls_with_what_is_held(broker):
    watcher = broker.client("watcher")
    watcher.subscribe(("$SYS/broker/heap/current", 0))
    before = int(watcher.expect(raw.PUBLISH).payload)
    sender = broker.client("sender")
    for number in range(20):
        sender.publish(f"heap/{number}", bytes(1 << 20), 1, retain=True)
    while int(watcher.expect(raw.PUBLISH, 10).payload) < before + (19 << 20):
        pass
    for number in range(20):
        sender.publish(f"heap/{number}", b"", 1, retain=True)
    while int(watcher.expect(raw.PUBLISH, 10).payload) > before + (1 << 20):
        pass


def test_interval_zero_means_none(start_broker):
    broker = start_broker(CONFIG.replace("sys_interval 1", "sys_interval 0"))
    client = broker.client("c")
    client.subscribe(("$SYS/broker/uptime", 0))
    client.expect_nothing(1.2)
