# SPDX-License-Identifier: Apache-2.0
"""CONNECT and CONNACK (3.1, 3.2), PINGREQ (3.12)."""

import time

import pytest

import raw
from conftest import IS_MOSQUITTO, SLOWER

CONFIG = """
allow_anonymous true
listener {port} 127.0.0.1
max_keepalive 600
"""


@pytest.mark.parametrize("number", [3, 4, 5])
def test_each_version_is_answered(broker, topic, number):
    with broker.client(topic[:20], number) as client:
        assert client.connack.session_present is False
        client.send(raw.packet(raw.PINGREQ))
        client.expect(raw.PINGRESP)  # [MQTT-3.12.4-1]


def test_v311_connack_is_two_bytes(broker, topic):
    with broker.client(topic) as client:
        assert client.connack.raw == bytes([0x20, 2, 0, 0])


def test_unknown_version_is_refused(broker):
    """[MQTT-3.1.2-2]: answered with the code of the oldest version, then closed."""
    with broker.open() as client:
        client.send(raw.connect("x", version=6))
        client.expect_closed()


def test_unknown_protocol_name_closes(broker):
    with broker.open() as client:  # [MQTT-3.1.2-1]
        client.send(raw.packet(raw.CONNECT, raw.text("MQTX") + b"\x04\x02\0\x3c" + raw.text("x")))
        client.expect_closed()


def test_reserved_connect_flag_closes(broker):
    with broker.open() as client:  # [MQTT-3.1.2-3]
        client.send(raw.packet(raw.CONNECT, raw.text("MQTT") + b"\x04\x03\0\x3c" + raw.text("x")))
        client.expect_closed()


def test_second_connect_closes(broker, topic, version):
    client = broker.client(topic, version)  # [MQTT-3.1.0-2]
    client.send(raw.connect(topic, version))
    client.expect_closed()


@pytest.mark.parametrize("kind", [raw.PUBLISH, raw.SUBSCRIBE, raw.PINGREQ, raw.DISCONNECT])
def test_first_packet_must_be_connect(broker, kind):
    first = {
        raw.PUBLISH: raw.publish("t", "x"),
        raw.SUBSCRIBE: raw.subscribe(1, [("t", 0)]),
        raw.PINGREQ: raw.packet(raw.PINGREQ),
        raw.DISCONNECT: raw.disconnect(),
    }[kind]
    with broker.open() as client:  # [MQTT-3.1.0-1]
        client.send(first)
        client.expect_closed()


def test_connect_in_single_bytes_is_understood(broker, topic):
    with broker.open() as client:
        for byte in raw.connect(topic[:10]):
            client.send(bytes([byte]))
            time.sleep(0.002)
        assert client.expect(raw.CONNACK).reason == 0


def test_what_follows_connect_in_one_segment_is_handled(broker, topic, version):
    with broker.open(version) as client:  # 3.1.4 lets a client not wait
        client.send(
            raw.connect(topic, version),
            raw.subscribe(7, [(topic, 0)], version),
            raw.publish(topic, "early", version=version),
        )
        client.expect(raw.CONNACK)
        assert client.expect(raw.SUBACK).packet_id == 7
        client.expect_message(topic, "early")


def test_v5_empty_client_id_gets_one(broker):
    with broker.client("", 5) as client:  # [MQTT-3.2.2-16]
        assert client.connack.prop("assigned_client_id")


def test_assigned_client_ids_differ(broker):
    with broker.client("", 5) as one, broker.client("", 5) as two:
        ids = {c.connack.prop("assigned_client_id") for c in (one, two)}
        assert len(ids) == 2


def test_v311_empty_client_id_needs_clean_session(broker):
    with broker.open() as client:  # [MQTT-3.1.3-8 of 3.1.1]
        connack = client.connect("", clean=False)
        assert connack.reason == 2
        client.expect_closed()


def test_v311_empty_client_id_with_clean_session_is_welcome(broker):
    with broker.client(""):
        pass


def test_long_client_id_is_accepted(broker, version):
    with broker.client("n" * 1000, version):
        pass


def test_v5_connack_properties_are_those_users_know(broker, topic):
    """Receive Maximum and Topic Alias Maximum, as Mosquitto announces them."""
    with broker.client(topic, 5) as client:
        assert client.connack.prop("receive_maximum") == 20
        assert client.connack.prop("topic_alias_maximum") == 10
        assert client.connack.prop("assigned_client_id") is None


def test_v5_keep_alive_above_the_limit_is_lowered(broker, topic):
    with broker.client(topic, 5, keepalive=1200) as client:  # [MQTT-3.2.2-21]
        assert client.connack.prop("server_keep_alive") == 600


@pytest.mark.noctule_only  # Mosquitto since 2.1
def test_v311_keep_alive_above_the_limit_is_refused(broker, topic):
    with broker.open() as client:
        assert client.connect(topic, keepalive=1200).reason == 2
        client.expect_closed()


def test_v5_refusal_has_an_empty_property_list(start_broker):
    strict = start_broker("allow_anonymous false\nlistener {port} 127.0.0.1\n")
    with strict.open(5) as client:
        connack = client.connect("x")
        assert (connack.reason, connack.props) == (0x87, [])
        client.expect_closed()
    with strict.open(4) as client:
        assert client.connect("x").reason == 5  # [MQTT-3.2.2-7]
        client.expect_closed()


def test_keep_alive_is_enforced_at_one_and_a_half_times(broker, topic):
    with broker.client(topic, keepalive=1) as client:  # [MQTT-3.1.2-22]
        start = time.monotonic()
        client.expect_closed(timeout=10)
        # The standard names the earliest time; Mosquitto looks every five seconds.
        assert 1.3 < time.monotonic() - start < (8 if IS_MOSQUITTO else 4 * SLOWER)


@pytest.mark.noctule_only
def test_v5_keep_alive_timeout_is_named(broker, topic):
    with broker.client(topic, 5, keepalive=1) as client:
        assert client.expect_closed(timeout=6) == 0x8D


def test_pings_keep_a_connection(broker, topic):
    with broker.client(topic, keepalive=2) as client:
        for _ in range(4):
            time.sleep(1)
            client.send(raw.packet(raw.PINGREQ))
            client.expect(raw.PINGRESP)


def test_bridge_bit_of_the_version_is_accepted(broker, topic):
    with broker.open() as client:  # what Mosquitto's bridges send with try_private
        client.send(raw.connect(topic, version=0x84))
        assert client.expect(raw.CONNACK).reason == 0


def test_without_connection_messages_nobody_is_announced(start_broker):
    broker = start_broker(CONFIG + "connection_messages false\n")
    client = broker.client("quiet")
    client.disconnect()
    client = broker.client("loud")
    client.send(raw.connect("loud"))
    broker.wait_log("sending multiple CONNECT")  # errors are told, whatever it says
    assert "New " not in broker.log() and "quiet disconnected" not in broker.log()
