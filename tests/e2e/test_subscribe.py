# SPDX-License-Identifier: Apache-2.0
"""SUBSCRIBE, UNSUBSCRIBE, filters and their matching (3.8 to 3.11, 4.7)."""

import pytest

import raw

NO_LOCAL = 0x04

# Filter, topics that match, topics that do not; all below a prefix of the test's own.
MATCHES = [
    ("/a", ["/a"], ["/A", "/a/", "/a/b", ""]),
    ("/+", ["/a", "/"], ["/a/b", ""]),
    ("/#", ["", "/", "/a", "/a/b/c"], []),
    ("/+/b", ["/a/b", "//b"], ["/a", "/a/b/c"]),
    ("/a/+/c/#", ["/a/b/c", "/a/b/c/d/e"], ["/a/b", "/a/b/d"]),
    ("/+/+", ["/a/b", "//"], ["/a"]),
    ("/a//b", ["/a//b"], ["/a/b"]),
    ("/ü/+", ["/ü/é"], ["/u/e"]),
]


@pytest.mark.parametrize("filters,hits,misses", MATCHES)
def test_filters_match_as_the_standard_says(broker, topic, filters, hits, misses):
    client = broker.client(topic)
    client.subscribe((topic + filters, 0))
    for name in misses + hits:
        client.publish(topic + name, name)
    for name in hits:
        client.expect_message(topic + name, name)
    client.expect_nothing()


@pytest.mark.parametrize("bad", ["a/#/b", "a#", "a/b+", "+a", "a/+b/c", "#/a", ""])
def test_invalid_filter_is_refused(broker, topic, version, bad):
    client = broker.client(topic, version)
    client.send(raw.subscribe(3, [(bad, 0)], version))
    try:
        got = client.receive()
    except raw.Closed:
        return  # [MQTT-4.7.1-1]: malformed
    assert (got.kind == raw.SUBACK and got.reasons[0] in (0x80, 0x8F)) or got.kind == raw.DISCONNECT


def test_one_answer_for_each_filter(broker, topic, version):
    client = broker.client(topic, version)
    filters = [(f"{topic}/{n}", n % 3) for n in range(9)]
    assert client.subscribe(*filters) == [n % 3 for n in range(9)]  # [MQTT-3.8.4-6]


def test_subscribing_again_replaces_the_qos(broker, topic, version):
    client = broker.client(topic, version)
    client.subscribe((topic, 2))
    client.subscribe((topic, 0))
    client.publish(topic, "x", 2)
    assert client.expect_message(topic, "x").qos == 0  # [MQTT-3.8.4-3]
    client.expect_nothing()


def test_unsubscribe_ends_delivery(broker, topic, version):
    client = broker.client(topic, version)
    client.subscribe((topic, 0), (topic + "/#", 0))
    reasons = client.unsubscribe(topic + "/#", topic)
    assert reasons == ([0, 0] if version == 5 else [])
    client.publish(topic, "x")
    client.expect_nothing()  # [MQTT-3.10.4-2]


def test_v5_unsubscribing_the_unknown_is_said(broker, topic):
    assert broker.client(topic, 5).unsubscribe(topic) == [0x11]


def test_unsubscribe_takes_the_filter_literally(broker, topic):
    client = broker.client(topic)
    client.subscribe((topic + "/a", 0))
    client.unsubscribe(topic + "/+")  # [MQTT-3.10.4-1]
    client.publish(topic + "/a", "x")
    client.expect_message(topic + "/a", "x")


def test_overlapping_filters_use_the_highest_qos(broker, topic):
    client = broker.client(topic)
    client.subscribe((topic + "/#", 0), (topic + "/a", 2), (topic + "/+", 1))
    client.publish(topic + "/a", "x", 2)
    first = client.expect(raw.PUBLISH)  # [MQTT-3.3.4-2] allows one or several copies
    copies = [first]
    client.acknowledge(first)
    client.send(raw.packet(raw.PINGREQ))
    while (got := client.receive()).kind != raw.PINGRESP:
        if got.kind == raw.PUBLISH:
            copies.append(got)
            client.acknowledge(got)
    assert max(c.qos for c in copies) == 2


