# SPDX-License-Identifier: Apache-2.0
"""Sessions: clean start, expiry, takeover (3.1.2.4, 3.1.2.11.2, 4.1)."""

import time

import pytest

import raw
from conftest import IS_MOSQUITTO

FOREVER = 0xFFFFFFFF


def durable(version, seconds=60):
    options = {"clean": False}
    if version == 5:
        options["props"] = [("session_expiry", seconds)]
    return options


def test_session_present_tells_the_truth(broker, topic, version):
    first = broker.client(topic, version, **durable(version))
    assert not first.connack.session_present  # [MQTT-3.2.2-3]
    first.disconnect()
    second = broker.client(topic, version, **durable(version))
    assert second.connack.session_present  # [MQTT-3.2.2-3]
    second.disconnect()


def test_clean_start_forgets(broker, topic, version):
    first = broker.client(topic, version, **durable(version))
    first.subscribe((topic, 1))
    first.disconnect()
    second = broker.client(topic, version, clean=True)
    assert not second.connack.session_present  # [MQTT-3.1.2-4]
    broker.client(topic + "s", version).publish(topic, "gone", 1)
    second.expect_nothing()


def test_v311_clean_session_ends_with_the_connection(broker, topic):
    broker.client(topic).disconnect()
    assert not broker.client(topic, clean=False).connack.session_present


def test_subscriptions_and_queue_outlive_the_connection(broker, topic, version):
    receiver = broker.client(topic, version, **durable(version))
    receiver.subscribe((topic, 1))
    receiver.disconnect()
    sender = broker.client(topic + "s", version)
    for number in range(30):
        sender.publish(topic, str(number), 1)
    receiver = broker.client(topic, version, **durable(version))
    for number in range(30):
        receiver.acknowledge(receiver.expect_message(topic, str(number)))
    receiver.expect_nothing()


def test_qos0_is_not_kept_for_the_absent(broker, topic):
    receiver = broker.client(topic, clean=False)
    receiver.subscribe((topic, 1))
    receiver.disconnect()
    broker.client(topic + "s").publish(topic, "fleeting", 0)
    time.sleep(0.1)
    broker.client(topic, clean=False).expect_nothing()


def test_v5_session_without_expiry_ends_at_once(broker, topic):
    broker.client(topic, 5).disconnect()  # [MQTT-3.1.2-23]
    again = broker.client(topic, 5, clean=False)
    assert not again.connack.session_present


def test_v5_session_expires_in_time(broker, topic):
    broker.client(topic, 5, **durable(5, 1)).disconnect()
    time.sleep(2.6)
    assert not broker.client(topic, 5, **durable(5, 1)).connack.session_present


def test_v5_session_that_never_expires(broker, topic):
    broker.client(topic, 5, **durable(5, FOREVER)).disconnect()
    assert broker.client(topic, 5, **durable(5, FOREVER)).connack.session_present


def test_v5_disconnect_may_change_the_expiry(broker, topic):
    client = broker.client(topic, 5, **durable(5, 60))
    client.disconnect(0, [("session_expiry", 0)])
    assert not broker.client(topic, 5, **durable(5)).connack.session_present


def test_v5_disconnect_may_not_raise_an_expiry_of_zero(broker, topic):
    client = broker.client(topic, 5)  # 3.14.2.2.2
    client.send(raw.disconnect(0, [("session_expiry", 5)]))
    assert client.expect_closed() in (0x82, None)


@pytest.mark.parametrize("old,new", [(4, 4), (5, 5), (4, 5), (5, 4)])
def test_takeover_closes_the_old_connection(broker, topic, old, new):
    first = broker.client(topic, old)
    second = broker.client(topic, new)  # [MQTT-3.1.4-3]
    reason = first.expect_closed()
    if not IS_MOSQUITTO:  # 2.0 names no reason
        assert reason == (0x8E if old == 5 else None)
    second.expect_nothing()


def test_takeover_hands_the_session_on(broker, topic, version):
    first = broker.client(topic, version, **durable(version))
    first.subscribe((topic, 1))
    second = broker.client(topic, version, **durable(version))
    assert second.connack.session_present
    broker.client(topic + "s", version).publish(topic, "for the second", 1)
    second.acknowledge(second.expect_message(topic, "for the second"))


def test_takeover_storm_leaves_one(broker, topic):
    clients = [broker.open() for _ in range(30)]
    for client in clients:
        client.send(raw.connect(topic, clean=False))

    def is_let_in(client):
        try:
            return client.expect(raw.CONNACK).reason == 0
        except raw.Closed:
            return False

    def is_alive(client):
        try:
            client.expect_nothing()
            return True
        except (raw.Closed, ConnectionError):
            return False

    # Only when all have had their turn nobody is taken over any more. Which one is the last is
    # not for us to say: several workers accept at once.
    let_in = [client for client in clients if is_let_in(client)]
    assert [is_alive(client) for client in let_in].count(True) == 1


def test_unsubscribe_holds_for_the_session(broker, topic):
    client = broker.client(topic, clean=False)
    client.subscribe((topic, 1))
    client.unsubscribe(topic)
    client.disconnect()
    broker.client(topic + "s").publish(topic, "x", 1)
    broker.client(topic, clean=False).expect_nothing()


def test_version_may_change_between_connections(broker, topic):
    old = broker.client(topic, 4, clean=False)
    old.subscribe((topic, 1))
    old.disconnect()
    sender = broker.client(topic + "s", 5)
    sender.publish(topic, "x", 1, props=[("user", ("k", "v"))])
    new = broker.client(topic, 5, clean=False, props=[("session_expiry", 60)])
    assert new.connack.session_present
    assert new.expect_message(topic, "x").prop("user") == (b"k", b"v")


PERSISTENT = """
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {dir}/
"""


def test_session_and_queue_survive_a_restart(start_broker, topic, version):
    broker = start_broker(PERSISTENT)
    receiver = broker.client(topic, version, **durable(version))
    receiver.subscribe((topic, 1))
    receiver.disconnect()
    broker.client(topic + "s").publish(topic, "kept", 1)
    broker.client(topic + "s").publish(topic + "/retained", "also kept", 1, retain=True)
    broker.stop()
    broker.start()
    receiver = broker.client(topic, version, **durable(version))
    assert receiver.connack.session_present
    receiver.acknowledge(receiver.expect_message(topic, "kept"))
    receiver.subscribe((topic + "/retained", 0))
    assert receiver.expect_message(topic + "/retained", "also kept").retain
