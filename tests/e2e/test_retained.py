# SPDX-License-Identifier: Apache-2.0
"""Retained messages (3.3.1.3, 3.8.3.1)."""

import time

import pytest

import raw

ALWAYS, WHEN_NEW, NEVER = 0x00, 0x10, 0x20
AS_PUBLISHED = 0x08


@pytest.fixture
def kept(broker, topic):
    """A retained message under the test's topic, removed again afterwards."""
    client = broker.client(topic + "-keeper", 5)
    client.publish(topic, "kept", 1, retain=True)
    yield client
    with broker.client("", 4) as cleaner:
        cleaner.publish(topic, b"", 1, retain=True)


def test_new_subscriber_gets_it_with_the_flag(broker, kept, topic, version):
    client = broker.client(topic, version)
    client.subscribe((topic, 1))
    got = client.expect_message(topic, "kept")  # [MQTT-3.3.1-9]
    assert got.retain and got.qos == 1
    client.acknowledge(got)
    client.expect_nothing()


def test_existing_subscriber_gets_it_without_the_flag(broker, topic, version):
    client = broker.client(topic, version)
    client.subscribe((topic, 0))
    client.publish(topic, "fresh", retain=True)
    assert not client.expect_message(topic, "fresh").retain  # [MQTT-3.3.1-12]
    client.publish(topic, b"", retain=True)


def test_the_newest_replaces_the_older(broker, kept, topic):
    kept.publish(topic, "newer", 1, retain=True)
    client = broker.client(topic)
    client.subscribe((topic, 0))
    client.expect_message(topic, "newer")
    client.expect_nothing()


def test_empty_payload_deletes_and_is_delivered(broker, kept, topic):
    watcher = broker.client(topic + "w")
    watcher.subscribe((topic, 0))
    watcher.expect_message(topic, "kept")
    kept.publish(topic, b"", 1, retain=True)
    assert not watcher.expect_message(topic, b"").retain
    late = broker.client(topic)
    late.subscribe((topic, 0))
    late.expect_nothing()  # [MQTT-3.3.1-6]


def test_message_without_the_flag_leaves_it_alone(broker, kept, topic):
    kept.publish(topic, "passing", 1)
    client = broker.client(topic)
    client.subscribe((topic, 0))
    client.expect_message(topic, "kept")  # [MQTT-3.3.1-8]


def test_subscribing_again_sends_it_again(broker, kept, topic, version):
    client = broker.client(topic, version)
    for _ in range(2):
        client.subscribe((topic, 0))
        assert client.expect_message(topic, "kept").retain  # [MQTT-3.8.4-4]


@pytest.mark.parametrize("handling,first,second",
                         [(ALWAYS, True, True), (WHEN_NEW, True, False), (NEVER, False, False)])
def test_v5_retain_handling(broker, kept, topic, handling, first, second):
    client = broker.client(topic, 5)
    for is_expected in (first, second):  # [MQTT-3.3.1-9] to -11
        client.subscribe((topic, handling))
        if is_expected:
            client.expect_message(topic, "kept")
        else:
            client.expect_nothing()


@pytest.mark.parametrize("option", [0, AS_PUBLISHED])
def test_v5_retain_as_published(broker, topic, option):
    client = broker.client(topic, 5)
    client.subscribe((topic, option))
    for retain in (True, False):
        client.publish(topic, "x", retain=retain)
        got = client.expect_message(topic, "x")  # [MQTT-3.3.1-12], [MQTT-3.3.1-13]
        assert got.retain == (retain and bool(option))
    client.publish(topic, b"", retain=True)


def test_wildcards_find_all_that_match(broker, topic):
    keeper = broker.client(topic + "k")
    names = [f"{topic}/a", f"{topic}/a/b", f"{topic}/c", f"{topic}/c/b"]
    for name in names:
        keeper.publish(name, name, 1, retain=True)
    for ending, expected in [("/#", names), ("/+", [names[0], names[2]]),
                             ("/+/b", [names[1], names[3]]), ("/a/#", names[:2])]:
        client = broker.client("")
        client.subscribe((topic + ending, 0))
        assert sorted(client.receive().topic for _ in expected) == sorted(expected)
        client.expect_nothing()
    for name in names:
        keeper.publish(name, b"", 1, retain=True)


def test_v5_retained_message_expires(broker, topic):
    keeper = broker.client(topic + "k", 5)
    keeper.publish(topic, "brief", 1, retain=True, props=[("message_expiry", 3)])
    client = broker.client(topic, 5)
    client.subscribe((topic, 0))
    client.expect_message(topic, "brief")
    time.sleep(4.2)
    late = broker.client(topic + "late", 5)
    late.subscribe((topic, 0))
    late.expect_nothing()  # [MQTT-3.3.2-5]


def test_v5_properties_are_retained_too(broker, topic):
    keeper = broker.client(topic + "k", 5)
    keeper.publish(topic, "x", 1, retain=True,
                   props=[("content_type", "a/b"), ("user", ("k", "v"))])
    client = broker.client(topic, 5)
    client.subscribe((topic, 0), props=[("subscription_id", 9)])
    got = client.expect_message(topic, "x")
    assert got.prop("content_type") == b"a/b" and got.prop("user") == (b"k", b"v")
    assert got.prop("subscription_id") == 9
    keeper.publish(topic, b"", 1, retain=True)


@pytest.mark.noctule_only  # Mosquitto 2.0 sends it
def test_shared_subscription_gets_no_retained_message(broker, kept, topic):
    client = broker.client(topic, 5)
    client.subscribe((f"$share/group/{topic}", 0))
    client.expect_nothing()


def test_many_retained_messages_all_come(broker, topic):
    keeper = broker.client(topic + "k")
    for number in range(2000):
        keeper.send(raw.publish(f"{topic}/{number}", str(number), retain=True))
    keeper.publish(topic, "fence", 1)
    client = broker.client(topic)
    client.subscribe((topic + "/#", 0))
    assert {client.expect(raw.PUBLISH).payload for _ in range(2000)} == {
        str(n).encode() for n in range(2000)}
    for number in range(2000):
        keeper.send(raw.publish(f"{topic}/{number}", b"", retain=True))


def test_retain_may_be_forbidden(start_broker, topic):
    broker = start_broker("listener {port} 127.0.0.1\nallow_anonymous true\n"
                          "retain_available false\n")
    client = broker.client(topic, 5)
    assert client.connack.prop("retain_available") == 0  # [MQTT-3.2.2-13]
    client.send(raw.publish(topic, "x", retain=True, version=5))
    assert client.expect_closed() in (0x9A, None)
