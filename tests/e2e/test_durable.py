# SPDX-License-Identifier: Apache-2.0
"""What persistence keeps over a restart and a kill: sessions, their subscriptions, the flows of their messages (4.1).

Wills, retained messages and time are in test_durable_retained.py.
"""

import os
import signal

import pytest

import raw
from durable import NEVER, PROPERTIES, bytes_of, drain, durable, how, without_expiry  # noqa: F401  (fixtures)

pytestmark = pytest.mark.noctule_only

NO_LOCAL, AS_PUBLISHED, RETAIN_IF_NEW, RETAIN_NEVER = 0x04, 0x08, 0x10, 0x20


# ---- sessions and subscriptions ----


def test_sessions_are_present_and_others_not(durable, how):
    broker = durable()
    for name, version in [("three", 4), ("five", 5)]:
        broker.keep(name, version)
    broker.client("three-clean", 4)
    broker.client("five-clean", 5)
    broker.again(how)
    found = {name: broker.client(name, version, clean=False).connack.session_present
             for name, version in [("three", 4), ("five", 5), ("three-clean", 4), ("five-clean", 5)]}
    assert found == {"three": True, "five": True, "three-clean": False, "five-clean": False}


def test_subscriptions_keep_their_options_and_identifiers(durable, how):
    broker = durable()
    client = broker.keep("one")
    client.subscribe(("plain/+", 1), props=[("subscription_id", 7)])
    client.subscribe(("plain/#", 2), props=[("subscription_id", 268435455)])
    client.subscribe(("as/published", 1 | AS_PUBLISHED))
    client.subscribe(("not/as/published", 1))
    client.subscribe(("own", 1 | NO_LOCAL))
    client.subscribe(("replaced", 2), props=[("subscription_id", 1)])
    client.subscribe(("replaced", 0), props=[("subscription_id", 2)])
    client.subscribe(("over", 1), ("over/too", 1))
    client.unsubscribe("over", "over/too")
    broker.again(how)
    client = broker.keep("one")
    client.publish("own", "mine", 1)
    other = broker.client("other", 5)
    for topic in ["over", "over/too", "own", "replaced"]:
        other.publish(topic, "", 2)
    for topic in ["as/published", "not/as/published"]:
        other.publish(topic, "x", 1, retain=True)
    other.publish("plain/a", "", 2)
    got = []
    for _ in range(5):
        packet = client.expect(raw.PUBLISH)
        client.acknowledge(packet)
        ids = sorted(value for name, value in packet.props if name == "subscription_id")
        got.append((packet.topic, packet.qos, packet.retain, ids))
    assert got == [("own", 1, False, []), ("replaced", 0, False, [2]), ("as/published", 1, True, []),
                   ("not/as/published", 1, False, []), ("plain/a", 2, False, [7, 268435455])]
    client.expect_nothing()


def test_a_subscription_that_was_kept_is_not_new(durable, how):
    """Retain handling 1 sends retained messages only for a subscription that did not exist (3.8.3.1)."""
    broker = durable()
    broker.client("sender", 5).publish("r/1", "kept", 1, retain=True)
    client = broker.keep("one")
    client.subscribe(("r/1", 1 | RETAIN_IF_NEW))
    client.acknowledge(client.expect_message("r/1", "kept"))
    client.subscribe(("r/+", 1 | RETAIN_NEVER))
    broker.again(how)
    client = broker.keep("one")
    client.subscribe(("r/1", 1 | RETAIN_IF_NEW))
    client.subscribe(("r/+", 1 | RETAIN_IF_NEW))
    client.expect_nothing()
    client.subscribe(("r/#", 1 | RETAIN_IF_NEW))
    client.acknowledge(client.expect_message("r/1", "kept"))


def test_shared_subscriptions_go_on_sharing(durable, how):
    broker = durable()
    for name in ["a", "b"]:
        broker.keep(name).subscribe(("$share/group/s/#", 1), ("$share/" + name + "/s/#", 1))
    broker.again(how)
    members = [broker.keep(name) for name in ["a", "b"]]
    sender = broker.client("sender", 5)
    for number in range(10):
        sender.publish("s/1", str(number), 1)
    counts = {}
    for member in members:
        for _ in range(100):
            try:
                packet = member.expect(raw.PUBLISH, 0.2)
            except TimeoutError:
                break
            member.acknowledge(packet)
            counts[bytes(packet.payload)] = counts.get(bytes(packet.payload), 0) + 1
    # Each in its own group, and once in the one that they share.
    assert counts == {str(number).encode(): 3 for number in range(10)}


