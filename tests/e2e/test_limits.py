# SPDX-License-Identifier: Apache-2.0
"""The limits that a configuration sets."""

import time

import pytest

import raw
from conftest import IS_MOSQUITTO

BASE = "listener {port} 127.0.0.1\nallow_anonymous true\n"


def is_let_in(broker, client_id):
    client = broker.open()
    try:
        client.send(raw.connect(client_id))
        return client.receive().reason == 0
    except (raw.Closed, ConnectionError):
        return False


def test_max_connections_of_a_listener(start_broker):
    broker = start_broker(BASE + "max_connections 3\n")
    # The probe that found the listener ready counts until the broker has seen that it is gone.
    deadline = time.monotonic() + 5
    answers = []
    while answers != [True] * (4 if IS_MOSQUITTO else 3) + [False] * 3:  # 2.0 lets one more in
        assert time.monotonic() < deadline, answers
        for client in broker.clients:
            client.close()
        broker.clients.clear()
        answers = [is_let_in(broker, f"c{n}") for n in range(7 if IS_MOSQUITTO else 6)]
    broker.clients[0].disconnect()
    deadline = time.monotonic() + 5
    while not is_let_in(broker, "fits again"):
        assert time.monotonic() < deadline, "the place is not free again"
        time.sleep(0.02)


def test_max_connections_0_is_no_limit(start_broker):
    broker = start_broker(BASE + "max_connections 0\n")
    assert all(is_let_in(broker, f"c{n}") for n in range(3))


def test_max_queued_messages_of_the_absent(start_broker):
    broker = start_broker(BASE + "max_queued_messages 10\n")
    receiver = broker.client("r", clean=False)
    receiver.subscribe(("t", 1))
    receiver.disconnect()
    sender = broker.client("s")
    for number in range(30):
        sender.publish("t", str(number), 1)
    receiver = broker.client("r", clean=False)
    got = []
    try:
        while True:
            message = receiver.receive(0.3)
            receiver.acknowledge(message)
            got.append(int(message.payload))
    except TimeoutError:
        pass
    assert 10 <= len(got) <= 11 and got == sorted(got)


def test_queue_qos0_messages(start_broker):
    broker = start_broker(BASE + "queue_qos0_messages true\n")
    receiver = broker.client("r", clean=False)
    receiver.subscribe(("t", 0))
    receiver.disconnect()
    sender = broker.client("s")
    sender.publish("t", "kept", 0)
    sender.publish("fence", "x", 1)
    broker.client("r", clean=False).expect_message("t", "kept")


def test_message_size_limit_drops_what_is_larger(start_broker):
    broker = start_broker(BASE + "message_size_limit 100\n")
    receiver = broker.client("r")
    receiver.subscribe(("t", 1))
    sender = broker.client("s")
    sender.send(raw.publish("t", b"x" * 101, 1, 1))
    try:
        sender.receive(1)
    except (raw.Closed, TimeoutError):
        pass
    broker.client("s2").publish("t", b"x" * 100, 1)
    receiver.expect_message("t", b"x" * 100)
    receiver.expect_nothing()


def test_message_size_limit_refuses_a_larger_will(start_broker, version):
    broker = start_broker(BASE + "message_size_limit 100\n")
    with broker.open(version) as client:
        refused = client.connect("c", will=dict(topic="w", payload=b"x" * 101))
        assert refused.reason == (0x95 if version == 5 else 5)
    broker.client("c", version, will=dict(topic="w", payload=b"x" * 100))


def test_max_packet_size_closes_the_sender(start_broker):
    broker = start_broker(BASE + "max_packet_size 1000\n")
    receiver = broker.client("r")
    receiver.subscribe(("t", 0))
    sender = broker.client("s")
    sender.send(raw.publish("t", b"x" * 2000))
    sender.expect_closed()
    receiver.expect_nothing()


def test_max_packet_size_holds_for_connect(start_broker, version):
    broker = start_broker(BASE + "max_packet_size 1000\n")
    broker.client("c" * 900, version)
    with broker.open(version) as client:
        client.send(raw.connect("c" * 1000, version=version))
        client.expect_closed()


def test_max_inflight_messages(start_broker):
    broker = start_broker(BASE + "max_inflight_messages 2\n")
    receiver = broker.client("r", 5)
    assert receiver.connack.prop("receive_maximum") == 2
    receiver.subscribe(("t", 1))
    sender = broker.client("s", 4)
    for number in range(4):
        sender.publish("t", str(number), 1)
    first = receiver.expect_message("t", "0")
    receiver.expect_message("t", "1")
    receiver.expect_nothing()
    receiver.acknowledge(first)
    receiver.expect_message("t", "2")


def test_two_hundred_connections_talk(start_broker):
    broker = start_broker()
    clients = [broker.client(f"c{n}") for n in range(200)]
    for client in clients:
        client.subscribe(("all", 0))
    clients[0].publish("all", "hello")
    for client in clients:
        client.expect_message("all", "hello")


def test_listeners_differ(start_broker):
    broker = start_broker("per_listener_settings true\n"
                          "listener {port} 127.0.0.1\nallow_anonymous true\n"
                          "listener {port_closed} 127.0.0.1\nallow_anonymous false\n")
    broker.client("open")
    with broker.open(port="port_closed") as client:
        assert client.connect("closed").reason == 5


def test_a_listener_may_want_client_ids(start_broker, version):
    broker = start_broker("per_listener_settings true\n"
                          "listener {port} 127.0.0.1\nallow_anonymous true\n"
                          "listener {port_strict} 127.0.0.1\nallow_anonymous true\n"
                          "allow_zero_length_clientid false\n")
    broker.client("", version)
    with broker.open(version, port="port_strict") as client:
        assert client.connect("").reason == (0x80 if version == 5 else 2)


def test_mount_point_prefixes_and_hides(start_broker):
    broker = start_broker(BASE + "listener {port_mounted} 127.0.0.1\nmount_point house/\n")
    outside = broker.client("outside")
    outside.subscribe(("#", 0))
    inside = broker.client("inside", port="port_mounted")
    inside.subscribe(("#", 0))
    inside.publish("lamp", "on")
    outside.expect_message("house/lamp", "on")
    assert inside.expect(raw.PUBLISH).topic == "lamp" or IS_MOSQUITTO  # 2.0.11 forgets to strip it
    outside.publish("garden/lamp", "off")
    outside.expect_message("garden/lamp", "off")
    inside.expect_nothing()


@pytest.mark.skipif(not IS_MOSQUITTO, reason="clientid_prefixes is not active yet")
def test_client_id_prefixes(start_broker):
    broker = start_broker(BASE + "clientid_prefixes dev-\n")
    broker.client("dev-1")
    with broker.open() as client:
        try:
            assert client.connect("other").reason != 0
        except raw.Closed:
            pass
