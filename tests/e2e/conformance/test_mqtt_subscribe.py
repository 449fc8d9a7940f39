# SPDX-License-Identifier: Apache-2.0
"""SUBSCRIBE, UNSUBSCRIBE and their answers (3.8 to 3.11)."""

import pytest

import raw
from conftest import IS_MOSQUITTO

NO_LOCAL = 0x04


@pytest.mark.parametrize("kind,body", [
    (raw.SUBSCRIBE, "\0\1"), (raw.UNSUBSCRIBE, "\0\1")])
def test_a_filter_at_least(broker, topic, version, kind, body):
    """[MQTT-3.8.3-2] [MQTT-3.10.3-2]"""
    client = broker.client(topic, version)
    client.send(raw.packet(kind, body.encode() + (b"\0" if version == 5 else b"")))
    assert client.expect_closed() in (0x81, 0x82, None)


@pytest.mark.parametrize("bad", [b"\xff", b"a\xed\xa0\x80", b"\0"])
def test_filters_are_text(broker, topic, version, bad):
    """[MQTT-3.8.3-1] [MQTT-3.10.3-1]"""
    for packet in (raw.subscribe(1, [(bad, 0)], version), raw.unsubscribe(1, [bad], version)):
        client = broker.client(topic, version)
        client.send(packet)
        client.expect_closed()


def test_no_local(broker, topic):
    """[MQTT-3.8.3-3]"""
    client = broker.client(topic, 5)
    client.subscribe((topic, NO_LOCAL))
    client.publish(topic, "own", 1)
    broker.client(topic + "o", 5).publish(topic, "other", 1)
    client.expect_message(topic, "other")
    client.expect_nothing(0.05)


@pytest.mark.noctule_only  # Mosquitto since 2.1
def test_no_local_is_not_for_shared_subscriptions(broker, topic):
    """[MQTT-3.8.3-4]"""
    client = broker.client(topic, 5)
    client.send(raw.subscribe(1, [(f"$share/g/{topic}", NO_LOCAL)], 5))
    assert client.expect_closed() == 0x82


@pytest.mark.parametrize("options", [0x40, 0x80, 0xC0, 0x03, pytest.param(
    0x30, marks=pytest.mark.noctule_only)])
def test_options_of_version_5(broker, topic, options):
    """[MQTT-3.8.3-5]"""
    client = broker.client(topic, 5)
    client.send(raw.subscribe(1, [(topic, options)], 5))
    assert client.expect_closed() in (0x81, 0x82)


@pytest.mark.parametrize("options", [0x03, 0x04, 0x10, 0x80, 0xFF])
def test_options_before_version_5(broker, topic, options):
    """[MQTT-3.8.3-4 of 3.1.1] (3-8.3-4 in its text)"""
    client = broker.client(topic)
    client.send(raw.subscribe(1, [(topic, options)]))
    client.expect_closed()


def test_one_answer_with_a_reason_for_each_filter(broker, topic, version):
    """[MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-3.8.4-5] [MQTT-3.8.4-6] [MQTT-3.8.4-7] [MQTT-3.9.3-1]
    [MQTT-3.9.3-2]"""
    client = broker.client(topic, version)
    wanted = [2, 0, 1, 1, 0, 2, 2]
    client.send(raw.subscribe(0x1234, [(f"{topic}/{n}", qos) for n, qos in enumerate(wanted)],
                              version))
    got = client.receive()
    assert (got.kind, got.packet_id, got.reasons) == (raw.SUBACK, 0x1234, wanted)
    client.expect_nothing(0.02)
    for number, qos in enumerate(wanted):
        client.publish(f"{topic}/{number}", "x", 2)
        message = client.receive()
        assert message.qos == qos
        client.acknowledge(message)


def test_a_bad_filter_spoils_the_packet_or_has_its_reason(broker, topic, version):
    """[MQTT-3.8.4-7] [MQTT-3.9.3-2] [MQTT-4.7.1-1]"""
    client = broker.client(topic, version)
    client.send(raw.subscribe(1, [(topic, 1), ("a/#/b", 1)], version))
    assert client.expect_closed() in (0x8F, 0x81, None)


def test_same_filter_replaces_the_subscription(broker, topic, version):
    """[MQTT-3.8.4-3] [MQTT-3.8.4-4]"""
    client = broker.client(topic, version)
    other = broker.client(topic + "o", version)
    other.publish(topic, "kept", 1, retain=True)
    for qos in (2, 0, 1):
        client.subscribe((topic, qos))
        got = client.expect_message(topic, "kept")
        assert (got.retain, got.qos) == (True, min(qos, 1))
        client.acknowledge(got)
        client.publish(topic, "live", 2)
        got = client.expect_message(topic, "live")
        assert (got.retain, got.qos) == (False, qos)
        client.acknowledge(got)
        client.expect_nothing(0.02)
    other.publish(topic, b"", 1, retain=True)


def test_same_filter_twice_in_one_packet(broker, topic, version):
    """[MQTT-3.8.4-3] [MQTT-3.8.4-5]"""
    client = broker.client(topic, version)
    other = broker.client(topic + "o", version)
    other.publish(topic, "kept", 1, retain=True)
    assert client.subscribe((topic, 0), (topic, 1)) == [0, 1]
    for qos in (0, 1):
        got = client.expect_message(topic, "kept")
        assert (got.retain, got.qos) == (True, qos)
        client.acknowledge(got)
    other.publish(topic, "live", 2)
    got = client.expect_message(topic, "live")
    assert (got.retain, got.qos) == (False, 1)
    client.acknowledge(got)
    other.publish(topic, b"", 1, retain=True)


