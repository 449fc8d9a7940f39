# SPDX-License-Identifier: Apache-2.0
"""CONNECT and CONNACK (3.1, 3.2)."""

import struct
import time

import pytest

import raw
from conftest import IS_MOSQUITTO, SLOWER, Broker

FOREVER = 0xFFFFFFFF


def by_hand(version=4, name="MQTT", flags=2, payload=b"\0\1i", keepalive=60):
    props = b"\0" if version == 5 else b""
    body = raw.text(name) + bytes([version, flags]) + struct.pack(">H", keepalive)
    return raw.packet(raw.CONNECT, body + props + payload)


def durable(version, seconds=FOREVER):
    return {"clean": False, **({"props": [("session_expiry", seconds)]} if version == 5 else {})}


def is_refused(client):
    """No CONNACK that says yes, and the end."""
    try:
        while True:
            got = client.receive()
            assert got.kind == raw.CONNACK and got.body[1] != 0, got
            assert got.body[0] == 0  # [MQTT-3.2.2-6]
    except raw.Closed:
        return True


FIRST = {
    "PUBLISH": raw.publish("t", "x"),
    "SUBSCRIBE": raw.subscribe(1, [("t", 0)]),
    "PINGREQ": raw.packet(raw.PINGREQ),
    "DISCONNECT": raw.disconnect(),
    "AUTH": raw.packet(raw.AUTH),
    "PUBREL": raw.ack(raw.PUBREL, 1),
}


@pytest.mark.parametrize("packet", FIRST.values(), ids=FIRST)
def test_first_packet_is_connect(broker, version, packet):
    """[MQTT-3.1.0-1] [MQTT-3.2.0-1] [MQTT-3.14.0-1]: the end, without a word."""
    client = broker.open(version)
    client.send(packet)
    with pytest.raises(raw.Closed):
        client.receive()


def test_second_connect_is_a_protocol_error(broker, topic, version):
    """[MQTT-3.1.0-2] [MQTT-3.2.0-2]"""
    client = broker.client(topic, version)
    client.send(raw.connect(topic, version))
    try:
        while True:
            got = client.receive()
            assert got.kind == raw.DISCONNECT and got.reason == 0x82
    except raw.Closed:
        pass


@pytest.mark.parametrize("name", ["MQTT ", "mqtt", "MQTX", "", "MQIsdp"])
def test_unknown_protocol_name(broker, version, name):
    """[MQTT-3.1.2-1]"""
    client = broker.open(version)
    client.send(by_hand(version, name))
    assert is_refused(client)


@pytest.mark.parametrize("number", [0, 1, 2, 6, 127])
def test_unknown_protocol_version(broker, number):
    """[MQTT-3.1.2-2] [MQTT-3.1.2-2 of 3.1.1]: CONNACK 1 in the form of 3.1.1, and the end."""
    client = broker.open()
    client.send(by_hand(number))
    try:
        assert client.expect(raw.CONNACK).raw == b"\x20\2\0\1"
    except raw.Closed:
        assert IS_MOSQUITTO
    else:
        client.expect_closed()


def test_reserved_flag_is_0(broker, version):
    """[MQTT-3.1.2-3] [MQTT-3.1.4-1]"""
    client = broker.open(version)
    client.send(by_hand(version, flags=3))
    assert is_refused(client)


def test_clean_start_discards(broker, topic, version):
    """[MQTT-3.1.2-4] [MQTT-3.1.4-4] [MQTT-3.2.2-2]: subscriptions and what is in flight."""
    old = broker.client(topic, version, **durable(version))
    old.subscribe((topic, 2))
    old.publish(topic, "in flight", 2)
    old.expect_message(topic, "in flight")
    old.close()
    new = broker.client(topic, version, **{**durable(version), "clean": True})
    assert not new.connack.session_present
    new.publish(topic, "nobody", 1)
    new.expect_nothing()


def test_session_goes_on(broker, topic, version):
    """[MQTT-3.1.2-5] [MQTT-3.1.2-6] [MQTT-3.1.2-23] [MQTT-3.2.2-3] [MQTT-3.1.3-2] [MQTT-4.1.0-1]"""
    old = broker.client(topic, version, **durable(version))
    assert not old.connack.session_present
    old.subscribe((topic, 1))
    old.disconnect()
    other = broker.client(topic + "other", version, **durable(version))
    assert not other.connack.session_present
    other.publish(topic, "kept", 1)
    new = broker.client(topic, version, **durable(version))
    assert new.connack.session_present
    new.expect_message(topic, "kept")


