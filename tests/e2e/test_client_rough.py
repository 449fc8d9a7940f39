# SPDX-License-Identifier: Apache-2.0
"""pub, sub and rr where their surroundings are bad: streams that are closed or stuck, servers
that hang, come and go, or send what would move a terminal's cursor."""

import array
import fcntl
import os
import queue
import signal
import socket
import ssl
import subprocess
import termios
import threading
import time

import pytest

import raw
import ways
from conftest import IS_MOSQUITTO, PROGRAM, SLOWER, TOP

TOOL = PROGRAM if not IS_MOSQUITTO else os.path.join(TOP, "build", "noctule")
SECONDS = 30 * SLOWER
CONFIG = """
listener {port} 127.0.0.1
allow_anonymous true
max_queued_messages 0
"""
CONNACK = bytes([0x20, 2, 0, 0])
SUBACK = bytes([0x90, 3, 0, 1, 0])


def to(port):
    return ["-h", "127.0.0.1", "-p", str(port)]


class Server:
    """serve(number, socket) for each client that comes, each in a thread of its own."""

    def __init__(self, serve, host="127.0.0.1"):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.create_server((host, 0), family=family)
        self.port = self.listener.getsockname()[1]
        self.count = 0
        self.serve = serve
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        try:
            while True:
                sock, _ = self.listener.accept()
                threading.Thread(target=self.one, args=(self.count, sock), daemon=True).start()
                self.count += 1
        except OSError:
            pass

    def one(self, number, sock):
        try:
            with sock:
                self.serve(number, sock)
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


@pytest.fixture
def start():
    """start(words..., options of Popen): is killed at the end if it still runs."""
    started = []

    def run(*words, **options):
        environment = {**os.environ, "HOME": "/nonexistent"}
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
                   "stderr": subprocess.PIPE, "env": environment, **options}
        started.append(subprocess.Popen([TOOL, *words], **options))
        return started[-1]

    yield run
    for one in started:
        if one.poll() is None:
            one.kill()
        one.wait()
        for stream in (one.stdin, one.stdout, one.stderr):
            if stream is not None:
                stream.close()