def test_a_session_that_a_clean_start_ended_does_not_come_back(durable, how, version):
    broker = durable()
    client = broker.keep("one", version)
    client.subscribe(("t", 1))
    client.disconnect()
    broker.client("sender").publish("t", "old", 1)
    props = [("session_expiry", NEVER)] if version == 5 else ()
    broker.client("one", version, clean=True, props=props)  # its CONNACK says that the old one is over
    broker.again(how)
    client = broker.keep("one", version)
    assert client.connack.session_present == (version == 5)
    broker.client("sender").publish("t", "new", 1)
    client.expect_nothing()


def test_a_session_that_said_it_is_over_does_not_come_back(durable, how):
    broker = durable()
    broker.keep("one").disconnect(0, [("session_expiry", 0)])
    broker.store_all()  # nothing answers a DISCONNECT
    broker.again(how)
    assert not broker.client("one", 5, clean=False).connack.session_present


# ---- messages to the client ----


def queue_up(broker, count):
    """QoS 1 and 2 by turns; the sender has all its answers."""
    sender = broker.client("sender", 5)
    for number in range(count):
        sender.publish("q", f"m{number}", 1 + number % 2)
    sender.disconnect()


def test_flows_go_on_where_they_stood(durable, how, version):
    """In flight with every answer outstanding, and a queue behind them."""
    broker = durable("max_inflight_messages 6")
    client = broker.keep("one", version)
    client.subscribe(("q", 2))
    queue_up(broker, 12)
    first = [client.expect(raw.PUBLISH) for _ in range(6)]
    assert [bytes(p.payload) for p in first] == [b"m0", b"m1", b"m2", b"m3", b"m4", b"m5"]
    client.acknowledge(first[0])  # m6 follows
    client.send(raw.ack(raw.PUBREC, first[1].packet_id))
    client.wait_for(raw.PUBREL, first[1].packet_id)
    first.append(client.expect(raw.PUBLISH))
    ids = [packet.packet_id for packet in first]
    if how == "kill":
        broker.store_all()  # that m0 is over may come late: then it is sent again
    broker.again(how)
    client = broker.keep("one", version)
    assert client.connack.session_present
    got = [client.read() for _ in range(6)]
    assert sorted(p.packet_id for p in got) == sorted(ids[1:])
    assert [p.packet_id for p in got if p.kind == raw.PUBREL] == [ids[1]]
    sent_again = [p for p in got if p.kind == raw.PUBLISH]
    assert [(bytes(p.payload), p.packet_id, p.dup) for p in sent_again] == [
        (f"m{number}".encode(), ids[number], True) for number in range(2, 7)]
    client.send(raw.ack(raw.PUBCOMP, ids[1]))
    rest = [client.expect(raw.PUBLISH)]
    for packet in sent_again:
        client.acknowledge(packet)
    while len(rest) < 5:
        rest.append(client.expect(raw.PUBLISH))
        client.acknowledge(rest[-2])
    client.acknowledge(rest[-1])
    assert [(bytes(p.payload), p.dup) for p in rest] == [(f"m{number}".encode(), False) for number in range(7, 12)]
    client.expect_nothing()


def test_of_an_absent_client_it_is_known_what_was_sent(durable, how, version):
    broker = durable("max_inflight_messages 3")
    client = broker.keep("one", version)
    client.subscribe(("q", 2))
    queue_up(broker, 4)
    ids = [client.expect(raw.PUBLISH).packet_id for _ in range(3)]
    client.disconnect()
    queue_up(broker, 2)
    broker.again(how)
    client = broker.keep("one", version)
    got = []
    for _ in range(6):
        got.append(client.expect(raw.PUBLISH))
        client.acknowledge(got[-1])
    assert [(bytes(p.payload), p.dup) for p in got] == [
        (b"m0", True), (b"m1", True), (b"m2", True), (b"m3", False), (b"m0", False), (b"m1", False)]
    assert [p.packet_id for p in got[:3]] == ids
    client.expect_nothing()