def test_replacing_loses_nothing(broker, topic, version):
    """[MQTT-3.8.4-4]"""
    client = broker.client(topic, version)
    sender = broker.client(topic + "s", version)
    client.subscribe((topic, 1))
    for number in range(50):
        sender.send(raw.publish(topic, str(number), 1, number + 1, version=version))
        client.send(raw.subscribe(number + 1, [(topic, 1)], version))
    got = []
    while len(got) < 50:
        packet = client.receive()
        if packet.kind == raw.PUBLISH:
            got.append(int(packet.payload))
            client.acknowledge(packet)
    assert got == list(range(50))


@pytest.mark.noctule_only  # Mosquitto 2.0.11 keeps the old no local
def test_replacing_changes_the_options(broker, topic):
    """[MQTT-3.8.4-3]"""
    client = broker.client(topic, 5)
    client.subscribe((topic, 0), props=[("subscription_id", 1)])
    client.subscribe((topic, NO_LOCAL), props=[("subscription_id", 2)])
    client.publish(topic, "own")
    broker.client(topic + "o").publish(topic, "other")
    assert client.expect_message(topic, "other").prop("subscription_id") == 2
    client.subscribe((topic, 0))
    client.publish(topic, "own")
    assert client.expect_message(topic, "own").prop("subscription_id") is None


@pytest.mark.parametrize("published", [0, 1, 2])
@pytest.mark.parametrize("granted", [0, 1, 2])
def test_lower_qos_holds(broker, topic, version, published, granted):
    """[MQTT-3.8.4-8]"""
    client = broker.client(topic, version)
    assert client.subscribe((topic, granted)) == [granted]
    client.publish(topic, "x", published)
    got = client.expect_message(topic, "x")
    assert got.qos == min(published, granted)
    client.acknowledge(got)
    client.expect_nothing(0.01)


def test_unsubscribe_compares_literally(broker, topic, version):
    """[MQTT-3.10.4-1] [MQTT-3.10.4-5] [MQTT-3.11.3-2]"""
    client = broker.client(topic, version)
    client.subscribe((topic + "/a", 0))
    for name in ("/+", "/#", "/A", "/a/", "", "/a/#"):
        assert client.unsubscribe(topic + name) == ([0x11] if version == 5 else [])
    client.publish(topic + "/a", "x")
    client.expect_message(topic + "/a", "x")


def test_unsubscribe_ends_delivery(broker, topic, version):
    """[MQTT-3.10.4-2] [MQTT-3.10.4-4] [MQTT-3.10.4-6] [MQTT-3.11.3-1]"""
    client = broker.client(topic, version)
    client.subscribe((topic + "/a", 0), (topic + "/b", 0))
    client.send(raw.unsubscribe(0x4321, [topic + "/a", topic + "/c", topic + "/b"], version))
    got = client.receive()
    assert (got.kind, got.packet_id) == (raw.UNSUBACK, 0x4321)
    assert got.reasons == ([0, 0x11, 0] if version == 5 else [])
    for name in "abc":
        client.publish(f"{topic}/{name}", "x")
    client.expect_nothing()


def test_unsubscribe_lets_what_was_begun_complete(broker, topic, version):
    """[MQTT-3.10.4-3]"""
    client = broker.client(topic, version)
    client.subscribe((topic, 2))
    client.publish(topic, "x", 2)
    message = client.expect_message(topic, "x")
    client.unsubscribe(topic)
    client.send(raw.ack(raw.PUBREC, message.packet_id))
    assert client.expect(raw.PUBREL).packet_id == message.packet_id
    client.send(raw.ack(raw.PUBCOMP, message.packet_id))
    client.expect_nothing(0.02)


def test_unsubscribe_lets_what_was_begun_come_again(broker, topic, version):
    """[MQTT-3.10.4-3]"""
    session = {"clean": False, **({"props": [("session_expiry", 60)]} if version == 5 else {})}
    client = broker.client(topic, version, **session)
    client.subscribe((topic, 1))
    client.publish(topic, "x", 1)
    client.expect_message(topic, "x")
    client.unsubscribe(topic)
    client.close()
    client = broker.client(topic, version, **session)
    assert client.expect_message(topic, "x").dup


@pytest.mark.parametrize("number", [0, 1, 127, 128, 268435455])
def test_subscription_identifiers(broker, topic, number):
    """[MQTT-3.3.4-3]: from 1 to 268435455."""
    client = broker.client(topic, 5)
    packet = raw.subscribe(1, [(topic, 0)], 5, [("subscription_id", number)])
    client.send(packet)
    if number == 0:
        assert client.expect_closed() in (0x81, 0x82)
        return
    assert client.expect(raw.SUBACK).reasons == [0]
    client.publish(topic, "x")
    assert client.expect_message(topic, "x").prop("subscription_id") == number


def test_subscription_identifiers_of_a_session(broker, topic):
    """[MQTT-3.3.4-3]: kept with what is queued."""
    session = [("session_expiry", 60)]
    client = broker.client(topic, 5, clean=False, props=session)
    for name, number in (("/#", 1), ("/+", 2)):
        client.subscribe((topic + name, 1), props=[("subscription_id", number)])
    client.disconnect()
    broker.client(topic + "s", 5).publish(topic + "/a", "x", 1)
    client = broker.client(topic, 5, clean=False, props=session)
    ids = []
    while len(ids) < 2:
        got = client.expect_message(topic + "/a", "x")
        ids += [value for name, value in got.props if name == "subscription_id"]
        client.acknowledge(got)
    assert sorted(ids) == [1, 2] and (IS_MOSQUITTO or client.expect_nothing(0.02) is None)
