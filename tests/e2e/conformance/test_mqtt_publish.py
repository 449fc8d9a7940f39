# SPDX-License-Identifier: Apache-2.0
"""PUBLISH and its acknowledgements (3.3 to 3.7)."""

import time

import pytest

import raw
from conftest import IS_MOSQUITTO

ALWAYS, WHEN_NEW, NEVER = 0x00, 0x10, 0x20
AS_PUBLISHED = 0x08


def durable(version, seconds=60):
    return {"clean": False, **({"props": [("session_expiry", seconds)]} if version == 5 else {})}


@pytest.fixture
def kept(broker, topic):
    """A retained message under the test's topic, removed again afterwards."""
    keeper = broker.client(topic + "-keeper", 5)
    keeper.publish(topic, "kept", 1, retain=True)
    yield keeper
    with broker.client("") as cleaner:
        cleaner.publish(topic, b"", 1, retain=True)


def newcomer(broker, topic, version=5, options=0):
    client = broker.client("", version)
    client.subscribe((topic, options))
    return client


@pytest.mark.parametrize("qos", [1, 2])
def test_what_comes_again_is_flagged(broker, topic, version, qos):
    """[MQTT-3.3.1-1] [MQTT-4.3.2-2] [MQTT-4.3.3-2]"""
    client = broker.client(topic, version, **durable(version))
    client.subscribe((topic, qos))
    client.publish(topic, "x", qos)
    first = client.expect_message(topic, "x")
    assert (first.dup, first.qos) == (False, qos)
    client.close()
    client = broker.client(topic, version, **durable(version))
    again = client.expect_message(topic, "x")
    assert (again.dup, again.qos, again.packet_id) == (True, qos, first.packet_id)


@pytest.mark.noctule_only  # Mosquitto 2.0.11 overlooks it
def test_qos_0_has_no_dup_flag(broker, topic, version):
    """[MQTT-3.3.1-2]"""
    client = broker.client(topic, version)
    client.send(raw.publish(topic, "x", dup=True, version=version))
    assert client.expect_closed() == (0x81 if version == 5 else None)


@pytest.mark.parametrize("qos", [1, 2])
def test_dup_flag_is_not_passed_on(broker, topic, version, qos):
    """[MQTT-3.3.1-3]"""
    client = broker.client(topic, version)
    client.subscribe((topic, qos))
    sender = broker.client(topic + "s", version)
    sender.send(raw.publish(topic, "x", qos, 5, dup=True, version=version))
    if qos == 2:
        sender.expect(raw.PUBREC)
        sender.send(raw.ack(raw.PUBREL, 5))
    assert not client.expect_message(topic, "x").dup


@pytest.mark.parametrize("flags", [0x6, 0x7, 0xE, 0xF])
def test_there_is_no_qos_3(broker, topic, version, flags):
    """[MQTT-3.3.1-4]"""
    client = broker.client(topic, version)
    client.send(raw.packet(raw.PUBLISH, raw.text(topic) + b"\0\1\0x", flags))
    assert client.expect_closed() in (0x81, None)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_retained_message_is_replaced(broker, kept, topic, version, qos):
    """[MQTT-3.3.1-5] [MQTT-3.3.1-9] [MQTT-3.3.1-8 of 3.1.1]"""
    kept.publish(topic, "newer", qos, retain=True)
    kept.publish(topic + "/fence", "x", 1)
    client = newcomer(broker, topic, version, 2)
    got = client.expect_message(topic, "newer")
    assert (got.retain, got.qos) == (True, qos)
    client.acknowledge(got)
    client.expect_nothing()


def test_empty_message_removes_the_retained_one(broker, kept, topic, version):
    """[MQTT-3.3.1-6] [MQTT-3.3.1-7]"""
    watcher = newcomer(broker, topic, version)
    watcher.expect_message(topic, "kept")
    broker.client(topic, version).publish(topic, b"", 1, retain=True)
    assert not watcher.expect_message(topic, b"").retain
    newcomer(broker, topic, version).expect_nothing()


def test_without_the_flag_nothing_is_retained(broker, kept, topic, version):
    """[MQTT-3.3.1-8]"""
    sender = broker.client(topic, version)
    for payload in ("passing", b""):
        sender.publish(topic, payload, 1)
        sender.publish(topic + "/none", payload, 1)
    newcomer(broker, topic, version).expect_message(topic, "kept")
    newcomer(broker, topic + "/none", version).expect_nothing()