def test_a_queue_keeps_its_order_over_many_ends(durable):
    broker = durable()
    broker.keep("one", 4).subscribe(("q/#", 2))
    for round_number in range(4):
        broker.again(["kill", "stop"][round_number % 2])
        sender = broker.client("sender", 5)
        for number in range(25):
            sender.publish("q/1", f"{round_number} {number}", 1 + number % 2)
    broker.again("kill")
    client = broker.keep("one", 4)
    for round_number in range(4):
        for number in range(25):
            client.acknowledge(client.expect_message("q/1", f"{round_number} {number}"))
    client.expect_nothing()


def test_what_the_client_has_acknowledged_stays_over(durable, how, version):
    broker = durable()
    client = broker.keep("one", version)
    client.subscribe(("q", 2))
    queue_up(broker, 20)
    for number in range(20):
        client.acknowledge(client.expect_message("q", f"m{number}"))
    client.expect_nothing(0)
    broker.store_all()
    broker.again(how)
    broker.keep("one", version).expect_nothing()


def test_queued_messages_keep_their_properties(durable, how):
    broker = durable()
    client = broker.keep("one")
    client.subscribe(("q", 1), props=[("subscription_id", 5)])
    client.disconnect()
    large = bytes(range(256)) * 40
    sender = broker.client("sender", 5)
    sender.publish("q", "small", 1, props=[*PROPERTIES, ("message_expiry", 3600)])
    sender.publish("q", large, 1, props=PROPERTIES)
    sender.publish("q", "", 1)
    broker.again(how)
    client = broker.keep("one")
    small = client.expect_message("q", "small")
    assert 3500 < small.prop("message_expiry") <= 3600
    assert sorted(without_expiry(small)) == sorted([*bytes_of(PROPERTIES), ("subscription_id", 5)])
    assert [p for p in small.props if p[0] == "user"] == [p for p in bytes_of(PROPERTIES) if p[0] == "user"]
    assert sorted(client.expect_message("q", large).props) == sorted([*bytes_of(PROPERTIES), ("subscription_id", 5)])
    assert client.expect_message("q", "").props == [("subscription_id", 5)]


def test_a_queue_of_one_client_is_no_other_s(durable, how):
    broker = durable()
    for name in ["a", "b", "c"]:
        broker.keep(name).subscribe(("to/" + name, 2), ("to/all", 1))
    sender = broker.client("sender", 5)
    for name in ["a", "all", "b", "c"]:
        sender.publish("to/" + name, name, 2)
    broker.again(how)
    for name in ["a", "b", "c"]:
        client = broker.keep(name)
        got = []
        for _ in range(2):
            packet = client.expect(raw.PUBLISH)
            client.acknowledge(packet)
            got.append(packet.topic)
        assert set(got) == {"to/" + name, "to/all"}
        client.expect_nothing(0)


# ---- messages from the client ----


def test_a_message_that_was_received_is_delivered_once(durable, how, version):
    """QoS 2 between PUBREC and PUBREL, as the client goes on: it may send the PUBLISH again (4.4)."""
    broker = durable()
    receiver = broker.keep("receiver")
    receiver.subscribe(("t", 2))
    client = broker.keep("sender", version)
    for packet_id, payload in [(7, "only released"), (8, "sent again"), (9, "never released")]:
        client.send(raw.publish("t", payload, 2, packet_id, version=version))
        client.wait_for(raw.PUBREC, packet_id)
    receiver.expect_nothing(0)  # [MQTT-4.3.3] method A or B: here it is sent on at PUBREL
    broker.again(how)
    receiver = broker.keep("receiver")
    client = broker.keep("sender", version)
    client.send(raw.publish("t", "sent again", 2, 8, dup=True, version=version))
    client.wait_for(raw.PUBREC, 8)
    for packet_id in [7, 8]:
        client.send(raw.ack(raw.PUBREL, packet_id))
        assert client.wait_for(raw.PUBCOMP, packet_id).reason == 0
    for payload in ["only released", "sent again"]:
        receiver.acknowledge(receiver.expect_message("t", payload))
    receiver.expect_nothing()


