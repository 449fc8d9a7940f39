# SPDX-License-Identifier: Apache-2.0
"""Data types and the parts that all packets have (1.5, 2)."""

import time

import pytest

import raw

BAD_TEXT = {
    "surrogate": b"a\xed\xa0\x80",
    "overlong": b"a\xc0\xaf",
    "cut short": b"a\xe2\x82",
    "too high": b"a\xf4\x90\x80\x80",
    "no lead byte": b"a\x80",
}


@pytest.mark.parametrize("bad", BAD_TEXT.values(), ids=BAD_TEXT)
@pytest.mark.parametrize("where", ["topic", "filter", "client id"])
def test_text_that_is_no_utf8_ends_the_connection(broker, topic, version, bad, where):
    """[MQTT-1.5.4-1] [MQTT-3.3.2-1] [MQTT-3.8.3-1] [MQTT-3.1.3-4]"""
    if where == "client id":
        client = broker.open(version)
        client.send(raw.connect(bad, version))
    else:
        client = broker.client(topic, version)
        client.send(raw.publish(bad, "x", version=version) if where == "topic"
                    else raw.subscribe(1, [(bad, 0)], version))
    assert client.expect_closed() in (0x81, None)


@pytest.mark.parametrize("where", ["topic", "filter", "unsubscribe", "user name", "will topic"])
def test_text_with_a_zero_byte_ends_the_connection(broker, topic, version, where):
    """[MQTT-1.5.4-2] [MQTT-4.7.3-2] [MQTT-3.10.3-1] [MQTT-3.1.3-11] [MQTT-3.1.3-12]"""
    connects = {
        "user name": raw.connect(topic, version, user=b"a\0b", password=b"p"),
        "will topic": raw.connect(topic, version, will={"topic": b"a\0b", "payload": b""}),
    }
    packets = {
        "topic": raw.publish(b"a\0b", "x", version=version),
        "filter": raw.subscribe(1, [(b"a\0b", 0)], version),
        "unsubscribe": raw.unsubscribe(1, [b"a\0b"], version),
    }
    if where in connects:
        client = broker.open(version)
        client.send(connects[where])
    else:
        client = broker.client(topic, version)
        client.send(packets[where])
    client.expect_closed()


def test_byte_order_mark_is_a_character(broker, topic, version):
    """[MQTT-1.5.4-3]"""
    client = broker.client(topic, version)
    client.subscribe((topic + "/\ufeffx", 0))
    client.publish(topic + "/x", "without")
    client.publish(topic + "/\ufeffx", "with")
    client.expect_message(topic + "/\ufeffx", "with")
    client.expect_nothing()


@pytest.mark.parametrize("size", [100, 127, 128, 129, 16383, 16384])
def test_lengths_are_written_in_their_shortest_form(broker, topic, size):
    """[MQTT-1.5.5-1]"""
    client = broker.client("", 5)
    client.subscribe(("l", 0), props=[("subscription_id", size)])
    wanted = raw.publish("l", b"p" * size, version=5, props=[("subscription_id", size)])
    client.publish("l", b"p" * size)
    assert client.receive().raw == wanted
    client.publish("l", b"p" * size)
    while len(client.buffer) < len(wanted):  # the bytes themselves, not what was made of them
        client.fill(time.monotonic() + 5)
    assert client.buffer == wanted


@pytest.mark.parametrize("pair", [(b"\xff", b"v"), (b"n", b"\xed\xa0\x80"), (b"n\0", b"v")])
def test_both_texts_of_a_pair_are_checked(broker, topic, pair):
    """[MQTT-1.5.7-1]"""
    client = broker.client(topic, 5)
    client.send(raw.publish(topic, "x", version=5, props=[("user", pair)]))
    assert client.expect_closed() in (0x81, None)


