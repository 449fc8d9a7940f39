# SPDX-License-Identifier: Apache-2.0
"""What version 5 added: aliases, sizes, expiry, properties, reasons."""

import time

import pytest

import raw


def test_alias_from_the_client(broker, topic):
    client = broker.client(topic, 5)
    client.subscribe((topic, 0))
    client.publish(topic, "named", props=[("topic_alias", 3)])
    client.publish("", "aliased", props=[("topic_alias", 3)])
    for payload in ("named", "aliased"):
        got = client.expect_message(topic, payload)
        assert got.prop("topic_alias") is None  # 3.3.2.3.4


def test_alias_may_be_given_a_new_topic(broker, topic):
    client = broker.client(topic, 5)
    client.subscribe((topic + "/#", 0))
    client.publish(topic + "/a", "1", props=[("topic_alias", 1)])
    client.publish(topic + "/b", "2", props=[("topic_alias", 1)])
    client.publish("", "3", props=[("topic_alias", 1)])
    client.expect_message(topic + "/a", "1")
    client.expect_message(topic + "/b", "2")
    client.expect_message(topic + "/b", "3")


@pytest.mark.parametrize(
    "alias,reasons", [(0, (0x94, 0x82, 0x81)), (11, (0x94,)), (5, (0x82, 0x94))])
def test_bad_alias_ends_the_connection(broker, topic, alias, reasons):
    """0 and above the maximum [MQTT-3.3.2-8]; 5 has no topic yet."""
    client = broker.client(topic, 5)
    client.publish("" if alias == 5 else topic, "x", props=[("topic_alias", alias)])
    assert client.expect_closed() in reasons


def test_aliases_end_with_the_connection(broker, topic):
    session = [("session_expiry", 60)]  # [MQTT-3.3.2-7]
    client = broker.client(topic, 5, clean=False, props=session)
    client.publish(topic, "x", props=[("topic_alias", 2)])
    client.disconnect()
    client = broker.client(topic, 5, clean=False, props=session)
    client.publish("", "x", props=[("topic_alias", 2)])
    client.expect_closed()


@pytest.mark.noctule_only  # Mosquitto since 2.1
def test_alias_to_the_client(broker, topic):
    client = broker.client(topic, 5, props=[("topic_alias_maximum", 1)])
    client.subscribe((topic + "/#", 0))
    for payload in ("1", "2"):
        client.publish(topic + "/a", payload)
    client.publish(topic + "/b", "3")
    first, second, third = (client.expect(raw.PUBLISH) for _ in range(3))
    assert (first.topic, first.prop("topic_alias")) == (topic + "/a", 1)
    assert (second.topic, second.prop("topic_alias")) == ("", 1)
    assert (third.topic, third.prop("topic_alias")) == (topic + "/b", None)  # [MQTT-3.1.2-26]


def test_no_alias_without_leave(broker, topic):
    client = broker.client(topic, 5)  # [MQTT-3.1.2-27]
    client.subscribe((topic, 0))
    for _ in range(2):
        client.publish(topic, "x")
        assert client.expect_message(topic, "x").prop("topic_alias") is None


def test_too_large_for_the_client_is_left_out(broker, topic):
    client = broker.client(topic, 5, props=[("maximum_packet_size", 200)])
    client.subscribe((topic, 1))
    sender = broker.client(topic + "s", 5)
    sender.publish(topic, b"l" * 300, 1)
    sender.publish(topic, "small", 1)
    client.expect_message(topic, "small")  # [MQTT-3.1.2-24], [MQTT-3.1.2-25]


def test_message_expiry_counts_down(broker, topic):
    session = [("session_expiry", 60)]
    client = broker.client(topic, 5, clean=False, props=session)
    client.subscribe((topic, 1))
    client.disconnect()
    sender = broker.client(topic + "s", 5)
    sender.publish(topic, "brief", 1, props=[("message_expiry", 1)])
    sender.publish(topic, "long", 1, props=[("message_expiry", 100)])
    time.sleep(2.2)
    client = broker.client(topic, 5, clean=False, props=session)
    got = client.expect_message(topic, "long")  # [MQTT-3.3.2-5]
    assert 95 <= got.prop("message_expiry") <= 98  # [MQTT-3.3.2-6]
    client.acknowledge(got)
    client.expect_nothing()


