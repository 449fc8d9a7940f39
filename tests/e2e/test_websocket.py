# SPDX-License-Identifier: Apache-2.0
"""MQTT over WebSocket [MQTT-6], by hand: the handshake, frames, pings, refusals."""

import re
import struct
import time

import pytest

import raw
import ways
import ws
from conftest import IS_MOSQUITTO

PLAIN = """
allow_anonymous true
listener {port} 127.0.0.1
listener {port_ws} 127.0.0.1
protocol websockets
"""
CONFIG = PLAIN + """
listener {port_quick} 127.0.0.1
protocol websockets
websocket_ping_interval 1
websocket_ping_timeout 1
listener {port_never} 127.0.0.1
protocol websockets
websocket_ping_interval 0
listener {port_path} 127.0.0.1
protocol websockets
websocket_path /mqtt
listener {port_lenient} 127.0.0.1
protocol websockets
websocket_subprotocol lenient
listener {port_origin} 127.0.0.1
protocol websockets
websockets_origin https://good.example
"""
noctule_only = pytest.mark.noctule_only
PINGREQ = raw.packet(raw.PINGREQ)


def dial(broker, port="port_ws"):
    sock = ways.dial_tcp(broker.names[port])
    broker.clients.append(sock)
    return sock


def open_ws(broker, port="port_ws", head=None):
    return ws.WebSocket(dial(broker, port), head=head)


def open_client(broker, port="port_ws", version=4):
    return raw.Raw(0, version, sock=open_ws(broker, port))


def refused(broker, data, port="port_ws"):
    """Send a request that is refused: the answer up to the end, and the log's lines about it."""
    before = len(broker.log().splitlines())  # a source port may come a second time
    sock = dial(broker, port)
    source = sock.getsockname()[1]
    sock.sendall(data)
    answer = ws.read_answer(sock, to_end=True)
    broker.wait_log(rf"127\.0\.0\.1:{source} .*refused")
    time.sleep(0.05)
    lines = [line for line in broker.log().splitlines()[before:] if f"127.0.0.1:{source} " in line]
    return answer, [line for line in lines if "New connection" not in line]


def mqtt_works(sock):
    """Talk MQTT over an upgraded connection."""
    client = raw.Raw(0, sock=sock)
    client.connect("works")
    client.subscribe(("works", 0))
    client.publish("works", "yes")
    client.expect_message("works", "yes")


# ---- the handshake ----


def test_the_answer_is_mosquittos_to_the_byte(start_broker):
    broker = start_broker(PLAIN)
    sock = dial(broker)
    sock.sendall(ws.request())
    answer = ws.read_answer(sock)
    assert answer.raw == (
        b"HTTP/1.1 101 Switching Protocols\r\n"
        b"Upgrade: WebSocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + ws.ACCEPT.encode() + b"\r\n"
        b"Sec-WebSocket-Protocol: mqtt\r\n\r\n"
    )


@pytest.mark.parametrize("path", ["/", "/mqtt"])
def test_the_way_of_an_esp32(start_broker, path):
    broker = start_broker(PLAIN)
    sock = dial(broker)
    sock.sendall(
        f"GET {path} HTTP/1.1\r\n"
        "Connection: Upgrade\r\n"
        "Host: mqtt.example.org:443\r\n"
        "User-Agent: ESP32 Websocket Client\r\n"
        "Upgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: {ws.KEY}\r\n"
        "Sec-WebSocket-Protocol: mqtt\r\n\r\n".encode()
    )
    answer = ws.read_answer(sock)
    assert answer.status == 101 and answer.headers["sec-websocket-protocol"] == "mqtt"
    assert answer.headers["sec-websocket-accept"] == ws.ACCEPT and answer.rest == b""
    # CONNECT of MQTT 3.1.1: user name, password, clean session (0xC2), keep-alive 120 s.
    connect = (bytes.fromhex("102a 0004 4d515454 04 c2 0078") + raw.text("ESP32_a1b2c3") +
               raw.text("device") + raw.text("pa55word"))
    assert len(connect) == 2 + 0x2A
    sock.sendall(ws.frame(ws.BINARY, connect, mask=b"\x12\x34\x56\x78"))
    assert sock.recv(100) == bytes.fromhex("82 04 20020000")
    # QoS 1 SUBSCRIBE and PUBLISH, each in a frame of its own, then the ping that keeps it open.
    sock.sendall(ws.frame(ws.BINARY, raw.subscribe(1, [("esp/in", 1)]), mask=b"\0\0\0\0"))
    assert sock.recv(100) == bytes.fromhex("82 05 9003000101")
    sock.sendall(ws.frame(ws.BINARY, raw.publish("esp/out", "21.5", 1, 2)))
    assert sock.recv(100) == bytes.fromhex("82 04 40020002")
    sock.sendall(ws.frame(ws.BINARY, PINGREQ))
    assert sock.recv(100) == bytes.fromhex("82 02 d000")
    broker.client("other").publish("esp/in", "on", 0)
    assert sock.recv(100) == b"\x82\x0c" + raw.publish("esp/in", "on")
    # Mosquitto writes ::ffff:127.0.0.1 here.
    broker.wait_log(r"New client connected from \S*127\.0\.0\.1:\d+ as ESP32_a1b2c3 "
                    r"\(p2, c1, k120, u'device'\)")


