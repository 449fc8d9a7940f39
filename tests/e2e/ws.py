# SPDX-License-Identifier: Apache-2.0
"""WebSocket by hand (RFC 6455): requests, answers and frames as bytes.

Nothing here refuses to send what is wrong. WebSocket looks like a socket, so that
raw.Raw speaks MQTT over it.
"""

import base64
import hashlib
import os
import socket
import struct
import time

import raw

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # the example of RFC 6455, 1.3, and its answer:
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
HEADERS = {
    "Host": "broker.example.org",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": "mqtt",
}


def accept_of(key):
    digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    return base64.b64encode(digest).decode()


def request(start="GET / HTTP/1.1", more=(), **changes):
    """A good upgrade request; changes: Header_Name=value, or None to leave it out."""
    headers = dict(HEADERS)
    for name, value in changes.items():
        headers[name.replace("_", "-")] = value
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([start, *lines, *more, "", ""]).encode("latin-1")


def frame(opcode, payload=b"", last=True, mask=b"\x5a\x01\xff\x80", rsv=0, size_form=None):
    """size_form: the byte that says how the length is coded (126, 127), however short it is."""
    payload = raw.to_bytes(payload)
    n = len(payload)
    form = size_form or (n if n < 126 else 126 if n < 65536 else 127)
    head = bytes([(0x80 if last else 0) | rsv << 4 | opcode, (0x80 if mask else 0) | form])
    head += {126: struct.pack(">H", n & 0xFFFF), 127: struct.pack(">Q", n)}.get(form, b"")
    if mask:
        pattern = (mask * (n // 4 + 1))[:n]
        masked = int.from_bytes(payload, "big") ^ int.from_bytes(pattern, "big")
        return head + mask + masked.to_bytes(n, "big")
    return head + payload


class Answer:
    """What came back on a request, and the bytes that came behind its head."""

    def __init__(self, data):
        head, self.is_whole, self.rest = data.partition(b"\r\n\r\n")
        self.raw = head + self.is_whole
        self.lines = head.decode("latin-1").split("\r\n")
        words = self.lines[0].split(" ", 2)
        self.status = int(words[1]) if len(words) > 1 and words[0].startswith("HTTP/") else None
        self.headers = {}
        for line in self.lines[1:]:
            name, _, value = line.partition(":")
            self.headers[name.lower()] = value.strip()


def read_answer(sock, timeout=5, to_end=False):
    """The head of the answer; with to_end all until the peer closes. A reset counts as an end."""
    deadline = time.monotonic() + timeout
    data = b""
    while to_end or b"\r\n\r\n" not in data:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"no whole answer, only {data!r}")
        sock.settimeout(left)
        try:
            part = sock.recv(65536)
        except socket.timeout:
            raise TimeoutError(f"no whole answer, only {data!r}") from None
        except ConnectionError:
            break
        if not part:
            break
        data += part
    return Answer(data)


class WebSocket:
    """The client's side of an upgraded connection."""

    def __init__(self, sock, timeout=5, head=None):
        """Upgrade; head: the request, if it is to be another one than usual."""
        self.sock = sock
        self.timeout = timeout
        self.data = b""  # received and not decoded
        self.payload = b""  # of data frames, not taken yet
        self.pings = 0
        self.close_code = None  # of the server's close frame; 1005 without one in it
        key = base64.b64encode(os.urandom(16)).decode()
        sock.sendall(head or request(Sec_WebSocket_Key=key))
        self.answer = read_answer(sock, timeout)
        self.data = self.answer.rest
        assert self.answer.status == 101, self.answer.lines
        if head is None:
            assert self.answer.headers["sec-websocket-accept"] == accept_of(key)

    def send_frame(self, *words, **options):
        self.sock.sendall(frame(*words, **options))

    def need(self, n, deadline):
        while len(self.data) < n:
            left = deadline - time.monotonic()
            if left <= 0:
                raise socket.timeout
            self.sock.settimeout(left)
            try:
                part = self.sock.recv(65536)
            except ConnectionError:
                part = b""
            if not part:
                raise raw.Closed
            self.data += part

    def read_frame(self, timeout=None):
        """One frame: its first byte (FIN and opcode) and its payload. Answers nothing."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        self.need(2, deadline)
        first, second = self.data[0], self.data[1]
        assert second < 128, "a server must not mask (RFC 6455, 5.1)"
        more = {126: 2, 127: 8}.get(second, 0)
        self.need(2 + more, deadline)
        n = int.from_bytes(self.data[2 : 2 + more], "big") if more else second
        self.need(2 + more + n, deadline)
        payload = self.data[2 + more : 2 + more + n]
        self.data = self.data[2 + more + n :]
        return first, payload

    def expect_close(self, timeout=None):
        """Read to the server's close frame, then to the end of the connection. Its code."""
        while True:
            first, payload = self.read_frame(timeout)
            if first == 0x80 | CLOSE:
                code = int.from_bytes(payload[:2], "big") if payload else 1005
                try:
                    self.need(1, time.monotonic() + self.timeout)
                except raw.Closed:
                    return code
                raise AssertionError(f"{self.data!r} follows the close frame")

    # ---- as a socket ----

    def sendall(self, data):
        self.send_frame(BINARY, data)

    def recv(self, n):
        deadline = time.monotonic() + self.timeout
        while not self.payload:
            try:
                first, payload = self.read_frame(deadline - time.monotonic())
            except raw.Closed:
                return b""
            opcode = first & 15
            if opcode == PING:
                self.pings += 1
                self.send_frame(PONG, payload)
            elif opcode == CLOSE:
                self.close_code = int.from_bytes(payload[:2], "big") if payload else 1005
            elif opcode in (BINARY, CONTINUATION):
                self.payload += payload
            else:
                assert opcode == PONG, f"frame {first:#x}"
        out, self.payload = self.payload[:n], self.payload[n:]
        return out

    def settimeout(self, seconds):
        self.timeout = seconds

    def setsockopt(self, *_):
        """Whoever opened the socket has set what there is to set."""

    def fileno(self):
        return self.sock.fileno()

    def close(self):
        self.sock.close()
