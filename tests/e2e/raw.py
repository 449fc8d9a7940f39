# SPDX-License-Identifier: Apache-2.0
"""MQTT by hand: packets as bytes, and a socket that reads them back.

Nothing here checks anything, so that a test can send what no library would.
Versions are the byte of CONNECT: 3 (MQTT 3.1), 4 (3.1.1) and 5.
"""

import socket
import struct
import time

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = range(1, 8)
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = range(8, 16)

# Properties (2.2.2.2): identifier and kind of value.
PROPERTIES = {
    "payload_format": (0x01, "byte"),
    "message_expiry": (0x02, "u32"),
    "content_type": (0x03, "text"),
    "response_topic": (0x08, "text"),
    "correlation_data": (0x09, "text"),
    "subscription_id": (0x0B, "varint"),
    "session_expiry": (0x11, "u32"),
    "assigned_client_id": (0x12, "text"),
    "server_keep_alive": (0x13, "u16"),
    "auth_method": (0x15, "text"),
    "auth_data": (0x16, "text"),
    "request_problem_info": (0x17, "byte"),
    "will_delay": (0x18, "u32"),
    "request_response_info": (0x19, "byte"),
    "response_info": (0x1A, "text"),
    "server_reference": (0x1C, "text"),
    "reason_string": (0x1F, "text"),
    "receive_maximum": (0x21, "u16"),
    "topic_alias_maximum": (0x22, "u16"),
    "topic_alias": (0x23, "u16"),
    "maximum_qos": (0x24, "byte"),
    "retain_available": (0x25, "byte"),
    "user": (0x26, "pair"),
    "maximum_packet_size": (0x27, "u32"),
    "wildcard_available": (0x28, "byte"),
    "subscription_ids_available": (0x29, "byte"),
    "shared_available": (0x2A, "byte"),
}
NAMES = {number: (name, kind) for name, (number, kind) in PROPERTIES.items()}
SIZES = {"byte": ">B", "u16": ">H", "u32": ">I"}


def to_bytes(value):
    return value.encode() if isinstance(value, str) else bytes(value)


def text(value):
    value = to_bytes(value)
    return struct.pack(">H", len(value)) + value


def varint(value):
    out = bytearray()
    while True:
        value, byte = divmod(value, 128)
        out.append(byte | (0x80 if value else 0))
        if not value:
            return bytes(out)


def packet(kind, body=b"", flags=None):
    """A packet of any type; the flags default to what the type demands."""
    if flags is None:
        flags = 2 if kind in (PUBREL, SUBSCRIBE, UNSUBSCRIBE) else 0
    return bytes([kind << 4 | flags]) + varint(len(body)) + body


def properties(pairs=()):
    """A property block with its length. pairs: (name, value), in wire order."""
    block = b""
    for name, value in pairs.items() if isinstance(pairs, dict) else pairs:
        number, kind = PROPERTIES[name]
        block += bytes([number])
        if kind == "text":
            block += text(value)
        elif kind == "pair":
            block += text(value[0]) + text(value[1])
        elif kind == "varint":
            block += varint(value)
        else:
            block += struct.pack(SIZES[kind], value)
    return varint(len(block)) + block


def connect(client_id, version=4, clean=True, keepalive=60, user=None, password=None, will=None,
            props=()):
    """will: dict with topic, payload, and perhaps qos, retain, props."""
    name = "MQIsdp" if version & 0x7F == 3 else "MQTT"
    flags = (0x02 if clean else 0) | (0x80 if user is not None else 0)
    flags |= 0x40 if password is not None else 0
    if will:
        flags |= 0x04 | will.get("qos", 0) << 3 | (0x20 if will.get("retain") else 0)
    body = text(name) + bytes([version, flags]) + struct.pack(">H", keepalive)
    if version == 5:
        body += properties(props)
    body += text(client_id)
    if will:
        if version == 5:
            body += properties(will.get("props", ()))
        body += text(will["topic"]) + text(will["payload"])
    if user is not None:
        body += text(user)
    if password is not None:
        body += text(password)
    return packet(CONNECT, body)


