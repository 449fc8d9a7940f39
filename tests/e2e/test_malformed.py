# SPDX-License-Identifier: Apache-2.0
"""Packets that nobody may send: the sender is cut off, and only the sender.

A row names the rule, gives the bytes, and the reasons a version 5 client may
be told (4.13). None in place of reasons: any, or none at all.
"""

import pytest

import raw

MALFORMED, PROTOCOL = 0x81, 0x82
EITHER = (MALFORMED, PROTOCOL)


def body_with(props, topic="t", payload=b"x"):
    """A QoS 0 PUBLISH of version 5 with a hand-made property block."""
    return raw.packet(raw.PUBLISH, raw.text(topic) + props + payload)


BOTH = {
    "type 0": bytes([0x00, 0]),
    "length of five bytes": bytes([0x30, 0x80, 0x80, 0x80, 0x80, 0x01]),
    "publish at QoS 3 [MQTT-3.3.1-4]": bytes([0x36, 7, 0, 1, 0x74, 0, 1, 0x78, 0x78]),
    "publish shorter than its topic": bytes([0x30, 3, 0, 9, 0x74]),
    "publish without packet id": bytes([0x32, 3, 0, 1, 0x74]),
    "publish with packet id 0 [MQTT-2.2.1-3]": raw.packet(
        raw.PUBLISH, raw.text("t") + b"\0\0\0x", 2),
    "wildcard in a topic [MQTT-3.3.2-2]": raw.packet(raw.PUBLISH, raw.text("a/#") + b"\0"),
    "plus in a topic [MQTT-3.3.2-2]": raw.packet(raw.PUBLISH, raw.text("a/+") + b"\0"),
    "zero byte in a topic [MQTT-1.5.4-2]": raw.packet(raw.PUBLISH, raw.text(b"a\0b") + b"\0"),
    "overlong UTF-8 [MQTT-1.5.4-1]": raw.packet(raw.PUBLISH, raw.text(b"a\xc0\xafb") + b"\0"),
    "surrogate in UTF-8 [MQTT-1.5.4-1]": raw.packet(raw.PUBLISH, raw.text(b"\xed\xa0\x80") + b"\0"),
    "UTF-8 cut short": raw.packet(raw.PUBLISH, raw.text(b"a\xe2\x82") + b"\0"),
    "subscribe with flags 0 [MQTT-3.8.1-1]": raw.packet(
        raw.SUBSCRIBE, b"\0\x01" + raw.text("t") + b"\0", 0),
    "subscribe with packet id 0": raw.packet(raw.SUBSCRIBE, b"\0\0\0" + raw.text("t") + b"\0"),
    "subscribe without filter [MQTT-3.8.3-2]": raw.packet(raw.SUBSCRIBE, b"\0\x01\0"),
    "unsubscribe with flags 0 [MQTT-3.10.1-1]": raw.packet(
        raw.UNSUBSCRIBE, b"\0\x01" + raw.text("t"), 0),
    "unsubscribe without filter [MQTT-3.10.3-2]": raw.packet(raw.UNSUBSCRIBE, b"\0\x01\0"),
    "pubrel with flags 0 [MQTT-3.6.1-1]": raw.packet(raw.PUBREL, b"\0\x01", 0),
    "puback of one byte": raw.packet(raw.PUBACK, b"\0"),
    "connack from a client": raw.packet(raw.CONNACK, b"\0\0"),
    "suback from a client": raw.packet(raw.SUBACK, b"\0\x01\0\0"),
    "pingresp from a client": raw.packet(raw.PINGRESP),
    "disconnect with flags [MQTT-3.14.1-1]": raw.packet(raw.DISCONNECT, b"", 1),
}

V5 = {
    "property block longer than the packet": (body_with(b"\x7f"), EITHER),
    "unknown property": (body_with(b"\x02\x7e\x00"), EITHER),
    "property of another packet": (body_with(b"\x05\x11\0\0\0\1"), EITHER),
    "property that stands twice": (body_with(raw.properties(
        [("payload_format", 1), ("payload_format", 1)])), EITHER),
    "payload format 2": (body_with(raw.properties([("payload_format", 2)])), EITHER),
    "subscription id from a client [MQTT-3.3.4-6]": (body_with(raw.properties(
        [("subscription_id", 1)])), EITHER),
    "response topic with a wildcard [MQTT-3.3.2-14]": (body_with(raw.properties(
        [("response_topic", "a/#")])), None),
    "empty topic without alias": (body_with(b"\0", topic=""), EITHER),
    "property cut short": (body_with(b"\x03\x02\0\0"), EITHER),
    "subscription id 0": (raw.subscribe(1, [("t", 0)], 5, [("subscription_id", 0)]), EITHER),
    "retain handling 3": (raw.subscribe(1, [("t", 0x30)], 5), EITHER),
    "reserved option bits [MQTT-3.8.3-5]": (raw.subscribe(1, [("t", 0xC0)], 5), EITHER),
    "subscription at QoS 3": (raw.subscribe(1, [("t", 3)], 5), EITHER),
}