def test_a_packet_id_that_is_over_is_free(durable, how, version):
    broker = durable()
    receiver = broker.keep("receiver")
    receiver.subscribe(("t", 2))
    client = broker.keep("sender", version)
    for _ in range(2):
        client.send(raw.publish("t", "m", 2, 7, version=version))
        client.wait_for(raw.PUBREC, 7)
        client.send(raw.ack(raw.PUBREL, 7))
        client.wait_for(raw.PUBCOMP, 7)
        receiver.acknowledge(receiver.expect_message("t", "m"))
        receiver.expect_nothing(0)
        broker.store_all()  # that the receiver has it may come late
        broker.again(how)
        receiver, client = broker.keep("receiver"), broker.keep("sender", version)
        if version == 5:
            client.send(raw.ack(raw.PUBREL, 7))
            assert client.wait_for(raw.PUBCOMP, 7).reason == 0x92
    receiver.expect_nothing()


# ---- by hand ----


def test_sigusr1_stores_what_waits(durable):
    """The end of what was acknowledged by its client waits for something to go with, up to a second."""
    broker = durable()
    client = broker.keep("one")
    client.subscribe(("q", 1))
    for number in range(5):
        broker.client("sender", 5).publish("q", f"m{number}", 1)
        client.acknowledge(client.expect_message("q", f"m{number}"))
        client.expect_nothing(0)
        broker.store_all()
        broker.again("kill")
        client = broker.keep("one")
        client.expect_nothing(0)


def test_without_persistence_there_is_no_file(durable, how):
    broker = durable("persistence false")
    client = broker.keep("one")
    client.subscribe(("q", 1))
    client.disconnect()
    broker.client("sender").publish("q", "x", 1, retain=True)
    broker.process.send_signal(signal.SIGUSR1)
    broker.wait_log("nothing is stored here")
    broker.again(how)
    assert set(os.listdir(broker.store)) <= {"noctule.sock"}  # of the control socket, when /run has one already
    assert not broker.keep("one").connack.session_present


@pytest.mark.parametrize("sync", ["interval 3600000", "off"])
def test_a_kill_takes_nothing_without_sync_either(durable, sync):
    broker = durable("persistence_sync " + sync)
    broker.keep("one", 4).subscribe(("q", 2))
    broker.keep("one", 4).disconnect()
    queue_up(broker, 20)
    broker.again("kill")
    client = broker.keep("one", 4)
    for number in range(20):
        client.acknowledge(client.expect_message("q", f"m{number}"))


# ---- queues of which most is in the store alone ----


def test_a_long_queue_comes_back_whole_and_in_order(durable, how):
    """Its messages are small, large, and of both QoS; half of it came before the end of the broker, half after."""
    broker = durable("max_queued_messages 0")
    broker.keep("away").subscribe(("q", 2))
    broker.keep("away").close()
    sender = broker.client("sender", 5)
    bodies = [b"%d " % number + b"x" * (3000 if number % 50 == 0 else 20) for number in range(700)]

    def publish(part):
        for body in part:
            sender.publish("q", body, 1 + int(body.split()[0]) % 2)

    publish(bodies[:350])
    broker.again(how)
    sender = broker.client("sender", 5)
    publish(bodies[350:])
    got = drain(broker.keep("away"))
    assert [packet.payload for packet in got] == bodies
    assert [packet.qos for packet in got] == [1 + number % 2 for number in range(700)]
    assert drain(broker.keep("away")) == []


def test_a_client_that_goes_in_the_middle_of_a_long_queue_gets_the_rest_later(durable, how):
    broker = durable("max_queued_messages 0")
    broker.keep("away", 4).subscribe(("q", 1))
    broker.keep("away", 4).close()
    sender = broker.client("sender", 5)
    for number in range(900):
        sender.publish("q", b"%d" % number, 1)
    numbers = []
    for part in range(3):
        client = broker.keep("away", 4)
        for _ in range(250):
            packet = client.expect(raw.PUBLISH)
            client.acknowledge(packet)
            numbers.append(int(packet.payload))
        client.disconnect()
        if part == 1:
            broker.store_all()
            broker.again(how)
    numbers += [int(packet.payload) for packet in drain(broker.keep("away", 4))]
    assert numbers == list(range(900))
