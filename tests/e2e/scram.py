# SPDX-License-Identifier: Apache-2.0
"""SCRAM-SHA-512 from the client's side, with a peer that nobody here wrote: Slixmpp's SASL."""

from slixmpp.util.sasl import client as sasl

import raw

METHOD = "SCRAM-SHA-512"


class Scram:
    """One exchange: first(), then answer(challenge), then is_proved(data)."""

    def __init__(self, user, password):
        credentials = {"username": user.encode(), "password": password.encode()}
        self.mechanism = sasl.choose(
            [METHOD], lambda required, optional: {name: credentials.get(name, b"")
                                                  for name in set(required) | set(optional)},
            lambda required: {name: True for name in required})

    def first(self):
        return bytes(self.mechanism.process())

    def answer(self, challenge):
        return bytes(self.mechanism.process(challenge))

    def is_proved(self, data):
        """The broker knows the password, too: Slixmpp raises an exception if it does not."""
        return self.mechanism.process(data) == b""


def auth(reason, data=None, method=METHOD):
    props = [("auth_method", method)] + ([] if data is None else [("auth_data", data)])
    return raw.packet(raw.AUTH, bytes([reason]) + raw.properties(props))


def parse(packet):
    """An AUTH's reason, method and data."""
    packet.reason = packet.number(">B")
    packet.parse_properties()
    return packet.reason, packet.prop("auth_method").decode(), packet.prop("auth_data")


def begin(client, client_id, name, password, **options):
    """CONNECT, and the broker's challenge: the exchange and the challenge."""
    exchange = Scram(name, password)
    client.send(raw.connect(client_id, version=5, props=[
        ("auth_method", METHOD), ("auth_data", exchange.first())], **options))
    reason, method, challenge = parse(client.expect(raw.AUTH))
    assert (reason, method) == (0x18, METHOD)
    return exchange, challenge


def login(client, client_id, name, password, **options):
    """The CONNACK; if it is a success the broker has proved itself, too."""
    exchange, challenge = begin(client, client_id, name, password, **options)
    client.send(auth(0x18, exchange.answer(challenge)))
    connack = client.connack = client.expect(raw.CONNACK)
    if connack.reason == 0:
        assert connack.prop("auth_method") == METHOD.encode()
        assert exchange.is_proved(connack.prop("auth_data"))
    return connack


def login_again(client, user, password):
    """Authenticate again; the data of the last AUTH is checked."""
    exchange = Scram(user, password)
    client.send(auth(0x19, exchange.first()))
    reason, _, challenge = parse(client.expect(raw.AUTH))
    assert reason == 0x18
    client.send(auth(0x18, exchange.answer(challenge)))
    reason, method, data = parse(client.expect(raw.AUTH))
    assert (reason, method) == (0, METHOD)
    assert exchange.is_proved(data)
