# SPDX-License-Identifier: Apache-2.0
"""Peers that mean no good, or are broken: nobody else notices, and memory stays bounded."""

import os
import random
import re
import select
import socket
import ssl
import statistics
import struct
import time

import pytest

import raw
import ways
import ws
from conftest import SLOWER, Broker

pytestmark = pytest.mark.noctule_only  # for its configuration

CONNECT_TIMEOUT = 3
MIB = 1 << 20
OUTPUT_MIB, QUEUED_MIB = 1, 4
CONFIG = (f"connect_timeout {CONNECT_TIMEOUT}\nmax_output_bytes {OUTPUT_MIB * MIB}\n"
          f"max_queued_bytes {QUEUED_MIB * MIB}\n") + ways.CONFIG
SANITIZER = os.environ.get("NOCTULE_SANITIZER", "")
LONGER = 30 if os.environ.get("NOCTULE_LONG") == "1" else 1
PINGREQ = raw.packet(raw.PINGREQ)


class PreparedBroker(Broker):
    """With certificates; and perhaps few descriptors."""

    descriptors = None

    def start(self):
        if not os.path.exists(os.path.join(self.folder, "server.crt")):
            ways.make_certificates(self.folder)
        return super().start()

    def command(self):
        words = super().command()
        if self.descriptors:
            return ["sh", "-c", f'ulimit -n {self.descriptors}; exec "$@"', "sh", *words]
        return words


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    running = PreparedBroker(tmp_path_factory.mktemp("broker"), CONFIG)
    try:
        yield running.start()
    finally:
        running.stop()


@pytest.fixture
def prepared(tmp_path_factory):
    """Start a broker with certificates of the test's own."""
    started = []

    def start(config, descriptors=None):
        one = PreparedBroker(tmp_path_factory.mktemp("broker"), config)
        one.descriptors = descriptors
        started.append(one)
        return one.start()

    yield start
    for one in started:
        one.stop()


def status_of(broker, field):
    with open(f"/proc/{broker.process.pid}/status", encoding="ascii") as status:
        return int(re.search(rf"^{field}:\s+(\d+)", status.read(), re.MULTILINE).group(1))


def resident_kib(broker):
    return status_of(broker, "VmRSS")


