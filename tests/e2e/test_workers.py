# SPDX-License-Identifier: Apache-2.0
"""Many workers, on purpose badly: one id at once, storms, races, reloads, the end."""

import base64
import glob
import hashlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import threading
import time

import pytest

import raw
import ways
import ws
from conftest import SLOWER, Broker

pytestmark = pytest.mark.noctule_only

LONGER = 10 if os.environ.get("NOCTULE_LONG") == "1" else 1
CONFIG = "max_queued_messages 0\nmax_inflight_messages 0\ncontrol_socket {dir}/control.sock\n" + ways.CONFIG


class PreparedBroker(Broker):
    """With certificates, so many workers, and no line in the log for each message."""

    def __init__(self, folder, workers):
        super().__init__(folder, f"workers {workers}\nlog_type error\nlog_type warning\n"
                                 f"log_type notice\n{CONFIG}")
        self.workers = workers

    def start(self):
        ways.make_certificates(self.folder)
        return super().start()

    def command(self):
        return [self.program, "broker", "-c", self.config_path]

    def status(self):
        """What the broker says of itself."""
        words = [self.program, "ctl", "--socket", os.path.join(self.folder, "control.sock")]
        done = subprocess.run([*words, "--json", "status"], capture_output=True, check=True,
                              timeout=10 * SLOWER)
        return json.loads(done.stdout)


@pytest.fixture(scope="module", params=[1, 2, 4, 8], ids=lambda n: f"{n}w")
def broker(request, tmp_path_factory):
    running = PreparedBroker(tmp_path_factory.mktemp("broker"), request.param)
    try:
        yield running.start()
    finally:
        running.stop()


# ---- many connections at a time ----


class Peer:
    """A connection that is served by a pump: what is to be sent, and who hears what comes."""

    def __init__(self, client, heard=None):
        self.client = client
        self.out = b""
        self.heard = heard
        self.got = []
        self.is_closed = False

    def send(self, *packets):
        self.out += b"".join(packets)

    def fileno(self):
        return self.client.sock.fileno()

    def packets(self):
        """The packets that are whole, without waiting."""
        while True:
            try:
                yield self.client.read(0)
            except TimeoutError:
                return

    def read_some(self):
        try:
            data = self.client.sock.recv(262144)
        except (BlockingIOError, InterruptedError):
            return
        except ConnectionError:
            data = b""
        if not data:
            self.is_closed = True
        self.client.buffer += data
        for packet in self.packets():
            if self.heard:
                self.heard(self, packet)
            else:
                self.got.append(packet)

    def write_some(self):
        try:
            n = self.client.sock.send(self.out[:262144])
        except (BlockingIOError, InterruptedError):
            return
        except ConnectionError:
            self.is_closed = True
            return
        self.out = self.out[n:]


def pump(peers, is_done, seconds=20):
    """Serve all until is_done(). The sockets are blocking again afterwards."""
    deadline = time.monotonic() + seconds * SLOWER
    for peer in peers:
        peer.client.sock.setblocking(False)
    try:
        while not is_done():
            assert time.monotonic() < deadline, "not done in time"
            alive = [peer for peer in peers if not peer.is_closed]
            readable, writable, _ = select.select(alive, [p for p in alive if p.out], [], 0.2)
            for peer in writable:
                peer.write_some()
            for peer in readable:
                peer.read_some()
    finally:
        for peer in peers:
            if peer.client.sock.fileno() >= 0:
                peer.client.sock.settimeout(5)


def answer(peer, packet):
    """Acknowledge as a receiver does, and keep the messages."""
    if packet.kind == raw.PUBLISH:
        peer.got.append(packet)
        if packet.qos == 1:
            peer.send(raw.ack(raw.PUBACK, packet.packet_id))
        elif packet.qos == 2:
            peer.send(raw.ack(raw.PUBREC, packet.packet_id))
    elif packet.kind == raw.PUBREL:
        peer.send(raw.ack(raw.PUBCOMP, packet.packet_id))


