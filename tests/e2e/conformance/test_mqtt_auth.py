# SPDX-License-Identifier: Apache-2.0
"""Extended authentication (4.12, 3.15), with the method SCRAM-SHA-512."""

import pytest

import raw
import scram
from test_passwords import pbkdf2

pytestmark = pytest.mark.noctule_only  # Mosquitto needs a plugin for it

CONFIG = """
listener {port} 127.0.0.1
password_file {dir}/passwords
authentication_method SCRAM-SHA-512
"""
FILES = {"passwords": pbkdf2("alice", "wonderland") + pbkdf2("bob", "builder")}


def enter(broker, topic):
    client = broker.open(5)
    assert scram.login(client, topic, "alice", "wonderland").reason == 0
    return client


def test_unknown_method_is_refused(broker, topic):
    """[MQTT-4.12.0-1]: also where another is known."""
    for method in ("SCRAM-SHA-1", "scram-sha-512", "SCRAM-SHA-512-PLUS", ""):
        client = broker.open(5)
        connack = client.connect(topic, props=[("auth_method", method)])
        assert connack.reason == 0x8C
        client.expect_closed()


def test_broker_asks_for_more_and_names_the_method(broker, topic):
    """[MQTT-4.12.0-2] [MQTT-4.12.0-5] [MQTT-3.15.2-1]: begin() looks at reason and method."""
    client = broker.open(5)
    exchange, challenge = scram.begin(client, topic, "alice", "wonderland")
    client.send(scram.auth(0x18, exchange.answer(challenge)))
    connack = client.expect(raw.CONNACK)
    assert (connack.reason, connack.prop("auth_method")) == (0, b"SCRAM-SHA-512")
    client.expect_nothing(0.02)


def test_broker_may_refuse_half_way(broker, topic):
    """[MQTT-4.12.0-4]"""
    client = broker.open(5)
    assert scram.login(client, topic, "alice", "looking glass").reason == 0x87
    client.expect_closed()


@pytest.mark.parametrize("packet", [
    raw.packet(raw.PINGREQ), raw.publish("t", "x", version=5), raw.connect("c", version=5),
    raw.subscribe(1, [("t", 0)], 5), scram.auth(0), scram.auth(0x19, b"n,,n=alice,r=x"),
    scram.auth(0x18, b"x", "SCRAM-SHA-256"), raw.packet(raw.AUTH), raw.packet(raw.AUTH, b"\x18\0")])
def test_nothing_else_comes_before_the_connack(broker, topic, packet):
    """[MQTT-3.1.2-30] [MQTT-4.12.0-3] [MQTT-4.12.0-5]"""
    client = broker.open(5)
    scram.begin(client, topic, "alice", "wonderland")
    client.send(packet)
    with pytest.raises(raw.Closed):
        client.receive()


def test_disconnect_may_come_before_the_connack(broker, topic):
    """[MQTT-3.1.2-30]"""
    client = broker.open(5)
    scram.begin(client, topic, "alice", "wonderland")
    client.send(raw.disconnect())
    with pytest.raises(raw.Closed):
        client.receive()
    broker.wait_log(f"Client {topic} disconnected\\.")


def test_client_authenticates_again(broker, topic):
    """[MQTT-4.12.1-1], while messages go on."""
    client = enter(broker, topic)
    exchange = scram.Scram("alice", "wonderland")
    client.send(scram.auth(0x19, exchange.first()))
    _, _, challenge = scram.parse(client.expect(raw.AUTH))
    assert client.publish(topic, "x", 1) in (0, 0x10)
    client.send(scram.auth(0x18, exchange.answer(challenge)))
    reason, _, data = scram.parse(client.expect(raw.AUTH))
    assert reason == 0 and exchange.is_proved(data)
    client.expect_nothing(0.02)


@pytest.mark.parametrize("user,password", [
    ("alice", "looking glass"), ("bob", "builder"), ("nobody", "x")])
def test_who_fails_to_authenticate_again_is_disconnected(broker, topic, user, password):
    """[MQTT-4.12.1-2]"""
    client = enter(broker, topic)
    exchange = scram.Scram(user, password)
    client.send(scram.auth(0x19, exchange.first()))
    _, _, challenge = scram.parse(client.expect(raw.AUTH))
    client.send(scram.auth(0x18, exchange.answer(challenge)))
    assert client.expect_closed() == 0x87


def test_another_method_is_an_error(broker, topic):
    """[MQTT-4.12.1-1]: the method stays what it was."""
    client = enter(broker, topic)
    client.send(scram.auth(0x19, b"x", "PLAIN"))
    assert client.expect_closed() == 0x82


@pytest.mark.parametrize("reason", [0, 0x18])
def test_auth_that_nobody_waits_for_is_an_error(broker, topic, reason):
    """[MQTT-4.13.1-1]"""
    client = enter(broker, topic)
    client.send(scram.auth(reason, b"x"))
    assert client.expect_closed() == 0x82


def test_who_came_with_a_password_sends_no_auth(broker, topic):
    """[MQTT-4.12.0-6] [MQTT-4.12.0-7]"""
    client = broker.client(topic, 5, user="alice", password="wonderland")
    assert client.connack.prop("auth_method") is None
    client.send(scram.auth(0x19, b"n,,n=alice,r=x"))
    assert client.expect_closed() == 0x82
