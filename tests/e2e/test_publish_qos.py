# SPDX-License-Identifier: Apache-2.0
"""Delivery at QoS 0, 1 and 2, both ways (4.3, 4.4), and flow control (4.9)."""

import time

import pytest

import raw
from conftest import IS_MOSQUITTO

CONFIG = """
listener {port} 127.0.0.1
allow_anonymous true
max_inflight_messages 20
"""


@pytest.mark.parametrize("published", [0, 1, 2])
@pytest.mark.parametrize("subscribed", [0, 1, 2])
def test_delivered_at_the_lower_of_both_qos(broker, topic, version, published, subscribed):
    receiver = broker.client(topic + "r", version)
    sender = broker.client(topic + "s", version)
    assert receiver.subscribe((topic, subscribed)) == [subscribed]
    sender.publish(topic, "payload", published)
    got = receiver.expect_message(topic, "payload")  # [MQTT-3.8.4-8]
    assert (got.qos, got.dup, got.retain) == (min(published, subscribed), False, False)
    receiver.acknowledge(got)
    receiver.expect_nothing()


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_order_is_kept(broker, topic, qos):
    receiver = broker.client(topic + "r")
    sender = broker.client(topic + "s")
    receiver.subscribe((topic, qos))
    for number in range(200):
        sender.publish(topic, str(number), qos)
    for number in range(200):  # [MQTT-4.6.0-5]
        receiver.acknowledge(receiver.expect_message(topic, str(number)))


def test_qos2_duplicate_before_pubrel_is_delivered_once(broker, topic, version):
    receiver = broker.client(topic + "r", version)
    sender = broker.client(topic + "s", version)
    receiver.subscribe((topic, 2))
    first = raw.publish(topic, "once", 2, 9, version=version)
    again = raw.publish(topic, "once", 2, 9, dup=True, version=version)
    sender.send(first)
    sender.expect(raw.PUBREC)
    sender.send(again)
    sender.expect(raw.PUBREC)  # [MQTT-4.3.3-10]
    sender.send(raw.ack(raw.PUBREL, 9))
    sender.expect(raw.PUBCOMP)
    receiver.acknowledge(receiver.expect_message(topic, "once"))
    receiver.expect_nothing()


def test_packet_id_is_free_again_after_the_handshake(broker, topic, version):
    receiver = broker.client(topic + "r", version)
    sender = broker.client(topic + "s", version)
    receiver.subscribe((topic, 0))
    for number in range(3):
        sender.send(raw.publish(topic, str(number), 2, 5, version=version))
        sender.expect(raw.PUBREC)
        sender.send(raw.ack(raw.PUBREL, 5))
        sender.expect(raw.PUBCOMP)
        receiver.expect_message(topic, str(number))


def test_packet_ids_start_at_one_and_rise(broker, topic):
    client = broker.client(topic)
    client.subscribe((topic, 1))
    sender = broker.client(topic + "s")
    for number in range(1, 6):
        sender.publish(topic, "x", 1)
        got = client.expect(raw.PUBLISH)
        assert got.packet_id == number
        client.acknowledge(got)


@pytest.mark.parametrize("qos", [1, 2])
def test_unacknowledged_message_comes_again_with_dup_and_its_id(broker, topic, version, qos):
    options = {"props": {"session_expiry": 60}.items()} if version == 5 else {}
    receiver = broker.client(topic, version, clean=False, **options)
    receiver.subscribe((topic, qos))
    sender = broker.client(topic + "s", version)
    sender.publish(topic, "again", qos)
    first = receiver.expect_message(topic, "again")
    receiver.close()
    receiver = broker.client(topic, version, clean=False, **options)
    assert receiver.connack.session_present
    second = receiver.expect_message(topic, "again")  # [MQTT-4.4.0-1]
    assert second.dup and second.packet_id == first.packet_id  # [MQTT-3.3.1-1]
    receiver.acknowledge(second)
    receiver.expect_nothing()


def test_pubrel_comes_again_after_reconnect(broker, topic, version):
    options = {"props": {"session_expiry": 60}.items()} if version == 5 else {}
    receiver = broker.client(topic, version, clean=False, **options)
    receiver.subscribe((topic, 2))
    sender = broker.client(topic + "s", version)
    sender.publish(topic, "exactly once", 2)
    message = receiver.expect_message(topic, "exactly once")
    receiver.send(raw.ack(raw.PUBREC, message.packet_id))
    receiver.expect(raw.PUBREL)
    receiver.close()
    receiver = broker.client(topic, version, clean=False, **options)
    again = receiver.expect(raw.PUBREL)
    assert again.packet_id == message.packet_id
    receiver.send(raw.ack(raw.PUBCOMP, message.packet_id))
    receiver.expect_nothing()