def publish(topic, payload=b"", qos=0, packet_id=1, retain=False, dup=False, version=4, props=()):
    body = text(topic)
    if qos:
        body += struct.pack(">H", packet_id)
    if version == 5:
        body += properties(props)
    return packet(PUBLISH, body + to_bytes(payload), dup << 3 | qos << 1 | retain)


def subscribe(packet_id, filters, version=4, props=()):
    """filters: pairs of filter and options byte."""
    body = struct.pack(">H", packet_id) + (properties(props) if version == 5 else b"")
    return packet(SUBSCRIBE, body + b"".join(text(f) + bytes([o]) for f, o in filters))


def unsubscribe(packet_id, filters, version=4):
    body = struct.pack(">H", packet_id) + (properties() if version == 5 else b"")
    return packet(UNSUBSCRIBE, body + b"".join(text(f) for f in filters))


def ack(kind, packet_id, reason=None):
    return packet(kind, struct.pack(">H", packet_id) + (b"" if reason is None else bytes([reason])))


def disconnect(reason=None, props=None):
    body = b"" if reason is None else bytes([reason])
    return packet(DISCONNECT, body + (b"" if props is None else properties(props)))


class Packet:
    """A packet that came: raw is all of it; the rest is set where the type has it."""

    def __init__(self, version, first, body):
        self.kind, self.flags, self.body = first >> 4, first & 15, body
        self.version = version
        self.raw = bytes([first]) + varint(len(body)) + body
        self.at = 0
        self.props = []
        self.reason = 0
        getattr(self, f"_parse_{self.kind}", lambda: None)()

    def take(self, n):
        self.at += n
        assert self.at <= len(self.body), "the packet ends too early"
        return self.body[self.at - n : self.at]

    def number(self, code):
        return struct.unpack(code, self.take(struct.calcsize(code)))[0]

    def string(self):
        return self.take(self.number(">H"))

    def varint(self):
        value = shift = 0
        while True:
            byte = self.number(">B")
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    def parse_properties(self):
        if self.version != 5 or self.at == len(self.body):
            return
        end = self.varint()
        end += self.at
        while self.at < end:
            name, kind = NAMES[self.number(">B")]
            if kind == "text":
                value = self.string()
            elif kind == "pair":
                value = (self.string(), self.string())
            elif kind == "varint":
                value = self.varint()
            else:
                value = self.number(SIZES[kind])
            self.props.append((name, value))
        assert self.at == end, "the property block has another length than it says"

    def prop(self, name):
        """The value of a property that stands at most once, or None."""
        values = [value for key, value in self.props if key == name]
        assert len(values) < 2, f"{name} stands twice"
        return values[0] if values else None

    def _parse_2(self):
        self.session_present = self.number(">B") == 1
        self.reason = self.number(">B")
        self.parse_properties()

    def _parse_3(self):
        self.qos, self.dup = self.flags >> 1 & 3, bool(self.flags & 8)
        self.retain = bool(self.flags & 1)
        self.topic = self.string().decode()
        self.packet_id = self.number(">H") if self.qos else None
        self.parse_properties()
        self.payload = self.body[self.at :]

    def _parse_4(self):
        self.packet_id = self.number(">H")
        if self.at < len(self.body):
            self.reason = self.number(">B")
            self.parse_properties()

    _parse_5 = _parse_6 = _parse_7 = _parse_4

    def _parse_9(self):
        self.packet_id = self.number(">H")
        self.parse_properties()
        self.reasons = list(self.body[self.at :])

    _parse_11 = _parse_9

    def _parse_14(self):
        if self.body:
            self.reason = self.number(">B")
            self.parse_properties()

    def __repr__(self):
        return f"<packet {self.kind} {self.raw.hex()}>"


class Closed(Exception):
    """The broker has closed the connection."""