def wait_until(is_so):
    deadline = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def cpu_seconds(process):
    with open(f"/proc/{process.pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def closed(*numbers):
    """Without these streams: the first thing that is opened gets their numbers."""
    def close():
        for number in numbers:
            os.close(number)
    return close


# ---- streams ----


def test_lines_from_a_closed_stream_are_an_error(broker, topic, start):
    """And the socket does not take its place."""
    pub = start("pub", *to(broker.port), "-t", topic, "-l", stdin=None, preexec_fn=closed(0))
    _, err = pub.communicate(timeout=SECONDS)
    assert (pub.returncode, err) == (1, b"Error: Unable to read standard input: Bad file descriptor.\n")


def test_lines_that_cannot_be_read_are_an_error(broker, topic, start):
    folder = os.open("/", os.O_RDONLY)
    pub = start("pub", *to(broker.port), "-t", topic, "-l", stdin=folder)
    os.close(folder)
    _, err = pub.communicate(timeout=SECONDS)
    assert (pub.returncode, err) == (1, b"Error: Unable to read standard input: Is a directory.\n")


def test_a_line_without_end_is_an_error(broker, topic, start):
    with open("/dev/zero", "rb") as endless:
        pub = start("pub", *to(broker.port), "-t", topic, "-l", stdin=endless)
        assert pub.wait(SECONDS) == 1
    assert b"too large" in pub.stderr.read()


def test_output_does_not_go_into_the_connection(start):
    came = []

    def serve(_, sock):
        sock.recv(4096)
        sock.sendall(CONNACK)
        sock.recv(4096)
        sock.sendall(SUBACK + raw.publish("t", b"spilled"))
        while chunk := sock.recv(4096):
            came.append(chunk)

    with Server(serve) as server:
        sub = start("sub", *to(server.port), "-t", "t", "-C", "1", stdin=None, stdout=None,
                    preexec_fn=closed(0, 1))
        _, err = sub.communicate(timeout=SECONDS)
    assert (sub.returncode, err) == (1, b"Error: cannot write the output: Bad file descriptor\n")
    assert b"spilled" not in b"".join(came)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_sub_though_nobody_takes_its_output(broker, topic, start, number):
    sub = start("sub", *to(broker.port), "-t", topic)
    publisher = broker.client("stuck-" + topic.replace("/", "-"))
    in_pipe = array.array("i", [0])
    samples = []

    def is_stuck():
        """The pipe is filled, and that for a while."""
        publisher.send(raw.publish(topic, b"x" * 20000))
        fcntl.ioctl(sub.stdout, termios.FIONREAD, in_pipe)
        samples.append(in_pipe[0])
        return samples[-1] > 20000 and samples[-1:] * 10 == samples[-10:]

    wait_until(is_stuck)
    sub.send_signal(number)
    assert sub.wait(SECONDS) == 0


# ---- servers that hang, and that come and go ----


def test_waiting_for_a_connack_takes_no_cpu_time(start):
    """After a connection in which there was something to wake up for."""
    hung = threading.Event()

    def serve(number, sock):
        sock.recv(4096)
        if number > 0:
            hung.set()
            while sock.recv(4096):
                pass
            return
        sock.sendall(CONNACK)
        sock.recv(4096)
        sock.sendall(SUBACK)

    with Server(serve) as server:
        sub = start("sub", *to(server.port), "-t", "t", "--stats")
        assert hung.wait(SECONDS)
        before = cpu_seconds(sub)
        time.sleep(2.5)  # its wake-up of the second before is over
        assert cpu_seconds(sub) - before < 0.5


def test_input_that_waits_for_a_connack_takes_no_cpu_time(start):
    hung = threading.Event()

    def serve(number, sock):
        sock.recv(4096)
        if number > 0:
            hung.set()
            while sock.recv(4096):
                pass
            return
        sock.sendall(CONNACK)
        sock.recv(4096)

    with Server(serve) as server:
        pub = start("pub", *to(server.port), "-t", "t", "-l", stdin=subprocess.PIPE)
        pub.stdin.write(b"one\n")
        pub.stdin.flush()
        assert hung.wait(SECONDS)
        pub.stdin.write(b"two\n")
        pub.stdin.flush()
        before = cpu_seconds(pub)
        time.sleep(2)
        assert cpu_seconds(pub) - before < 0.5


def test_a_server_that_drops_us_each_time_is_not_hammered(start):
    def serve(_, sock):
        sock.recv(4096)
        sock.sendall(CONNACK)
        sock.recv(4096)

    with Server(serve) as server:
        start("sub", *to(server.port), "-t", "t", stderr=subprocess.DEVNULL)
        wait_until(lambda: server.count > 0)
        time.sleep(3)
        assert server.count < 30


def wait_until_full(sock):
    """Until no more comes in, though nothing is read: the other side is stuck."""
    before = -1
    waiting = array.array("i", [0])
    while waiting[0] == 0 or waiting[0] != before:
        before = waiting[0]
        time.sleep(0.1)
        fcntl.ioctl(sock, termios.FIONREAD, waiting)


@pytest.mark.parametrize("is_tls", [False, True], ids=["tcp", "tls"])
def test_why_a_server_ended_it_is_told_though_it_takes_no_more(start, tmp_path, is_tls):
    """It says so and closes while we are sending: what it has not read makes a reset of that."""
    words = []
    if is_tls:
        ways.make_certificates(tmp_path)
        words = ["--cafile", str(tmp_path / "ca.crt")]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")

    def serve(_, sock):
        with context.wrap_socket(sock, server_side=True) if is_tls else sock as stream:
            stream.recv(4096)
            stream.sendall(bytes([0x20, 3, 0, 0, 0]))
            wait_until_full(stream)
            stream.sendall(bytes([0xe0, 2, 0x97, 0]))

    (tmp_path / "large").write_bytes(bytes(30_000_000))
    with Server(serve) as server:
        pub = start("pub", *to(server.port), *words, "-V", "5", "-t", "t",
                    "-f", str(tmp_path / "large"))
        assert b"quota exceeded" in pub.stderr.read()
        assert pub.wait() == 7


def test_the_host_header_has_no_zone(start):
    seen = queue.Queue()

    def serve(_, sock):
        seen.put(sock.recv(4096))

    with Server(serve, "::1") as server:
        start("pub", "--ws", "-h", "::1%1", "-p", str(server.port), "-t", "t", "-m", "x")
        assert b"\r\nHost: [::1]:%d\r\n" % server.port in seen.get(timeout=SECONDS)


# ---- what a server sends ----

EVIL = b"\x1b]0;x\x07\xc2\x9b31m"


@pytest.mark.parametrize("words", [["-d"], ["--tree"], ["--watch"], ["-F", "%J"]])
def test_nothing_that_a_terminal_obeys_is_shown_of_a_topic(start, words):
    """Not in what is said about messages; a format prints them as they are."""
    def serve(_, sock):
        sock.recv(4096)
        sock.sendall(CONNACK)
        sock.recv(4096)
        payload = EVIL if "--tree" in words or "--watch" in words else b"x"
        topic = b"t/" + EVIL
        body = len(topic).to_bytes(2, "big") + topic + payload
        sock.sendall(SUBACK + bytes([0x30, len(body)]) + body)
        while sock.recv(4096):
            pass

    if words == ["-d"]:
        words = ["-d", "-F", "%p"]
    with Server(serve) as server:
        sub = start("sub", *to(server.port), "-t", "#", "-C", "1", "-W", str(int(SECONDS)), *words)
        out, err = sub.communicate(timeout=SECONDS)
    assert b"t/" in out + err or b"t\n" in out
    for bad in (b"\x1b", b"\x07", b"\xc2\x9b"):
        assert bad not in out + err