def test_messages_for_the_absent_are_kept(broker, topic):
    """[MQTT-3.1.2-5 of 3.1.1]"""
    client = broker.client(topic, clean=False)
    client.subscribe((topic, 2))
    client.disconnect()
    sender = broker.client(topic + "s")
    for qos in (1, 2):
        sender.publish(topic, str(qos), qos)
    client = broker.client(topic, clean=False)
    for qos in (1, 2):
        assert client.expect_message(topic, str(qos)).qos == qos


def test_retained_messages_are_not_of_the_session(broker, topic):
    """[MQTT-3.1.2-7 of 3.1.1]"""
    broker.client(topic).publish(topic, "stays", 1, retain=True)
    broker.client(topic).disconnect()
    client = broker.client(topic)
    client.subscribe((topic, 0))
    client.expect_message(topic, "stays")
    client.publish(topic, b"", 1, retain=True)


def watch(broker, topic, version=5):
    watcher = broker.client(topic + "-watcher", version)
    watcher.subscribe((topic, 0x0A if version == 5 else 2))  # retain as published
    return watcher


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("retain", [False, True])
def test_will_is_published_as_connect_says(broker, topic, version, qos, retain):
    """[MQTT-3.1.2-7] [MQTT-3.1.2-8] [MQTT-3.1.2-9] [MQTT-3.1.2-14] [MQTT-3.1.2-15]"""
    watcher = watch(broker, topic)
    broker.client(topic, version, will={
        "topic": topic, "payload": b"\0will", "qos": qos, "retain": retain}).close()
    got = watcher.expect_message(topic, b"\0will")
    assert (got.qos, got.retain) == (qos, retain)
    watcher.acknowledge(got)
    late = broker.client(topic + "-late", version)
    late.subscribe((topic, 0))
    if retain:
        late.expect_message(topic, b"\0will")
        late.publish(topic, b"", 1, retain=True)
    else:
        late.expect_nothing(0.02)


def test_will_is_published_once(broker, topic, version):
    """[MQTT-3.1.2-10]"""
    watcher = watch(broker, topic)
    broker.client(topic, version, will={"topic": topic, "payload": "w"}, **durable(version)).close()
    watcher.expect_message(topic, "w")
    broker.client(topic, version, **durable(version)).close()
    watcher.expect_nothing()


def test_normal_disconnect_forgets_the_will(broker, topic, version):
    """[MQTT-3.14.4-3] [MQTT-3.1.2-10]"""
    watcher = watch(broker, topic)
    for goodbye in [raw.disconnect()] + ([raw.disconnect(0)] if version == 5 else []):
        client = broker.client(topic, version, will={"topic": topic, "payload": "w"})
        client.send(goodbye)
        client.expect_closed()
    watcher.expect_nothing()


def test_without_a_will_nothing_is_published(broker, topic, version):
    """[MQTT-3.1.2-12 of 3.1.1]: not the will of the connection before, either."""
    watcher = watch(broker, topic)
    with_will = {"topic": topic, "payload": "w"}
    broker.client(topic, version, will=with_will, **durable(version)).disconnect()
    broker.client(topic, version, **durable(version)).close()
    watcher.expect_nothing()


FLAGS = {
    "will QoS without will": (0x0A, b"\0\1i"),
    "will QoS 2 without will": (0x12, b"\0\1i"),
    "will QoS 3": (0x1E, b"\0\1i\0\1t\0\1p"),
    "will retain without will": (0x22, b"\0\1i"),
    "user name without flag": (0x02, b"\0\1i\0\1u"),
    "flag without user name": (0x82, b"\0\1i"),
    "password without flag": (0x82, b"\0\1i\0\1u\0\1p"),
    "flag without password": (0xC2, b"\0\1i\0\1u"),
    "no client id": (0x02, b""),
    "will without its payload": (0x06, b"\0\1i\0\1t"),
}


