# SPDX-License-Identifier: Apache-2.0
"""sub while nobody takes its output: what has a time still happens."""

import threading

import raw
import test_client_rough as rough
from test_client_rough import start  # noqa: F401, a fixture


def flood(sock, version, pings):
    """A server whose client gets more than its standard output takes; counts its PINGREQs."""
    sock.recv(4096)
    sock.sendall(rough.CONNACK if version == 4 else bytes([0x20, 6, 0, 0, 3, 0x13, 0, 1]))
    sock.recv(4096)
    sock.sendall(rough.SUBACK if version == 4 else bytes([0x90, 4, 0, 1, 0, 0]))
    message = raw.publish("t", b"x" * 20000, version=version)
    threading.Thread(target=sock.sendall, args=(message * 30,), daemon=True).start()
    while chunk := sock.recv(4096):
        pings.extend([b"ping"] * chunk.count(b"\xc0\0"))
    pings.append(b"end")


def test_the_time_of_sub_counts_though_nobody_takes_its_output(start):
    with rough.Server(lambda _, sock: flood(sock, 4, [])) as server:
        sub = start("sub", *rough.to(server.port), "-t", "t", "-W", "1")
        assert sub.wait(rough.SECONDS) == 27
        assert sub.stderr.read() == b"Timed out\n"


def test_a_sub_whose_output_is_stuck_keeps_its_connection(start):
    """The server wants a sign of life each second. Nothing is lost, and it does not spin."""
    pings = []
    with rough.Server(lambda _, sock: flood(sock, 5, pings)) as server:
        sub = start("sub", *rough.to(server.port), "-t", "t", "-V", "5", "-C", "30")
        rough.wait_until(lambda: len(pings) >= 2)
        before = rough.cpu_seconds(sub)
        rough.wait_until(lambda: len(pings) >= 4)
        assert rough.cpu_seconds(sub) - before < 0.5
        assert b"end" not in pings
        assert sub.communicate(timeout=rough.SECONDS) == ((b"x" * 20000 + b"\n") * 30, b"")
        assert sub.returncode == 0
