# SPDX-License-Identifier: Apache-2.0
"""Who comes to the wrong port: the log names the mistake, and HTTP gets an HTTP answer."""

import random
import socket
import ssl
import time

import pytest

import raw
import ways
import ws
from conftest import Broker

pytestmark = pytest.mark.noctule_only

CONFIG = "connect_timeout 20\n" + ways.CONFIG
HTTP = b"GET /status HTTP/1.1\r\nHost: a\r\nUser-Agent: curl/8\r\n\r\n"
CONNECT = raw.connect("lost")
PROXY_V1 = b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 1883\r\n"
PROXY_V2 = (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" +
            bytes([192, 0, 2, 1, 192, 0, 2, 2, 3, 232, 7, 91]))


def tls_hello():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(received, sent).do_handshake()
    return sent.read()


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    running = Broker(tmp_path_factory.mktemp("broker"), CONFIG)
    ways.make_certificates(running.folder)
    try:
        yield running.start()
    finally:
        running.stop()


@pytest.fixture(scope="module")
def good(broker):
    """A client on every right way; that they live on shows that nobody else is affected."""
    clients = {}
    for way in ways.WAYS:
        clients[way] = raw.Raw(0, sock=ways.dial(broker, way))
        clients[way].connect(f"good {way}")
        clients[way].subscribe(("all", 0))
    yield clients
    for client in clients.values():
        client.close()


@pytest.fixture(autouse=True)
def others_are_unaffected(good):
    yield
    good["tcp"].publish("all", "alive")
    for client in good.values():
        client.expect_message("all", "alive")
        client.expect_nothing(0)


MIX_UPS = {
    # (what, to the listener of which way): (bytes, status of the answer, pattern in the log)
    ("tls", "tcp"): (tls_hello, None, "TLS"),
    ("tls", "ws"): (tls_hello, None, "TLS hello"),
    ("http", "tcp"): (HTTP, 400, "HTTP request"),
    ("http", "tls"): (HTTP, 400, "an HTTP request to a TLS listener"),
    ("http", "wss"): (HTTP, 400, "an HTTP request to a TLS listener"),
    ("upgrade", "tcp"): (ws.request(), 400, "HTTP request.*protocol websockets"),
    ("upgrade", "tls"): (ws.request(), 400, "an HTTP request to a TLS listener"),
    ("upgrade", "wss"): (ws.request(), 400, "an HTTP request to a TLS listener"),
    ("mqtt", "ws"): (CONNECT, None, "Plain MQTT on a WebSocket listener"),
    ("mqtt", "tls"): (CONNECT, None, "plain MQTT CONNECT to a TLS listener"),
    ("mqtt", "wss"): (CONNECT, None, "plain MQTT CONNECT to a TLS listener"),
    ("proxy v1", "tcp"): (PROXY_V1 + CONNECT, None, "PROXY protocol header"),
    ("proxy v1", "tls"): (PROXY_V1, None, "PROXY protocol header"),
    ("proxy v1", "ws"): (PROXY_V1 + HTTP, 400, "PROXY protocol header"),
    ("proxy v1", "wss"): (PROXY_V1, None, "PROXY protocol header"),
    ("proxy v2", "tcp"): (PROXY_V2 + CONNECT, None, "PROXY protocol header"),
    ("proxy v2", "tls"): (PROXY_V2, None, "PROXY protocol header"),
    ("proxy v2", "ws"): (PROXY_V2 + HTTP, 400, "PROXY protocol header"),
}
MIX_UP_IDS = [f"{what} to {way}".replace(" ", "-") for what, way in MIX_UPS]


def send_and_see(broker, way, pieces, status, pattern):
    """Send to a plain connection; the broker answers and closes soon, and names the mistake."""
    before = len(broker.log().splitlines())  # a source port may come a second time
    sock = ways.dial_port(broker, way)
    broker.clients.append(sock)
    source = sock.getsockname()[1]
    for piece in pieces:
        try:
            sock.sendall(piece)
        except ConnectionError:
            break  # it has seen enough
        time.sleep(0.002 if len(pieces) > 1 else 0)
    answer = ws.read_answer(sock, 10, to_end=True)  # long before the deadline for a CONNECT
    assert answer.status == status, answer.lines
    if status is not None:
        assert "close" in answer.headers["connection"]
        assert int(answer.headers["content-length"]) == len(answer.rest) > 20
    broker.wait_log(rf"127\.0\.0\.1:{source}\b.*({pattern})")
    lines = [line for line in broker.log().splitlines()[before:] if f"127.0.0.1:{source}" in line]
    told = [line for line in lines if "New connection" not in line]
    assert len(told) == 1, told


