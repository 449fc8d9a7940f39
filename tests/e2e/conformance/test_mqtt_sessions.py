# SPDX-License-Identifier: Apache-2.0
"""Session state, QoS, redelivery, order (4.1 to 4.6)."""

import time

import pytest

import raw


def durable(version, seconds=60, **more):
    props = [("session_expiry", seconds), *more.items()]
    return {"clean": False, **({"props": props} if version == 5 else {})}


def receiver(broker, topic, version, qos, **more):
    client = broker.client(topic, version, **durable(version, **more))
    client.subscribe((topic, qos))
    return client


def back(broker, client, topic, version, **more):
    """The connection breaks, and the client comes again."""
    client.close()
    client = broker.client(topic, version, **durable(version, **more))
    assert client.connack.session_present
    return client


def test_session_stays_while_its_client_is_there(broker, topic):
    """[MQTT-4.1.0-1]: the time of its expiry begins with the end of the connection."""
    client = broker.client(topic, 5, **durable(5, 1))
    client.subscribe((topic, 1))
    time.sleep(1.3)
    broker.client(topic + "s", 5).publish(topic, "x", 1)
    client.expect_message(topic, "x")
    back(broker, client, topic, 5)


def test_session_ends_when_it_has_expired(broker, topic):
    """[MQTT-4.1.0-2]: and its subscriptions and messages with it."""
    client = broker.client(topic, 5, **durable(5, 1))
    client.subscribe((topic, 1))
    client.disconnect()
    sender = broker.client(topic + "s", 5)
    assert sender.publish(topic, "x", 1) == 0
    time.sleep(2.2)
    assert sender.publish(topic, "x", 1) == 0x10
    client = broker.client(topic, 5, **durable(5, 1))
    assert not client.connack.session_present
    client.expect_nothing(0.02)


def test_qos_1_waits_for_its_acknowledgement(broker, topic, version):
    """[MQTT-4.3.2-3] [MQTT-4.4.0-1]: and comes again at a reconnect only."""
    client = receiver(broker, topic, version, 1)
    client.publish(topic, "x", 1)
    first = client.expect_message(topic, "x")
    client.expect_nothing(1.2)
    for _ in range(2):
        client = back(broker, client, topic, version)
        again = client.expect_message(topic, "x")
        assert (again.packet_id, again.dup) == (first.packet_id, True)
    client.acknowledge(again)
    client.expect_nothing(0.02)
    back(broker, client, topic, version).expect_nothing(0.02)


def test_qos_1_identifier_is_new_after_its_acknowledgement(broker, topic, version):
    """[MQTT-4.3.2-5]: whatever its DUP flag says."""
    client = broker.client(topic, version)
    client.subscribe((topic, 0))
    for dup in (False, True):
        client.send(raw.publish(topic, "x", 1, 7, dup=dup, version=version))
        assert client.wait_for(raw.PUBACK, 7).reason == 0
        client.expect_message(topic, "x")


def test_qos_2_step_by_step(broker, topic, version):
    """[MQTT-4.3.3-3] [MQTT-4.3.3-4] [MQTT-4.3.3-5] [MQTT-4.3.3-6] [MQTT-4.4.0-1]"""
    client = receiver(broker, topic, version, 2)
    client.publish(topic, "x", 2)
    first = client.expect_message(topic, "x")
    client = back(broker, client, topic, version)
    again = client.expect_message(topic, "x")
    assert (again.packet_id, again.dup) == (first.packet_id, True)
    client.send(raw.ack(raw.PUBREC, first.packet_id))
    assert client.expect(raw.PUBREL).packet_id == first.packet_id
    for _ in range(2):
        client = back(broker, client, topic, version)
        assert client.expect(raw.PUBREL).packet_id == first.packet_id
        client.expect_nothing(0.02)
    client.send(raw.ack(raw.PUBCOMP, first.packet_id))
    client.expect_nothing(0.02)
    back(broker, client, topic, version).expect_nothing(0.02)


@pytest.mark.noctule_only
@pytest.mark.parametrize("qos", [1, 2])
def test_what_was_sent_does_not_expire(broker, topic, qos):
    """[MQTT-4.3.3-7] [MQTT-4.4.0-1]"""
    client = receiver(broker, topic, 5, qos)
    client.publish(topic, "x", qos, props=[("message_expiry", 1)])
    first = client.expect_message(topic, "x")
    client.close()
    time.sleep(1.3)
    client = back(broker, client, topic, 5)
    again = client.expect_message(topic, "x")
    assert (again.packet_id, again.dup) == (first.packet_id, True)
    assert again.prop("message_expiry") == 0


def test_handshake_of_an_expired_message_goes_on(broker, topic):
    """[MQTT-4.3.3-13]"""
    client = broker.client(topic, 5)
    client.subscribe((topic, 2))
    client.send(raw.publish(topic, "x", 2, 5, version=5, props=[("message_expiry", 1)]))
    client.expect(raw.PUBREC)
    time.sleep(1.3)
    client.send(raw.ack(raw.PUBREL, 5))
    assert client.wait_for(raw.PUBCOMP, 5).reason == 0