@pytest.mark.parametrize("flags,payload", FLAGS.values(), ids=FLAGS)
def test_flags_and_payload_agree(broker, version, flags, payload):
    """[MQTT-3.1.2-11] [MQTT-3.1.2-12] [MQTT-3.1.2-13] [MQTT-3.1.2-16] [MQTT-3.1.2-17]
    [MQTT-3.1.2-18] [MQTT-3.1.2-19] [MQTT-3.1.3-3] [MQTT-3.1.4-1]"""
    if version == 5 and flags & 4:
        payload = payload[:3] + b"\0" + payload[3:]
    client = broker.open(version)
    client.send(by_hand(version, flags=flags, payload=payload))
    assert is_refused(client)


def test_password_needs_a_user_name_before_version_5(broker):
    """[MQTT-3.1.2-22 of 3.1.1]"""
    client = broker.open()
    client.send(raw.connect("i", password="p"))
    assert is_refused(client)
    assert broker.client("i", 5, password="p").connack.reason == 0


def test_silence_ends_the_connection(broker, topic, version):
    """[MQTT-3.1.2-22] [MQTT-3.2.2-22]: after one and a half times the client's keep alive."""
    client = broker.client(topic, version, keepalive=1)
    assert version == 4 or client.connack.prop("server_keep_alive") is None
    start = time.monotonic()
    reason = client.expect_closed(8)
    assert 1.4 < time.monotonic() - start < (8 if IS_MOSQUITTO else 4 * SLOWER)
    assert IS_MOSQUITTO or reason == (0x8D if version == 5 else None)


def test_keep_alive_0_is_none(broker, topic, version):
    """[MQTT-3.2.2-22]"""
    client = broker.client(topic, version, keepalive=0)
    time.sleep(0.2)
    client.expect_nothing(0.02)


# ---- limits that the client sets ----


def sized(client, topic, size, qos=0):
    """Publish so that the PUBLISH to the subscriber has so many bytes."""
    bare = len(raw.publish(topic, b"", qos, version=5))
    client.publish(topic, b"p" * (size - bare), qos)


@pytest.mark.noctule_only  # Mosquitto 2.0.11 does not count the first two bytes
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_no_message_above_the_maximum_packet_size(broker, qos):
    """[MQTT-3.1.2-24] [MQTT-3.1.2-25]"""
    client = broker.client("", 5, props=[("maximum_packet_size", 100), ("receive_maximum", 1)])
    client.subscribe(("size", qos))
    sender = broker.client("", 5)
    sized(sender, "size", 101, qos)
    sized(sender, "size", 100, qos)
    got = client.receive()
    assert len(got.raw) == 100
    client.acknowledge(got)
    client.expect_nothing()


@pytest.mark.noctule_only
@pytest.mark.parametrize("size", range(80, 101))
def test_an_alias_does_not_make_a_packet_too_large(broker, size):
    """[MQTT-3.1.2-24]"""
    client = broker.client("", 5, props=[("maximum_packet_size", 100), ("topic_alias_maximum", 1)])
    client.subscribe(("size", 0))
    sized(broker.client("", 5), "size", size)
    got = client.receive()
    assert len(got.raw) <= 100 and (got.prop("topic_alias") == 1) == (size <= 97)


@pytest.mark.noctule_only
def test_no_answer_above_the_maximum_packet_size(broker, topic):
    """[MQTT-3.1.2-24] [MQTT-3.14.0-1]"""
    client = broker.open(5)
    client.send(raw.connect("", 5, props=[("maximum_packet_size", 20)]))
    with pytest.raises(raw.Closed):
        client.receive()
    client = broker.client(topic, 5, props=[("maximum_packet_size", 20)])
    client.send(raw.subscribe(1, [("a", 0)] * 30, 5))
    assert client.expect(raw.DISCONNECT).reason == 0x95


@pytest.mark.noctule_only
def test_aliases_up_to_the_client_s_maximum(broker, topic):
    """[MQTT-3.1.2-26] [MQTT-3.3.2-8] [MQTT-3.3.2-11]"""
    client = broker.client(topic, 5, props=[("topic_alias_maximum", 3)])
    client.subscribe((topic + "/#", 0))
    for name in "abcdeabcde":
        client.publish(f"{topic}/{name}", name)
    topics = {}
    for name in "abcdeabcde":
        got = client.receive()
        alias = got.prop("topic_alias")
        if got.topic and alias:
            topics[alias] = got.topic
        assert alias is None or 1 <= alias <= 3
        assert (got.topic or topics[alias], got.payload) == (f"{topic}/{name}", name.encode())
    assert sorted(topics) == [1, 2, 3]