def cpu_seconds(broker):
    with open(f"/proc/{broker.process.pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def assert_grown_less(broker, before_kib, mib):
    """Sanitizers keep what was freed for a while, so there the figure says nothing."""
    grown = resident_kib(broker) - before_kib
    assert SANITIZER or grown < mib * 1024, f"grown by {grown} KiB"


def arrive(broker, way):
    """A client that is there before it begins; on a busy machine not always within 3 s."""
    for _ in range(2):
        try:
            return ways.client(broker, way, f"bystander {way}")
        except (raw.Closed, TimeoutError, OSError):
            pass
    return ways.client(broker, way, f"bystander {way}")


@pytest.fixture
def bystanders(broker):
    """A client on each way; look() shows that each still gets its answers in time.

    A busy machine may delay an answer; a worker that is held up delays most of them.
    """
    clients = [arrive(broker, way) for way in ways.WAYS]

    def look():
        times = []
        for client in clients * 3:
            before = time.monotonic()
            client.send(PINGREQ)
            client.expect(raw.PINGRESP)
            times.append(time.monotonic() - before)
        assert max(times) < 2.5 * SLOWER and statistics.median(times) < 0.2 * SLOWER, times

    look()
    yield look
    look()


# ---- subscribers that do not read ----


def dial_deaf(broker, way):
    """A connection whose peer takes hardly anything before its buffers are full."""
    if way == "unix":
        return ways.dial(broker, way)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(5)
    sock.connect(("127.0.0.1", broker.names["port" if way == "tcp" else f"port_{way}"]))
    if way in ("tls", "wss"):
        sock = ways.in_tls(sock, broker.folder)
    return ws.WebSocket(sock) if way in ("ws", "wss") else sock


@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize("way", ways.WAYS)
def test_a_subscriber_that_never_reads(broker, bystanders, way, qos, topic):
    deaf = raw.Raw(0, sock=dial_deaf(broker, way))
    broker.clients.append(deaf)
    deaf.connect(f"deaf {way} {qos}")
    deaf.subscribe((topic, qos))
    reader = broker.client("reader")
    reader.subscribe((topic, qos))
    sender = broker.client("sender")
    payload = bytes(16384)
    before_kib = resident_kib(broker)
    # 40 MB: more than socket buffers and queues hold.
    for turn in range(125):
        sender.send(*[raw.publish(topic, payload, qos, turn * 20 + n + 1) for n in range(20)])
        for _ in range(20):
            message = reader.expect_message(topic, payload)
            if qos:
                reader.send(raw.ack(raw.PUBACK, message.packet_id))
        for _ in range(20 * qos):
            sender.expect(raw.PUBACK)
        if turn % 40 == 0:
            bystanders()
    assert_grown_less(broker, before_kib, OUTPUT_MIB + QUEUED_MIB * qos + 3)
    broker.wait_log(f"Outgoing messages are being dropped for client deaf {way} {qos}")
    deaf.close()


def test_all_memory_of_the_deaf_is_free_again(broker, bystanders, topic):
    def deafen(count):
        deaf = []
        for number in range(count):
            one = raw.Raw(0, sock=dial_deaf(broker, "tcp"))
            one.connect(f"deaf {number}")
            one.subscribe((topic, 0))
            deaf.append(one)
        sender = broker.client("sender")
        for _ in range(200):
            sender.send(raw.publish(topic, bytes(50000)))
        sender.publish(topic, "end", 1)
        for one in deaf:
            one.close()
        sender.disconnect()

    deafen(4)
    before_kib = resident_kib(broker)
    for _ in range(5):
        deafen(4)
        bystanders()
    assert_grown_less(broker, before_kib, 16)


def test_a_sender_that_reads_no_answers(broker, bystanders):
    """PINGRESPs and PUBACKs that nobody takes must not pile up."""
    before_kib = resident_kib(broker)
    deaf = dial_deaf(broker, "tcp")
    broker.clients.append(deaf)
    deaf.sendall(raw.connect("deaf sender", keepalive=0))
    # A line of packets that does not fit at once goes on where it stopped.
    line = memoryview((PINGREQ * 1000 + raw.publish("nowhere", b"", 1, 7) * 1000) * 50)
    deaf.settimeout(1)
    sent = 0
    deadline = time.monotonic() + 3
    try:
        while time.monotonic() < deadline:
            sent += deaf.send(line[sent % len(line):])
    except (socket.timeout, ConnectionError):
        pass  # not read any more, or closed: both are fine
    assert_grown_less(broker, before_kib, 16)


# ---- who begins and does not go on ----

LONG = raw.connect("half" * 100)
HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200))  # begins one
FRAME = ws.frame(ws.BINARY, LONG)
# What they begin with, and what they would go on with; behind HELLOS, inside TLS.
CONNECTS = [(LONG[:n], LONG[n:]) for n in (0, 1, 9)]
HELLOS = [(HELLO[:n], HELLO[n:]) for n in (0, 1, 7)]
UPGRADES = [(b"", b"GET / HTTP/1.1\r\n"), (b"GET / HT", b"TP/1.1\r\nHost: a\r\n"),
            (ws.request()[:-2], b"X-A: bbbbbbbbbbbbbbbbbbbbbbbb"), (ws.request(), FRAME),
            (ws.request() + FRAME[:20], FRAME[20:])]
HALVES = {"tcp": CONNECTS, "unix": CONNECTS, "tls": HELLOS + CONNECTS[:2], "ws": UPGRADES,
          "wss": HELLOS + UPGRADES[1:]}
MANY = 60 if SANITIZER else 150


class Loris:
    """A connection on which something begins, and goes on with a byte at a time or not at all."""

    def __init__(self, broker, way, number):
        kind = number % len(HALVES[way])
        begin, self.rest = HALVES[way][kind]
        self.is_silent = number % 3 == 0
        self.dialled = time.monotonic()
        self.sock = ways.dial_port(broker, way, 15)
        self.lived = None  # seconds, when it is over
        if way in ("tls", "wss") and kind >= len(HELLOS):
            self.sock = ways.in_tls(self.sock, broker.folder)
        self.sock.sendall(begin)
        self.sock.settimeout(0)

    def go_on(self):
        """One more byte."""
        if self.lived is None and not self.is_silent:
            assert self.rest, "it must not come to its end"
            try:
                self.sock.send(self.rest[:1])
            except OSError:
                return  # look() finds out what it is
            self.rest = self.rest[1:]

    def look(self):
        """Is it closed? The broker may say something before: an upgrade, an alert, a status."""
        try:
            while self.lived is None and self.sock.recv(1000):
                pass
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except OSError:
            pass
        if self.lived is None:
            self.lived = time.monotonic() - self.dialled
            self.sock.close()


