# SPDX-License-Identifier: Apache-2.0
"""Options of the configuration file in a running broker, where no other module has them."""

import os
import re
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import tempfile
import time

import pytest

import raw
from conftest import IS_MOSQUITTO, PROGRAM, Broker, free_port
from own_machine import on_own_machine
from test_cli_peers import make_certificates
from ways import has_ipv6, reaches

BASE = "listener {port} 127.0.0.1\nallow_anonymous true\n"
WAIT_SECONDS = 20


def read(path):
    with open(path, encoding="utf-8") as content:
        return content.read()


def wait_until(is_so, what):
    deadline = time.monotonic() + WAIT_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.fixture
def open_folder():
    """A folder that any user can reach and write to, unlike pytest's own."""
    folder = tempfile.mkdtemp(prefix="noctule-")
    os.chmod(folder, 0o777)
    yield folder
    shutil.rmtree(folder)


# ---- files and folders ----


def test_include_dir_reads_its_conf_files_in_order(tmp_path):
    broker = Broker(tmp_path, BASE + "include_dir {dir}/more\n")
    os.mkdir(tmp_path / "more")
    port = broker.names["port_included"]
    broker.write("more/a.conf", f"listener {port} 127.0.0.1\n")
    broker.write("more/B.conf", f"listener {free_port()} 127.0.0.1\n")
    broker.write("more/ignored.txt", "nonsense\n")
    broker.start()
    try:
        broker.client("here")
        broker.client("there", port="port_included")
        files = re.findall(r"Loading config file (\S+)", broker.log())
        assert files == [f"{tmp_path}/more/a.conf", f"{tmp_path}/more/B.conf"]
    finally:
        broker.stop()


def test_a_fault_in_an_included_file_is_found_there(tmp_path):
    os.mkdir(tmp_path / "more")
    (tmp_path / "more" / "bad.conf").write_text("\nnonsense 1\n")
    (tmp_path / "m.conf").write_text(f"include_dir {tmp_path}/more\n")
    words = [PROGRAM] if IS_MOSQUITTO else [PROGRAM, "broker"]
    done = subprocess.run([*words, "-c", tmp_path / "m.conf"], text=True, capture_output=True,
                          timeout=20)
    assert done.returncode == 3
    assert f"Error found at {tmp_path}/more/bad.conf:2." in done.stderr
    assert f"Error found at {tmp_path}/m.conf:1." in done.stderr


