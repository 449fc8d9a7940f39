# SPDX-License-Identifier: Apache-2.0
"""Topics, filters, shared subscriptions (4.7, 4.8)."""

import pytest

import raw

MATCHES = [
    ("/sport/tennis/player1/#", ["/sport/tennis/player1", "/sport/tennis/player1/ranking",
                                 "/sport/tennis/player1/score/x"], ["/sport/tennis/player12"]),
    ("/sport/#", ["/sport", "/sport/", "/sport/a"], ["/sports"]),
    ("/tennis/+", ["/tennis/p1", "/tennis/"], ["/tennis", "/tennis/p1/r"]),
    ("/+", ["/finance", "/"], ["", "/finance/x"]),
    ("/+/+", ["//finance", "/a/b"], ["/finance"]),
    ("/+/tennis/#", ["/a/tennis", "//tennis/b"], ["/tennis", "/a/b/tennis"]),
    ("//", ["//"], ["/", "///"]),
    ("/A", ["/A"], ["/a"]),
    ("/ a", ["/ a"], ["/a", "/ a "]),
    ("/\u00c5", ["/\u00c5"], ["/A\u030a"]),
]


@pytest.mark.parametrize("filter_,hits,misses", MATCHES)
def test_filters_match(broker, topic, version, filter_, hits, misses):
    """[MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.3-4] [MQTT-3.3.2-3]"""
    client = broker.client(topic, version)
    client.subscribe((topic + filter_, 0))
    for name in misses + hits:
        client.publish(topic + name, name)
    for name in hits:
        client.expect_message(topic + name, name)
    client.expect_nothing(0.02)


@pytest.mark.parametrize("bad", ["a/#/b", "a#", "#/a", "##", "a/b#", "+a", "a+", "a/+b/c", ""])
def test_filters_that_are_none(broker, topic, version, bad):
    """[MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.3-1]"""
    for packet in (raw.subscribe(1, [(bad, 0)], version), raw.unsubscribe(1, [bad], version)):
        client = broker.client(topic, version)
        client.send(packet)
        client.expect_closed()


@pytest.mark.parametrize("filter_", ["#", "+/{}", "+/#", "+"])
def test_wildcards_in_front_do_not_match_dollar_topics(broker, topic, version, filter_):
    """[MQTT-4.7.2-1]"""
    name = topic.replace("/", "")
    client = broker.client(topic, version)
    client.subscribe((filter_.format(name), 0))
    wanted = broker.client(topic + "w", version)
    wanted.subscribe((f"$own/{name}", 0), ("$own/#", 0))
    wanted.publish(f"$own/{name}", "x")
    wanted.publish("$own", "x")
    wanted.expect_message(f"$own/{name}", "x")
    client.expect_nothing(0.02)


def test_topics_of_all_lengths(broker, topic, version):
    """[MQTT-4.7.3-1] [MQTT-4.7.3-3]"""
    client = broker.client(topic, version)
    for name in ("a", "/", "x" * 65535, ("y" * 600 + "/") * 100):
        assert client.subscribe((name, 0)) == [0]
        client.publish(name, "p")
        client.expect_message(name, "p")
        client.unsubscribe(name)


# ---- shared subscriptions ----


def member(broker, topic, number, qos=1, **options):
    client = broker.client(f"{topic}{number}", 5, **options)
    assert client.subscribe((f"$share/g/{topic}", qos)) == [qos]
    return client


def drain(client, seconds=0.15):
    got = []
    try:
        while True:
            got.append(client.receive(seconds))
            client.acknowledge(got[-1])
    except TimeoutError:
        return got


SHARE_OF_NOTHING = ["$share/g", "$share//t", "$share/g/", "$share/", "$share/+/t"]


@pytest.mark.parametrize("bad", ["$share/a+/t", "$share/#/t"] + [
    pytest.param(bad, marks=pytest.mark.noctule_only) for bad in [*SHARE_OF_NOTHING, "$share/g/a#"]])
