# SPDX-License-Identifier: Apache-2.0
"""How a broker is started where Mosquitto was: by its name, with its files, in its place."""

import os
import pwd
import re
import signal
import socket
import subprocess

import pytest

import raw
import ws
from conftest import IS_MOSQUITTO, PROGRAM, Broker, free_port
from own_machine import on_own_machine
from ways import has_ipv6, reaches

START_LINES = ("mosquitto version {version} starting", "Config loaded from {config}.",
               "Opening ipv4 listen socket on port {port}",
               "mosquitto version {version} running", "mosquitto version {version} terminating")

# What people have, and what Debian's package installs.
PEOPLES = """
persistence true
persistence_location /var/lib/mosquitto/
log_dest file /var/log/mosquitto/mosquitto.log
allow_anonymous false
password_file /etc/mosquitto/passwd
listener 1883
protocol mqtt
listener 9001 0.0.0.0
protocol websockets
"""
DEBIANS = """
pid_file /run/mosquitto/mosquitto.pid

persistence true
persistence_location /var/lib/mosquitto/

log_dest file /var/log/mosquitto/mosquitto.log

include_dir /etc/mosquitto/conf.d
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The broker under the name `mosquitto`."""
    if IS_MOSQUITTO:
        return PROGRAM
    link = tmp_path_factory.mktemp("bin") / "mosquitto"
    link.symlink_to(PROGRAM)
    return str(link)


# ---- the command line ----


def run(program, *arguments, folder=None):
    """A start that has to fail, or to end by itself."""
    return subprocess.run([program, *arguments], cwd=folder, text=True, capture_output=True,
                          timeout=20)


@pytest.mark.parametrize("arguments, words", [
    (["-x"], "Error: Unknown option '-x'."),
    (["-c"], "Error: -c argument given, but no config file specified."),
    (["-p"], "Error: -p argument given, but no port specified."),
    (["-p", "0"], "Error: Invalid port specified (0)."),
    (["-p", "65536"], "Error: Invalid port specified (65536)."),
    (["-c", "/nowhere/m.conf"], "Error: Unable to open config file /nowhere/m.conf"),
    (["-c", "/"], "Error: Config file / is a directory."),
])
def test_a_wrong_command_line_ends_with_three(program, arguments, words):
    done = run(program, *arguments)
    assert (done.returncode, words in done.stderr) == (3, True), done.stderr


@pytest.mark.parametrize("lines, status, words", [
    ("nonsense 1", 3, 'Error: Unknown configuration variable "nonsense"'),
    ("max_keepalive 65536", 3, "max_keepalive"),
    ("certfile /nowhere/a\nkeyfile /nowhere/b", 1, "/nowhere/a"),
    ("password_file /nowhere/a", 13 if IS_MOSQUITTO else 3, "/nowhere/a"),
    ("acl_file /nowhere/a", 13 if IS_MOSQUITTO else 3, "/nowhere/a"),
])
def test_a_failing_start_has_the_known_status(program, tmp_path, lines, status, words):
    (tmp_path / "m.conf").write_text(f"listener {free_port()} 127.0.0.1\n{lines}\n")
    done = run(program, "-c", "m.conf", folder=tmp_path)
    assert done.returncode == status and words in done.stderr, done.stderr


