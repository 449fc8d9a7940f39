# SPDX-License-Identifier: Apache-2.0
"""Wills (3.1.2.5, 3.1.3.2)."""

import time

import pytest

import raw


@pytest.fixture
def watcher(broker, topic):
    client = broker.client(topic + "-watcher", 5)
    client.subscribe((topic, 2))
    return client


def will(topic, **more):
    return {"topic": topic, "payload": "last words", **more}


def test_lost_connection_sends_the_will(broker, watcher, topic, version):
    client = broker.client(topic, version, will=will(topic, qos=1))
    client.close()
    got = watcher.expect_message(topic, "last words")  # [MQTT-3.1.2-8]
    assert (got.qos, got.retain) == (1, False)


def test_disconnect_drops_the_will(broker, watcher, topic, version):
    broker.client(topic, version, will=will(topic)).disconnect()
    watcher.expect_nothing()  # [MQTT-3.1.2-10]


def test_v5_disconnect_with_will_sends_it(broker, watcher, topic):
    broker.client(topic, 5, will=will(topic)).disconnect(0x04)
    watcher.expect_message(topic, "last words")


def test_keep_alive_timeout_sends_the_will(broker, watcher, topic):
    broker.client(topic, keepalive=1, will=will(topic))
    watcher.expect_message(topic, "last words", timeout=10)


def test_protocol_error_sends_the_will(broker, watcher, topic, version):
    client = broker.client(topic, version, will=will(topic))
    client.send(raw.packet(raw.SUBSCRIBE, b"\0\0"))
    client.expect_closed()
    watcher.expect_message(topic, "last words")


def test_takeover_sends_the_will(broker, watcher, topic):
    broker.client(topic, will=will(topic))
    broker.client(topic)
    watcher.expect_message(topic, "last words")


def test_will_may_be_retained(broker, watcher, topic, version):
    broker.client(topic, version, will=will(topic, retain=True)).close()
    watcher.expect_message(topic, "last words")
    late = broker.client(topic + "late", version)  # [MQTT-3.1.2-15]
    late.subscribe((topic, 0))
    assert late.expect_message(topic, "last words").retain
    late.publish(topic, b"", retain=True)


def test_empty_will_is_sent(broker, watcher, topic):
    broker.client(topic, will={"topic": topic, "payload": b""}).close()
    watcher.expect_message(topic, b"")


def test_v5_will_properties_are_passed_on(broker, watcher, topic):
    props = [
        ("payload_format", 1),
        ("content_type", "text/plain"),
        ("response_topic", "answers"),
        ("correlation_data", b"\0\1"),
        ("user", ("a", "1")),
        ("user", ("a", "2")),
    ]
    broker.client(topic, 5, will=will(topic, props=props)).close()
    got = watcher.expect_message(topic, "last words")
    assert got.prop("payload_format") == 1
    assert got.prop("content_type") == b"text/plain"
    assert got.prop("response_topic") == b"answers"
    assert got.prop("correlation_data") == b"\0\1"
    assert [v for k, v in got.props if k == "user"] == [(b"a", b"1"), (b"a", b"2")]
    assert got.prop("will_delay") is None


def delayed(topic, seconds):
    return will(topic, props=[("will_delay", seconds)])


def test_v5_will_waits_for_its_delay(broker, watcher, topic):
    session = [("session_expiry", 60)]
    broker.client(topic, 5, will=delayed(topic, 1), props=session).close()
    start = time.monotonic()
    watcher.expect_message(topic, "last words")
    assert time.monotonic() - start > 0.4


def test_v5_reconnect_within_the_delay_stops_the_will(broker, watcher, topic):
    session = [("session_expiry", 60)]  # [MQTT-3.1.3-9]
    broker.client(topic, 5, will=delayed(topic, 3), props=session).close()
    broker.client(topic, 5, clean=False, props=session)
    watcher.expect_nothing(4.2)


def test_v5_end_of_the_session_cuts_the_delay_short(broker, watcher, topic):
    session = [("session_expiry", 1)]  # [MQTT-3.1.2-8]
    broker.client(topic, 5, will=delayed(topic, 600), props=session).close()
    watcher.expect_message(topic, "last words", timeout=6)


def test_will_with_a_wildcard_is_refused(broker, topic, version):
    with broker.open(version) as client:
        client.send(raw.connect(topic, version, will={"topic": "a/#", "payload": "x"}))
        client.expect_closed()


def test_shutdown_sends_wills_to_who_is_still_there(start_broker, topic):
    broker = start_broker()
    watcher = broker.client("watcher", clean=False)
    watcher.subscribe((topic, 0))
    broker.client(topic, will=will(topic))
    process = broker.process
    process.terminate()
    assert process.wait(20) == 0
    try:
        watcher.expect_message(topic, "last words")
    except raw.Closed:
        pytest.skip("sent, but nobody was left to take it")
    finally:
        broker.process = None