MATRIX = {
    # what: (request, status, subprotocol or the word in the log)
    "mqtt": (ws.request(), 101, "mqtt"),
    "mqttv3.1": (ws.request(Sec_WebSocket_Protocol="mqttv3.1"), 101, "mqttv3.1"),
    "list": (ws.request(Sec_WebSocket_Protocol="mqtt, mqttv3.1"), 101, "mqtt"),
    "list-turned": (ws.request(Sec_WebSocket_Protocol="mqttv3.1, mqtt"), 101, "mqtt"),
    "list-with-unknown": (ws.request(Sec_WebSocket_Protocol="arduino,foo ,\tmqtt"), 101, "mqtt"),
    "two-lines": (ws.request(Sec_WebSocket_Protocol="arduino",
                             more=["sec-websocket-protocol: mqttv3.1"]), 101, "mqttv3.1"),
    "no-subprotocol": (ws.request(Sec_WebSocket_Protocol=None), 400, "no-subprotocol"),
    "arduino": (ws.request(Sec_WebSocket_Protocol="arduino"), 400, "unknown-subprotocol"),
    "mqttv3.1.1": (ws.request(Sec_WebSocket_Protocol="mqttv3.1.1"), 400, "unknown-subprotocol"),
    "prefix": (ws.request(Sec_WebSocket_Protocol="m"), 400, "unknown-subprotocol"),
    "upper-case": (ws.request(Sec_WebSocket_Protocol="MQTT"), 400, "unknown-subprotocol"),
    "plain-get": (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 426, "not-an-upgrade"),
    "health-path": (b"GET /healthz HTTP/1.1\r\nHost: a\r\nUser-Agent: kube-probe/1.30\r\n\r\n",
                    426, "not-an-upgrade"),
    "post": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", 405, "method"),
    "head-of-5000": (ws.request(more=["Cookie: " + "c" * 5000]), 101, "mqtt"),
    "head-of-12000": (ws.request(more=["Cookie: " + "c" * 12000]), 101, "mqtt"),
    "head-of-20000": (ws.request(more=["Cookie: " + "c" * 20000]), 431, "head-too-long"),
    "any-path": (ws.request("GET /some/where?a=b HTTP/1.1"), 101, "mqtt"),
    "forwarded": (ws.request(more=["X-Forwarded-For: 6.6.6.6", "CF-Connecting-IP: 6.6.6.6"]), 101,
                  "mqtt"),
    "stripped": (ws.request(Upgrade=None, Connection="close"), 426, "upgrade-stripped"),
    "stripped-by-nginx": (ws.request("GET / HTTP/1.0", Upgrade=None, Connection="close"), 426,
                          "upgrade-stripped"),
    "http-1.0": (ws.request("GET / HTTP/1.0"), 426, "http-1.0"),
    "http-2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "http-version"),
    "connection-keep-alive": (ws.request(Connection="keep-alive"), 426, "connection-not-upgrade"),
    "version-8": (ws.request(Sec_WebSocket_Version="8"), 426, "websocket-version"),
    "no-version": (ws.request(Sec_WebSocket_Version=None), 426, "websocket-version"),
    "no-key": (ws.request(Sec_WebSocket_Key=None), 400, "bad-key"),
    "short-key": (ws.request(Sec_WebSocket_Key="c2hvcnQ="), 400, "bad-key"),
    "two-keys": (ws.request(more=["Sec-WebSocket-Key: " + ws.KEY]), 400, "bad-key"),
    "no-host": (ws.request(Host=None), 400, "bad-host"),
    "two-hosts": (ws.request(more=["Host: b"]), 400, "bad-host"),
    "body": (ws.request(more=["Content-Length: 5"]) + b"hello", 400, "request-body"),
    "malformed": (b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400, "malformed"),
    "bare-line-feeds": (b"GET / HTTP/1.1\nHost: a\n\n", 400, "malformed"),
    "201-lines": (ws.request(more=[f"X-{n}: 1" for n in range(201)]), 431, "too-many-headers"),
    "proxy-protocol": (b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n" + ws.request(), 400, "proxy-header"),
    "garbage": (b"\x00\x01\x02\x03 garbage of no protocol\r\n\r\n", 400, "not-http"),
}


@noctule_only
@pytest.mark.parametrize("what", MATRIX)
def test_upgrades(broker, what):
    data, status, expected = MATRIX[what]
    if status == 101:
        upgraded = open_ws(broker, head=data)
        assert upgraded.answer.headers["sec-websocket-protocol"] == expected
        assert len(upgraded.answer.lines) == 5
        mqtt_works(upgraded)
        return
    answer, lines = refused(broker, data)
    assert answer.status == status
    assert answer.rest.endswith(b"\n") and answer.rest.count(b"\n") == 1
    assert int(answer.headers["content-length"]) == len(answer.rest)
    assert "close" in answer.headers["connection"]
    if status == 426:  # RFC 9110, 15.5.22 and 7.8; RFC 6455, 4.4
        assert answer.headers["upgrade"] == "websocket"
        assert "Upgrade" in answer.headers["connection"]
        assert answer.headers["sec-websocket-version"] == "13"
    if status == 405:
        assert answer.headers["allow"] == "GET"
    assert len(lines) == 1, lines
    assert f" {expected}: " in lines[0] and str(status) in lines[0], lines


@noctule_only
def test_the_log_says_who_asked_for_what(broker):
    data = ws.request("GET /chat?token=x HTTP/1.1", more=["User-Agent: Toy/1"],
                      Sec_WebSocket_Protocol="chat, superchat")
    _, (line,) = refused(broker, data)
    for part in ("127.0.0.1:", str(broker.names["port_ws"]), "/chat", "chat, superchat", "Toy/1"):
        assert part in line
    assert "token=x" not in line, "queries may hold secrets"


@noctule_only
def test_what_a_peer_sends_is_escaped_in_the_log(broker):
    _, (line,) = refused(broker, ws.request("GET /a\xffc HTTP/1.1",
                                            more=["User-Agent: a\tb\x9b[31mc"],
                                            Sec_WebSocket_Protocol="x"))
    assert re.search(r"a\tb\\x9b\[31mc", line) and "\x9b" not in line, line


@noctule_only
def test_only_the_configured_path(broker):
    mqtt_works(open_ws(broker, "port_path", ws.request("GET /mqtt?x=1 HTTP/1.1")))
    answer, (line,) = refused(broker, ws.request("GET /other HTTP/1.1"), "port_path")
    assert answer.status == 404 and " path: " in line and "/other" in line


@noctule_only
@pytest.mark.parametrize("offer", [None, "arduino", "m"])
def test_lenient_takes_any_subprotocol_and_echoes_none(broker, offer):
    upgraded = open_ws(broker, "port_lenient", ws.request(Sec_WebSocket_Protocol=offer))
    assert "sec-websocket-protocol" not in upgraded.answer.headers
    upgraded.send_frame(ws.TEXT, PINGREQ[:0])
    mqtt_works(upgraded)


@noctule_only
def test_only_listed_origins(broker):
    mqtt_works(open_ws(broker, "port_origin", ws.request(Origin="https://good.example")))
    mqtt_works(open_ws(broker, "port_origin", ws.request()))  # no browser
    answer, (line,) = refused(broker, ws.request(Origin="https://evil.example"), "port_origin")
    assert answer.status == 403 and " origin: " in line


@pytest.mark.parametrize("change", [str.lower, str.upper, str.title], ids=["low", "up", "title"])
def test_header_names_and_tokens_in_any_case(start_broker, change):
    broker = start_broker(PLAIN)
    head = ["GET / HTTP/1.1"]
    for name, value in ws.HEADERS.items():
        is_token = name in ("Upgrade", "Connection")
        head.append(f"{change(name)}: {change(value) if is_token else value}")
    mqtt_works(open_ws(broker, head=("\r\n".join(head) + "\r\n\r\n").encode()))


@noctule_only
def test_connection_may_name_more_than_upgrade(broker):
    mqtt_works(open_ws(broker, head=ws.request(Connection="keep-alive, Upgrade")))
    mqtt_works(open_ws(broker, head=ws.request(Connection="close",
                                               more=["Connection:upgrade , x"])))


BEGIN = ws.request() + ws.frame(ws.BINARY, raw.connect("split")) + ws.frame(ws.BINARY, PINGREQ)
CONNACK_FRAME, PINGRESP_FRAME = b"\x82\x04\x20\x02\x00\x00", b"\x82\x02\xd0\x00"


def read_begin(sock):
    """101, CONNACK and PINGRESP, the packets in one frame or in two."""
    answer = ws.read_answer(sock)
    assert answer.status == 101
    rest = answer.rest
    while len(rest) < 8:
        part = sock.recv(100)
        assert part, "closed"
        rest += part
    if rest[1] == 6:
        assert rest == b"\x82\x06" + CONNACK_FRAME[2:] + PINGRESP_FRAME[2:]
        return
    while len(rest) < 10:
        rest += sock.recv(100)
    assert rest == CONNACK_FRAME + PINGRESP_FRAME


@noctule_only
def test_the_connect_may_come_with_the_request(broker):
    sock = dial(broker)
    sock.sendall(BEGIN)
    read_begin(sock)


@noctule_only
def test_the_beginning_may_be_split_anywhere(broker):
    for at in range(1, len(BEGIN)):
        sock = dial(broker)
        sock.sendall(BEGIN[:at])
        time.sleep(0.002)
        sock.sendall(BEGIN[at:])
        try:
            read_begin(sock)
        except (AssertionError, TimeoutError) as error:
            raise AssertionError(f"split at {at} of {len(BEGIN)}: {error}") from None
        sock.close()


@noctule_only
def test_the_beginning_may_come_byte_by_byte(broker):
    sock = dial(broker)
    for at in range(len(BEGIN)):
        sock.sendall(BEGIN[at : at + 1])
        time.sleep(0.0005)
    read_begin(sock)


@noctule_only
def test_a_head_of_16_kib_and_no_byte_more(broker):
    short = len(ws.request(more=["Cookie: "]))
    fits = ws.request(more=["Cookie: " + "c" * (16384 - short)])
    assert len(fits) == 16384
    mqtt_works(open_ws(broker, head=fits))
    answer, (line,) = refused(broker, ws.request(more=["Cookie: " + "c" * (16385 - short)]))
    assert answer.status == 431 and "head-too-long" in line


# ---- pings ----


@noctule_only
def test_a_quiet_line_is_pinged_and_lives_on(broker):
    upgraded = open_ws(broker, "port_quick")
    upgraded.send_frame(ws.BINARY, raw.connect("quiet", keepalive=0))
    assert upgraded.read_frame() == (0x82, CONNACK_FRAME[2:])
    for _ in range(3):
        before = time.monotonic()
        first, payload = upgraded.read_frame(10)
        assert first == 0x80 | ws.PING and time.monotonic() - before > 0.8
        upgraded.send_frame(ws.PONG, payload)
    upgraded.send_frame(ws.BINARY, PINGREQ)
    assert upgraded.read_frame() == (0x82, PINGRESP_FRAME[2:])


@noctule_only
def test_who_does_not_answer_a_ping_is_closed(broker):
    watcher = broker.client("watcher")
    watcher.subscribe(("gone", 0))
    upgraded = open_ws(broker, "port_quick")
    upgraded.send_frame(ws.BINARY, raw.connect("deaf", keepalive=0,
                                               will={"topic": "gone", "payload": "deaf"}))
    before = time.monotonic()
    watcher.expect_message("gone", "deaf", 15)
    assert time.monotonic() - before > 1.5
    with pytest.raises(raw.Closed):
        while True:
            upgraded.read_frame()
    broker.wait_log("deaf .*WebSocket ping")


@noctule_only
def test_what_the_broker_sends_does_not_hide_a_dead_peer(broker):
    upgraded = open_ws(broker, "port_quick")
    client = raw.Raw(0, sock=upgraded)
    client.connect("deaf listener", keepalive=0)
    client.subscribe(("busy", 0))
    sender = broker.client("busy sender")
    deadline = time.monotonic() + 15
    with pytest.raises(raw.Closed):
        while time.monotonic() < deadline:
            sender.publish("busy", "x")
            # Quiet for long enough to be pinged, but not for so long as an answer may take.
            pause = time.monotonic() + (1.4 if not client.waiting else 0.7)
            while time.monotonic() < pause:
                try:
                    first, _ = upgraded.read_frame(max(0.01, pause - time.monotonic()))
                    if first == 0x80 | ws.PING:
                        client.waiting.append("pinged")
                except TimeoutError:
                    pass


@noctule_only
def test_a_busy_line_is_not_pinged(broker):
    client = open_client(broker, "port_quick")
    client.connect("busy")
    longest = 0
    for _ in range(8):
        before = time.monotonic()
        client.expect_nothing(0.3)
        longest = max(longest, time.monotonic() - before)
    assert client.sock.pings == 0 or longest > 0.8  # we have been too slow ourselves


@noctule_only
def test_pings_can_be_switched_off(start_broker):
    broker = start_broker("workers 4\n" + CONFIG)
    opened = [open_client(broker, "port_never") for _ in range(8)]
    for number, client in enumerate(opened):  # on several workers, some handed over
        client.connect(f"never {number}")
    time.sleep(1.5)
    for client in opened:
        client.expect_nothing(0.01)
        assert client.sock.pings == 0


# ---- frames ----


@pytest.fixture
def upgraded(broker):
    """An upgraded connection with a connected client."""
    one = open_ws(broker)
    one.send_frame(ws.BINARY, raw.connect("frames"))
    assert one.read_frame() == (0x82, CONNACK_FRAME[2:])
    return one


@noctule_only
def test_a_ping_is_answered_with_its_payload(upgraded):
    for payload in (b"", b"hello", bytes(range(125))):
        upgraded.send_frame(ws.PING, payload)
        assert upgraded.read_frame() == (0x80 | ws.PONG, payload)
    upgraded.send_frame(ws.PONG, b"unasked")  # RFC 6455, 5.5.3: no answer
    upgraded.send_frame(ws.PING, b"next")
    assert upgraded.read_frame() == (0x80 | ws.PONG, b"next")


@noctule_only
def test_a_packet_in_fragments_with_control_frames_between(upgraded):
    data = raw.subscribe(1, [("f", 0)]) + raw.publish("f", "x" * 300)
    parts = [data[at : at + 25] for at in range(0, len(data), 25)]
    for number, part in enumerate(parts):
        upgraded.send_frame(ws.CONTINUATION if number else ws.BINARY, part,
                            last=number == len(parts) - 1)
        upgraded.send_frame(ws.PING, str(number))
    got = b""
    pongs = []
    last = str(len(parts) - 1).encode()
    while last not in pongs or len(got) < 5 + 306:
        first, payload = upgraded.read_frame()
        if first == 0x80 | ws.PONG:
            pongs.append(payload)
        else:
            assert first == 0x82
            got += payload
    # Of several pings that come at once the last one may be answered alone (RFC 6455, 5.5.3).
    assert pongs == sorted(pongs, key=int)
    assert got == bytes([0x90, 3, 0, 1, 0]) + raw.publish("f", "x" * 300)


@noctule_only
def test_empty_fragments_are_fine(upgraded):
    upgraded.send_frame(ws.BINARY, b"", last=False)
    upgraded.send_frame(ws.CONTINUATION, PINGREQ[:1], last=False)
    upgraded.send_frame(ws.CONTINUATION, b"", last=False)
    upgraded.send_frame(ws.CONTINUATION, PINGREQ[1:], last=True)
    upgraded.send_frame(ws.BINARY, b"")
    assert upgraded.read_frame() == (0x82, PINGRESP_FRAME[2:])


@noctule_only
def test_several_packets_in_a_frame(upgraded):
    upgraded.send_frame(ws.BINARY, raw.subscribe(1, [("s", 1)]) + PINGREQ +
                        b"".join(raw.publish("s", str(n), 1, n) for n in range(1, 51)) + PINGREQ)
    client = raw.Raw(0, sock=upgraded)
    kinds = []
    while kinds.count(raw.PUBLISH) < 20 or kinds.count(raw.PUBACK) < 50:
        kinds.append(client.receive().kind)
    assert kinds[:2] == [raw.SUBACK, raw.PINGRESP]


@noctule_only
@pytest.mark.parametrize("size", [1, 2, 7])
def test_a_packet_over_many_frames(upgraded, size):
    data = raw.subscribe(1, [("m", 0)]) + raw.publish("m", bytes(200))
    for at in range(0, len(data), size):  # MQTT-6.0.0-2: packets need not match frames
        upgraded.send_frame(ws.BINARY, data[at : at + size])
    client = raw.Raw(0, sock=upgraded)
    client.expect(raw.SUBACK)
    client.expect_message("m", bytes(200))


@noctule_only
@pytest.mark.parametrize("size", [100, 125, 126, 65535, 65536, 1_000_000])
def test_frames_of_all_sizes(upgraded, size):
    client = raw.Raw(0, sock=upgraded, timeout=10)
    client.subscribe(("sizes", 0))
    payload = bytes(n % 251 for n in range(size - 7 - len(raw.varint(size))))
    client.publish("sizes", payload)
    client.expect_message("sizes", payload)


@noctule_only
def test_every_mask_is_undone(upgraded):
    for mask in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x01\x02\x03\x04", b"\x80\0\0\x01"):
        upgraded.send_frame(ws.BINARY, PINGREQ, mask=mask)
        assert upgraded.read_frame() == (0x82, PINGRESP_FRAME[2:])


BAD_FRAMES = {
    # what: (bytes, close code) as RFC 6455, 5 and 7.4.1 have it
    "unmasked": (ws.frame(ws.BINARY, PINGREQ, mask=b""), 1002),
    "rsv1": (ws.frame(ws.BINARY, PINGREQ, rsv=4), 1002),
    "rsv3": (ws.frame(ws.PING, rsv=1), 1002),
    "text": (ws.frame(ws.TEXT, "hello"), 1003),
    "opcode-3": (ws.frame(3, PINGREQ), 1002),
    "opcode-15": (ws.frame(15), 1002),
    "long-ping": (ws.frame(ws.PING, bytes(126)), 1002),
    "ping-in-parts": (ws.frame(ws.PING, b"a", last=False), 1002),
    "continuation-of-nothing": (ws.frame(ws.CONTINUATION, PINGREQ), 1002),
    "interleaved": (ws.frame(ws.BINARY, PINGREQ, last=False) + ws.frame(ws.BINARY, PINGREQ), 1002),
    "length-not-shortest": (ws.frame(ws.BINARY, PINGREQ, size_form=126), 1002),
    "length-not-shortest-64": (ws.frame(ws.BINARY, PINGREQ, size_form=127), 1002),
    "length-of-2^63": (b"\x82\xff" + struct.pack(">Q", 1 << 63) + bytes(8), 1002),
    "close-of-one-byte": (ws.frame(ws.CLOSE, b"\x03"), 1002),
    "close-with-1005": (ws.frame(ws.CLOSE, struct.pack(">H", 1005)), 1002),
    "close-reason-no-utf8": (ws.frame(ws.CLOSE, struct.pack(">H", 1000) + b"\xff\xfe"), 1007),
}


@noctule_only
@pytest.mark.parametrize("what", BAD_FRAMES)
def test_bad_frames_end_the_connection(broker, upgraded, what):
    data, code = BAD_FRAMES[what]
    source = upgraded.sock.getsockname()[1]
    upgraded.sock.sendall(data)
    assert upgraded.expect_close() == code
    broker.wait_log(rf"127\.0\.0\.1:{source} as frames(.|\n)*Client frames .*disconnected")


# ---- the end ----


@noctule_only
@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
def test_a_close_frame_is_answered_with_its_code(upgraded, code):
    upgraded.send_frame(ws.CLOSE, struct.pack(">H", code) + b"bye")
    assert upgraded.expect_close() == code


@noctule_only
def test_an_empty_close_frame_is_answered(upgraded):
    upgraded.send_frame(ws.CLOSE)
    assert upgraded.expect_close() in (1000, 1005)


@noctule_only
def test_a_close_frame_may_come_split(upgraded):
    for byte in ws.frame(ws.CLOSE, struct.pack(">H", 1000)):
        upgraded.sock.sendall(bytes([byte]))
        time.sleep(0.002)
    assert upgraded.expect_close() == 1000


@noctule_only
def test_after_disconnect_the_broker_closes_with_1000(upgraded):
    upgraded.send_frame(ws.BINARY, raw.disconnect())
    assert upgraded.expect_close() == 1000


@noctule_only
def test_a_refused_connect_ends_with_connack_and_close_frame(broker):
    upgraded = open_ws(broker)
    upgraded.send_frame(ws.BINARY, raw.connect("", clean=False))
    assert upgraded.read_frame() == (0x82, b"\x20\x02\x00\x02")
    assert upgraded.expect_close() in (1000, 1002, 1008)


@noctule_only
def test_a_disconnect_of_the_broker_comes_before_its_close_frame(broker):
    upgraded = open_ws(broker)
    upgraded.send_frame(ws.BINARY, raw.connect("v5", version=5))
    upgraded.read_frame()
    upgraded.send_frame(ws.BINARY, raw.connect("v5", version=5))  # a second CONNECT
    first, payload = upgraded.read_frame()
    assert first == 0x82 and payload[:3] == bytes([0xE0, payload[1], 0x82])
    assert 1000 <= upgraded.expect_close() <= 1008


@pytest.mark.parametrize("way", ["cut", "close frame"])
def test_the_end_without_disconnect_publishes_the_will(start_broker, way):
    broker = start_broker(PLAIN)
    watcher = broker.client("watcher")
    watcher.subscribe(("will", 0))
    upgraded = open_ws(broker)
    upgraded.send_frame(ws.BINARY, raw.connect("w", will={"topic": "will", "payload": way}))
    upgraded.read_frame()
    if way == "cut":
        upgraded.close()
    else:
        upgraded.send_frame(ws.CLOSE, struct.pack(">H", 1000))
    watcher.expect_message("will", way)


def test_both_kinds_of_client_share_topics(start_broker, version):
    broker = start_broker(PLAIN)
    other = broker.client("tcp", version)
    other.subscribe(("a/+", 2))
    client = open_client(broker, version=version)
    client.connect("ws")
    client.subscribe(("b/#", 2))
    for number in range(30):
        client.publish("a/x", f"up {number}", 1)
        other.publish("b/y", f"down {number}", 2)
        message = other.expect_message("a/x", f"up {number}")
        other.acknowledge(message)
        message = client.expect_message("b/y", f"down {number}")
        client.acknowledge(message)


def test_a_burst_arrives_in_order(start_broker):
    broker = start_broker(PLAIN + "max_queued_messages 5000\n")
    client = open_client(broker)
    client.connect("burst")
    client.subscribe(("burst", 1))
    sender = broker.client("sender")
    for number in range(2000):
        sender.send(raw.publish("burst", str(number), 1, number + 1))
    for number in range(2000):
        message = client.expect_message("burst", str(number))
        client.acknowledge(message)


def test_half_a_request_is_cut_in_time(start_broker):
    if IS_MOSQUITTO:
        pytest.skip("Mosquitto takes 30 s")
    broker = start_broker("connect_timeout 1\n" + PLAIN)
    started = []
    for data in (b"", b"G", b"GET / HTTP/1.1\r\nHost: a\r\n", ws.request(), BEGIN[:-30]):
        sock = dial(broker)
        sock.sendall(data)
        started.append((sock, data, time.monotonic()))
    for sock, data, before in started:
        answer = ws.read_answer(sock, timeout=12, to_end=True)
        assert answer.status in ((101,) if b"\r\n\r\n" in data else (None, 408)), answer.lines
        assert time.monotonic() - before > 0.5


@noctule_only
def test_half_a_request_is_one_line_with_what_had_come(start_broker):
    broker = start_broker("connect_timeout 1\n" + PLAIN)
    for data, fields in (
            (b"GET /half HTTP/1.1\r\nHost: a\r\nUser-Agent: esp\r\nSec-Web",
             " (method 'GET', path '/half', subprotocols '', user agent 'esp')"),
            (b"GET /ha", "")):
        _, lines = refused(broker, data)
        assert len(lines) == 1, lines
        assert "refused: 408 head-timeout: " in lines[0] and lines[0].endswith(fields), lines
    # Without a byte of a request, and behind one, it is the CONNECT that does not come.
    sock = dial(broker)
    source = sock.getsockname()[1]
    sock.sendall(ws.request())
    ws.read_answer(sock, to_end=True)
    broker.wait_log(rf"127\.0\.0\.1:{source} has exceeded timeout.*no CONNECT in time")


def test_more_than_the_limit_is_told_so(start_broker):
    if IS_MOSQUITTO:
        pytest.skip("Mosquitto closes in silence")
    broker = start_broker("listener {port} 127.0.0.1\nallow_anonymous true\n"
                          "listener {port_ws} 127.0.0.1\nprotocol websockets\nmax_connections 2\n")
    kept = [open_ws(broker), open_ws(broker)]
    sock = dial(broker)
    sock.sendall(ws.request())
    answer = ws.read_answer(sock, to_end=True)
    assert answer.status == 503 and int(answer.headers["retry-after"]) > 0
    broker.wait_log("refused: 503 at-limit")
    for one in kept:
        mqtt_works(one)


# ---- who the proxies say it is ----

CLAIMS = {"X_Forwarded_For": "203.0.113.9, 198.51.100.2", "CF_Ray": "8f2a-FRA"}
CLAIMED = "forwarded for '203.0.113.9, 198.51.100.2', ray '8f2a-FRA'"


@noctule_only
def test_what_a_proxy_claims_is_logged_of_an_upgrade(broker):
    open_ws(broker, head=ws.request("GET /claimed HTTP/1.1", **CLAIMS))
    broker.wait_log(rf"WebSocket upgrade from 127\.0\.0\.1:\d+: path '/claimed'.*, {CLAIMED}\n")
    open_ws(broker, head=ws.request("GET /unclaimed HTTP/1.1"))
    line = broker.wait_log(".*path '/unclaimed'.*").group(0)
    assert "forwarded" not in line and "ray" not in line


@noctule_only
def test_what_a_proxy_claims_is_logged_of_a_refusal(broker):
    answer, lines = refused(broker, ws.request(Sec_WebSocket_Protocol="foo", **CLAIMS))
    assert answer.status == 400
    assert len(lines) == 1 and lines[0].endswith(f", {CLAIMED})"), lines


@noctule_only
def test_a_claim_cannot_pass_for_something_else(broker):
    claim = "1.2.3.4' (user 'root') \x80" + "9" * 200
    _, lines = refused(broker, ws.request(Sec_WebSocket_Protocol="foo", X_Forwarded_For=claim))
    assert "forwarded for '1.2.3.4? ?user ?root?? ?999" in lines[0]
    assert "9" * 100 not in lines[0]


@noctule_only
def test_claims_are_seen_without_verbose_lines(start_broker):
    broker = start_broker("log_type notice\nlistener {port_tcp} 127.0.0.1\n"
                          "listener {port} 127.0.0.1\nprotocol websockets\n",
                          arguments=["-c", "broker.conf"])
    open_ws(broker, "port", head=ws.request(**CLAIMS))
    broker.wait_log(CLAIMED)
