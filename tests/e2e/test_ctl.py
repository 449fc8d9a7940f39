# SPDX-License-Identifier: Apache-2.0
"""`noctule ctl` and what a running broker answers it."""

import json
import os
import socket
import stat
import subprocess
import time

import pytest

from conftest import PLAIN, PROGRAM, Broker

pytestmark = pytest.mark.noctule_only

CONFIG = """
control_socket {dir}/control.sock
listener {port} 127.0.0.1
password_file {dir}/passwords
"""


def set_password(broker, name, password):
    subprocess.run(["mosquitto_passwd", "-b", os.path.join(broker.folder, "passwords"), name,
                    password], check=True, timeout=20)


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    running = Broker(tmp_path_factory.mktemp("broker"), CONFIG, files={"passwords": ""})
    set_password(running, "ann", "secret")
    try:
        running.start().wait_log("version .* running")  # the control socket is there, too
        yield running
    finally:
        running.stop()


def path_of(broker):
    return os.path.join(broker.folder, "control.sock")


def ctl(broker, *words):
    path = ["--socket", path_of(broker)]
    return subprocess.run([PROGRAM, "ctl", *path, *words], text=True, capture_output=True,
                          timeout=60)


def status(broker):
    done = ctl(broker, "--json", "status")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def ask(broker, request):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        sock.connect(path_of(broker))
        sock.sendall(request)
        answer = b""
        while part := sock.recv(65536):
            answer += part
    return json.loads(answer)


def test_status_tells_what_the_broker_does(broker):
    client = broker.client("one", user="ann", password="secret")
    client.subscribe(("a", 0), ("b/#", 0))
    client.publish("kept", "x", 1, retain=True)
    values = status(broker)
    assert values["pid"] == broker.process.pid
    assert (values["clients_connected"], values["subscriptions"]) == (1, 2)
    assert values["retained"] >= 1 and values["publish_received"] >= 1
    lines = ctl(broker, "status").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(values)
    assert ["pid", str(broker.process.pid)] in [line.split() for line in lines]


def test_reload_reads_the_password_file_again(broker):
    with broker.open() as early:
        assert early.connect("early", user="bob", password="new").reason == 5
    set_password(broker, "bob", "new")
    done = ctl(broker, "reload")
    assert done.returncode == 0 and "reloaded" in done.stdout, done.stderr
    broker.client("late", user="bob", password="new")
    assert status(broker)["reloads"] >= 1


def test_a_reload_that_fails_is_told(broker):
    path = os.path.join(broker.folder, "passwords")
    with open(path, encoding="utf-8") as good:
        text = good.read()
    failures = status(broker)["reloads_failed"]
    broker.write("passwords", text + "broken:$7$x$y$z\n")
    done = ctl(broker, "reload")
    assert (done.returncode, done.stdout) == (1, "") and "see the log" in done.stderr
    assert status(broker)["reloads_failed"] > failures
    broker.write("passwords", text)
    assert ctl(broker, "reload").returncode == 0
    broker.client("still", user="ann", password="secret")


def test_what_it_does_not_know_is_refused(broker):
    assert "unknown command" in ask(broker, b"dance\n")["error"]
    assert "error" in ask(broker, b"x" * 63)
    done = ctl(broker, "dance")
    assert done.returncode == 1 and "no command 'dance'" in done.stderr


def test_requests_in_pieces_and_many_of_them(broker):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        sock.connect(path_of(broker))
        for byte in b"status\n":
            sock.sendall(bytes([byte]))
        assert b'"pid"' in sock.recv(65536)
    for _ in range(50):
        assert "pid" in ask(broker, b"status\n")