@pytest.mark.parametrize("mix_up", MIX_UPS, ids=MIX_UP_IDS)
def test_the_mistake_is_named(broker, mix_up):
    data, status, pattern = MIX_UPS[mix_up]
    data = data() if callable(data) else data
    send_and_see(broker, mix_up[1], [data], status, pattern)


@pytest.mark.parametrize("what", ["http", "proxy v1", "proxy v2", "mqtt"])
def test_a_websocket_listener_names_it_also_when_it_drips_in(broker, what):
    data, status, pattern = MIX_UPS[what, "ws"] if what != "http" else (HTTP, 426, "not-an-upgrade")
    send_and_see(broker, "ws", [bytes([byte]) for byte in data[:60]] + [data[60:]], status, pattern)


@pytest.mark.parametrize("way", ["tcp", "tls", "wss"])
@pytest.mark.parametrize("what", ["http", "proxy v1", "proxy v2", "tls"])
def test_others_end_it_at_once_when_it_drips_in(broker, way, what):
    """A kernel never cuts so short a request; whoever does gets a line without the reason."""
    if what == "tls" and way != "tcp":
        pytest.skip("is right there")
    data = MIX_UPS.get((what, way), MIX_UPS[what, "tcp"])[0]
    data = data() if callable(data) else data
    sock = ways.dial_port(broker, way)
    source = sock.getsockname()[1]
    try:
        for byte in data[:60]:
            sock.sendall(bytes([byte]))
            time.sleep(0.002)
        sock.sendall(bytes(100))  # "PROXY" could be a PUBREC of 82 bytes
        sock.settimeout(10)
        while sock.recv(1000):
            pass
    except (BrokenPipeError, ConnectionResetError):
        pass
    finally:
        sock.close()
    address = rf"127\.0\.0\.1:{source}\b"
    broker.wait_log(rf"{address}.*(malformed|protocol|HTTP|TLS)|OpenSSL Error.*{address}")


def test_http_inside_tls_to_an_mqtt_listener(broker):
    sock = ways.in_tls(ways.dial_port(broker, "tls"), broker.folder)
    source = sock.getsockname()[1]
    sock.sendall(ws.request())
    assert ws.read_answer(sock, to_end=True).status == 400
    broker.wait_log(rf"127\.0\.0\.1:{source}\b.*HTTP request.*protocol websockets")


def test_mqtt_inside_tls_to_a_websocket_listener(broker):
    sock = ways.in_tls(ways.dial_port(broker, "wss"), broker.folder)
    source = sock.getsockname()[1]
    sock.sendall(CONNECT)
    assert ws.read_answer(sock, to_end=True).raw == b""
    broker.wait_log(rf"127\.0\.0\.1:{source}\b.*Plain MQTT on a WebSocket listener")


def test_tls_inside_tls(broker):
    sock = ways.in_tls(ways.dial_port(broker, "tls"), broker.folder)
    source = sock.getsockname()[1]
    sock.sendall(tls_hello())
    assert ws.read_answer(sock, to_end=True).raw == b""
    broker.wait_log(rf"127\.0\.0\.1:{source}\b.*TLS")


@pytest.mark.parametrize("way", ways.WAYS)
def test_garbage_is_closed(broker, way):
    source = random.Random(way)
    for _ in range(20):
        sock = ways.dial_port(broker, way)
        try:
            # 0xF.. is no packet that a client may begin with, nor any of the other protocols.
            sock.sendall(b"\xf7\xff\xff\xff\x7f" + source.randbytes(300))
            ws.read_answer(sock, to_end=True)
        except BrokenPipeError:
            pass
        finally:
            sock.close()


@pytest.mark.parametrize("way", ways.WAYS)
def test_a_port_check_leaves_no_line(broker, way):
    broker.client("before").publish("nowhere", "begin", 1)
    broker.wait_log("Sending PUBACK to before")
    sources = []
    for _ in range(5):
        sock = ways.dial_port(broker, way)
        if sock.family == socket.AF_INET:
            sources.append(sock.getsockname()[1])
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(1) == b""
        sock.close()
    broker.client("after " + way)
    log = broker.wait_log(rf"(?s)\A.*Sending CONNACK to after {way}").group(0)
    log = log[log.rindex("Sending PUBACK to before"):]
    for source in sources:
        assert f":{source} " not in log
    assert log.count("New connection") == 1
