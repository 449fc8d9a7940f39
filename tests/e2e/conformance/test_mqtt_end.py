# SPDX-License-Identifier: Apache-2.0
"""PINGREQ, DISCONNECT, AUTH, and errors (3.12 to 3.15, 4.12, 4.13)."""

import time

import pytest

import raw
from conftest import IS_MOSQUITTO


def watch(broker, topic):
    watcher = broker.client(topic + "-watcher", 5)
    watcher.subscribe((topic, 0))
    return watcher


def with_will(broker, topic, version=5, **options):
    return broker.client(topic, version, will={"topic": topic, "payload": "w"}, **options)


def test_ping_is_answered(broker, topic, version):
    """[MQTT-3.12.4-1]"""
    client = broker.client(topic, version)
    client.send(*[raw.packet(raw.PINGREQ)] * 3)
    for _ in range(3):
        assert client.receive().raw == b"\xd0\0"


@pytest.mark.noctule_only
@pytest.mark.parametrize("flags", [1, 2, 4, 8, 15])
def test_flags_of_disconnect(broker, topic, version, flags):
    """[MQTT-3.14.1-1] [MQTT-3.1.2-8]: then it is no normal DISCONNECT, and the will is sent."""
    watcher = watch(broker, topic)
    client = with_will(broker, topic, version)
    client.send(raw.packet(raw.DISCONNECT, b"", flags))
    assert client.expect_closed() == (0x81 if version == 5 else None)
    watcher.expect_message(topic, "w")


@pytest.mark.parametrize("reason", [0x04] + [
    pytest.param(reason, marks=pytest.mark.noctule_only)  # Mosquitto sends it for 0x04 only
    for reason in (0x80, 0x82, 0x97)])
def test_disconnect_with_another_reason_sends_the_will(broker, topic, reason):
    """[MQTT-3.1.2-8] [MQTT-3.14.2-1]"""
    watcher = watch(broker, topic)
    with_will(broker, topic).disconnect(reason)
    watcher.expect_message(topic, "w")


@pytest.mark.noctule_only
@pytest.mark.parametrize("reason", [0x01, 0x10, 0x87, 0x8B, 0x8D, 0x8E, 0xFF])
def test_disconnect_with_a_reason_that_is_not_the_client_s(broker, topic, reason):
    """[MQTT-3.14.2-1]"""
    client = broker.client(topic, 5)
    client.send(raw.disconnect(reason))
    assert client.expect_closed() == 0x82


@pytest.mark.noctule_only  # Mosquitto 2.0.11 says nothing
def test_our_disconnect(broker, topic):
    """[MQTT-3.14.2-1] [MQTT-3.14.2-2] [MQTT-3.14.4-1] [MQTT-3.14.4-2]: without properties, the
    last packet, and the end."""
    client = broker.client(topic, 5, props=[("session_expiry", 60)])
    client.subscribe((topic, 0))
    client.send(raw.publish(topic, "before", version=5), raw.packet(raw.SUBSCRIBE, b"\0\1\0"),
                raw.publish(topic, "after", version=5), raw.packet(raw.PINGREQ))
    client.expect_message(topic, "before")
    goodbye = client.receive()
    assert goodbye.raw in (b"\xe0\1\x82", b"\xe0\1\x81")
    with pytest.raises(raw.Closed):
        client.receive()


def test_nothing_is_said_after_a_disconnect(broker, topic, version):
    """[MQTT-3.14.4-1] [MQTT-3.14.4-2]"""
    client = broker.client(topic, version)
    client.send(raw.disconnect(), raw.packet(raw.PINGREQ))
    with pytest.raises(raw.Closed):
        client.receive()


def test_disconnect_sets_the_expiry(broker, topic):
    """[MQTT-3.1.2-23]: down to 0, and up from another one."""
    for before, after, is_kept in ((60, 0, False), (1, 60, True), (60, 0xFFFFFFFF, True)):
        client = broker.client(topic, 5, clean=True, props=[("session_expiry", before)])
        client.disconnect(0, [("session_expiry", after)])
        if before == 1:
            time.sleep(1.2)
        client = broker.client(topic, 5, clean=False)
        assert client.connack.session_present == is_kept
        client.disconnect()


def test_disconnect_does_not_raise_an_expiry_of_0(broker, topic):
    """[MQTT-4.13.1-1], 3.14.2.2.2"""
    client = broker.client(topic, 5)
    client.send(raw.disconnect(0, [("session_expiry", 1)]))
    assert client.expect_closed() == 0x82 or IS_MOSQUITTO


def test_unknown_method_is_refused(broker, topic):
    """[MQTT-4.12.0-1]"""
    client = broker.open(5)
    assert client.connect(topic, props=[("auth_method", "PLAIN"), ("auth_data", b"x")]).reason in (
        0x8C, 0x87)
    client.expect_closed()


def test_without_a_method_there_is_no_authentication(broker, topic):
    """[MQTT-4.12.0-6]"""
    client = broker.client(topic, 5, user="u", password="p")
    assert client.connack.prop("auth_method") is None
    client.expect_nothing(0.02)


@pytest.mark.parametrize("body", [b"", b"\x18\0", b"\x19\0", b"\x19" + raw.properties(
    [("auth_method", "PLAIN")]), b"\x05" + raw.properties([("auth_method", "PLAIN")])])
def test_auth_ends_the_connection(broker, topic, version, body):
    """[MQTT-4.12.1-2] [MQTT-3.15.2-1]: no method was agreed on."""
    client = broker.client(topic, version)
    client.send(raw.packet(raw.AUTH, body))
    reason = client.expect_closed()
    assert reason in ((0x82, 0x81, 0x8C, None) if version == 5 else (None,))


WRONG = {
    "malformed": (raw.packet(raw.SUBSCRIBE, b"\0\1"), 0x81),
    "protocol error": (raw.publish("", "x", version=5), 0x82),
    "packet of a server": (raw.packet(raw.UNSUBACK, b"\0\1\0\0"), 0x82),
    "property of another packet": (raw.publish("t", "x", version=5, props=[("will_delay", 1)]),
                                   (0x81, 0x82)),
    "property twice": (raw.publish("t", "x", version=5, props=[("content_type", "a")] * 2), 0x82),
    "type 0": (b"\0\0", 0x81),
}


@pytest.mark.noctule_only
@pytest.mark.parametrize("packet,reason", WRONG.values(), ids=WRONG)
def test_errors_are_named_and_end_the_connection(broker, topic, packet, reason):
    """[MQTT-4.13.1-1] [MQTT-4.13.2-1] [MQTT-3.1.4-1]"""
    watcher = watch(broker, topic)
    client = with_will(broker, topic)
    client.send(packet)
    got = client.expect_closed()
    assert got == reason or got in (reason if isinstance(reason, tuple) else ())
    watcher.expect_message(topic, "w")


@pytest.mark.parametrize("packet", [
    b"\0\0", raw.packet(raw.SUBSCRIBE, b"\0\1"), raw.packet(raw.CONNACK, b"\0\0"),
    raw.packet(raw.PUBACK, b"\0\0"), raw.publish("", "x")] + [
        pytest.param(packet, marks=pytest.mark.noctule_only) for packet in (
            raw.packet(raw.PINGREQ, b"x"), b"\x30\xff\xff\xff\xff")])
def test_errors_end_the_connection_before_version_5(broker, topic, packet):
    """[MQTT-4.13.1-1]: 4.8.0-1 in 3.1.1."""
    client = broker.client(topic)
    client.send(packet)
    with pytest.raises(raw.Closed):
        client.receive()