CONNECTS = {
    "will QoS 3 [MQTT-3.1.2-12]": raw.packet(
        raw.CONNECT, raw.text("MQTT") + b"\x04\x1e\0\x3c" + raw.text("i") + raw.text("w") * 2),
    "will QoS without will [MQTT-3.1.2-11]": raw.packet(
        raw.CONNECT, raw.text("MQTT") + b"\x04\x0a\0\x3c" + raw.text("i")),
    "will retain without will [MQTT-3.1.2-13]": raw.packet(
        raw.CONNECT, raw.text("MQTT") + b"\x04\x22\0\x3c" + raw.text("i")),
    "password without user name [MQTT-3.1.2-22 of 3.1.1]": raw.connect("i", password="p"),
    "client id cut short": raw.packet(
        raw.CONNECT, raw.text("MQTT") + b"\x04\x02\0\x3c\0\x09i"),
    "no client id": raw.packet(raw.CONNECT, raw.text("MQTT") + b"\x04\x02\0\x3c"),
    "client id that is no UTF-8 [MQTT-3.1.3-4]": raw.connect(b"\xff\xfe"),
    "receive maximum 0": raw.connect("i", 5, props=[("receive_maximum", 0)]),
    "maximum packet size 0": raw.connect("i", 5, props=[("maximum_packet_size", 0)]),
    "session expiry twice": raw.connect("i", 5, props=[("session_expiry", 1)] * 2),
    "authentication data without method": raw.connect("i", 5, props=[("auth_data", b"x")]),
    "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS": bytes.fromhex("16030100c8010000c40303") + bytes(60),
    "noise": bytes(range(255, 155, -1)),
}

# Mosquitto 2.0 lets these pass.
LENIENT = {"retain handling 3", "puback of one byte", "payload format 2",
           "response topic with a wildcard [MQTT-3.3.2-14]",
           "disconnect with flags [MQTT-3.14.1-1]", "suback from a client",
           "pingresp from a client", "subscription id from a client [MQTT-3.3.4-6]",
           "authentication data without method"}


def rows(table):
    return [pytest.param(*(value if isinstance(value, tuple) else (value,)), id=name,
                         marks=[pytest.mark.noctule_only] if name in LENIENT else [])
            for name, value in table.items()]


@pytest.fixture(scope="module")
def bystander(broker):
    """A client that must not notice anything."""
    client = broker.open(4)
    broker.clients.remove(client)
    client.connect("bystander")
    yield client
    client.close()


@pytest.mark.parametrize("packet", rows(BOTH))
def test_broken_packet_ends_the_connection(broker, bystander, topic, version, packet):
    client = broker.client(topic, version)
    client.send(packet)
    reason = client.expect_closed()  # [MQTT-4.13.1-1]
    if version == 5:
        assert reason is None or reason in (*EITHER, 0x90, 0x9B)
    bystander.expect_nothing(0.01)


@pytest.mark.parametrize("packet,reasons", rows(V5))
def test_broken_v5_packet_ends_the_connection(broker, bystander, topic, packet, reasons):
    client = broker.client(topic, 5)
    client.send(packet)
    reason = client.expect_closed()
    assert reasons is None or reason in (*reasons, None)
    bystander.expect_nothing(0.01)


@pytest.mark.noctule_only
@pytest.mark.parametrize("packet,reasons", rows({k: v for k, v in V5.items() if v[1]}))
def test_v5_reason_is_named(broker, topic, packet, reasons):
    client = broker.client(topic, 5)
    client.send(packet)
    assert client.expect_closed() in reasons


@pytest.mark.parametrize("packet", rows(CONNECTS))
def test_broken_connect_is_not_accepted(broker, bystander, packet):
    with broker.open(5) as client:
        client.send(packet)
        client.sock.shutdown(1)
        try:
            if packet.startswith(b"GET"):
                client.sock.settimeout(5)
                assert client.sock.recv(8) in (b"HTTP/1.1", b"")
            else:
                assert client.receive().body[1] != 0
        except (raw.Closed, ConnectionError):
            pass
        except AttributeError:  # an answer in version 3's form
            pass
    bystander.expect_nothing(0.01)


def test_truncated_packet_at_every_byte_harms_nobody(broker, bystander, topic):
    whole = raw.connect(topic[:8]) + raw.publish(topic, "x" * 10, 1, 5)
    for cut in range(len(whole)):
        with broker.open() as client:
            client.send(whole[:cut])
    bystander.expect_nothing(0.01)


def test_half_a_packet_is_waited_for(broker, topic):
    client = broker.client(topic)
    client.subscribe((topic, 0))
    whole = raw.publish(topic, "in two halves")
    client.send(whole[:9])
    client.send(whole[9:])
    client.expect_message(topic, "in two halves")