def test_no_alias_without_a_maximum(broker, topic):
    """[MQTT-3.1.2-27]"""
    for props in ([], [("topic_alias_maximum", 0)]):
        client = broker.client(topic, 5, props=props)
        client.subscribe((topic, 0))
        for _ in range(3):
            client.publish(topic, "x")
            assert client.expect_message(topic, "x").prop("topic_alias") is None


@pytest.mark.parametrize("asked", [[], [("request_response_info", 0)]])
def test_no_response_information_unasked(broker, topic, asked):
    """[MQTT-3.1.2-28]"""
    assert broker.client(topic, 5, props=asked).connack.prop("response_info") is None


def test_no_problem_information_unwanted(broker, topic):
    """[MQTT-3.1.2-29]"""
    client = broker.client(topic, 5, props=[("request_problem_info", 0)])
    client.unsubscribe(topic)
    client.publish(topic, "x", 1)
    client.send(raw.unsubscribe(9, [topic], 5), raw.publish("$SYS/x", "x", 1, 10, version=5),
                raw.ack(raw.PUBREL, 99))
    for kind in (raw.UNSUBACK, raw.PUBACK, raw.PUBCOMP):
        assert not {"reason_string", "user"} & {name for name, _ in client.expect(kind).props}


# ---- identifiers ----


def test_payload_in_its_order(broker, topic, version):
    """[MQTT-3.1.3-1] [MQTT-3.1.2-17] [MQTT-3.1.2-19]"""
    watcher = watch(broker, topic)
    will = raw.text(topic) + raw.text("will")
    client = broker.open(version)
    client.send(by_hand(version, flags=0xC6, payload=raw.text(topic) + (
        b"\0" if version == 5 else b"") + will + raw.text("user") + raw.text("password")))
    assert client.expect(raw.CONNACK).reason == 0
    client.close()
    watcher.expect_message(topic, "will")


@pytest.mark.parametrize("client_id", ["a", "0123456789abcdefghijklm", "nopqrstuvwxyzABCDEFGHIJ",
                                       "KLMNOPQRSTUVWXYZ"])
@pytest.mark.parametrize("number", [3, 4, 5])
def test_plain_identifiers_are_accepted(broker, client_id, number):
    """[MQTT-3.1.3-5] [MQTT-3.1.4-5]"""
    broker.client(client_id, number)


def test_empty_identifier_is_replaced(broker):
    """[MQTT-3.1.3-6] [MQTT-3.1.3-6 of 3.1.1] [MQTT-3.2.2-16]"""
    ids = {broker.client("", 5).connack.prop("assigned_client_id") for _ in range(5)}
    assert len(ids) == 5 and None not in ids and b"" not in ids
    one, two = broker.client(""), broker.client("")
    for client in (one, two):
        client.expect_nothing(0.02)


def test_assigned_identifier_is_the_client_s(broker, topic):
    """[MQTT-3.1.3-7]"""
    session = [("session_expiry", 60)]
    first = broker.client("", 5, clean=False, props=session)
    assigned = first.connack.prop("assigned_client_id")
    first.subscribe((topic, 0))
    first.disconnect()
    second = broker.client(assigned, 5, clean=False, props=session)
    assert second.connack.session_present
    assert second.connack.prop("assigned_client_id") is None


def test_empty_identifier_needs_a_clean_session(broker):
    """[MQTT-3.1.3-8 of 3.1.1] [MQTT-3.1.3-8]"""
    client = broker.open()
    assert client.connect("", clean=False).raw == b"\x20\2\0\2"
    client.expect_closed()


def test_version_3_1_needs_an_identifier(broker):
    client = broker.open(3)
    assert client.connect("").reason == 2
    client.expect_closed()


def test_version_3_1_may_promise_a_user_name_and_give_none(broker):
    """MQTT 3.1, CONNECT, on the flags of user name and password."""
    for payload in (b"\0\1i", b"\0\1i\0\1u"):
        client = broker.open(3)
        client.send(by_hand(3, "MQIsdp", 0xC2, payload))
        assert client.expect(raw.CONNACK).reason == 0