class Raw:
    """A connection. Every wait has a limit, so a broken broker fails a test and never hangs it."""

    def __init__(self, port, version=4, timeout=5, sock=None):
        self.sock = sock or socket.create_connection(("127.0.0.1", port), timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.version = version
        self.timeout = timeout
        self.buffer = b""
        self.waiting = []  # packets that came while another was waited for
        self.next_id = 1
        self.connack = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Close without DISCONNECT, as a lost connection looks."""
        self.sock.close()

    def send(self, *packets):
        self.sock.sendall(b"".join(packets))

    def fill(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no packet came")
        self.sock.settimeout(left)
        try:
            data = self.sock.recv(65536)
        except socket.timeout:
            raise TimeoutError("no packet came") from None
        except ConnectionError:
            data = b""
        if not data:
            raise Closed
        self.buffer += data

    def receive(self, timeout=None):
        return self.waiting.pop(0) if self.waiting else self.read(timeout)

    def read(self, timeout=None):
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            size = at = 0
            for at in range(1, min(len(self.buffer), 5)):
                size |= (self.buffer[at] & 127) << 7 * (at - 1)
                if self.buffer[at] < 128:
                    break
            else:
                self.fill(deadline)
                continue
            end = at + 1 + size
            if len(self.buffer) >= end:
                got = Packet(self.version, self.buffer[0], self.buffer[at + 1 : end])
                self.buffer = self.buffer[end:]
                return got
            self.fill(deadline)

    def expect(self, kind, timeout=None):
        got = self.receive(timeout)
        assert got.kind == kind, f"wanted a packet of type {kind}, got {got}"
        return got

    def wait_for(self, kind, packet_id):
        """The answer of that type; what comes before it waits its turn."""
        while (got := self.read()).kind != kind:
            self.waiting.append(got)
        assert got.packet_id == packet_id, f"wanted packet id {packet_id}, got {got}"
        return got

    def expect_message(self, topic, payload, timeout=None):
        got = self.expect(PUBLISH, timeout)
        assert (got.topic, got.payload) == (topic, to_bytes(payload))
        return got

    def expect_nothing(self, seconds=0.15):
        """Nothing but the answer to a ping comes, nor anything shortly after it."""
        self.send(packet(PINGREQ))
        self.expect(PINGRESP)
        try:
            got = self.receive(seconds)
        except TimeoutError:
            return
        raise AssertionError(f"wanted nothing, got {got}")

    def expect_closed(self, timeout=None):
        """The broker ends the connection; the reason of its DISCONNECT, or None without one."""
        reason = None
        try:
            while True:
                got = self.receive(timeout)
                reason = got.reason if got.kind == DISCONNECT else reason
        except Closed:
            return reason

    def connect(self, client_id, **options):
        self.send(connect(client_id, version=self.version, **options))
        self.connack = self.expect(CONNACK)
        return self.connack

    def new_id(self):
        self.next_id += 1
        return self.next_id - 1

    def subscribe(self, *filters, props=()):
        """filters: (filter, options byte). Returns the reasons."""
        packet_id = self.new_id()
        self.send(subscribe(packet_id, filters, self.version, props))
        return self.wait_for(SUBACK, packet_id).reasons

    def unsubscribe(self, *filters):
        packet_id = self.new_id()
        self.send(unsubscribe(packet_id, filters, self.version))
        return self.wait_for(UNSUBACK, packet_id).reasons

    def publish(self, topic, payload=b"", qos=0, retain=False, props=()):
        """Publish and wait for the end of the handshake. Returns the first answer's reason."""
        packet_id = self.new_id() if qos else None
        self.send(publish(topic, payload, qos, packet_id, retain, False, self.version, props))
        if qos == 0:
            return 0
        first = self.wait_for(PUBACK if qos == 1 else PUBREC, packet_id)
        if qos == 2 and first.reason < 0x80:
            self.send(ack(PUBREL, packet_id))
            self.wait_for(PUBCOMP, packet_id)
        return first.reason

    def acknowledge(self, message):
        """Answer a PUBLISH to its end; what else comes meanwhile waits its turn."""
        if message.qos == 1:
            self.send(ack(PUBACK, message.packet_id))
        elif message.qos == 2:
            self.send(ack(PUBREC, message.packet_id))
            self.wait_for(PUBREL, message.packet_id)
            self.send(ack(PUBCOMP, message.packet_id))

    def disconnect(self, reason=None, props=None):
        """Say goodbye and wait until the broker has closed, so that its effects are there."""
        self.send(disconnect(reason, props))
        try:
            self.expect_closed()
        finally:
            self.close()