def test_v5_no_local(broker, topic):
    client = broker.client(topic, 5)
    other = broker.client(topic + "o", 5)
    client.subscribe((topic, NO_LOCAL))
    client.publish(topic, "own")
    other.publish(topic, "other")
    client.expect_message(topic, "other")  # [MQTT-3.8.3-3]
    client.expect_nothing()


def test_v5_subscription_id_comes_back(broker, topic):
    client = broker.client(topic, 5)
    client.subscribe((topic, 0), props=[("subscription_id", 268435455)])
    client.publish(topic, "x")
    got = client.expect_message(topic, "x")
    assert got.prop("subscription_id") == 268435455  # [MQTT-3.3.4-3]


def test_v5_subscribing_again_replaces_the_subscription_id(broker, topic):
    client = broker.client(topic, 5)
    client.subscribe((topic, 0), props=[("subscription_id", 1)])
    client.subscribe((topic, 0), props=[("subscription_id", 2)])
    client.publish(topic, "x")
    assert client.expect_message(topic, "x").prop("subscription_id") == 2
    client.subscribe((topic, 0))
    client.publish(topic, "y")
    assert client.expect_message(topic, "y").prop("subscription_id") is None


def test_v5_all_ids_of_overlapping_subscriptions_come(broker, topic):
    client = broker.client(topic, 5)
    client.subscribe((topic + "/#", 0), props=[("subscription_id", 1)])
    client.subscribe((topic + "/a", 0), props=[("subscription_id", 2)])
    client.publish(topic + "/a", "x")
    ids = []
    while len(ids) < 2:  # in one message or in two [MQTT-3.3.4-4], [MQTT-3.3.4-5]
        got = client.expect_message(topic + "/a", "x")
        ids += [value for name, value in got.props if name == "subscription_id"]
    assert sorted(ids) == [1, 2]


@pytest.mark.parametrize("filters", ["#", "+/broker/uptime", "+/#"])
def test_wildcards_do_not_match_dollar_topics(broker, topic, filters):
    client = broker.client(topic)
    client.subscribe((filters, 0))  # [MQTT-4.7.2-1]
    try:
        while True:
            assert not client.receive(0.3).topic.startswith("$")
    except TimeoutError:
        pass


def test_publishing_to_sys_reaches_nobody(broker, topic):
    client = broker.client(topic, 5)
    client.subscribe(("$SYS/fake", 0))
    client.publish("$SYS/fake", "x")
    try:
        client.expect_nothing()
    except raw.Closed:
        pass


def test_deep_topics_work_up_to_the_limit(broker, topic):
    client = broker.client(topic)
    deep = "/".join(["l"] * 150)
    client.subscribe((deep, 0))
    client.publish(deep, "x")
    client.expect_message(deep, "x")


def test_a_topic_of_too_many_levels_is_refused(broker, topic):
    client = broker.client(topic, 5)
    client.send(raw.subscribe(1, [("/" * 250, 0)], 5))
    try:
        got = client.receive()
    except raw.Closed:
        return
    assert got.kind == raw.DISCONNECT or got.reasons[0] >= 0x80


def test_many_filters_in_one_packet(broker, topic):
    client = broker.client(topic)
    count = 2000
    assert client.subscribe(*((f"{topic}/{n}", 0) for n in range(count))) == [0] * count
    client.publish(f"{topic}/{count - 1}", "x")
    client.expect_message(f"{topic}/{count - 1}", "x")
    client.unsubscribe(*(f"{topic}/{n}" for n in range(count)))
    client.publish(f"{topic}/0", "x")
    client.expect_nothing()