@pytest.mark.parametrize("handling,wanted", [
    (ALWAYS, [1, 1, 1]), (WHEN_NEW, [1, 0, 1]), (NEVER, [0, 0, 0])])
def test_retain_handling(broker, kept, topic, handling, wanted):
    """[MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11]: new, there already, new again."""
    client = broker.client(topic, 5)
    for number, comes in enumerate(wanted):
        if number == 2:
            client.unsubscribe(topic)
        client.subscribe((topic, handling))
        if comes:
            assert client.expect_message(topic, "kept").retain
        client.expect_nothing(0.05)


def test_retain_handling_when_new_counts_the_session(broker, kept, topic):
    """[MQTT-3.3.1-10]: a subscription that outlived the connection is not new."""
    client = broker.client(topic, 5, **durable(5))
    client.subscribe((topic, WHEN_NEW))
    client.expect_message(topic, "kept")
    client.disconnect()
    client = broker.client(topic, 5, **durable(5))
    client.subscribe((topic, WHEN_NEW))
    client.expect_nothing(0.05)


@pytest.mark.parametrize("options", [0, AS_PUBLISHED])
@pytest.mark.parametrize("retain", [False, True])
def test_retain_flag_of_live_messages(broker, topic, options, retain):
    """[MQTT-3.3.1-12] [MQTT-3.3.1-13]"""
    client = newcomer(broker, topic, 5, options)
    client.publish(topic, "x", retain=retain)
    assert client.expect_message(topic, "x").retain == (retain and options == AS_PUBLISHED)
    client.publish(topic, b"", 1, retain=True)


def test_retain_flag_of_live_messages_before_version_5(broker, topic):
    """[MQTT-3.3.1-12]"""
    client = newcomer(broker, topic, 4)
    client.publish(topic, "x", retain=True)
    assert not client.expect_message(topic, "x").retain
    client.publish(topic, b"", 1, retain=True)


def test_retained_messages_come_at_the_lower_qos(broker, kept, topic, version):
    """[MQTT-3.8.4-8]"""
    for qos in range(3):
        got = newcomer(broker, topic, version, qos).expect_message(topic, "kept")
        assert got.qos == min(qos, 1)


@pytest.mark.parametrize("name", ["a/+", "a/#", "+", "#", "a#b", "a+"])
def test_topic_has_no_wildcards(broker, topic, version, name):
    """[MQTT-3.3.2-2] [MQTT-4.7.0-1]"""
    client = broker.client(topic, version)
    client.send(raw.publish(name, "x", version=version))
    client.expect_closed()


def test_only_what_matches_is_delivered(broker, topic, version):
    """[MQTT-3.3.2-3] [MQTT-4.5.0-1]"""
    client = newcomer(broker, topic + "/+/b", version)
    sender = broker.client(topic, version)
    for name in ("", "/a", "/a/b", "/a/b/c", "/b/b", "/a/B"):
        sender.publish(topic + name, name)
    for name in ("/a/b", "/b/b"):
        client.expect_message(topic + name, name)
    client.expect_nothing()


USERS = [("b", "1"), ("a", "2"), ("b", "1"), ("", ""), ("a", "1")]


@pytest.mark.parametrize("way", ["live", "retained", "queued"])
def test_properties_are_passed_on(broker, topic, way):
    """[MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18]
    [MQTT-3.3.2-20]"""
    props = [("payload_format", 1), ("content_type", "text/ü"), ("response_topic", "a/b"),
             ("correlation_data", bytes(range(256)))] + [("user", pair) for pair in USERS]
    client = broker.client(topic, 5, **durable(5))
    if way != "retained":
        client.subscribe((topic, 1))
    if way == "queued":
        client.disconnect()
    sender = broker.client(topic + "s", 5)
    sender.publish(topic, "x", 1, retain=way == "retained", props=props)
    if way == "queued":
        client = broker.client(topic, 5, **durable(5))
    if way == "retained":
        client.subscribe((topic, 1))
    got = client.expect_message(topic, "x")
    assert [v for k, v in got.props if k == "user"] == [(n.encode(), v.encode()) for n, v in USERS]
    assert {k: v for k, v in got.props if k != "user"} == {
        "payload_format": 1, "content_type": "text/ü".encode(), "response_topic": b"a/b",
        "correlation_data": bytes(range(256))}
    sender.publish(topic, b"", 1, retain=True)