def is_alive(client, seconds=5):
    """Does it answer a ping? Closed is a no; silence a failure."""
    try:
        client.send(raw.packet(raw.PINGREQ))
        while client.receive(seconds * SLOWER).kind != raw.PINGRESP:
            pass
        return True
    except (raw.Closed, ConnectionError):
        return False


# ---- one client id in two places ----


def is_answered(client):
    """Wait until its CONNECT has been worked off, whatever became of it. Then it may live."""
    try:
        client.connack = client.receive(5 * SLOWER)
    except raw.Closed:
        return False
    assert client.connack.kind == raw.CONNACK and client.connack.reason == 0
    return True


def test_two_connects_of_one_id_at_once(broker, version):
    for turn in range(60 * LONGER):
        pair = [broker.open(version) for _ in range(2)]
        packet = raw.connect("twin", version, clean=turn % 2 == 0,
                             props=[("session_expiry", 30)] if version == 5 else ())
        for client in pair:
            client.send(packet)
        answered = [client for client in pair if is_answered(client)]
        alive = [client for client in answered if is_alive(client)]
        assert len(alive) == 1, f"turn {turn}: {len(alive)} of 2 live"
        for client in pair:
            client.close()


def test_who_is_taken_over_is_told(broker):
    first = broker.client("told", 5)
    second = broker.client("told", 5)
    assert first.expect_closed() == 0x8E
    upgraded = ws.WebSocket(ways.dial_port(broker, "ws"))
    third = raw.Raw(0, 5, sock=upgraded)
    third.connect("told")
    assert second.expect_closed() == 0x8E
    fourth = broker.client("told", 5)
    assert third.expect_closed() == 0x8E and upgraded.close_code is not None
    assert is_alive(fourth)
    broker.wait_log(r"told is taken over: 127\.0\.0\.1:\d+ replaces 127\.0\.0\.1:\d+")


def wait_steady(broker):
    """Until the number of clients stays the same: what is closed here is worked off there."""
    deadline = time.monotonic() + 10 * SLOWER
    counts = []
    while len(counts) < 5 or len(set(counts[-5:])) > 1:
        assert time.monotonic() < deadline, counts
        counts.append(broker.status()["clients_connected"])
        time.sleep(0.05)


def test_a_storm_of_takeovers(broker):
    """20 sockets in 50 rounds fight for 5 ids; then one of each lives, with one session.

    Of three ids one in seven sockets is gone while its CONNECT is on its way. It may be the last
    to arrive, and then nobody is left.
    """
    rounds = 50 * LONGER // SLOWER
    ids = [f"storm {n}" for n in range(5)]
    for client_id in ids:
        client = broker.client(client_id, clean=False)
        client.subscribe((f"to/{client_id}", 1))
        client.close()
    fighters = []
    for turn in range(rounds):
        fresh = []
        for number in range(20):
            client = broker.open()
            fresh.append((ids[number % 5], client))
        for number, (client_id, client) in enumerate(fresh):
            client.send(raw.connect(client_id, clean=False))
            if (turn + number) % 7 == 0 and number % 5 < 3:
                client.close()
        fighters += fresh
    broker.clients.clear()
    stayed = [(client_id, client) for client_id, client in fighters if client.sock.fileno() >= 0]
    answered = [(client_id, client) for client_id, client in stayed if is_answered(client)]
    assert len(answered) > len(stayed) // 2, "hardly anybody was let in"
    wait_steady(broker)
    alive = {}
    for client_id, client in answered:
        if is_alive(client):
            alive.setdefault(client_id, []).append(client)
    for number, client_id in enumerate(ids):
        count = len(alive.get(client_id, []))
        assert count == 1 or (count == 0 and number < 3), f"{client_id}: {count} live"
    for client_id in ids:
        last = raw.Raw(broker.port)
        assert last.connect(client_id, clean=False).session_present
        broker.client("sender").publish(f"to/{client_id}", "once", 1)
        last.acknowledge(last.expect_message(f"to/{client_id}", "once"))
        last.expect_nothing(0.05)
        if client_id in alive:
            assert not is_alive(alive[client_id][0])
        last.disconnect()
    for _, client in fighters:
        client.close()


