# SPDX-License-Identifier: Apache-2.0
"""
SCRAM from both sides: as a client, with a peer that nobody here wrote, Slixmpp's SASL; and as a
server, with Python's hashlib.
"""

import base64
import hashlib
import hmac
import os
import socket
import threading

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


class Server:
    """
    A broker for one client, which logs in, again, and says goodbye; log tells how far it came. challenge
    and final spoil what the server says in its two steps (None: nothing is said). With skips it
    accepts everybody at once.
    """

    def __init__(self, method, user, password, challenge=None, final=None, skips=False):
        self.method, self.user, self.password = method, user, password
        self.hash = method.removeprefix("SCRAM-").replace("-", "").lower()
        self.spoil_challenge = challenge or (lambda text: text)
        self.spoil_final = final or (lambda text: text)
        self.skips = skips
        self.log = []
        self.failure = None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(60)
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.close()
        self.thread.join(60)

    def join(self):
        self.thread.join(60)
        assert not self.thread.is_alive()
        if self.failure:
            raise self.failure

    def _run(self):
        try:
            sock, _ = self.listener.accept()
            with raw.Raw(None, 5, timeout=60, sock=sock) as client:
                self._serve(client)
        except raw.Closed:
            self.log.append("closed")
        except Exception as failure:  # told by join()
            self.failure = failure

    def _serve(self, client):
        connect = client.expect(1)
        assert (connect.string(), connect.take(1)) == (b"MQTT", b"\x05")
        connect.take(3)
        connect.parse_properties()
        assert connect.prop("auth_method").decode() == self.method
        data = self.spoil_final(b"v=" + b"A" * 43 + b"=") if self.skips else \
            self._exchange(client, connect.prop("auth_data"))
        props = [("auth_method", self.method)] + ([] if data is None else [("auth_data", data)])
        client.send(raw.packet(raw.CONNACK, b"\0\0" + raw.properties(props)) if data != "denied" else
                    raw.packet(raw.CONNACK, b"\0\x87\0"))
        packet = client.read(60)
        if packet.kind == raw.AUTH:
            self.log.append("login")
            reason, method, first = parse(packet)
            assert (reason, method) == (0x19, self.method)
            client.send(auth(0, self._exchange(client, first), self.method))
            packet = client.expect(raw.DISCONNECT)
            self.log.append("again")
        self.log.append("bye")

    def _exchange(self, client, first):
        """From the client's first message to what the server says last."""
        name = self.user.replace("=", "=3D").replace(",", "=2C").encode()
        assert first.startswith(b"n,,n=" + name + b",r="), first
        bare = first[3:]
        nonce = bare.split(b",r=")[1] + base64.b64encode(os.urandom(12))
        salt = os.urandom(16)
        challenge = self.spoil_challenge(b"r=%s,s=%s,i=5000" % (nonce, base64.b64encode(salt)))
        client.send(auth(0x18, challenge, self.method))
        answer = client.read(60)
        if answer.kind == raw.DISCONNECT:
            raise raw.Closed
        reason, method, last = parse(answer)
        assert (answer.kind, reason, method) == (raw.AUTH, 0x18, self.method)
        unproved, proof = last.rsplit(b",p=", 1)
        assert unproved == b"c=biws,r=" + nonce
        salted = hashlib.pbkdf2_hmac(self.hash, self.password.encode(), salt, 5000)
        message = bare + b"," + challenge + b"," + unproved
        key = hmac.digest(salted, b"Client Key", self.hash)
        signature = hmac.digest(hashlib.new(self.hash, key).digest(), message, self.hash)
        if base64.b64decode(proof, validate=True) != bytes(a ^ b for a, b in zip(key, signature)):
            return "denied"
        signature = hmac.digest(hmac.digest(salted, b"Server Key", self.hash), message, self.hash)
        return self.spoil_final(b"v=" + base64.b64encode(signature))