def test_payload_format_0_is_passed_on(broker, topic):
    """[MQTT-3.3.2-4]"""
    client = newcomer(broker, topic)
    client.publish(topic, "x", props=[("payload_format", 0)])
    assert client.expect_message(topic, "x").prop("payload_format") == 0


def test_expired_messages_are_gone(broker, topic):
    """[MQTT-3.3.2-5] [MQTT-3.3.2-6]: queued and retained ones; the rest carry what is left."""
    client = broker.client(topic, 5, **durable(5))
    client.subscribe((topic + "/queued", 1))
    client.disconnect()
    sender = broker.client(topic + "s", 5)
    for name in ("/queued", "/retained"):
        sender.publish(topic + name, "long", 1, props=[("message_expiry", 100)])
        sender.publish(topic + name, "brief", 1, retain=True, props=[("message_expiry", 1)])
    sender.publish(topic + "/old", "long", 1, retain=True, props=[("message_expiry", 100)])
    time.sleep(2.1)
    client = broker.client(topic, 5, **durable(5))
    got = client.expect_message(topic + "/queued", "long")
    assert 90 <= got.prop("message_expiry") <= 98
    client.acknowledge(got)
    client.expect_nothing()
    client.subscribe((topic + "/retained", 1), (topic + "/old", 1))
    assert 90 <= client.expect_message(topic + "/old", "long").prop("message_expiry") <= 98
    client.expect_nothing()
    for name in ("/queued", "/retained", "/old"):
        sender.publish(topic + name, b"", 1, retain=True)


@pytest.mark.parametrize("seconds", [1, 4294967295])
def test_expiry_of_a_live_message_is_as_published(broker, topic, seconds):
    """[MQTT-3.3.2-6]"""
    client = newcomer(broker, topic)
    client.publish(topic, "x", props=[("message_expiry", seconds)])
    assert client.expect_message(topic, "x").prop("message_expiry") == seconds


def test_aliases_end_with_the_connection(broker, topic):
    """[MQTT-3.3.2-7]"""
    client = broker.client(topic, 5, **durable(5))
    client.publish(topic, "x", props=[("topic_alias", 1)])
    client.disconnect()
    client = broker.client(topic, 5, **durable(5))
    client.send(raw.publish("", "x", version=5, props=[("topic_alias", 1)]))
    assert client.expect_closed() in (0x82, 0x94, None)


@pytest.mark.noctule_only
def test_our_aliases_end_with_the_connection(broker, topic):
    """[MQTT-3.3.2-7]"""
    for _ in range(2):
        client = broker.client(topic, 5, clean=False,
                               props=[("topic_alias_maximum", 5), ("session_expiry", 60)])
        client.subscribe((topic, 0))
        client.publish(topic, "x")
        assert client.expect_message(topic, "x").prop("topic_alias") == 1
        client.disconnect()


@pytest.mark.parametrize("alias", [0, 11, 65535])
def test_alias_out_of_range_ends_the_connection(broker, topic, alias):
    """[MQTT-3.3.2-8] [MQTT-3.3.2-9]"""
    client = broker.client(topic, 5)
    assert client.connack.prop("topic_alias_maximum") == 10
    client.send(raw.publish(topic, "x", version=5, props=[("topic_alias", alias)]))
    assert client.expect_closed() in (0x94, 0x82, 0x81)


def test_all_aliases_up_to_the_maximum_work(broker, topic):
    """[MQTT-3.3.2-12]"""
    client = newcomer(broker, topic + "/#")
    for alias in range(1, 11):
        client.publish(f"{topic}/{alias}", "named", props=[("topic_alias", alias)])
        client.expect_message(f"{topic}/{alias}", "named")
    for alias in range(1, 11):
        client.publish("", "aliased", props=[("topic_alias", alias)])
        client.expect_message(f"{topic}/{alias}", "aliased")


@pytest.mark.parametrize("props", [
    [("response_topic", b"\xff")], [("content_type", b"\xff")], [("response_topic", b"a\0")],
    pytest.param([("response_topic", "a/+")], marks=pytest.mark.noctule_only),
    pytest.param([("response_topic", "#")], marks=pytest.mark.noctule_only)])