def test_a_port_that_is_taken_ends_with_one(program, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        (tmp_path / "m.conf").write_text(f"listener {taken.getsockname()[1]} 127.0.0.1\n")
        done = run(program, "-c", "m.conf", folder=tmp_path)
    assert done.returncode == 1 and "Error: Address already in use" in done.stderr, done.stderr


@pytest.mark.noctule_only
def test_help_and_version_are_mosquittos_and_end_with_zero(program):
    for argument in ("-h", "--help", "--version"):
        done = run(program, argument)
        assert done.returncode == 0 and done.stdout.startswith("mosquitto version "), done.stdout


def test_the_log_of_a_run_has_the_known_lines(start_broker, program):
    broker = start_broker(program=program)
    broker.client("c").disconnect()
    broker.stop()
    lines = re.sub(r"(?m)^\d{10}: ", "", broker.log()).splitlines()
    version = re.search("mosquitto version (.*) starting", broker.log()).group(1)
    rest = iter(lines)
    for line in START_LINES:
        known = line.format(version=version, config=broker.config_path, port=broker.port)
        assert any(one.startswith(known) for one in rest), f"{known!r}\n{broker.log()}"


@pytest.mark.parametrize("has_file", [False, True], ids=["no-file", "file-without-listener"])
def test_a_port_alone_means_this_machine_only(tmp_path, program, has_file):
    port = free_port()
    arguments = ["-p", str(port)]
    if has_file:
        (tmp_path / "m.conf").write_text("sys_interval 1\n")
        arguments += ["-c", "m.conf"]
    broker = Broker(tmp_path, program=program, arguments=arguments)
    broker.names["port"] = port
    broker.start()
    try:
        broker.client("anybody")
        assert reaches("::1", port) or not has_ipv6()
        assert not reaches("127.0.0.2", port)
        assert has_file or "Using default config." in broker.log()
        broker.wait_log("Starting in local only mode. Connections will only be possible from "
                        "clients running on this machine.\n.*"
                        "Create a configuration file which defines a listener to allow remote")
    finally:
        broker.stop()


def test_a_port_beside_a_listener_is_ignored(tmp_path, program):
    broker = Broker(tmp_path, program=program)
    ignored = broker.names["port_ignored"]
    broker.arguments = ["-v", "-c", broker.config_path, "-p", str(ignored)]
    broker.start()
    try:
        broker.client("c")
        assert not reaches("127.0.0.1", ignored)
    finally:
        broker.stop()


# ---- as which version it speaks ----


def see_a_connection(broker):
    """What it logs of a client of each kind, and its answer to one of version 5."""
    five = broker.client("five", 5)
    broker.client("four").disconnect()
    broker.client("lost").close()
    broker.wait_log("Client lost .*(closed its connection|closed by client)")
    return five.connack, broker.log()


def test_the_log_is_that_of_two_zero(start_broker):
    broker = start_broker()
    connack, log = see_a_connection(broker)
    assert connack.prop("maximum_packet_size") is None
    assert re.search(r"New client connected from 127\.0\.0\.1:\d+ as four \(p2, c1, k60\)\.", log)
    assert re.search(r"New client connected from 127\.0\.0\.1:\d+ as five \(p5, c1, k60\)\.", log)
    assert "support available" not in log and "local only" not in log
    assert "Client four disconnected.\n" in log and "Client lost closed its connection.\n" in log


@pytest.mark.noctule_only
@pytest.mark.parametrize("way", ["option", "environment"])
def test_two_one_is_spoken_where_it_is_asked_for(start_broker, way):
    option = "compatibility 2.1\n" if way == "option" else ""
    environment = {} if option else {"NOCTULE_COMPATIBILITY": "2.1"}
    broker = start_broker(option + "listener {port} 127.0.0.1\nallow_anonymous true\n",
                          environment=environment)
    connack, log = see_a_connection(broker)
    assert connack.prop("maximum_packet_size") == 2000000
    assert re.search(r"New client connected from 127\.0\.0\.1:\d+ as four \(p4, c1, k60\)\.", log)
    for feature in ("TLS", "Websockets"):
        assert f": {feature} support available.\n" in log
    address = r"\[127\.0\.0\.1:\d+\] disconnected"
    assert re.search(rf"Client four {address}\.\n", log)
    assert re.search(rf"Client lost {address}: connection closed by client\.\n", log)


# ---- the configurations that people have ----


def put(path, text):
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)


def make_folders(*folders):
    for folder in folders:
        subprocess.run(["install", "-d", "-o", user().pw_name, folder], check=True, timeout=20)