def test_qos_2_repetition_before_pubrel(broker, topic, version):
    """[MQTT-4.3.3-10] [MQTT-4.3.3-12]: over a reconnect, too."""
    client = receiver(broker, topic, version, 0)
    for round_ in range(2):  # the second one is new, with the same identifier
        client.send(raw.publish(topic, str(round_), 2, 5, version=version))
        client.expect(raw.PUBREC)
        client.send(raw.publish(topic, str(round_), 2, 5, dup=True, version=version))
        client.expect(raw.PUBREC)
        client = back(broker, client, topic, version)
        client.send(raw.publish(topic, str(round_), 2, 5, dup=True, version=version))
        client.expect(raw.PUBREC)
        client.send(raw.ack(raw.PUBREL, 5), raw.ack(raw.PUBREL, 5))
        client.expect_message(topic, str(round_))
        assert client.wait_for(raw.PUBCOMP, 5).reason == 0
        client.expect(raw.PUBCOMP)
        client.expect_nothing(0.02)


@pytest.mark.parametrize("qos", [1, pytest.param(2, marks=pytest.mark.noctule_only)])
def test_what_was_refused_does_not_come_again(broker, topic, qos):
    """[MQTT-4.4.0-2] [MQTT-4.3.3-4]"""
    client = receiver(broker, topic, 5, qos)
    client.publish(topic, "x", qos)
    message = client.expect_message(topic, "x")
    client.send(raw.ack(raw.PUBACK if qos == 1 else raw.PUBREC, message.packet_id, 0x97))
    client.expect_nothing(0.05)  # no PUBREL
    back(broker, client, topic, 5).expect_nothing(0.05)


def test_messages_reach_all_sessions(broker, topic, version):
    """[MQTT-4.5.0-1]"""
    present = [receiver(broker, f"{topic}", version, 1) if n == 0 else
               broker.client(f"{topic}{n}", version) for n in range(3)]
    for client in present[1:]:
        client.subscribe((topic, 1))
    absent = broker.client(topic + "absent", version, **durable(version))
    absent.subscribe((topic, 2))
    absent.disconnect()
    broker.client(topic + "s", version).publish(topic, "x", 1)
    for client in present + [broker.client(topic + "absent", version, **durable(version))]:
        client.expect_message(topic, "x")


@pytest.mark.parametrize("qos", [1, 2])
def test_redelivery_keeps_the_order(broker, topic, version, qos):
    """[MQTT-4.6.0-1] [MQTT-4.6.0-5]"""
    client = receiver(broker, topic, version, qos)
    sender = broker.client(topic + "s", version)
    for number in range(10):
        sender.publish(topic, str(number), qos)
    got = [client.expect_message(topic, str(number)) for number in range(10)]
    client.acknowledge(got[4])
    client.expect_nothing(0.01)  # it has been read
    client = back(broker, client, topic, version)
    sender.publish(topic, "10", qos)
    for number in [0, 1, 2, 3, 5, 6, 7, 8, 9, 10]:
        client.expect_message(topic, str(number))


def test_acknowledgements_keep_the_order(broker, topic, version):
    """[MQTT-4.6.0-2] [MQTT-4.6.0-3]"""
    client = broker.client(topic, version)
    ids = [9, 3, 7, 1, 5, 2, 8]
    for qos, kind in ((1, raw.PUBACK), (2, raw.PUBREC)):
        client.send(*(raw.publish(topic, "x", qos, n, version=version) for n in ids))
        assert [client.expect(kind).packet_id for _ in ids] == ids


def test_pubrels_are_in_the_order_of_pubrecs(broker, topic, version):
    """[MQTT-4.6.0-4]"""
    client = broker.client(topic, version)
    client.subscribe((topic, 2))
    sender = broker.client(topic + "s", version)
    for number in range(5):
        sender.publish(topic, str(number), 2)
    ids = [client.expect_message(topic, str(number)).packet_id for number in range(5)]
    client.send(*(raw.ack(raw.PUBREC, n) for n in ids))
    assert [client.expect(raw.PUBREL).packet_id for _ in ids] == ids


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_every_topic_keeps_its_order(broker, topic, version, qos):
    """[MQTT-4.6.0-5] [MQTT-4.6.0-6]: from two senders, over a full window."""
    client = broker.client(topic, version)
    client.subscribe((topic + "/#", qos))
    senders = [broker.client(f"{topic}{n}", version) for n in range(2)]
    for number in range(60):
        for name, sender in enumerate(senders):
            sender.publish(f"{topic}/{name}", str(number), qos)
    seen = {0: [], 1: []}
    for _ in range(120):
        got = client.receive()
        seen[int(got.topic[-1])].append(int(got.payload))
        client.acknowledge(got)
    assert seen == {0: list(range(60)), 1: list(range(60))}


@pytest.mark.noctule_only  # Mosquitto 2.0.11 sends one too many
def test_receive_maximum_is_of_the_connection(broker, topic):
    """[MQTT-4.9.0-1] [MQTT-4.9.0-2]: with a smaller one less comes at once, in order."""
    client = receiver(broker, topic, 5, 1, receive_maximum=10)
    sender = broker.client(topic + "s", 5)
    for number in range(12):
        sender.publish(topic, str(number), 1)
    for number in range(10):
        client.expect_message(topic, str(number))
    client = back(broker, client, topic, 5, receive_maximum=2)
    for number in range(12):
        got = client.expect_message(topic, str(number))
        assert got.dup == (number < 10)
        if number % 2:
            client.expect_nothing(0.02)
            client.acknowledge(last)
            client.acknowledge(got)
        last = got


def test_will_counts_as_a_message_of_its_topic(broker, topic, version):
    """[MQTT-4.6.0-5]: it comes behind what its client has published."""
    client = broker.client(topic + "w", 5)
    client.subscribe((topic, 0))
    sender = broker.client(topic, version, will={"topic": topic, "payload": "last"})
    for number in range(20):
        sender.publish(topic, str(number))
    sender.close()
    for payload in [str(number) for number in range(20)] + ["last"]:
        client.expect_message(topic, payload)