@pytest.mark.parametrize("way", ways.WAYS)
def test_slow_loris(broker, bystanders, way):
    """Many begin and stop, or go on with a byte every half second. All are gone in time."""
    before_kib = resident_kib(broker)
    begun = [Loris(broker, way, number) for number in range(MANY)]
    bystanders()
    fresh = ways.client(broker, way, "let in meanwhile")
    fresh.close()
    assert_grown_less(broker, before_kib, 8)
    next_byte = time.monotonic()
    while any(one.lived is None for one in begun):
        if time.monotonic() >= next_byte:
            next_byte += 0.5
            for one in begun:
                one.go_on()
        for one in begun:
            one.look()
        oldest = min((one.dialled for one in begun if one.lived is None), default=None)
        limit = CONNECT_TIMEOUT + 3 * SLOWER
        assert oldest is None or time.monotonic() - oldest < limit, "one is let stay"
        time.sleep(0.05)
    # The time of each ran from its beginning, and nothing else ended it.
    assert min(one.lived for one in begun) > CONNECT_TIMEOUT - 0.1
    bystanders()


# ---- peers that are half there ----


@pytest.mark.parametrize("way", ways.WAYS)
@pytest.mark.parametrize("end", ["shut down for writing", "reset", "silent"])
def test_half_open_peers(broker, bystanders, way, end, topic):
    watcher = broker.client("watcher", keepalive=0)
    watcher.subscribe((topic, 1))
    before_kib = resident_kib(broker)
    carriers = []
    for number in range(50):
        sock = ways.dial_port(broker, way)
        carriers.append(ways.in_tls(sock, broker.folder) if way in ("tls", "wss") else sock)
        stream = ws.WebSocket(sock) if way == "ws" else ways.UnixSocket(carriers[-1])
        client = raw.Raw(0, sock=ws.WebSocket(carriers[-1]) if way == "wss" else stream)
        broker.clients.append(client)
        client.connect(f"half there {number}", keepalive=1 if end == "silent" else 60,
                       will={"topic": topic, "payload": str(number), "qos": 1})
    assert_grown_less(broker, before_kib, 8)
    before = time.monotonic()
    for carrier in carriers:
        if end == "shut down for writing":
            socket.socket.shutdown(carrier, socket.SHUT_WR)
        elif end == "reset":
            carrier.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            carrier.close()
    bystanders()
    missed = set(range(50))
    while missed:
        will = watcher.expect(raw.PUBLISH, 15)
        missed.remove(int(will.payload))
        watcher.acknowledge(will)
    assert time.monotonic() - before < (10 if end == "silent" else 5) * SLOWER


# ---- nonsense ----

SEED = int(os.environ.get("NOCTULE_SEED", time.time_ns() % 1_000_000_000))


def mutate(source, packet):
    data = bytearray(packet)
    for _ in range(source.randint(1, 4)):
        kind, at = source.randrange(4), source.randrange(len(data))
        if kind == 0:
            data[at] = source.randrange(256)
        elif kind == 1:
            data[at] ^= 1 << source.randrange(8)
        elif kind == 2 and len(data) > 2:
            del data[at]
        else:
            data[at:at] = source.randbytes(source.randint(1, 9))
    return bytes(data)


def nonsense(source, version):
    """A flow of packets, some of them spoiled."""
    props = [("user", ("a", "b")), ("session_expiry", 5)] if version == 5 else ()
    packets = [
        raw.connect("fuzz", version, user="u", password="p", props=props,
                    will={"topic": "fuzz/will", "payload": "x", "qos": 1}),
        raw.subscribe(1, [("fuzz/#", 1), ("$share/g/fuzz/+", 2)], version),
        raw.publish("fuzz/a", "x" * 40, 1, 2, version=version),
        raw.publish("fuzz/b", "y", 2, 3, retain=True, version=version),
        raw.ack(raw.PUBREL, 3), raw.unsubscribe(4, ["fuzz/#"], version), PINGREQ,
        raw.publish("fuzz/b", "", 0, retain=True, version=version), raw.disconnect(),
    ]
    return [mutate(source, packet) if source.random() < 0.3 else packet for packet in packets]