def test_texts_of_properties_are_checked(broker, topic, props):
    """[MQTT-3.3.2-13] [MQTT-3.3.2-14] [MQTT-3.3.2-19]"""
    client = broker.client(topic, 5)
    client.send(raw.publish(topic, "x", version=5, props=props))
    assert client.expect_closed() in (0x81, 0x82) or IS_MOSQUITTO


def test_answer_goes_by_the_qos(broker, topic, version):
    """[MQTT-3.3.4-1] [MQTT-4.3.2-4] [MQTT-4.3.3-8] [MQTT-4.3.3-11]"""
    client = broker.client(topic, version)
    client.send(raw.publish(topic, "x", 0, version=version),
                raw.publish(topic, "x", 1, 1, version=version),
                raw.publish(topic, "x", 2, 2, version=version), raw.ack(raw.PUBREL, 2))
    got = [client.receive() for _ in range(3)]
    assert [(p.kind, p.packet_id) for p in got] == [
        (raw.PUBACK, 1), (raw.PUBREC, 2), (raw.PUBCOMP, 2)]


def test_overlapping_subscriptions(broker, topic):
    """[MQTT-3.3.4-2] [MQTT-3.3.4-3] [MQTT-3.3.4-4]: one copy, the highest QoS, all identifiers."""
    client = broker.client(topic, 5)
    for name, qos, number in (("/#", 0, 5), ("/a", 2, 300), ("/+", 1, 70000), ("/b", 2, 9)):
        client.subscribe((topic + name, qos), props=[("subscription_id", number)])
    client.subscribe((topic + "/+/#", 1))
    client.publish(topic + "/a", "x", 2)
    copies = [client.receive()]
    while True:
        client.acknowledge(copies[-1])
        try:
            copies.append(client.receive(0.1))
        except TimeoutError:
            break
    ids = [value for copy in copies for name, value in copy.props if name == "subscription_id"]
    assert max(copy.qos for copy in copies) == 2
    assert sorted(ids) == [5, 300, 70000]
    assert len(copies) == 1 or IS_MOSQUITTO


def test_overlapping_subscriptions_before_version_5(broker, topic):
    """[MQTT-3.3.4-2]"""
    client = broker.client(topic)
    client.subscribe((topic + "/#", 1), (topic + "/a", 2))
    client.publish(topic + "/a", "x", 2)
    qos = []
    try:
        while True:
            got = client.receive(0.2)
            qos.append(got.qos)
            client.acknowledge(got)
    except TimeoutError:
        assert max(qos) == 2


@pytest.mark.noctule_only
def test_client_gives_no_subscription_identifier(broker, topic):
    """[MQTT-3.3.4-6]"""
    client = broker.client(topic, 5)
    client.send(raw.publish(topic, "x", version=5, props=[("subscription_id", 1)]))
    assert client.expect_closed() == 0x82


@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("maximum", [1, 2, 20])
def test_no_more_in_flight_than_the_receive_maximum(broker, topic, qos, maximum):
    """[MQTT-3.3.4-9] [MQTT-4.9.0-1] [MQTT-4.9.0-2]"""
    client = broker.client(topic, 5, props=[("receive_maximum", maximum)])
    client.subscribe((topic, qos))
    sender = broker.client(topic + "s", 5)
    for number in range(maximum + 3):
        sender.publish(topic, str(number), qos)
    got = [client.expect_message(topic, str(number)) for number in range(maximum)]
    client.expect_nothing(0.05)
    client.acknowledge(got[0])
    client.expect_message(topic, str(maximum))
    if not IS_MOSQUITTO:  # 2.0 sends one too many here
        client.expect_nothing(0.05)


def test_all_else_goes_on_meanwhile(broker, topic):
    """[MQTT-3.3.4-10] [MQTT-4.9.0-3]"""
    client = broker.client(topic, 5, props=[("receive_maximum", 1)])
    client.subscribe((topic, 2))
    for number in range(2):
        client.publish(topic, str(number), 1)
    client.expect_message(topic, "0")
    assert client.subscribe((topic + "/0", 0)) == [0]
    client.publish(topic + "/0", "QoS 0")
    client.expect_message(topic + "/0", "QoS 0")
    client.send(raw.publish(topic + "/none", "x", 2, 900, version=5), raw.ack(raw.PUBREL, 900),
                raw.packet(raw.PINGREQ))
    assert [client.receive().kind for _ in range(3)] == [raw.PUBREC, raw.PUBCOMP, raw.PINGRESP]
    assert client.unsubscribe(topic + "/0") == [0]