def test_version_3_1_may_flag_a_subscribe_as_duplicate(broker, topic):
    client = broker.client(topic[:20], 3)
    client.send(raw.packet(raw.SUBSCRIBE, b"\0\1" + raw.text(topic) + b"\1", 0x0A))
    assert client.expect(raw.SUBACK).reasons == [1]
    client.send(raw.packet(raw.UNSUBSCRIBE, b"\0\2" + raw.text(topic), 0x0A))
    client.expect(raw.UNSUBACK)


# ---- wills and time ----


def test_return_within_the_delay_stops_the_will(broker, topic):
    """[MQTT-3.1.3-9]"""
    watcher = watch(broker, topic)
    session = [("session_expiry", 60)]
    will = {"topic": topic, "payload": "w", "props": [("will_delay", 3)]}
    broker.client(topic, 5, will=will, props=session).close()
    broker.client(topic, 5, clean=False, props=session)
    watcher.expect_nothing(3.3)


@pytest.mark.noctule_only  # Mosquitto forgets the will of a version 5 session that goes on
@pytest.mark.parametrize("clean", [False, True])
def test_takeover_sends_the_will_unless_it_is_delayed(broker, topic, clean):
    """[MQTT-3.1.2-8] [MQTT-3.1.3-9]: without delay always; with a delay if the session ends."""
    watcher = watch(broker, topic)
    session = [("session_expiry", 60)]
    for delay in (0, 30):
        will = {"topic": topic, "payload": str(delay), "props": [("will_delay", delay)]}
        broker.client(topic, 5, will=will, props=session)
        broker.client(topic, 5, clean=clean, props=session).disconnect()
        if delay == 0 or clean:
            watcher.expect_message(topic, str(delay))
        watcher.expect_nothing(0.05)


def test_will_properties_keep_their_order(broker, topic):
    """[MQTT-3.1.3-10]"""
    watcher = watch(broker, topic)
    users = [("b", "1"), ("a", "2"), ("b", "1"), ("a", "0")]
    broker.client(topic, 5, will={"topic": topic, "payload": "w",
                                  "props": [("user", pair) for pair in users]}).close()
    got = watcher.expect_message(topic, "w")
    assert [(n.decode(), v.decode()) for k, (n, v) in got.props if k == "user"] == users


def test_expiry_of_a_will_counts_from_its_publication(broker, topic):
    """[MQTT-3.3.2-6], 3.1.3.2.4"""
    watcher = watch(broker, topic)
    client = broker.client(topic, 5, will={"topic": topic, "payload": "w",
                                           "props": [("message_expiry", 1)]})
    time.sleep(1.2)
    client.close()
    assert watcher.expect_message(topic, "w").prop("message_expiry") == 1


@pytest.mark.parametrize("field", ["will topic", "user name"])
def test_will_topic_and_user_name_are_text(broker, topic, version, field):
    """[MQTT-3.1.3-11] [MQTT-3.1.3-12]"""
    client = broker.open(version)
    client.send(raw.connect(topic, version, **(
        {"user": b"\xff", "password": b""} if field == "user name" else
        {"will": {"topic": b"\xff", "payload": b""}})))
    assert is_refused(client)


# ---- CONNACK ----


REFUSED = """
listener {port} 127.0.0.1
allow_anonymous false
"""


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    """A broker that lets nobody in."""
    running = Broker(tmp_path_factory.mktemp("strict"), REFUSED)
    try:
        yield running.start()
    finally:
        running.stop()


def test_refusal_ends_the_connection(strict, topic, version):
    """[MQTT-3.1.4-2] [MQTT-3.2.2-6] [MQTT-3.2.2-7] [MQTT-3.2.2-8] [MQTT-4.13.2-1]
    [MQTT-3.14.0-1]"""
    client = strict.open(version)
    connack = client.connect(topic, clean=False)
    assert connack.reason == (0x87 if version == 5 else 5)
    assert not connack.session_present
    with pytest.raises(raw.Closed):
        client.receive()