def send_nonsense(broker, way, source):
    version = source.choice((3, 4, 5))
    data = b"".join(nonsense(source, version)) if source.random() < 0.7 else source.randbytes(500)
    sock = ways.dial_port(broker, way)
    if way in ("tls", "wss") and source.random() < 0.5:
        sock = ways.in_tls(sock, broker.folder)
    if way in ("ws", "wss") and source.random() < 0.8:
        head = ws.request() if source.random() < 0.8 else mutate(source, ws.request())
        frames = ws.frame(ws.BINARY, data)
        data = head + (mutate(source, frames) if source.random() < 0.5 else frames)
    at = source.randrange(len(data))
    for part in (data[:at], data[at:]):
        try:
            sock.sendall(part)
        except (ConnectionError, ssl.SSLError):
            break
    sock.close()


@pytest.mark.parametrize("way", ways.WAYS)
def test_nonsense(broker, bystanders, way):
    print(f"to repeat it: NOCTULE_SEED={SEED}")
    source = random.Random(f"{SEED} {way}")
    before_kib = resident_kib(broker)
    for number in range((40 if way in ("tls", "wss") else 150) * LONGER):
        send_nonsense(broker, way, source)
        if number % 50 == 0:
            bystanders()
    works = ways.client(broker, way, "works")
    works.subscribe(("works", 2))
    works.publish("works", "yes", 2)
    works.acknowledge(works.expect_message("works", "yes"))
    works.disconnect()
    assert_grown_less(broker, before_kib, 16)


@pytest.mark.parametrize("way", ["tcp", "ws"])
def test_announced_but_not_sent_takes_no_memory(broker, bystanders, way):
    """A length of 200 MB, and a few bytes: the announcement alone must not cost."""
    before_kib = resident_kib(broker)
    for number in range(50):
        client = ways.client(broker, way, f"announces {number}")
        start = b"\x30" + raw.varint(200_000_000) + raw.text("t") + bytes(1000)
        if way == "ws":
            client.sock.sock.sendall(b"\x82\xff" + struct.pack(">Q", 1 << 40) + bytes(4) + start)
        else:
            client.send(start)
    bystanders()
    assert_grown_less(broker, before_kib, 24)


@pytest.mark.parametrize("way", ways.WAYS)
def test_a_connect_of_more_than_64_kib(broker, bystanders, way):
    def connect_of(size):
        """A CONNECT whose remaining length is that; its will is what makes it long."""
        fixed = len(raw.connect("", will={"topic": "w", "payload": ""})) - 2
        packet = raw.connect("", will={"topic": "w", "payload": bytes(size - fixed)})
        assert len(packet) == size + 1 + len(raw.varint(size))
        return packet

    fits = ways.open_client(broker, way)
    fits.send(connect_of(65000))
    assert fits.expect(raw.CONNACK).reason == 0
    fits.disconnect()
    long_one = ways.open_client(broker, way)
    # It is refused by its announced length: neither has it all come, nor is its time up.
    long_one.send(b"\x10" + raw.varint(70_000) + raw.text("MQTT") + b"\x04\x02\0\x3c")
    before = len(broker.log())
    assert long_one.expect_closed() is None
    assert "exceeded timeout" not in broker.log()[before:]


# ---- limits of the process ----


