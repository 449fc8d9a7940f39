# SPDX-License-Identifier: Apache-2.0
"""The load's clients: each keeps to the standard to the letter, across connections, and tells what it sees.

All of them live in one thread around one selector. What they see goes to note(what, who, ...) of the load.
The packets are those of tests/e2e/raw.py, so nothing here shares code with the program it judges.
"""

import os
import socket
import sys
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))

import raw  # noqa: E402
from verifier import NEVER  # noqa: E402

WINDOW = 20  # messages in flight, each way
ACKS = {raw.PUBACK: "puback", raw.PUBREC: "pubrec", raw.PUBCOMP: "pubcomp"}


def payload_of(publisher, seq, topic):
    """All that a message says of itself, and a filler that tells damage."""
    head = f"{publisher} {seq} {topic} "
    size = seq * 7919 % 200
    return (head + (f"{zlib.crc32(head.encode()):08x}" * 25)[:size]).encode()


class Flow:
    """An outgoing message of which the handshake isn't over."""

    def __init__(self, message):
        self.message = message
        self.is_released = False  # PUBREC came
        self.is_recovered = False  # its PUBREL was sent again, on a later connection


class Client:
    """One client id: its side of the session, and its connection if it has one."""

    def __init__(self, load, name, version=5, clean=False, expiry=NEVER):
        self.load, self.name, self.version = load, name, version
        self.clean, self.expiry = clean, expiry if not clean else 0
        self.wanted = {}  # filter: QoS
        self.granted = set()
        self.flows = {}  # packet id: Flow, in the order of sending
        self.waiting = []  # messages for which the window has no room
        self.seq = 0
        self.next_id = 0
        self.received = set()  # packet ids of QoS 2 messages between PUBLISH and PUBREL
        self.sock = None
        self.is_connected = False
        self.reset_connection()

    def reset_connection(self):
        self.input, self.output = b"", b""
        self.asked = {}  # packet id: (kind, filter)
        self.window = WINDOW
        self.is_leaving = False  # DISCONNECT was sent: nothing may follow

    def note(self, what, **fields):
        self.load.note(what, self.name, **fields)

    def will(self):
        """The will of the next connection, or None."""
        return None

    # The connection.

    def open(self):
        """Connect, unless it is."""
        if self.sock or not self.load.is_up:
            return
        try:
            self.sock = socket.create_connection(("127.0.0.1", self.load.port), 5)
        except OSError:
            return
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.reset_connection()
        self.load.watch(self)
        self.send_connect()

    def send_connect(self):
        will = self.will()
        self.note("connect", clean=self.clean, expiry=self.expiry, will=will)
        props = []
        if self.version == 5:
            props = [("receive_maximum", WINDOW)] + ([("session_expiry", self.expiry)] if self.expiry else [])
        self.send(raw.connect(self.name, self.version, self.clean, 600, will=will and self.will_packet(will),
                              props=props))

    def will_packet(self, will):
        packet = {"topic": will["topic"], "qos": will["qos"],
                  "payload": payload_of(self.name + ".will", will["seq"], will["topic"])}
        if self.version == 5 and will["delay"]:
            packet["props"] = [("will_delay", will["delay"])]
        return packet

    def lose(self):
        """The connection is over; the session on this side stays."""
        if not self.sock:
            return
        self.load.unwatch(self)
        self.sock.close()
        self.sock, self.is_connected = None, False
        self.note("lost")
        self.load.on_lost(self)

    def leave(self, with_goodbye):
        """End the connection; with a goodbye it is the broker that closes, so that it has read it."""
        if not (self.is_connected and with_goodbye):
            self.lose()
        elif not self.is_leaving:
            self.note("disconnect")
            self.send(raw.disconnect())
            self.is_leaving, self.is_connected = True, False

    def send(self, data):
        if self.sock and not self.is_leaving:
            self.output += data
            self.flush()

    def flush(self):
        try:
            while self.output:
                self.output = self.output[self.sock.send(self.output):]
        except BlockingIOError:
            pass
        except OSError:
            self.output = b""  # the reading side sees the end, after what came before it
        self.load.want_write(self, bool(self.output))

    def on_readable(self):
        """Read what is there; True when there may be more."""
        try:
            data = self.sock.recv(65536)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self.lose()
            return False
        self.input += data
        while self.sock and (packet := self.cut_packet()):
            self.on_packet(packet)
        return self.sock is not None

    def cut_packet(self):
        size = shift = 0
        for at in range(1, min(len(self.input), 5)):
            size |= (self.input[at] & 127) << shift
            shift += 7
            if self.input[at] < 128:
                break
        else:
            return None
        end = at + 1 + size
        if len(self.input) < end:
            return None
        packet = raw.Packet(self.version, self.input[0], self.input[at + 1:end])
        self.input = self.input[end:]
        return packet

    def on_packet(self, packet):
        if packet.kind == raw.CONNACK:
            self.on_connack(packet)
        elif packet.kind == raw.PUBLISH:
            self.on_publish(packet)
        elif packet.kind in ACKS:
            self.on_acknowledged(packet)
        elif packet.kind == raw.PUBREL:
            self.received.discard(packet.packet_id)
            self.send(raw.ack(raw.PUBCOMP, packet.packet_id))
        elif packet.kind in (raw.SUBACK, raw.UNSUBACK):
            self.on_suback(packet)
        elif packet.kind == raw.DISCONNECT:
            self.note("refused", text=f"DISCONNECT {packet.reason:#x}")

    def on_connack(self, packet):
        if packet.reason:
            self.note("refused", text=f"CONNACK {packet.reason:#x}")
            return
        self.window = min(WINDOW, packet.prop("receive_maximum") or WINDOW)
        self.note("connack", present=packet.session_present)
        self.is_connected = True
        if not packet.session_present:
            self.granted.clear()
            self.received.clear()
            self.flows.clear()  # what became of them nobody knows; they are not sent anew
        for packet_id, flow in self.flows.items():
            if flow.is_released:
                flow.is_recovered = True
                self.send(raw.ack(raw.PUBREL, packet_id))
            else:
                self.send_message(packet_id, flow.message, True)
        for topic_filter in [f for f in self.wanted if f not in self.granted]:
            self.subscribe(topic_filter)
        self.pump()
        self.on_up()

    def on_up(self):
        """Connected: what a role does then."""

    # Subscriptions. One that is wanted is asked for until it is granted in this session.

    def new_id(self):
        while True:
            self.next_id = self.next_id % 65535 + 1
            if self.next_id not in self.flows and self.next_id not in self.asked:
                return self.next_id

    def subscribe(self, topic_filter):
        packet_id, qos = self.new_id(), self.wanted[topic_filter]
        self.asked[packet_id] = ("suback", topic_filter)
        self.note("subscribe", filter=topic_filter, qos=qos)
        self.send(raw.subscribe(packet_id, [(topic_filter, qos)], self.version))

    def unsubscribe(self, topic_filter):
        packet_id = self.new_id()
        self.asked[packet_id] = ("unsuback", topic_filter)
        self.note("unsubscribe", filter=topic_filter)
        self.send(raw.unsubscribe(packet_id, [topic_filter], self.version))

    def on_suback(self, packet):
        what, topic_filter = self.asked.pop(packet.packet_id)
        if what == "suback":
            self.granted.add(topic_filter)
            self.note("suback", filter=topic_filter, qos=packet.reasons[0])
        else:
            self.granted.discard(topic_filter)
            self.note("unsuback", filter=topic_filter)

    # Messages out.

    def publish(self, topic, qos, retain=False, clear=False, expiry=None):
        message = {"seq": self.seq, "topic": topic, "qos": qos, "retain": retain, "clear": clear, "expiry": expiry}
        self.seq += 1
        self.waiting.append(message)

    def pump(self):
        """Send what the window admits."""
        if not self.is_connected:
            return
        while self.waiting and len(self.flows) < self.window:
            message, packet_id = self.waiting.pop(0), self.new_id()
            self.flows[packet_id] = Flow(message)
            self.send_message(packet_id, message, False)

    def send_message(self, packet_id, message, dup):
        self.note("publish", dup=dup, **message)
        body = b"" if message["clear"] else payload_of(self.name, message["seq"], message["topic"])
        props = [("message_expiry", message["expiry"])] if message["expiry"] else ()
        self.send(raw.publish(message["topic"], body, message["qos"], packet_id, message["retain"], dup,
                              self.version, props))

    def on_acknowledged(self, packet):
        flow = self.flows.get(packet.packet_id)
        if flow is None:
            return
        was_over = flow.is_recovered and packet.kind == raw.PUBCOMP and packet.reason == 0x92  # 3.7.2.1
        if packet.reason >= 0x80 and not was_over:
            self.note("refused", text=f"{ACKS[packet.kind]} {packet.reason:#x} of {flow.message['seq']}")
            del self.flows[packet.packet_id]
        elif packet.kind == raw.PUBREC:
            flow.is_released = True
            self.note("acked", seq=flow.message["seq"], how="pubrec")
            self.send(raw.ack(raw.PUBREL, packet.packet_id))
        else:
            del self.flows[packet.packet_id]
            self.note("acked", seq=flow.message["seq"], how=ACKS[packet.kind])
        self.pump()

    # Messages in.

    def on_publish(self, packet):
        if packet.qos < 2 or packet.packet_id not in self.received:
            self.deliver(packet)
        if packet.qos == 2:
            self.received.add(packet.packet_id)
        if packet.qos:
            self.acknowledge(raw.ack(raw.PUBACK if packet.qos == 1 else raw.PUBREC, packet.packet_id))

    def deliver(self, packet):
        if not packet.payload:
            return  # a retained value was cleared just now
        try:
            publisher, seq, topic = bytes(packet.payload).split(b" ", 3)[:3]
            publisher, seq, topic = publisher.decode(), int(seq), topic.decode()
        except ValueError:
            publisher = None
        if publisher is None or bytes(packet.payload) != payload_of(publisher, seq, topic) or topic != packet.topic:
            self.note("damaged", text=f"{packet.topic}: {bytes(packet.payload)[:60]}")
            return
        self.note("deliver", **{"from": publisher}, seq=seq, topic=topic, qos=packet.qos, dup=packet.dup,
                  retain=packet.retain)

    def acknowledge(self, data):
        self.send(data)