def test_the_pid_file_stands_while_the_broker_runs(start_broker):
    broker = start_broker(BASE + "pid_file {dir}/broker.pid\n")
    path = os.path.join(broker.folder, "broker.pid")
    wait_until(lambda: os.path.exists(path) and read(path), "no pid file")
    assert int(read(path)) == broker.process.pid
    broker.stop()
    assert not os.path.exists(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give it up")
def test_root_is_given_up_and_the_log_is_still_the_brokers(open_folder):
    broker = Broker(open_folder, BASE + "user nobody\nlog_dest file {dir}/log\n")
    path = os.path.join(open_folder, "log")
    broker.start()
    try:
        wait_until(lambda: "running" in read(path), "it does not run")
        nobody = os.stat(path).st_uid
        assert nobody != 0
        broker.wait_user_ids({nobody})
        os.rename(path, path + ".1")
        broker.reload()
        wait_until(lambda: os.path.exists(path), "the log is not opened again")
        broker.client("later")
        wait_until(lambda: "as later" in read(path), "nothing is logged after the rotation")
        assert os.stat(path).st_uid == nobody
    finally:
        broker.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give it up")
@pytest.mark.parametrize("mode,is_warned", [(0o600, True), (0o644, False)])
def test_a_password_file_that_only_root_reads_is_warned_of(open_folder, mode, is_warned):
    broker = Broker(open_folder, BASE + "user nobody\npassword_file {dir}/passwords\n",
                    files={"passwords": "ann:$6$YWJj$" + "A" * 86 + "==\n"})
    path = os.path.join(open_folder, "passwords")
    os.chmod(path, mode)
    broker.start()
    try:
        broker.wait_log("running")
        warning = f"Warning: {path}: user 'nobody' may not read it, so a change takes effect"
        assert (warning in broker.log()) == is_warned
    finally:
        broker.stop()


def test_an_empty_password_file_is_warned_of(open_folder):
    broker = Broker(open_folder, BASE + "password_file {dir}/passwords\n", files={"passwords": "# nobody yet\n"})
    broker.start()
    try:
        path = os.path.join(open_folder, "passwords")
        broker.wait_log(f"Warning: {path}: names no user, so nobody can log in with a password")
        assert f"(remedy: noctule passwd '{path}' NAME)" in broker.log()
    finally:
        broker.stop()


# ---- the log ----


def test_a_log_file_is_private_appended_to_and_reopened(start_broker):
    broker = start_broker(BASE + "log_dest file {dir}/log\n")
    path = os.path.join(broker.folder, "log")
    broker.client("first").disconnect()
    broker.stop()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600 or IS_MOSQUITTO
    broker.start()
    broker.client("second").disconnect()
    wait_until(lambda: "second" in read(path) and "first" in read(path), "it is not appended to")
    os.rename(path, path + ".1")
    broker.reload()
    wait_until(lambda: os.path.exists(path), "the log is not opened again")
    broker.client("third").disconnect()
    wait_until(lambda: "as third" in read(path), "the new file is not written to")
    assert "third" not in read(path + ".1")


def outputs_of_a_run(folder, config):
    """What a broker of its own says on stdout and on stderr, from its start to its end."""
    broker = Broker(folder, config)
    paths = [os.path.join(folder, name) for name in ("stdout", "stderr")]
    with open(paths[0], "wb") as out, open(paths[1], "wb") as errors:
        process = subprocess.Popen(broker.command(), stdin=subprocess.DEVNULL, stdout=out,
                                   stderr=errors)
    try:
        wait_until(lambda: reaches("127.0.0.1", broker.port), "it does not listen")
        # Mosquitto 2.0 writes to stdout when it has a buffer full.
        wait_until(lambda: "running" in "".join(map(read, paths)) or IS_MOSQUITTO, "no log")
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_SECONDS) == 0
    finally:
        process.kill()
        process.wait()
    return [read(path) for path in paths]


def test_the_log_goes_to_stdout(tmp_path):
    out, errors = outputs_of_a_run(tmp_path, BASE + "log_dest stdout\n")
    assert out.endswith("terminating\n") and "version" not in errors


def test_the_log_goes_to_stderr_without_an_option(tmp_path):
    out, errors = outputs_of_a_run(tmp_path, BASE)
    assert errors.endswith("terminating\n") and out == ""