@pytest.mark.parametrize("workers", [1, 2, 4, 8] if LONGER > 1 else [1, 4])
def test_memory_at_its_limit(prepared, workers):
    """100 clients in a ring, QoS 1, and hogs that fill the memory: refusals, but progress.

    With MQTT 5 a refused message is told by its reason; no connection ends for it, nor
    for its keep-alive of three seconds.
    """
    broker = prepared(f"workers {workers}\nmemory_limit 24000000\nmax_queued_messages 0\n"
                      "allow_anonymous true\nlistener {port} 127.0.0.1\n")
    for number in range(4):
        hog = raw.Raw(broker.port, 5)
        hog.connect(f"hog {number}", clean=False, props=[("session_expiry", 600)])
        hog.subscribe(("hog", 1))
        hog.disconnect()
    size = 100
    ring = [broker.client(f"ring {n}", 5, keepalive=3) for n in range(size)]
    for number, client in enumerate(ring):
        client.subscribe((f"ring/{number}", 1))
    feeder = broker.client("feeder", 5, keepalive=3)
    fed = 0
    while feeder.publish("hog", bytes(50_000), 1) < 0x80:
        fed += 1
        assert fed < 2000, "memory never gets short"
        if fed % 50 == 0:  # nobody is silent for long
            for client in ring:
                client.send(PINGREQ)
                client.expect(raw.PINGRESP)
    got, refused, answered = [0] * size, 0, 0
    payload = bytes(2000)

    def pass_on(number, packet_id):
        ring[number].send(raw.publish(f"ring/{(number + 1) % size}", payload, 1, packet_id,
                                      version=5))

    for number in range(size):
        for packet_id in (1, 2):
            pass_on(number, packet_id)
    begin = time.monotonic()
    end = begin + 5.5  # a keep-alive runs out in 4.5
    sockets = {client.sock: (number, client) for number, client in enumerate(ring)}
    sockets[feeder.sock] = (None, feeder)
    feeder.send(raw.publish("hog", bytes(50_000), 1, 60001, version=5))
    half_time = None
    while time.monotonic() < end:
        readable, _, _ = select.select(list(sockets), [], [], 1)
        assert readable or time.monotonic() > end, "nothing moves any more"
        if half_time is None and time.monotonic() > begin + (end - begin) / 2:
            half_time = list(got)
        for sock in readable:
            number, client = sockets[sock]
            try:
                client.fill(time.monotonic() + 1)
            except raw.Closed:
                raise AssertionError(f"{number} was closed:\n{broker.log()[-1500:]}") from None
            while len(client.buffer) >= 2:
                try:
                    packet = client.read(0)
                except TimeoutError:
                    break
                if number is None:
                    assert packet.kind == raw.PUBACK, packet
                    fed += 1
                    refused += packet.reason >= 0x80
                    feeder.send(raw.publish("hog", bytes(50_000), 1, fed % 60000 + 2, version=5))
                elif packet.kind == raw.PUBLISH:
                    got[number] += 1
                    client.send(raw.ack(raw.PUBACK, packet.packet_id))
                elif packet.kind == raw.PUBACK:
                    answered += 1
                    refused += packet.reason >= 0x80
                    assert packet.reason in (0, 0x10, 0x97), packet
                    pass_on(number, packet.packet_id)
                else:
                    raise AssertionError(packet)
    assert "memory is short" in broker.log(), f"only {fed} messages to the hogs"
    assert refused > 0 and answered > size * 10, (refused, answered)
    late = sum(now - then for now, then in zip(got, half_time))
    assert late > size, f"{late} messages in the second half, {sum(half_time)} in the first"
    assert SANITIZER or resident_kib(broker) < 80_000
    assert "exceeded timeout" not in broker.log()
    for client in ring:  # all still there
        client.close()


def test_memory_short_refuses_new_clients_and_recovers(prepared):
    broker = prepared("memory_limit 16000000\nmax_queued_messages 0\nallow_anonymous true\n"
                      "listener {port} 127.0.0.1\n")
    hog = broker.client("hog", 5, clean=False, props=[("session_expiry", 600)])
    hog.subscribe(("hog", 1))
    hog.disconnect()
    sender = broker.client("sender", 5)
    try:
        for _ in range(2000):
            if sender.publish("hog", bytes(100_000), 1) >= 0x80:
                break
        else:
            raise AssertionError("memory never gets short")
    except raw.Closed:  # it got short while the message was on its way, in pieces
        broker.wait_log("Client sender disconnected due to out of memory", 5 * SLOWER)
    # The heaviest queues are trimmed, so this state passes; a new client gets in then.
    deadline = time.monotonic() + 10 * SLOWER
    while True:
        client = broker.open(5)
        client.send(raw.connect("new", 5))
        try:
            reason = client.receive().reason
        except raw.Closed:
            reason = None
        if reason == 0:
            break
        assert reason in (None, 0x88, 0x97), reason
        assert time.monotonic() < deadline, "memory stays short"
        time.sleep(0.05)
    assert client.publish("other", "x", 1) in (0, 0x10)