def test_sessions_that_end_during_a_hand_over(broker):
    for turn in range(100 * LONGER // SLOWER):
        first = broker.client("ends", clean=True)
        second = broker.open()
        packet = raw.connect("ends", clean=turn % 3 == 0)
        if turn % 2:
            first.send(raw.disconnect())
            second.send(packet)
        else:
            second.send(packet)
            first.close()
        assert second.expect(raw.CONNACK).reason == 0
        second.send(raw.subscribe(1, [("ends/here", 0)]), raw.publish("ends/here", str(turn)))
        second.expect(raw.SUBACK)
        second.expect_message("ends/here", str(turn))
        second.disconnect()
        first.close()
        # On its way to its home while it is already gone. It has an id of its own: nothing says
        # that it arrives before the next turn's clients, which it would take over.
        gone = broker.open()
        gone.send(raw.connect("gone", clean=turn % 3 == 0), raw.subscribe(1, [("ends/here", 0)]))
        gone.close()
    last = broker.client("ends")
    last.subscribe(("ends/here", 1))
    last.publish("ends/here", "at last", 1)
    last.acknowledge(last.expect_message("ends/here", "at last"))


@pytest.mark.parametrize("way", ways.WAYS)
def test_what_follows_the_connect_travels_along(broker, way):
    """CONNECT and more in one piece, for ids at home on any worker, TLS and WebSocket too."""
    for number in range(12):
        client = ways.open_client(broker, way)
        client.send(raw.connect(f"along {way} {number}"), raw.subscribe(1, [("along", 0)]),
                    *[raw.publish("along", str(n)) for n in range(20)])
        client.expect(raw.CONNACK)
        client.expect(raw.SUBACK)
        for n in range(20):
            client.expect_message("along", str(n))
        client.disconnect()


# ---- messages over workers ----


def turns_of_workers(broker):
    """How often each worker's thread has been given the processor, and has given it back."""
    turns = {}
    for status in glob.glob(f"/proc/{broker.process.pid}/task/*/status"):
        with open(status, encoding="ascii") as lines:
            text = lines.read()
        name = re.search(r"^Name:\s+(.*)$", text, re.MULTILINE).group(1)
        if name.startswith("worker "):
            turns[name] = sum(map(int, re.findall(r"ctxt_switches:\s+(\d+)", text)))
    return turns


def test_all_workers_take_part(broker):
    clients = [broker.client(f"one of many {n}") for n in range(8 * broker.workers)]
    before = turns_of_workers(broker)
    for client in clients * 20:
        client.send(raw.packet(raw.PINGREQ))
        client.expect(raw.PINGRESP)
    after = turns_of_workers(broker)
    gained = {name: after[name] - before[name] for name in after}
    assert len(gained) == broker.workers and min(gained.values()) >= 20, gained


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_fan_out(broker, qos):
    count, messages = 30, 150
    peers = []
    for number in range(count):
        client = broker.client(f"fan {number}")
        client.subscribe(("fan/out" if number % 2 else "fan/+", qos))
        peers.append(Peer(client, answer))
    sender = Peer(broker.client("fan sender"), answer)
    for number in range(messages):
        sender.send(raw.publish("fan/out", f"{number}", qos, number + 1))

    def hear(peer, packet):
        if packet.kind == raw.PUBREC:
            peer.send(raw.ack(raw.PUBREL, packet.packet_id))
        elif packet.kind in (raw.PUBACK, raw.PUBCOMP):
            peer.got.append(packet.packet_id)

    sender.heard = hear
    pump([sender, *peers], lambda: all(len(peer.got) >= messages for peer in peers) and
         (qos == 0 or len(sender.got) == messages) and not sender.out)
    for peer in peers:
        assert [int(message.payload) for message in peer.got] == list(range(messages))
    if qos:
        assert sender.got == list(range(1, messages + 1))  # MQTT-4.6.0-2


def test_subscriptions_that_come_and_go_under_publishes(broker):
    """Topics are made and dropped while others publish to them. Who stays misses nothing."""
    topics = [f"race/{n}" for n in range(6)]
    turns, messages = 120, 600
    steady = Peer(broker.client("steady"), answer)
    steady.client.subscribe(("race/#", 1))
    togglers, senders = [], []
    for number in range(6):
        toggler = Peer(broker.client(f"toggler {number}"))
        for turn in range(turns):
            topic = topics[(number + turn) % len(topics)]
            filters = [(topic, 0), (f"race/+/{number}", 1), (f"+/{turn % 6}", 0)]
            toggler.send(raw.subscribe(2 * turn + 1, filters),
                         raw.unsubscribe(2 * turn + 2, [name for name, _ in filters]))
        togglers.append(toggler)

    def hear(peer, packet):
        if packet.kind == raw.PUBLISH:
            if packet.qos:
                peer.send(raw.ack(raw.PUBACK, packet.packet_id))
        else:
            peer.got.append((packet.kind, packet.packet_id))

    for number in range(3):
        sender = Peer(broker.client(f"racer {number}"), lambda peer, got: peer.got.append(got))
        for n in range(messages):
            sender.send(raw.publish(topics[n % len(topics)], f"{number} {n}", 1, n + 1))
        senders.append(sender)
    for toggler in togglers:
        toggler.heard = hear
    pump([steady, *togglers, *senders],
         lambda: all(len(toggler.got) == 2 * turns for toggler in togglers) and
         all(len(sender.got) == messages for sender in senders) and
         len(steady.got) >= 3 * messages)
    for toggler in togglers:
        assert [packet_id for _, packet_id in toggler.got] == list(range(1, 2 * turns + 1))
    for number in range(3):
        heard = [message.payload.split() for message in steady.got]
        mine = [int(n) for who, n in heard if who == str(number).encode()]
        # In order within each topic [MQTT-4.6.0-6]; nothing twice, nothing lost.
        assert sorted(mine) == list(range(messages))
        for first in range(len(topics)):
            of_topic = [n for n in mine if n % len(topics) == first]
            assert of_topic == sorted(of_topic)


def test_retained_messages_change_under_subscribes(broker):
    """Whoever subscribes in between gets a version, then all changes from there to the last.

    The version comes as the retained message, unless it was replaced right then: what replaces
    it comes live. Never does a topic go back [MQTT-4.6.0-6].
    """
    changes = 600
    sender = Peer(broker.client("changer"), lambda peer, got: peer.got.append(got))
    sender.client.publish("kept/x", "0", 1, retain=True)
    for n in range(1, changes + 1):
        sender.send(raw.publish("kept/x", str(n), 1, n, retain=True))
    watchers = []
    for number in range(20):
        peer = Peer(broker.client(f"kept {number}"), answer)
        # Some come at once, some when it has begun.
        peer.send(raw.packet(raw.PINGREQ) * (number * 40), raw.subscribe(1, [("kept/#", 1)]))
        watchers.append(peer)
    pump([sender, *watchers], lambda: len(sender.got) == changes and
         all(peer.got and peer.got[-1].payload == str(changes).encode() for peer in watchers))
    for peer in watchers:
        kept = [int(message.payload) for message in peer.got if message.retain]
        live = [int(message.payload) for message in peer.got if not message.retain]
        first = live[0] if live else changes + 1
        assert live == list(range(first, changes + 1))
        assert not kept or (len(kept) == 1 and kept[0] <= first <= kept[0] + 1)
    sender.client.publish("kept/x", "", 1, retain=True)


def test_a_shared_subscription_over_workers(broker):
    """Each message goes to exactly one member, also while members come and go."""
    members = []
    for number in range(8):
        client = broker.client(f"member {number}", clean=False)
        client.subscribe(("$share/group/shared/#", 1))
        members.append(Peer(client, answer))
    sender = Peer(broker.client("share sender"), lambda peer, got: peer.got.append(got))
    count = 800
    for n in range(count):
        sender.send(raw.publish(f"shared/{n % 10}", str(n), 1, n + 1))
    pump([sender, *members], lambda: len(sender.got) == count and
         sum(len(member.got) for member in members) >= count)
    got = sorted(int(message.payload) for member in members for message in member.got)
    assert got == list(range(count))
    assert all(member.got for member in members), "a member got nothing"
    for member in members[:6]:  # gone, with a session that stays: the connected come first
        member.client.disconnect()
        member.is_closed = True
    for n in range(count):
        sender.send(raw.publish("shared/later", str(n), 1, n + 1))
    before = sum(len(member.got) for member in members[6:])
    pump([sender, *members[6:]], lambda: len(sender.got) == 2 * count and
         sum(len(member.got) for member in members[6:]) >= before + count)
    for member in members:
        broker.client(member.client and f"member {members.index(member)}").disconnect()


def test_a_ring(broker):
    """50 clients pass messages on, each to the next: no worker waits for another for ever."""
    size, laps = 50, 30

    def pass_on(peer, packet):
        if packet.kind != raw.PUBLISH:
            return
        peer.send(raw.ack(raw.PUBACK, packet.packet_id))
        peer.got.append(int(packet.payload))
        number = peers.index(peer)
        hops = int(packet.payload) + 1
        if hops < size * laps:
            peer.send(raw.publish(f"ring/{(number + 1) % size}", str(hops), 1,
                                  packet.packet_id % 1000 + 1))

    peers = []
    for number in range(size):
        client = broker.client(f"ring {number}")
        client.subscribe((f"ring/{number}", 1))
        peers.append(Peer(client, pass_on))
    for start in range(0, size, 5):
        peers[start].send(raw.publish(f"ring/{start}", "0", 1, 2000))
    runs = size // 5
    pump(peers, lambda: sum(len(peer.got) for peer in peers) >= runs * size * laps, 30)
    assert sum(len(peer.got) for peer in peers) == runs * size * laps


# ---- reload ----


def password_line(user, password):
    salt = os.urandom(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 101)
    return f"{user}:$7$101${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}\n"


def replace(broker, name, content):
    """Write a file as whoever replaces one in use should: it is never seen half."""
    os.replace(broker.write(name + ".new", content), os.path.join(broker.folder, name))


@pytest.mark.parametrize("workers", [1, 4])
def test_reloads_during_a_storm(start_broker, workers):
    """Nobody whose entry did not change is dropped; who is there may always come in."""
    lines = {name: password_line(name, f"pw {name}") for name in ("steady", "storm", "changes")}
    extra = password_line("extra", "x")
    broker = start_broker(f"workers {workers}\nlistener {{port}} 127.0.0.1\n"
                          "allow_anonymous false\npassword_file {dir}/passwords\n"
                          "acl_file {dir}/acl\n",
                          files={"passwords": "".join(lines.values()),
                                 "acl": "pattern readwrite #\n"})
    steady = [broker.client(f"steady {n}", user="steady", password="pw steady") for n in range(20)]
    for client in steady:
        client.subscribe(("news", 1))
    changing = broker.client("changing", user="changes", password="pw changes")
    stop = threading.Event()
    failures = []

    def storm():
        number = 0
        while not stop.is_set():
            number += 1
            try:
                with raw.Raw(broker.port) as client:
                    got = client.connect(f"{threading.get_ident()} {number % 3}", user="storm",
                                         password="pw storm" if number % 4 else "wrong")
                    if (got.reason == 0) != bool(number % 4):
                        failures.append(got)
                    elif got.reason == 0:
                        client.publish("news of the storm", "x", 1)
            except Exception as error:  # pylint: disable=broad-except
                failures.append(error)

    threads = [threading.Thread(target=storm) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for turn in range(15):
            replace(broker, "passwords", "".join(lines.values()) + (extra if turn % 2 else ""))
            replace(broker, "acl", "pattern readwrite #\n" + "user nobody\n" * (turn % 2))
            broker.reload()
            time.sleep(0.05)
        lines["changes"] = password_line("changes", "another")
        replace(broker, "passwords", "".join(lines.values()))
        broker.reload()
        assert changing.expect_closed() is None
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures, (failures[:5], broker.log()[-3000:])
    steady[0].publish("news", "all here", 1)
    for client in steady:
        client.acknowledge(client.expect_message("news", "all here"))
    bad = broker.open()
    assert bad.connect("changing", user="changes", password="pw changes").reason != 0


# ---- the end ----


def test_a_clean_end_with_clients_connected(broker, tmp_path):
    """SIGTERM: MQTT 5 hears 0x8B, a WebSocket 1001; exit status 0; wills as Mosquitto."""
    mine = PreparedBroker(tmp_path, broker.workers).start()
    try:
        clients = [(way, version, ways.client(mine, way, f"{way} {version} {n}", version))
                   for way in ways.WAYS for version in (4, 5) for n in range(4)]
        idle = socket.create_connection(("127.0.0.1", mine.port))
        begun = ways.dial_port(mine, "ws")
        begun.sendall(b"GET / HTTP")
        time.sleep(0.1)
        process = mine.process
        before = time.monotonic()
        process.send_signal(signal.SIGTERM)
        for way, version, client in clients:
            assert client.expect_closed() == (0x8B if version == 5 else None), (way, version)
            if way in ("ws", "wss"):
                assert client.sock.close_code == 1001, (way, version)
        assert process.wait(10) == 0
        assert time.monotonic() - before < 4.5 * SLOWER
        idle.close()
        begun.close()
    finally:
        if mine.process.poll() is None:
            mine.process.kill()
        mine.process.wait()
        for client in mine.clients:
            client.close()
    assert "rror" not in mine.log(), mine.log()


def test_the_end_waits_for_nobody_long(start_broker):
    broker = start_broker("workers 2\nlistener {port} 127.0.0.1\nallow_anonymous true\n")
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", broker.port))
    deaf = raw.Raw(0, sock=sock)
    deaf.connect("deaf")
    deaf.subscribe(("#", 0))
    sender = broker.client("sender")
    for _ in range(200):
        sender.send(raw.publish("much", bytes(50000)))
    sender.publish("much", "end", 1)
    process = broker.process
    before = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(15 * SLOWER) == 0
    assert time.monotonic() - before < 12 * SLOWER  # 5 s for what is still to be sent
    broker.process = None
    deaf.close()


@pytest.mark.parametrize("signals", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT,),
                                     (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM)])
def test_signals_end_it_in_a_storm(start_broker, signals):
    broker = start_broker("workers 4\nlistener {port} 127.0.0.1\nallow_anonymous true\n")
    stop = threading.Event()

    def storm():
        while not stop.is_set():
            try:
                with raw.Raw(broker.port) as client:
                    client.connect("one id for all", keepalive=5)
                    client.publish("x", "y", 1)
            except (OSError, raw.Closed, TimeoutError):
                pass

    threads = [threading.Thread(target=storm) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.3)
        process = broker.process
        for number in signals:
            process.send_signal(number)
            time.sleep(0.02)
        assert process.wait(10 * SLOWER) == 0, broker.log()[-2000:]
        broker.process = None
    finally:
        stop.set()
        for thread in threads:
            thread.join()
