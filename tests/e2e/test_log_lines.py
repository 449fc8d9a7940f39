# SPDX-License-Identifier: Apache-2.0
"""Lines of the log, word by word: people's filters look for Mosquitto's."""

import re

import pytest

import raw

CONFIG = "listener {port} 127.0.0.1\nallow_anonymous true\n"


@pytest.fixture(autouse=True)
def broker_has_said_that_it_runs(broker):
    broker.wait_log("version .* running")


def lines_about(broker, name, last):
    """The lines from the first that names a client up to the last, without times and source ports."""
    broker.wait_log(last)
    log = re.sub(r"(?m)^\d{10}: ", "", broker.log())
    log = re.sub(r"127\.0\.0\.1:\d+", "A:P", log)
    start = log.index(f"New client connected from A:P as {name} ")
    return log[start : re.search(last, log).end()].splitlines()


def test_each_packet_has_its_line(broker):
    client = broker.client("flows")
    client.subscribe(("f/#", 2), ("$share/g/s", 1))
    client.publish("f/1", "hi", 1)
    client.acknowledge(client.expect(raw.PUBLISH))
    client.publish("f/2", "hi", 2)
    client.acknowledge(client.expect(raw.PUBLISH))
    client.unsubscribe("f/#", "unknown")
    client.send(raw.packet(raw.PINGREQ))
    client.expect(raw.PINGRESP)
    client.disconnect()
    got = lines_about(broker, "flows", "Client flows disconnected.")
    wanted = """\
New client connected from A:P as flows (p2, c1, k60).
No will message specified.
Sending CONNACK to flows (0, 0)
Received SUBSCRIBE from flows
\tf/# (QoS 2)
flows 2 f/#
\t$share/g/s (QoS 1)
flows 1 $share/g/s
Sending SUBACK to flows
Received PUBLISH from flows (d0, q1, r0, m2, 'f/1', ... (2 bytes))
Sending PUBLISH to flows (d0, q1, r0, m1, 'f/1', ... (2 bytes))
Sending PUBACK to flows (m2, rc0)
Received PUBACK from flows (Mid: 1, RC:0)
Received PUBLISH from flows (d0, q2, r0, m3, 'f/2', ... (2 bytes))
Sending PUBREC to flows (m3, rc0)
Received PUBREL from flows (Mid: 3)
Sending PUBLISH to flows (d0, q2, r0, m2, 'f/2', ... (2 bytes))
Sending PUBCOMP to flows (m3)
Received PUBREC from flows (Mid: 2)
Sending PUBREL to flows (m2)
Received PUBCOMP from flows (Mid: 2, RC:0)
Received UNSUBSCRIBE from flows
\tf/#
flows f/#
\tunknown
flows unknown
Sending UNSUBACK to flows
Received PINGREQ from flows
Sending PINGRESP to flows
Received DISCONNECT from flows
Client flows disconnected.""".splitlines()
    assert got == wanted


def test_a_will_is_named(broker):
    will = {"topic": "w/t", "payload": "gone", "qos": 1, "retain": True}
    broker.client("dies", 5, will=will, user="joe").disconnect()
    got = lines_about(broker, "dies", "Sending CONNACK to dies")
    assert got == ["New client connected from A:P as dies (p5, c1, k60, u'joe').",
                   "Will message specified (4 bytes) (r1, q1).", "\tw/t",
                   "Sending CONNACK to dies"]


@pytest.mark.parametrize("name, packet, line", [
    ("twice", raw.connect("twice"), "Bad client twice sending multiple CONNECT messages."),
    ("sub", raw.subscribe(1, [("a/#/b", 0)]),
     "Invalid subscription string from 127.0.0.1, disconnecting."),
    ("unsub", raw.unsubscribe(1, ["a/#/b"]),
     "Invalid unsubscription string from unsub, disconnecting."),
])
def test_bad_clients_are_named(broker, name, packet, line):
    client = broker.client(name)
    client.send(packet)
    client.expect_closed()
    broker.wait_log(re.escape(line))


@pytest.mark.parametrize("body, line", [
    (raw.text("MQXX") + b"\4\2\0\0" + raw.text("a"),
     'Invalid protocol "MQXX" in CONNECT from 127.0.0.1.'),
    (raw.text("MQTT") + b"\7\2\0\0" + raw.text("a"),
     "Invalid protocol version 7 in CONNECT from 127.0.0.1."),
    (raw.text("MQTT") + b"\4\x42\0\0" + raw.text("a") + raw.text("p"),
     "Protocol error from \\S+: password without username, closing connection."),
], ids=["name", "version", "password"])
def test_a_connect_that_is_none_is_named(broker, body, line):
    client = broker.open()
    client.send(raw.packet(raw.CONNECT, body))
    client.expect_closed()
    broker.wait_log(line)