def test_retained_messages_stop_at_the_memory_limit_and_may_be_removed(prepared):
    """Every other one goes: the allocator has holes then, but no page to give back."""
    broker = prepared("memory_limit 24000000\nallow_anonymous true\nlistener {port} 127.0.0.1\n"
                      "listener {port_tls} 127.0.0.1\ncertfile {dir}/server.crt\n"
                      "keyfile {dir}/server.key\n")
    client = broker.client("c", 5)
    kept = 0
    while client.publish(f"t/{kept}", bytes(500), 1, retain=True) in (0, 0x10):
        kept += 1
        assert kept < 100_000, "memory never gets short"
    with pytest.raises(OSError):  # a handshake would take more memory yet
        ways.open_client(broker, "tls")
    resident = resident_kib(broker)
    for number in range(0, kept, 2):
        assert client.publish(f"t/{number}", b"", 1, retain=True) in (0, 0x10)
    broker.wait_log("Memory is no longer short", 10 * SLOWER)
    assert SANITIZER or resident_kib(broker) > resident * 0.9, "this did not test what it should"
    another = ways.client(broker, "tls", "another", 5)
    assert another.publish("t/0", "x", 1, retain=True) in (0, 0x10)


def test_subscriptions_stop_at_the_memory_limit_and_go_on_below_it(prepared):
    broker = prepared("memory_limit 24000000\nallow_anonymous true\nlistener {port} 127.0.0.1\n")
    old = broker.client("old", 4)
    client = broker.client("new", 5)
    packets = []
    for number in range(2000):
        packets.append([(f"some/filter/{number}/{n}/+", 0) for n in range(100)])
        reasons = client.subscribe(*packets[-1])
        assert set(reasons) <= {0, 0x97}, reasons
        if reasons[-1] != 0:
            break
    else:
        raise AssertionError("memory never gets short")
    assert old.subscribe(("another", 0)) == [0x80]
    for packet in packets:
        client.unsubscribe(*(name for name, _ in packet))
    broker.wait_log("Memory is no longer short", 10 * SLOWER)
    assert old.subscribe(("another", 0)) == [0]


def test_out_of_descriptors(prepared):
    broker = prepared(CONFIG, descriptors=80)
    works = broker.client("works")
    works.subscribe(("w", 1))
    crowd = []
    for number in range(150):
        try:
            sock = socket.create_connection(("127.0.0.1", broker.port), 5)
            sock.sendall(raw.connect(f"crowd {number}"))
        except ConnectionError:
            continue
        crowd.append(sock)
    time.sleep(0.3)
    before = cpu_seconds(broker)
    for number in range(10):
        works.publish("w", str(number), 1)
        works.acknowledge(works.expect_message("w", str(number)))
        time.sleep(0.1)
    assert SANITIZER or cpu_seconds(broker) - before < 0.5, "it spins"
    assert broker.log().count("socket count has been exceeded") < 60
    for sock in crowd:
        sock.close()
    deadline = time.monotonic() + 10
    while True:
        try:
            with raw.Raw(broker.port, timeout=2) as client:
                client.connect("fits again")
                break
        except (raw.Closed, TimeoutError, OSError):
            assert time.monotonic() < deadline, "nobody gets in any more"
            time.sleep(0.1)


@pytest.mark.parametrize("way", ["tls", "ws", "wss", "unix"])
def test_max_connections_on_every_kind_of_listener(prepared, way):
    lines = ways.CONFIG.strip().splitlines()
    config = "\n".join(line + ("\nmax_connections 2" if line.startswith("listener") else "")
                       for line in lines) + "\n"
    broker = prepared(config.replace("listener {port} 127.0.0.1\nmax_connections 2",
                                     "listener {port} 127.0.0.1"))
    kept = [ways.client(broker, way, f"kept {n}") for n in range(2)]
    for _ in range(3):
        with pytest.raises((raw.Closed, ConnectionError, AssertionError, ssl.SSLError)):
            ways.client(broker, way, "too many")
    kept.pop().disconnect()
    deadline = time.monotonic() + 5
    while True:
        try:
            kept.append(ways.client(broker, way, "fits"))
            break
        except (raw.Closed, ConnectionError, AssertionError, ssl.SSLError):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    for client in kept:
        client.expect_nothing(0)