def user():
    for name in ("mosquitto", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            pass
    raise KeyError("nobody")


def service(tmp_path):
    """The broker as Debian's service runs it."""
    broker = Broker(tmp_path, arguments=["-c", "/etc/mosquitto/mosquitto.conf"])
    broker.names["port"] = 1883
    return broker


def test_the_configuration_that_people_have(tmp_path):
    def work():
        put("/etc/mosquitto/mosquitto.conf", PEOPLES)
        make_folders("/var/lib/mosquitto", "/var/log/mosquitto")
        subprocess.run(["mosquitto_passwd", "-b", "-c", "/etc/mosquitto/passwd", "ann", "secret"],
                       check=True, timeout=20)
        broker = service(tmp_path)
        broker.start()
        try:
            broker.wait_user_ids({user().pw_uid})
            broker.client("ann", user="ann", password="secret")
            with broker.open() as stranger:
                assert stranger.connect("stranger").reason == 5
            sock = socket.create_connection(("127.0.0.1", 9001), 5)
            sock.sendall(ws.request())
            assert ws.read_answer(sock).status == 101
            sock.close()
        finally:
            broker.stop()
        with open("/var/log/mosquitto/mosquitto.log", encoding="utf-8") as log:
            assert re.search(r"connected from \S+ as ann .*u'ann'", log.read())

    on_own_machine(work)


def test_the_configuration_of_debians_package(tmp_path):
    def work():
        put("/etc/mosquitto/mosquitto.conf", DEBIANS)
        os.mkdir("/etc/mosquitto/conf.d")
        put("/etc/mosquitto/conf.d/more.conf", "max_keepalive 77\n")
        make_folders("/run/mosquitto", "/var/lib/mosquitto", "/var/log/mosquitto")
        broker = service(tmp_path)
        broker.start()
        try:
            broker.wait_user_ids({user().pw_uid})
            with open("/run/mosquitto/mosquitto.pid", encoding="utf-8") as pid:
                assert int(pid.read()) == broker.process.pid
            assert broker.client("five", 5, keepalive=100).connack.prop("server_keep_alive") == 77
            assert not reaches("127.0.0.2", 1883)
            os.rename("/var/log/mosquitto/mosquitto.log", "/var/log/mosquitto/mosquitto.log.1")
            broker.process.send_signal(signal.SIGHUP)
        finally:
            broker.stop()
        assert not os.path.exists("/run/mosquitto/mosquitto.pid")
        with open("/var/log/mosquitto/mosquitto.log", encoding="utf-8") as log:
            assert "terminating" in log.read()

    on_own_machine(work)


@pytest.mark.noctule_only
@pytest.mark.parametrize("config, folders", [
    (PEOPLES.replace("password_file /etc/mosquitto/passwd", ""), {"/var/log/mosquitto"}),
    (DEBIANS, {"/var/log/mosquitto", "/run/mosquitto"}),
], ids=["peoples", "debians"])
def test_missing_folders_are_named_with_the_command_that_makes_them(tmp_path, config, folders):
    def work():
        put("/etc/mosquitto/mosquitto.conf", config)
        os.mkdir("/etc/mosquitto/conf.d")
        broker = service(tmp_path)
        done = run(*broker.command())
        assert done.returncode == 3
        remedies = re.findall(r"(mkdir -p (\S+) && chown \S+ \S+)$", done.stderr, re.MULTILINE)
        assert folders <= {folder for _, folder in remedies}, done.stderr
        for command, _ in remedies:
            subprocess.run(command, shell=True, check=True, timeout=20)
        broker.start()
        broker.stop()

    on_own_machine(work)


@pytest.mark.noctule_only
def test_a_missing_password_file_is_named(tmp_path):
    (tmp_path / "m.conf").write_text("listener 1883 127.0.0.1\npassword_file passwords\n")
    done = run(PROGRAM, "broker", "-c", "m.conf", folder=tmp_path)
    assert done.returncode == 3
    assert 'password_file "passwords"' in done.stderr and "mosquitto_passwd -c" in done.stderr


def test_a_connection_without_a_byte_is_harmless(start_broker):
    broker = start_broker()
    for _ in range(3):
        broker.open().close()
    with broker.open() as half:
        half.send(raw.connect("half")[:5])
    broker.client("whole").publish("t", "x", 1)