def test_broken_share_names(broker, topic, bad):
    """[MQTT-4.8.2-1] [MQTT-4.8.2-2]"""
    client = broker.client(topic, 5)
    client.send(raw.subscribe(1, [(bad, 0)], 5))
    client.expect_closed()


@pytest.mark.parametrize("filter_", SHARE_OF_NOTHING)
def test_before_version_5_they_are_filters_like_others(broker, topic, filter_):
    client = broker.client(topic)
    assert client.subscribe((filter_, 1)) == [1]
    client.unsubscribe(filter_)


def test_share_name_of_one_character(broker, topic):
    """[MQTT-4.8.2-1]"""
    client = broker.client(topic, 5)
    client.subscribe((f"$share/x/{topic}/+", 0))
    client.publish(topic + "/a", "x")
    client.expect_message(topic + "/a", "x")


def test_granted_qos_of_the_member_holds(broker, topic):
    """[MQTT-4.8.2-3]"""
    members = [member(broker, topic, qos, qos) for qos in range(3)]
    sender = broker.client(topic, 5)
    for _ in range(9):
        sender.publish(topic, "x", 2)
    for qos, client in enumerate(members):
        got = drain(client)
        assert len(got) == 3 and {message.qos for message in got} == {qos}


def test_begun_message_is_completed_with_its_member(broker, topic):
    """[MQTT-4.8.2-4]"""
    session = {"clean": False, "props": [("session_expiry", 60)]}
    one = member(broker, topic, 1, 2, **session)
    broker.client(topic, 5).publish(topic, "x", 2)
    message = one.expect_message(topic, "x")
    two = member(broker, topic, 2, 2)
    one.close()
    two.expect_nothing(0.1)
    one = broker.client(topic + "1", 5, **session)
    again = one.expect_message(topic, "x")
    assert (again.packet_id, again.dup) == (message.packet_id, True)


def test_begun_message_goes_to_nobody_else(broker, topic):
    """[MQTT-4.8.2-5]"""
    one = member(broker, topic, 1, 2)
    broker.client(topic, 5).publish(topic, "x", 2)
    one.expect_message(topic, "x")
    two = member(broker, topic, 2, 2)
    one.close()  # and its session with it
    two.expect_nothing()


@pytest.mark.parametrize("qos", [1, pytest.param(2, marks=pytest.mark.noctule_only)])
def test_refused_message_goes_to_nobody_else(broker, topic, qos):
    """[MQTT-4.8.2-6]"""
    one = member(broker, topic, 1, qos)
    broker.client(topic, 5).publish(topic, "x", qos)
    message = one.expect_message(topic, "x")
    two = member(broker, topic, 2, qos)
    one.send(raw.ack(raw.PUBACK if qos == 1 else raw.PUBREC, message.packet_id, 0x80))
    for client in (one, two):
        client.expect_nothing()


def test_shared_and_own_subscription_are_two(broker, topic):
    """[MQTT-3.3.4-3] [MQTT-3.8.4-3]"""
    client = broker.client(topic, 5)
    client.subscribe((topic, 0), props=[("subscription_id", 1)])
    client.subscribe((f"$share/g/{topic}", 0), props=[("subscription_id", 2)])
    client.publish(topic, "x")
    got = [client.expect_message(topic, "x") for _ in range(2)]
    assert sorted(message.prop("subscription_id") for message in got) == [1, 2]
    assert client.unsubscribe(f"$share/g/{topic}", f"$share/h/{topic}") == [0, 0x11]
    client.publish(topic, "y")
    client.expect_message(topic, "y")
    client.expect_nothing(0.02)


@pytest.mark.noctule_only  # Mosquitto 2.0 sends it
def test_shared_subscriptions_get_no_retained_messages(broker, topic):
    """[MQTT-3.3.1-9], 4.8.2"""
    client = broker.client(topic, 5)
    client.publish(topic, "kept", 1, retain=True)
    client.subscribe((f"$share/g/{topic}", 0))
    client.expect_nothing()
    client.publish(topic, b"", 1, retain=True)