def test_nothing_behind_a_refused_connect_is_done(strict, topic, version):
    """[MQTT-3.1.4-6]"""
    client = strict.open(version)
    client.send(raw.connect(topic, version), raw.subscribe(1, [(topic, 0)], version),
                raw.publish(topic, "x", 1, 2, version=version), raw.packet(raw.PINGREQ))
    assert client.expect(raw.CONNACK).reason != 0
    with pytest.raises(raw.Closed):
        client.receive()


def test_connect_is_answered_first_and_once(broker, topic, version):
    """[MQTT-3.1.4-5] [MQTT-3.2.0-1] [MQTT-3.2.0-2] [MQTT-3.2.2-1]: what waits comes behind it."""
    client = broker.client(topic, version, **durable(version))
    client.subscribe((topic, 1))
    client.disconnect()
    broker.client(topic + "s", version).publish(topic, "waiting", 1)
    client = broker.open(version)
    client.send(raw.connect(topic, version, **durable(version)), raw.packet(raw.PINGREQ))
    first = client.receive()
    assert first.kind == raw.CONNACK and first.body[:2] == b"\1\0"
    kinds = {client.receive().kind, client.receive().kind}
    assert kinds == {raw.PUBLISH, raw.PINGRESP}
    client.expect_nothing(0.02)


@pytest.mark.parametrize("old,new", [(4, 4), (5, 5), (4, 5), (5, 4)])
def test_newer_connection_stays(broker, topic, old, new):
    """[MQTT-3.1.4-3]"""
    first = broker.client(topic, old)
    second = broker.client(topic, new)
    reason = first.expect_closed()
    assert IS_MOSQUITTO or reason == (0x8E if old == 5 else None)
    second.expect_nothing(0.02)


@pytest.mark.parametrize("maximum", [0, 1])
def test_maximum_qos(start_broker, topic, maximum):
    """[MQTT-3.2.2-9] [MQTT-3.2.2-10] [MQTT-3.2.2-12] [MQTT-3.2.2-11] [MQTT-3.8.4-7]"""
    broker = start_broker(f"listener {{port}} 127.0.0.1\nallow_anonymous true\nmax_qos {maximum}\n")
    client = broker.client(topic, 5)
    assert client.connack.prop("maximum_qos") == maximum
    granted = client.subscribe(*((f"{topic}/{qos}", qos) for qos in range(3)))
    assert granted == [min(qos, maximum) for qos in range(3)] or IS_MOSQUITTO
    refused = broker.open(5)
    connack = refused.connect("w", will={"topic": "t", "payload": "", "qos": maximum + 1})
    assert connack.reason == 0x9B
    refused.expect_closed()
    client.send(raw.publish(topic, "x", maximum + 1, 1, version=5))
    assert client.expect_closed() == 0x9B


def test_retain_not_available(start_broker, topic):
    """[MQTT-3.2.2-13] [MQTT-3.2.2-14]"""
    broker = start_broker("listener {port} 127.0.0.1\nallow_anonymous true\n"
                          "retain_available false\n")
    assert broker.client(topic, 5).connack.prop("retain_available") == 0
    client = broker.open(5)
    will = {"topic": "t", "payload": "", "retain": True}
    assert client.connect("w", will=will).reason == 0x9A
    client.expect_closed()


def test_return_codes_are_those_of_the_version(broker):
    """[MQTT-3.2.2-6 of 3.1.1] [MQTT-3.2.2-8]: none fits a malformed CONNECT."""
    client = broker.open()
    client.send(by_hand(4, flags=3))
    with pytest.raises(raw.Closed):
        client.receive()


# ---- bridges of Mosquitto ----


@pytest.mark.parametrize("number", [0x83, 0x84])
def test_bridge_gets_nothing_of_its_own_and_the_retain_flag(broker, topic, number):
    bridge = broker.open()
    bridge.send(raw.connect("bridge", number))
    assert bridge.expect(raw.CONNACK).reason == 0
    bridge.subscribe((topic + "/#", 1))
    bridge.publish(topic + "/own", "own", 1)
    sender = broker.client(topic)
    sender.publish(topic + "/other", "other", retain=True)
    assert bridge.expect_message(topic + "/other", "other").retain
    bridge.expect_nothing()
    sender.publish(topic + "/other", b"", 1, retain=True)