def test_incoming_qos2_state_survives_a_reconnect(broker, topic, version):
    options = {"props": {"session_expiry": 60}.items()} if version == 5 else {}
    receiver = broker.client(topic + "r", version)
    receiver.subscribe((topic, 0))
    sender = broker.client(topic, version, clean=False, **options)
    sender.send(raw.publish(topic, "one", 2, 3, version=version))
    sender.expect(raw.PUBREC)
    sender.close()
    sender = broker.client(topic, version, clean=False, **options)
    sender.send(raw.publish(topic, "one", 2, 3, dup=True, version=version))
    sender.expect(raw.PUBREC)
    sender.send(raw.ack(raw.PUBREL, 3))
    sender.expect(raw.PUBCOMP)
    receiver.expect_message(topic, "one")
    receiver.expect_nothing()


def test_pubrel_for_an_unknown_id_is_completed(broker, topic):
    client = broker.client(topic)
    client.send(raw.ack(raw.PUBREL, 77))
    assert client.expect(raw.PUBCOMP).packet_id == 77


def test_v5_receive_maximum_of_the_client_is_respected(broker, topic):
    receiver = broker.client(topic, 5, props=[("receive_maximum", 3)])
    sender = broker.client(topic + "s", 5)
    receiver.subscribe((topic, 1))
    for number in range(5):
        sender.publish(topic, str(number), 1)
    got = [receiver.expect_message(topic, str(number)) for number in range(3)]
    receiver.expect_nothing()  # [MQTT-3.3.4-9]
    receiver.acknowledge(got[0])
    receiver.expect_message(topic, "3")
    if not IS_MOSQUITTO:  # 2.0 sends one too many here
        receiver.expect_nothing()


def test_inflight_limit_holds_for_v311(broker, topic):
    receiver = broker.client(topic)
    sender = broker.client(topic + "s")
    receiver.subscribe((topic, 1))
    for number in range(25):
        sender.publish(topic, str(number), 1)
    got = [receiver.expect(raw.PUBLISH) for _ in range(20)]
    receiver.expect_nothing()
    for message in got:
        receiver.acknowledge(message)
    for number in range(20, 25):
        receiver.acknowledge(receiver.expect_message(topic, str(number)))


def test_qos0_passes_while_the_window_is_full(broker, topic):
    receiver = broker.client(topic, 5, props=[("receive_maximum", 1)])
    sender = broker.client(topic + "s", 5)
    receiver.subscribe((topic, 1))
    sender.publish(topic, "held", 1)
    sender.publish(topic, "passes", 0)
    assert {receiver.expect(raw.PUBLISH).payload for _ in range(2)} == {b"held", b"passes"}


@pytest.mark.parametrize("qos", [1, pytest.param(2, marks=pytest.mark.noctule_only)])
def test_v5_nobody_listens_is_said(broker, topic, qos):
    assert broker.client(topic, 5).publish(topic, "x", qos) == 0x10


def test_v5_acknowledgements_without_reason_are_two_bytes(broker, topic):
    receiver = broker.client(topic + "r", 5)
    receiver.subscribe((topic, 0))
    sender = broker.client(topic, 5)
    sender.send(raw.publish(topic, "x", 1, 4, version=5))
    assert sender.expect(raw.PUBACK).raw == bytes([0x40, 2, 0, 4])
    sender.send(raw.publish(topic, "x", 2, 5, version=5))
    assert sender.expect(raw.PUBREC).raw == bytes([0x50, 2, 0, 5])
    sender.send(raw.ack(raw.PUBREL, 5))
    assert sender.expect(raw.PUBCOMP).raw == bytes([0x70, 2, 0, 5])


@pytest.mark.noctule_only
def test_v5_pubrec_with_an_error_ends_the_message(broker, topic):
    receiver = broker.client(topic, 5, props=[("receive_maximum", 1)])
    sender = broker.client(topic + "s", 5)
    receiver.subscribe((topic, 2))
    sender.publish(topic, "refused", 2)
    message = receiver.expect_message(topic, "refused")
    receiver.send(raw.ack(raw.PUBREC, message.packet_id, 0x80))
    sender.publish(topic, "next", 2)  # the slot is free again [MQTT-4.9.0-2]
    receiver.expect_message(topic, "next")


def test_large_payload_arrives_whole(broker, topic, version):
    payload = bytes(range(256)) * 4096
    receiver = broker.client(topic + "r", version)
    sender = broker.client(topic + "s", version)
    receiver.subscribe((topic, 1))
    sender.publish(topic, payload, 1)
    receiver.acknowledge(receiver.expect_message(topic, payload))


def test_empty_payload_is_a_message(broker, topic, version):
    client = broker.client(topic, version)
    client.subscribe((topic, 0))
    client.publish(topic, b"")
    client.expect_message(topic, b"")


def test_a_receiver_that_does_not_read_harms_nobody(broker, topic):
    lazy = broker.client(topic + "lazy")
    keen = broker.client(topic + "keen")
    sender = broker.client(topic + "s")
    for one in (lazy, keen):
        one.subscribe((topic, 0))
    payload = b"p" * 100000
    for _ in range(100):
        sender.publish(topic, payload)
        keen.expect_message(topic, payload)
    start = time.monotonic()
    sender.publish(topic, "last")
    keen.expect_message(topic, "last")
    assert time.monotonic() - start < 2