@pytest.mark.noctule_only
def test_more_than_our_receive_maximum_ends_the_connection(broker, topic):
    client = broker.client(topic, 5)
    assert client.connack.prop("receive_maximum") == 20
    client.send(*(raw.publish(topic, "x", 2, n, version=5) for n in range(1, 22)))
    assert client.expect_closed() == 0x93


def test_before_version_5_nobody_is_told_of_a_receive_maximum(broker, topic):
    client = broker.client(topic)
    client.send(*(raw.publish(topic, "x", 2, n) for n in range(1, 101)))
    assert [client.expect(raw.PUBREC).packet_id for _ in range(100)] == list(range(1, 101))
    client.send(*(raw.ack(raw.PUBREL, n) for n in range(1, 101)))
    assert [client.expect(raw.PUBCOMP).packet_id for _ in range(100)] == list(range(1, 101))


ACL = """
listener {port} 127.0.0.1
allow_anonymous true
acl_file {dir}/acl
"""


@pytest.mark.parametrize("qos", [1, 2])
def test_a_message_without_the_right_is_acknowledged(start_broker, topic, version, qos):
    """[MQTT-3.3.5-2 of 3.1.1] [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-4.3.3-9]"""
    broker = start_broker(ACL, files={"acl": "topic read #\ntopic write free\n"})
    client = broker.client(topic, version)
    client.subscribe(("#", 0))
    for _ in range(2):
        client.send(raw.publish("closed", "x", qos, 5, version=version))
        first = client.expect(raw.PUBACK if qos == 1 else raw.PUBREC)
        assert (first.packet_id, first.reason) == (5, 0x87 if version == 5 else 0)
    if qos == 2 and version == 4:
        client.send(raw.ack(raw.PUBREL, 5))
        client.expect(raw.PUBCOMP)
    client.expect_nothing(0.02)
    client.publish("free", "x", qos)
    client.expect_message("free", "x")


@pytest.mark.parametrize("qos", [1, pytest.param(2, marks=pytest.mark.noctule_only)])
def test_reasons_of_a_good_publish(broker, topic, qos):
    """[MQTT-3.4.2-1] [MQTT-3.5.2-1]: 0x00, or 0x10 where nobody listens."""
    client = broker.client(topic, 5)
    assert client.publish(topic, "x", qos) == 0x10
    client.subscribe((topic, 0))
    assert client.publish(topic, "x", qos) == 0


@pytest.mark.noctule_only
def test_reasons_of_unknown_identifiers(broker, topic):
    """[MQTT-3.6.2-1] [MQTT-3.7.2-1]"""
    client = broker.client(topic, 5)
    client.send(raw.ack(raw.PUBREL, 99))
    assert client.expect(raw.PUBCOMP).body == b"\0\x63\x92"
    client.send(raw.ack(raw.PUBREC, 99))
    assert client.expect(raw.PUBREL).body == b"\0\x63\x92"


@pytest.mark.noctule_only
@pytest.mark.parametrize("kind,reason", [(raw.PUBACK, 0x92), (raw.PUBREC, 0x01),
                                         (raw.PUBREL, 0x10), (raw.PUBCOMP, 0x80)])
def test_reasons_of_the_client_are_checked(broker, topic, kind, reason):
    """[MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1]"""
    client = broker.client(topic, 5)
    client.send(raw.ack(kind, 1, reason))
    assert client.expect_closed() == 0x82


@pytest.mark.parametrize("name", ["", pytest.param("$SYS/mine", marks=pytest.mark.noctule_only)])
def test_topics_nobody_may_publish_to(broker, topic, version, name):
    """[MQTT-4.7.3-1]: an empty topic without alias ends the connection; $SYS is the broker's."""
    client = broker.client(topic, version)
    client.send(raw.publish(name, "x", 1, 5, version=version))
    if name == "":
        assert client.expect_closed() in (0x82, 0x81, None)
    else:
        assert client.expect(raw.PUBACK).reason == (0x87 if version == 5 else 0)
