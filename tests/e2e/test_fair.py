# SPDX-License-Identifier: Apache-2.0
"""Clients that make much work with few bytes: the others go on, and nothing is lost or overtaken."""

import itertools
import os
import socket
import time

import pytest

import raw
import ways
import ws

pytestmark = pytest.mark.noctule_only  # Mosquitto lets them wait

SLOWER = 4 if os.environ.get("NOCTULE_SANITIZER") else 1
LEVELS = 12
CONFIG = "workers 2\nmax_queued_messages 0\n" + ways.CONFIG + \
    "listener 0 {dir}/ws.sock\nprotocol websockets\n"


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    import conftest
    running = conftest.Broker(tmp_path_factory.mktemp("broker"), CONFIG)
    ways.make_certificates(running.folder)
    try:
        yield running.start()
    finally:
        running.stop()


def test_a_line_of_costly_topics_does_not_stop_others(broker):
    """4096 filters that all match one topic, and a line of short messages for it."""
    topic = "/".join("a" * LEVELS)
    glutton = broker.client("glutton", 5)
    filters = ["/".join(levels) for levels in itertools.product("a+", repeat=LEVELS)]
    for at in range(0, len(filters), 512):
        assert set(glutton.subscribe(*[(one, 0) for one in filters[at:at + 512]])) == {0}
    others = [broker.client(f"other {number}", 5) for number in range(8)]
    sender = broker.client("sender", 5)
    alias = [("topic_alias", 1)]
    sender.send(raw.publish(topic, b"", version=5, props=alias))
    line = raw.publish("", b"", version=5, props=alias) * 4000
    sender.sock.settimeout(60)
    sender.send(line)
    longest = 0
    for _ in range(10):
        for other in others:
            before = time.monotonic()
            other.send(raw.packet(raw.PINGREQ))
            other.expect(raw.PINGRESP)
            longest = max(longest, time.monotonic() - before)
    # Some of them share the sender's worker; without turns they would wait for all of it.
    assert longest < 0.5 * SLOWER
    glutton.close()
    sender.send(raw.packet(raw.PINGREQ))
    sender.expect(raw.PINGRESP, 60)


@pytest.mark.parametrize("way", ways.WAYS)
def test_what_was_sent_before_a_goodbye_arrives(broker, topic, way):
    """The goodbye comes in one read with more work than a turn takes."""
    readers = [broker.client(f"reader {number}", 5) for number in range(40)]
    for reader in readers:
        reader.subscribe((topic, 0))
    sender = ways.client(broker, way, "sender")
    count = 1500
    packets = [raw.publish(topic, str(number)) for number in range(count)]
    packets.append(raw.disconnect())
    if way in ("ws", "wss"):
        inner = sender.sock.sock
        inner.sendall(b"".join(ws.frame(ws.BINARY, one) for one in packets) +
                      ws.frame(ws.CLOSE, b"\x03\xe8"))
    else:
        sender.send(*packets)
    sender.close()
    for reader in readers:
        for number in range(count):
            reader.expect_message(topic, str(number), 30)


def test_frames_are_taken_in_order_when_the_peer_has_hung_up(broker, topic):
    """A unix socket tells at once that its peer has gone, while frames of before wait for a turn."""
    readers = [broker.client(f"reader {number}", 5) for number in range(16)]
    for reader in readers:
        reader.subscribe((topic, 0))
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(30)
    sock.connect(os.path.join(broker.folder, "ws.sock"))
    sender = raw.Raw(0, sock=ways.UnixSocket(ws.WebSocket(sock)))
    sender.connect("sender")
    count, each = 12000, 1200
    for at in range(0, count, each):
        sock.sendall(ws.frame(ws.BINARY, b"".join(
            raw.publish(topic, str(number)) for number in range(at, at + each))))
    sock.sendall(ws.frame(ws.BINARY, raw.disconnect()) + ws.frame(ws.CLOSE, b"\x03\xe8"))
    sock.close()
    for reader in readers:
        for number in range(count):
            reader.expect_message(topic, str(number), 30)
