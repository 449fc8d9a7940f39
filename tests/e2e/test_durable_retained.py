# SPDX-License-Identifier: Apache-2.0
"""What persistence keeps over a restart and a kill: wills, retained messages, and when all of it ends."""

import time

import pytest

import raw
from durable import PROPERTIES, bytes_of, durable, how, without_expiry  # noqa: F401  (fixtures)

pytestmark = pytest.mark.noctule_only


# ---- wills ----


def will(topic, delay=0, **more):
    return {"topic": topic, "payload": "gone", "qos": 1, "props": [("will_delay", delay), *PROPERTIES], **more}


def test_wills_keep_their_delay_and_properties(durable, how):
    """After a kill a delay that ran runs on, and that of who was connected begins (3.1.3.2.2). A stop sends them all."""
    broker = durable()
    broker.keep("watcher").subscribe(("w/#", 1))
    broker.keep("lost", will=will("w/lost", 1)).close()
    broker.keep("lost for long", will=will("w/long", 3600)).close()
    broker.keep("said goodbye", will=will("w/goodbye", 1)).disconnect()
    broker.keep("left it", will=will("w/left", 1)).disconnect(4)
    broker.keep("there", will=will("w/there", 1))
    broker.store_all()  # nothing answers the end of a connection
    broker.again(how)
    watcher = broker.keep("watcher")
    expected = {"w/lost", "w/left", "w/there"} | ({"w/long"} if how == "stop" else set())
    found = set()
    for _ in expected:
        packet = watcher.expect(raw.PUBLISH, 10)
        watcher.acknowledge(packet)
        assert (packet.payload, packet.qos) == (b"gone", 1)
        assert sorted(packet.props) == sorted(bytes_of(PROPERTIES))
        found.add(packet.topic)
    assert found == expected
    watcher.expect_nothing()
    assert broker.keep("lost for long").connack.session_present
    watcher.expect_nothing(0)


def test_a_will_fires_once(durable):
    broker = durable()
    broker.keep("watcher").subscribe(("w/#", 2))
    broker.keep("there", will=will("w/there", qos=2, retain=True))
    broker.again("kill")
    watcher = broker.keep("watcher")
    watcher.acknowledge(watcher.expect_message("w/there", "gone"))
    watcher.expect_nothing(0)
    broker.store_all()
    broker.again("kill")
    watcher = broker.keep("watcher")
    watcher.expect_nothing()
    watcher.subscribe(("w/there", 1))
    assert watcher.expect_message("w/there", "gone").retain


def test_a_will_that_was_taken_back_does_not_fire(durable):
    broker = durable()
    broker.keep("watcher").subscribe(("w/#", 2))
    broker.keep("back", will=will("w/back", 3600)).close()
    broker.keep("back")  # without one
    broker.again("kill")
    broker.keep("back").disconnect()
    broker.keep("watcher").expect_nothing()


# ---- retained messages ----


def test_retained_messages_keep_all_they_say(durable, how):
    broker = durable()
    sender = broker.client("sender", 5)
    large = "large " * 2000
    sender.publish("r/1", "old", 1, retain=True)
    sender.publish("r/1", "kept", 2, retain=True, props=[*PROPERTIES, ("message_expiry", 3600)])
    sender.publish("r/large", large, 1, retain=True, props=PROPERTIES)
    sender.publish("r/cleared", "x", 1, retain=True)
    sender.publish("r/cleared", "", 1, retain=True)
    sender.publish("r/0", "of QoS 0", 0, retain=True)
    sender.publish("r/last", "x", 1, retain=True)
    broker.store_all()  # nothing answers a message of QoS 0
    broker.again(how)
    client = broker.client("one", 5)
    client.subscribe(("r/#", 2))
    found = {}
    for _ in range(4):
        packet = client.expect(raw.PUBLISH)
        client.acknowledge(packet)
        assert packet.retain
        found[packet.topic] = packet
    client.expect_nothing()
    assert {topic: (bytes(p.payload), p.qos) for topic, p in found.items()} == {
        "r/1": (b"kept", 2), "r/large": (large.encode(), 1), "r/0": (b"of QoS 0", 0), "r/last": (b"x", 1)}
    assert 3500 < found["r/1"].prop("message_expiry") <= 3600
    assert sorted(without_expiry(found["r/1"])) == sorted(bytes_of(PROPERTIES))
    assert sorted(found["r/large"].props) == sorted(bytes_of(PROPERTIES))


# ---- time ----


def test_time_goes_on_while_no_broker_runs(durable, how):
    broker = durable()
    broker.keep("short", expiry=1).disconnect()
    broker.keep("long", expiry=3600).disconnect()
    broker.keep("shortened", expiry=3600).disconnect(0, [("session_expiry", 1)])
    client = broker.keep("one")
    client.subscribe(("q", 1))
    client.disconnect()
    sender = broker.client("sender", 5)
    for expiry in [1, 3600]:
        sender.publish("q", f"queued {expiry}", 1, props=[("message_expiry", expiry)])
        sender.publish(f"r/{expiry}", "retained", 1, retain=True, props=[("message_expiry", expiry)])
    broker.keep("there", expiry=1)
    broker.end(how)
    time.sleep(1.2)
    broker.start()
    assert not broker.keep("short").connack.session_present
    assert not broker.keep("shortened").connack.session_present
    assert broker.keep("long").connack.session_present
    client = broker.keep("one")
    client.acknowledge(client.expect_message("q", "queued 3600"))
    client.subscribe(("r/#", 1))
    client.acknowledge(client.expect_message("r/3600", "retained"))
    client.expect_nothing()
    if how == "kill":  # of one that was connected the time counts from the start
        broker.wait_log("Expiring client there due to timeout", 10)
    assert not broker.keep("there").connack.session_present