def test_the_log_goes_to_syslog(tmp_path):
    def work():
        # A /dev of our own, so that its log is ours.
        os.makedirs("/run/dev")
        subprocess.run(["mount", "--bind", "/dev", "/run/dev"], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/dev"], check=True)
        for name in os.listdir("/run/dev"):
            if name != "log":
                os.symlink(f"/run/dev/{name}", f"/dev/{name}")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
            syslog.settimeout(WAIT_SECONDS)
            syslog.bind("/dev/log")
            broker = Broker(tmp_path, BASE + "log_dest syslog\nlog_facility 3\n")
            broker.start()
            try:
                line = syslog.recv(4096).decode()
                while "running" not in line:
                    line = syslog.recv(4096).decode()
            finally:
                broker.stop()
            # Facility local3, and the name that people's filters look for.
            assert re.match(rf"<{19 * 8 + 6}>.* mosquitto\[\d+\]: (\d+: )?\w+ version .* running",
                            line), line

    on_own_machine(work)


def test_the_log_goes_to_topics(start_broker):
    broker = start_broker(BASE + "log_dest topic\n")
    reader = broker.client("reader")
    reader.subscribe(("$SYS/broker/log/#", 0))
    broker.client("talks").disconnect()
    got = {}
    while not {"N", "M/subscribe"} <= set(got) or "as talks" not in got["N"]:
        message = reader.expect(raw.PUBLISH)
        got[message.topic[len("$SYS/broker/log/"):]] = message.payload.decode()
    assert re.fullmatch(r"\d{10}: New client connected from 127\.0\.0\.1:\d+ as talks .*", got["N"])
    assert re.fullmatch(r"\d{10}: reader 0 \$SYS/broker/log/#", got["M/subscribe"])


@pytest.mark.parametrize("options, form", [
    ("", r"\d{10}: \S"),
    ("log_timestamp false\n", r"\D"),
    ("log_timestamp_format %Y-%m-%dT%H:%M:%S\n", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d: \S"),
], ids=["plain", "none", "format"])
def test_each_line_begins_with_the_time_as_asked_for(start_broker, options, form):
    broker = start_broker(BASE + options)
    broker.wait_log("running")
    broker.stop()
    for line in broker.log().splitlines():
        assert re.match(form, line), line


def test_connection_messages_false_is_silent_about_them(start_broker):
    broker = start_broker(BASE + "connection_messages false\n")
    broker.client("quiet").disconnect()
    broker.client("lost").close()
    broker.stop()
    assert not re.search("New client connected|disconnected|closed its connection", broker.log())


# ---- listeners ----


def test_socket_domain_keeps_a_listener_to_one_version_of_ip(start_broker):
    broker = start_broker("listener {port}\nsocket_domain ipv4\n"
                          "listener {port_6}\nsocket_domain ipv6\n")
    port, port_6 = broker.port, broker.names["port_6"]
    assert reaches("127.0.0.1", port) and not reaches("::1", port)
    assert not reaches("127.0.0.1", port_6)
    assert reaches("::1", port_6) or not has_ipv6()


def test_bind_address_is_the_default_listeners(start_broker):
    broker = start_broker("bind_address 127.0.0.1\nport {port}\nallow_anonymous true\n")
    broker.client("c")
    assert not reaches("127.0.0.2", broker.port)


def test_bind_interface_binds_to_one_that_is_there(start_broker, tmp_path):
    start_broker("listener {port}\nbind_interface lo\nallow_anonymous true\n").client("c")
    missing = Broker(tmp_path, "listener {port}\nbind_interface nope0\n")
    done = subprocess.run(missing.command(), text=True, capture_output=True, timeout=20)
    assert done.returncode == 1, done.stderr


@pytest.mark.noctule_only
def test_listener_allow_anonymous_is_one_listeners(start_broker):
    broker = start_broker("allow_anonymous false\n"
                          "listener {port} 127.0.0.1\nlistener_allow_anonymous true\n"
                          "listener {port_closed} 127.0.0.1\n")
    broker.client("in")
    with broker.open(port="port_closed") as out:
        assert out.connect("out").reason == 5


# ---- clients ----


def test_an_empty_client_id_can_be_refused(start_broker):
    broker = start_broker(BASE + "allow_zero_length_clientid false\n")
    with broker.open(4) as client:
        assert client.connect("").reason == 2
    with broker.open(5) as client:
        assert client.connect("").reason in (0x80, 0x85)
    broker.client("named")


def test_an_empty_client_id_gets_one_with_the_prefix(start_broker):
    broker = start_broker(BASE + "auto_id_prefix pre-\n")
    ids = {broker.client("", 5).connack.prop("assigned_client_id") for _ in range(2)}
    assert len(ids) == 2 and all(re.fullmatch(rb"pre-[-0-9A-F]{36}", one) for one in ids)


def test_topic_aliases_are_taken_up_to_their_maximum(start_broker):
    broker = start_broker(BASE + "max_topic_alias 3\n")
    client = broker.client("c", 5)
    assert client.connack.prop("topic_alias_maximum") == 3
    client.subscribe(("t", 0))
    client.publish("t", "x", props=[("topic_alias", 3)])
    client.publish("", "y", props=[("topic_alias", 3)])
    client.expect_message("t", "x")
    client.expect_message("t", "y")
    client.publish("t", "z", props=[("topic_alias", 4)])
    assert client.expect_closed() == 0x94


@pytest.mark.noctule_only
def test_topic_aliases_to_clients_are_given_up_to_their_maximum(start_broker):
    broker = start_broker(BASE + "max_topic_alias_broker 1\n")
    client = broker.client("c", 5, props=[("topic_alias_maximum", 5)])
    client.subscribe(("#", 0))
    for topic in ("a", "b", "a", "b"):
        client.publish(topic, "x")
    got = [client.expect(raw.PUBLISH) for _ in range(4)]
    assert [(one.topic, one.prop("topic_alias")) for one in got] == [
        ("a", 1), ("b", None), ("", 1), ("b", None)]


def test_max_queued_bytes_of_the_absent(start_broker):
    broker = start_broker(BASE + "max_queued_bytes 100\n")
    receiver = broker.client("r", clean=False)
    receiver.subscribe(("t", 1))
    receiver.disconnect()
    sender = broker.client("s")
    for number in range(20):
        sender.publish("t", f"{number:030}", 1)
    receiver = broker.client("r", clean=False)
    count = 0
    try:
        while True:
            receiver.acknowledge(receiver.expect_message("t", f"{count:030}", 0.5))
            count += 1
    except TimeoutError:
        pass
    assert count == 3 or (IS_MOSQUITTO and count == 4)  # 2.0 looks before it adds


# ---- TLS ----


@pytest.fixture(scope="module")
def tls_broker(tmp_path_factory):
    running = Broker(tmp_path_factory.mktemp("tls"), """
per_listener_settings true
listener {port} 127.0.0.1
allow_anonymous true
capath {dir}/authorities
certfile {dir}/server.crt
keyfile {dir}/server.key
require_certificate true

listener {port_one_cipher} 127.0.0.1
allow_anonymous true
certfile {dir}/server.crt
keyfile {dir}/server.key
ciphers_tls1.3 TLS_CHACHA20_POLY1305_SHA256
""")
    make_certificates(running.folder)
    authorities = os.path.join(running.folder, "authorities")
    os.mkdir(authorities)
    shutil.copy(os.path.join(running.folder, "ca.crt"), authorities)
    subprocess.run(["openssl", "rehash", authorities], check=True, timeout=20)
    try:
        yield running.start()
    finally:
        running.stop()


def tls(broker, port, certificate=None, **options):
    context = ssl.create_default_context(cafile=os.path.join(broker.folder, "ca.crt"))
    context.check_hostname = False
    if certificate:
        context.load_cert_chain(*(os.path.join(broker.folder, certificate + end)
                                  for end in (".crt", ".key")))
    sock = socket.create_connection(("127.0.0.1", broker.names[port]), 5)
    return context.wrap_socket(sock, **options)


def test_capath_vouches_for_client_certificates(tls_broker):
    with raw.Raw(0, sock=tls(tls_broker, "port", "client")) as known:
        assert known.connect("known").reason == 0
    with pytest.raises((OSError, raw.Closed, AssertionError)):
        with raw.Raw(0, sock=tls(tls_broker, "port")) as unknown:
            unknown.connect("unknown")
    assert "as unknown" not in tls_broker.log()


def test_ciphers_of_tls_1_3_are_the_ones_asked_for(tls_broker):
    with tls(tls_broker, "port_one_cipher") as sock:
        assert sock.cipher()[:2] == ("TLS_CHACHA20_POLY1305_SHA256", "TLSv1.3")
        with raw.Raw(0, sock=sock) as client:
            assert client.connect("c").reason == 0