def test_the_socket_is_its_owners_and_groups(broker):
    found = os.stat(path_of(broker))
    assert stat.S_ISSOCK(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o660
    assert found.st_uid == os.geteuid()


def test_nothing_to_connect_to_is_told(tmp_path):
    path = str(tmp_path / "none.sock")
    done = subprocess.run([PROGRAM, "ctl", "--socket", path, "status"], text=True,
                          capture_output=True, timeout=60)
    assert done.returncode == 1 and f"cannot connect to '{path}'" in done.stderr
    assert "is the broker running?" in done.stderr


def test_the_socket_goes_with_the_broker(start_broker):
    broker = start_broker("control_socket {dir}/control.sock\nlistener {port} 127.0.0.1\n")
    broker.wait_log("version .* running")
    assert os.path.exists(path_of(broker))
    broker.stop()
    assert not os.path.exists(path_of(broker))


# ---- clients ----

OWN_SOCKET = PLAIN + "control_socket {dir}/control.sock\nmax_inflight_messages 1\nmax_queued_messages 5\n"


def ask_for_clients(broker):
    asker = socket.socket(socket.AF_UNIX)
    asker.settimeout(20)
    asker.connect(path_of(broker))
    asker.sendall(b"clients\n")
    return asker


def leave_sessions(broker, count):
    """Sessions with so long names that a list of them is more than a socket holds."""
    names = {f"{number} {'x' * 2000}" for number in range(count)}
    for name in names:
        broker.client(name, 5, clean=False, props=[("session_expiry", 600)]).close()
    return names


def test_clients_shows_who_loses_messages(start_broker):
    broker = start_broker(OWN_SOCKET)
    broker.wait_log("Control socket at")
    assert json.loads(ctl(broker, "--json", "clients").stdout) == {"clients": []}
    odd = '"absent" \\ ä\t'
    absent = broker.client(odd, 5, clean=False, props=[("session_expiry", 600)])
    absent.subscribe(("t", 1))
    absent.disconnect()
    small = broker.client("small", 5, user="her", props=[("maximum_packet_size", 100)])
    small.subscribe(("t", 0))
    here = "%s:%d" % small.sock.getsockname()
    sender = broker.client("sender")
    for _ in range(8):
        sender.publish("t", bytes(200), 1)
    rows = json.loads(ctl(broker, "--json", "clients").stdout)["clients"]
    told = {row["id"]: row for row in rows}
    assert set(told) == {odd, "small", "sender"} and len(rows) == 3
    assert told[odd] == {"dropped": 3, "queued": 5, "connected": False, "address": None,
                         "user": None, "id": odd}
    assert told["small"] == {"dropped": 8, "queued": 0, "connected": True, "address": here,
                             "user": "her", "id": "small"}
    assert told["sender"]["dropped"] == 0
    lines = [line.split() for line in ctl(broker, "clients").stdout.splitlines()]
    assert lines[0] == ["dropped", "queued", "connected", "address", "user", "id"]
    assert ["8", "0", "true", here, "her", "small"] in lines


def test_an_asker_that_reads_slowly_gets_all_and_holds_nobody_up(start_broker):
    broker = start_broker(OWN_SOCKET + "workers 3\n")
    broker.wait_log("Control socket at")
    names = leave_sessions(broker, 1000)
    with ask_for_clients(broker) as slow:
        answer = slow.recv(10)
        assert "another list" in ctl(broker, "clients").stderr
        assert ctl(broker, "status").returncode == 0
        broker.client("meanwhile").publish("t", "x", 1)
        while part := slow.recv(65536):
            answer += part
    assert names <= {row["id"] for row in json.loads(answer)["clients"]}


def test_an_asker_that_goes_makes_room_for_the_next(start_broker):
    broker = start_broker(OWN_SOCKET)
    broker.wait_log("Control socket at")
    leave_sessions(broker, 500)
    ask_for_clients(broker).close()
    deadline = time.monotonic() + 20
    while "another list" in (told := ctl(broker, "clients")).stderr:
        assert time.monotonic() < deadline
    assert len(told.stdout.splitlines()) == 501


def test_the_broker_stops_while_somebody_is_being_told(start_broker):
    broker = start_broker(OWN_SOCKET)
    broker.wait_log("Control socket at")
    leave_sessions(broker, 500)
    with ask_for_clients(broker) as asker:
        assert asker.recv(10)
        broker.stop()
