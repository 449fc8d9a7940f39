# SPDX-License-Identifier: Apache-2.0
"""Shared subscriptions (4.8.2)."""

import pytest

import raw


def drain(client, seconds=0.3):
    """Payloads of what comes, acknowledged."""
    got = []
    try:
        while True:
            message = client.receive(seconds)
            got.append(message.payload)
            client.acknowledge(message)
    except TimeoutError:
        return got


def test_each_message_goes_to_one_member(broker, topic, version):
    members = [broker.client(f"{topic}{n}", version) for n in range(3)]
    for member in members:
        assert member.subscribe((f"$share/group/{topic}", 1)) == [1]
    sender = broker.client(topic, version)
    for number in range(30):
        sender.publish(topic, str(number), 1)
    got = [drain(member) for member in members]
    assert sorted(sum(got, [])) == sorted(str(n).encode() for n in range(30))  # 4.8.2.4
    assert all(len(one) >= 5 for one in got), "the load is not shared"


def test_groups_and_plain_subscribers_are_independent(broker, topic):
    one = broker.client(topic + "1", 5)
    two = broker.client(topic + "2", 5)
    plain = broker.client(topic + "p", 5)
    one.subscribe((f"$share/a/{topic}/+", 0))
    two.subscribe((f"$share/b/{topic}/+", 0))
    plain.subscribe((topic + "/+", 0))
    plain.publish(topic + "/x", "m")
    for client in (one, two, plain):
        client.expect_message(topic + "/x", "m")
        client.expect_nothing()


def test_leaving_member_leaves_the_rest_to_others(broker, topic):
    one = broker.client(topic + "1", 5)
    two = broker.client(topic + "2", 5)
    for member in (one, two):
        member.subscribe((f"$share/g/{topic}", 1))
    assert one.unsubscribe(f"$share/g/{topic}") == [0]
    sender = broker.client(topic, 5)
    for number in range(4):
        sender.publish(topic, str(number), 1)
    assert len(drain(two)) == 4
    one.expect_nothing()


def test_absent_member_is_passed_over(broker, topic):
    session = [("session_expiry", 60)]
    absent = broker.client(topic + "1", 5, clean=False, props=session)
    present = broker.client(topic + "2", 5)
    for member in (absent, present):
        member.subscribe((f"$share/g/{topic}", 1))
    absent.disconnect()
    sender = broker.client(topic, 5)
    for number in range(6):
        sender.publish(topic, str(number), 1)
    got = drain(present)
    back = broker.client(topic + "1", 5, clean=False, props=session)
    assert sorted(got + drain(back)) == [str(n).encode() for n in range(6)]


def test_subscription_id_of_a_shared_subscription(broker, topic):
    client = broker.client(topic, 5)
    client.subscribe((f"$share/g/{topic}", 0), props=[("subscription_id", 4)])
    client.publish(topic, "x")
    assert client.expect_message(topic, "x").prop("subscription_id") == 4


@pytest.mark.noctule_only  # Mosquitto since 2.1
def test_no_local_is_a_protocol_error(broker, topic):
    client = broker.client(topic, 5)  # [MQTT-3.8.3-4]
    client.send(raw.subscribe(1, [(f"$share/g/{topic}", 4)], 5))
    assert client.expect_closed() == 0x82


@pytest.mark.parametrize("bad", ["$share/g+/t", "$share/#/t"] + [
    pytest.param(bad, marks=pytest.mark.noctule_only)
    for bad in ("$share/g", "$share//t", "$share/g/")])
def test_broken_share_names_are_refused(broker, topic, bad):
    client = broker.client(topic, 5)  # [MQTT-4.8.2-1], [MQTT-4.8.2-2]
    client.send(raw.subscribe(1, [(bad, 0)], 5))
    try:
        got = client.receive()
    except raw.Closed:
        return
    assert got.kind == raw.DISCONNECT or got.reasons[0] >= 0x80