@pytest.mark.parametrize("kind,body", [
    (raw.CONNECT, b""), (raw.PUBACK, b"\0\1"), (raw.PUBREC, b"\0\1"), (raw.PUBREL, b"\0\1"),
    (raw.PUBCOMP, b"\0\1"), (raw.SUBSCRIBE, b"\0\1\0\1a\0"), (raw.UNSUBSCRIBE, b"\0\1\0\1a"),
    (raw.PINGREQ, b""), (raw.AUTH, b"")])
@pytest.mark.noctule_only
def test_reserved_flags_have_their_values(broker, topic, version, kind, body):
    """[MQTT-2.1.3-1] [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1] [MQTT-3.15.1-1]"""
    client = broker.client(topic, version)
    client.send(raw.packet(kind, body, 5))
    assert client.expect_closed() == (0x81 if version == 5 else None)


def test_qos_0_has_no_packet_identifier(broker, topic, version):
    """[MQTT-2.2.1-2] [MQTT-4.3.1-1] [MQTT-2.2.2-1]"""
    client = broker.client(topic, version)
    client.subscribe((topic, 2))
    client.publish(topic, "x", 0)
    assert client.receive().raw == raw.publish(topic, "x", version=version)


@pytest.mark.parametrize("kind", ["publish", "subscribe", "unsubscribe"])
def test_packet_identifier_0_ends_the_connection(broker, topic, version, kind):
    """[MQTT-2.2.1-3]"""
    client = broker.client(topic, version)
    client.send({
        "publish": raw.publish(topic, "x", 1, 0, version=version),
        "subscribe": raw.subscribe(0, [(topic, 0)], version),
        "unsubscribe": raw.unsubscribe(0, [topic], version),
    }[kind])
    client.expect_closed()


@pytest.mark.parametrize("qos", [1, 2])
def test_identifiers_in_use_are_not_used_again(broker, topic, version, qos):
    """[MQTT-2.2.1-4] [MQTT-4.3.2-1] [MQTT-4.3.3-1]"""
    client = broker.client(topic, version)
    client.subscribe((topic, qos))
    sender = broker.client(topic + "s", version)
    for _ in range(30):
        sender.publish(topic, "x", qos)
    first = [client.expect(raw.PUBLISH) for _ in range(20)]
    ids = {message.packet_id for message in first}
    assert 0 not in ids and len(ids) == 20
    for message in first[5:]:
        client.acknowledge(message)
    more = {client.receive().packet_id for _ in range(10)}
    assert 0 not in more and not more & {message.packet_id for message in first[:5]}


@pytest.mark.parametrize("packet_id", [1, 255, 256, 65535])
def test_acknowledgements_carry_the_identifier(broker, topic, version, packet_id):
    """[MQTT-2.2.1-5] [MQTT-2.2.1-6] [MQTT-3.8.4-2] [MQTT-3.10.4-5]"""
    client = broker.client(topic, version)
    client.send(raw.subscribe(packet_id, [(topic, 0)], version))
    assert client.expect(raw.SUBACK).packet_id == packet_id
    client.send(raw.unsubscribe(packet_id, [topic + "?"], version))
    assert client.expect(raw.UNSUBACK).packet_id == packet_id
    client.send(raw.publish(topic, "x", 1, packet_id, version=version))
    client.expect_message(topic, "x")
    assert client.expect(raw.PUBACK).packet_id == packet_id
    client.send(raw.publish(topic, "x", 2, packet_id, version=version))
    assert client.expect(raw.PUBREC).packet_id == packet_id
    client.send(raw.ack(raw.PUBREL, packet_id))
    got = [client.receive(), client.receive()]
    assert [p.packet_id for p in got if p.kind == raw.PUBCOMP] == [packet_id]


def test_no_properties_is_a_length_of_zero(broker, topic):
    """[MQTT-2.2.2-1]"""
    client = broker.client(topic, 5)
    client.send(raw.subscribe(7, [(topic, 0)], 5))
    assert client.expect(raw.SUBACK).body == b"\0\7\0\0"
    client.send(raw.unsubscribe(8, [topic], 5))
    assert client.expect(raw.UNSUBACK).body == b"\0\x08\0\0"
