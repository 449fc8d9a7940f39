# SPDX-License-Identifier: Apache-2.0
"""MQTT over WebSocket (6)."""

import pytest

import raw
import ways
import ws

CONFIG = """
allow_anonymous true
listener {port} 127.0.0.1
listener {port_ws} 127.0.0.1
protocol websockets
"""
PINGREQ = raw.packet(raw.PINGREQ)


@pytest.fixture
def sock(broker):
    """An upgraded connection."""
    plain = ways.dial_tcp(broker.names["port_ws"])
    broker.clients.append(plain)
    return ws.WebSocket(plain)


def test_subprotocol_is_mqtt(sock, version):
    """[MQTT-6.0.0-4]"""
    assert sock.answer.headers["sec-websocket-protocol"] == "mqtt"
    client = raw.Raw(0, version, sock=sock)
    assert client.connect("ws").reason == 0


@pytest.mark.noctule_only
@pytest.mark.parametrize("is_connected", [False, True])
def test_text_frames_end_the_connection(sock, is_connected):
    """[MQTT-6.0.0-1]"""
    if is_connected:
        raw.Raw(0, sock=sock).connect("ws")
    sock.send_frame(ws.TEXT, PINGREQ if is_connected else raw.connect("ws"))
    assert sock.expect_close() == 1003


@pytest.mark.noctule_only
@pytest.mark.parametrize("size", [1, 3, 10, 1000])
def test_packets_need_not_fit_frames(sock, topic, size):
    """[MQTT-6.0.0-2]: parts of packets, and several, in a frame; what comes back is binary."""
    data = (raw.connect("ws") + raw.subscribe(1, [(topic, 0)]) + raw.publish(topic, "x" * 300) +
            PINGREQ)
    for at in range(0, len(data), size):
        sock.send_frame(ws.BINARY, data[at : at + size])
    got = b""
    while not got.endswith(b"\xd0\0"):
        first, payload = sock.read_frame()
        assert first == 0x80 | ws.BINARY
        got += payload
    assert got == (b"\x20\2\0\0" + b"\x90\3\0\1\0" + raw.publish(topic, "x" * 300) + b"\xd0\0")