def test_properties_are_passed_on_unaltered(broker, topic):
    props = [
        ("payload_format", 1),
        ("content_type", "text/plain; ü"),
        ("response_topic", topic + "/answer"),
        ("correlation_data", bytes(range(256))),
    ]
    client = broker.client(topic, 5)
    client.subscribe((topic, 0))
    client.publish(topic, "x", props=props)
    got = client.expect_message(topic, "x")  # [MQTT-3.3.2-4], -15, -16, -20
    assert sorted(got.props) == sorted((k, raw.to_bytes(v) if k != "payload_format" else v)
                                       for k, v in props)


def test_user_properties_keep_their_order(broker, topic):
    users = [("b", "1"), ("a", "2"), ("b", "1"), ("", ""), ("a", "3")]
    client = broker.client(topic, 5)
    client.subscribe((topic, 0))
    client.publish(topic, "x", props=[("user", pair) for pair in users])
    got = client.expect_message(topic, "x")  # [MQTT-3.3.2-17], [MQTT-3.3.2-18]
    assert [v for k, v in got.props if k == "user"] == [(a.encode(), b.encode()) for a, b in users]


def test_plain_message_has_no_property(broker, topic):
    client = broker.client(topic, 5)
    client.subscribe((topic, 0))
    client.publish(topic, "x")
    assert client.expect_message(topic, "x").props == []


def test_properties_do_not_disturb_older_clients(broker, topic):
    old = broker.client(topic, 4)
    old.subscribe((topic, 0))
    broker.client(topic + "s", 5).publish(topic, "x", props=[("user", ("a", "b"))])
    old.expect_message(topic, "x")


def test_maximum_qos_is_announced_and_enforced(start_broker, topic):
    broker = start_broker("listener {port} 127.0.0.1\nmax_qos 1\nallow_anonymous true\n")
    client = broker.client(topic, 5)
    assert client.connack.prop("maximum_qos") == 1  # [MQTT-3.2.2-9]
    client.send(raw.publish(topic, "x", 2, 1, version=5))
    assert client.expect_closed() == 0x9B


def test_max_packet_size_is_announced_and_enforced(start_broker, topic):
    broker = start_broker("listener {port} 127.0.0.1\nmax_packet_size 1000\n"
                          "allow_anonymous true\n")
    client = broker.client(topic, 5)
    assert client.connack.prop("maximum_packet_size") == 1000
    client.publish(topic, b"f" * 900)
    client.send(raw.publish(topic, b"l" * 1100, version=5))
    assert client.expect_closed() == 0x95  # [MQTT-3.2.2-15]


@pytest.mark.noctule_only
def test_shutdown_is_announced(start_broker, topic):
    broker = start_broker()
    client = broker.client(topic, 5)
    broker.process.terminate()
    assert client.expect_closed(20) == 0x8B


def test_unknown_authentication_method_is_refused(broker):
    with broker.open(5) as client:
        client.send(raw.connect("x", 5, props=[("auth_method", "SECRET")]))
        assert client.expect(raw.CONNACK).reason == 0x8C  # [MQTT-4.12.0-1]
        client.expect_closed()


def test_auth_without_method_closes(broker, topic):
    client = broker.client(topic, 5)
    client.send(raw.packet(raw.AUTH, b"\x18\0"))
    client.expect_closed()


def test_request_and_response(broker, topic):
    server = broker.client(topic + "server", 5)
    client = broker.client(topic + "client", 5)
    server.subscribe((topic + "/ask", 1))
    client.subscribe((topic + "/answer", 1))
    client.publish(topic + "/ask", "2+2", 1,
                   props=[("response_topic", topic + "/answer"), ("correlation_data", b"7")])
    question = server.expect_message(topic + "/ask", "2+2")
    server.acknowledge(question)
    server.publish(question.prop("response_topic").decode(), "4", 1,
                   props=[("correlation_data", question.prop("correlation_data"))])
    answer = client.expect_message(topic + "/answer", "4")
    assert answer.prop("correlation_data") == b"7"
