# SPDX-License-Identifier: Apache-2.0
"""TLS, client certificates, unix sockets and IPv6, with Mosquitto's clients and paho."""

import os
import re
import socket
import ssl
import subprocess
import threading
import time

import paho.mqtt.client as paho
import pytest

import raw
import ways
import ws
from conftest import IS_MOSQUITTO, Broker

CONFIG = """
per_listener_settings true
listener {port} 127.0.0.1
allow_anonymous true

listener {port_tls} 127.0.0.1
allow_anonymous true
certfile {dir}/server.crt
keyfile {dir}/server.key

listener {port_wss} 127.0.0.1
protocol websockets
allow_anonymous true
certfile {dir}/server.crt
keyfile {dir}/server.key

listener {port_required} 127.0.0.1
allow_anonymous true
cafile {dir}/ca.crt
certfile {dir}/server.crt
keyfile {dir}/server.key
require_certificate true

listener {port_identity} 127.0.0.1
allow_anonymous false
acl_file {dir}/acl
cafile {dir}/ca.crt
certfile {dir}/server.crt
keyfile {dir}/server.key
require_certificate true
use_identity_as_username true

listener {port_subject} 127.0.0.1
allow_anonymous false
cafile {dir}/ca.crt
certfile {dir}/server.crt
keyfile {dir}/server.key
require_certificate true
use_subject_as_username true

listener {port_modern} 127.0.0.1
allow_anonymous true
certfile {dir}/server.crt
keyfile {dir}/server.key
tls_version tlsv1.3

listener {port_old} 127.0.0.1
allow_anonymous true
certfile {dir}/server.crt
keyfile {dir}/server.key
tls_version tlsv1.2
ciphers ECDHE-ECDSA-AES128-GCM-SHA256

listener 0 {dir}/mqtt.sock
allow_anonymous true
"""
ACL = "pattern readwrite %u/#\n"
noctule_only = pytest.mark.noctule_only


def path(broker, name):
    return os.path.join(broker.folder, name)


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    running = Broker(tmp_path_factory.mktemp("broker"), CONFIG, files={"acl": ACL})
    ways.make_certificates(running.folder)
    ways.make_certificate(running.folder, "device", "/O=Bats/OU=Cave 7/CN=device-7")
    ways.make_certificate(running.folder, "nameless", "/O=Bats")
    ways.make_authority(running.folder, "evil", "/CN=Test CA")  # the same name, another key
    ways.make_certificate(running.folder, "forged", "/CN=device-7", authority="evil")
    try:
        yield running.start()
    finally:
        running.stop()


def tls_context(broker, certificate=None, ca="ca", **changes):
    context = ssl.create_default_context(cafile=path(broker, f"{ca}.crt"))
    if certificate:
        context.load_cert_chain(path(broker, f"{certificate}.crt"), path(broker,
                                                                         f"{certificate}.key"))
    for attribute, value in changes.items():
        setattr(context, attribute, value)
    return context


def open_tls(broker, port="port_tls", version=4, **options):
    sock = ways.dial_tcp(broker.names[port])
    sock = tls_context(broker, **options).wrap_socket(sock, server_hostname="localhost")
    client = raw.Raw(0, version, sock=sock)
    broker.clients.append(client)
    return client


def run(*words):
    """A client of Mosquitto's: its exit status and what it said."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    return done.returncode, done.stdout, done.stderr


def tool(broker, name, port, *words, certificate=None, ca="ca"):
    options = ["-h", "localhost", "-p", str(broker.names[port]), "--cafile",
               path(broker, f"{ca}.crt")]
    if certificate:
        options += ["--cert", path(broker, f"{certificate}.crt"),
                    "--key", path(broker, f"{certificate}.key")]
    return [f"mosquitto_{name}", *options, *words]


# ---- clients of others ----


@pytest.mark.parametrize("mqtt", ["mqttv31", "mqttv311", "mqttv5"])
def test_mosquittos_clients_over_tls(broker, topic, mqtt):
    with subprocess.Popen(tool(broker, "sub", "port_tls", "-V", mqtt, "-t", topic, "-q", "2", "-C",
                               "3", "-W", "10", "-i", "sub" + mqtt),
                          stdout=subprocess.PIPE, text=True) as subscriber:
        broker.wait_log(f"Sending SUBACK to sub{mqtt}")
        for qos in "012":
            status, _, error = run(*tool(broker, "pub", "port_tls", "-V", mqtt, "-t", topic, "-q",
                                         qos, "-m", f"qos {qos}"))
            assert status == 0, error
        out, _ = subscriber.communicate(timeout=15)
        assert (out, subscriber.returncode) == ("qos 0\nqos 1\nqos 2\n", 0)


@pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLS:DeprecationWarning")
@pytest.mark.parametrize("way", ["tls", "wss"])
def test_paho(broker, topic, way):
    got = []
    done = threading.Event()

    def on_message(_client, _userdata, message):
        got.append((message.payload, message.qos))
        if len(got) == 30:
            done.set()

    client = paho.Client(f"paho {way}", transport="websockets" if way == "wss" else "tcp")
    client.tls_set(path(broker, "ca.crt"))
    client.on_connect = lambda *_: client.subscribe(topic, 2)
    client.on_subscribe = lambda *_: [client.publish(topic, f"{n}", n % 3) for n in range(30)]
    client.on_message = on_message
    client.connect("localhost", broker.names[f"port_{way}"])
    client.loop_start()
    try:
        assert done.wait(10), got
    finally:
        client.disconnect()
        client.loop_stop()
    assert sorted(got) == sorted((str(n).encode(), n % 3) for n in range(30))


def test_a_client_with_the_wrong_authority_refuses_and_is_logged(broker):
    status, _, error = run(*tool(broker, "pub", "port_tls", "-t", "a", "-m", "b", ca="evil"))
    assert status != 0 and error
    broker.wait_log("(?i)(unknown ca|bad certificate|decrypt error|alert)")
    assert run(*tool(broker, "pub", "port_tls", "-t", "a", "-m", "b"))[0] == 0


# ---- client certificates ----


@pytest.mark.parametrize("port", ["port_required", "port_identity", "port_subject"])
def test_no_certificate_no_entry(broker, port):
    status, _, _ = run(*tool(broker, "pub", port, "-t", "a", "-m", "b"))
    assert status != 0
    with pytest.raises((ssl.SSLError, raw.Closed, ConnectionError)):
        open_tls(broker, port).connect("nobody")


@pytest.mark.parametrize("port", ["port_required", "port_identity"])
def test_a_forged_certificate_is_refused(broker, port):
    with pytest.raises((ssl.SSLError, raw.Closed, ConnectionError)):
        open_tls(broker, port, certificate="forged").connect("forger")


def test_a_good_certificate_is_enough(broker):
    words = tool(broker, "pub", "port_required", "-t", "a", "-m", "b", certificate="device")
    assert run(*words)[0] == 0
    client = open_tls(broker, "port_required", certificate="nameless")
    assert client.connect("nameless").reason == 0


def test_the_common_name_becomes_the_username(broker):
    client = open_tls(broker, "port_identity", certificate="device")
    # What the CONNECT says of a username counts for nothing.
    assert client.connect("identity", user="somebody", password="else").reason == 0
    broker.wait_log(r"as identity \(p2, c1, k60, u'device-7'\)")
    client.subscribe(("#", 0))
    for prefix in ("somebody", "device-7"):
        client.publish(f"{prefix}/x", prefix, 1)
    client.expect_message("device-7/x", "device-7")  # the ACL's %u is the certificate's name
    client.expect_nothing()


def test_a_certificate_without_a_common_name_is_refused(broker):
    client = open_tls(broker, "port_identity", certificate="nameless")
    try:
        assert client.connect("nameless").reason != 0
    except raw.Closed:
        pass


def test_the_subject_becomes_the_username(broker):
    client = open_tls(broker, "port_subject", certificate="device")
    assert client.connect("subject").reason == 0
    broker.wait_log(r"as subject \(p2, c1, k60, u'CN=device-7,OU=Cave 7,O=Bats'\)")


# ---- versions, ciphers ----


@pytest.mark.parametrize("port, offers, result", [
    ("port_tls", (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2), "TLSv1.2"),
    ("port_tls", (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3), "TLSv1.3"),
    ("port_modern", (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2), None),
    ("port_modern", (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3), "TLSv1.3"),
    ("port_old", (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2), "TLSv1.2"),
])
def test_versions(broker, port, offers, result):
    options = {"minimum_version": offers[0], "maximum_version": offers[1]}
    if result is None:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            open_tls(broker, port, **options)
        return
    client = open_tls(broker, port, **options)
    assert client.connect("versions").reason == 0
    assert client.sock.version() == result


@noctule_only
def test_tls_1_1_is_refused_by_default(broker):
    with pytest.raises((ssl.SSLError, ConnectionError)), pytest.warns(DeprecationWarning):
        open_tls(broker, minimum_version=ssl.TLSVersion.TLSv1_1,
                 maximum_version=ssl.TLSVersion.TLSv1_1)


def test_the_configured_ciphers_hold(broker):
    client = open_tls(broker, "port_old", maximum_version=ssl.TLSVersion.TLSv1_2)
    assert client.sock.cipher()[0] == "ECDHE-ECDSA-AES128-GCM-SHA256"


@noctule_only
def test_alpn(broker):
    for port, offered, chosen in (("port_tls", ["mqtt"], "mqtt"), ("port_tls", ["h2"], None),
                                  ("port_wss", ["h2", "http/1.1"], "http/1.1"),
                                  ("port_wss", ["h2"], None), ("port_wss", None, None)):
        context = tls_context(broker)
        if offered:
            context.set_alpn_protocols(offered)
        sock = ways.dial_tcp(broker.names[port])
        with context.wrap_socket(sock, server_hostname="localhost") as sock:
            assert sock.selected_alpn_protocol() == chosen


# ---- streams ----


@pytest.mark.parametrize("way", ["tls", pytest.param("wss", marks=noctule_only)])
def test_large_packets_through_tls(broker, way):
    client = ways.client(broker, way, f"large {way}")
    client.subscribe(("large/" + way, 1))
    for size in (16384, 16385, 300_000, 2_000_000):
        payload = bytes(size)
        client.publish("large/" + way, payload, 1)
        message = client.expect_message("large/" + way, payload, 20)
        client.acknowledge(message)


@pytest.mark.parametrize("way", ["tls", "wss"])
def test_packets_in_one_record_and_a_packet_over_records(broker, way):
    client = ways.client(broker, way, f"records {way}")
    ping = raw.packet(raw.PINGREQ)
    client.send(ping * 50)
    for _ in range(50):
        client.expect(raw.PINGRESP)
    for byte in raw.subscribe(7, [("t", 0)]):
        client.send(bytes([byte]))
    client.expect(raw.SUBACK)


def test_connect_may_come_with_the_end_of_the_handshake(broker):
    """The first flight after the handshake holds several packets in several records."""
    context = tls_context(broker)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    sock = ways.dial_tcp(broker.names["port_tls"])
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            sock.sendall(outgoing.read())
            incoming.write(sock.recv(65536))
    for packet in (raw.connect("flight"), raw.subscribe(1, [("flight", 0)]),
                   raw.publish("flight", "x" * 20000), raw.packet(raw.PINGREQ)):
        tls.write(packet)
    sock.sendall(outgoing.read())
    got = b""
    while b"\xd0\x00" not in got:
        try:
            got += tls.read(65536)
        except ssl.SSLWantReadError:
            data = sock.recv(65536)
            assert data, "closed"
            incoming.write(data)
    assert got.startswith(b"\x20\x02\0\0\x90\x03\0\1\0")
    sock.close()


def test_a_cut_of_tls_publishes_the_will(broker):
    watcher = broker.client("watcher")
    watcher.subscribe(("tls will", 0))
    client = open_tls(broker)
    client.connect("w", will={"topic": "tls will", "payload": "cut"})
    client.close()
    watcher.expect_message("tls will", "cut")


def test_a_session_can_be_resumed(broker):
    context = tls_context(broker, maximum_version=ssl.TLSVersion.TLSv1_2)
    with context.wrap_socket(ways.dial_tcp(broker.names["port_tls"]),
                             server_hostname="localhost") as first:
        session = first.session
    with context.wrap_socket(ways.dial_tcp(broker.names["port_tls"]), server_hostname="localhost",
                             session=session) as second:
        client = raw.Raw(0, sock=second)
        assert client.connect("resumed").reason == 0


@noctule_only
def test_new_certificates_count_after_a_reload(start_broker):
    folder_config = "listener {port_tls} 127.0.0.1\ncertfile {dir}/server.crt\n" \
                    "keyfile {dir}/server.key\nallow_anonymous true\nlistener {port} 127.0.0.1\n"

    class Prepared(Broker):
        def start(self):
            ways.make_certificates(self.folder)
            return super().start()

    broker = Prepared(start_broker().folder, folder_config).start()
    try:
        def serial():
            sock = ways.in_tls(ways.dial_tcp(broker.names["port_tls"]), broker.folder)
            return sock, sock.getpeercert()["serialNumber"]

        old, first = serial()
        ways.make_certificate(broker.folder, "server", "/CN=localhost", names="DNS:localhost")
        broker.reload()
        deadline = time.monotonic() + 5
        while True:
            fresh, second = serial()
            fresh.close()
            if second != first:
                break
            assert time.monotonic() < deadline
            time.sleep(0.05)
        client = raw.Raw(0, sock=old)  # opened before
        assert client.connect("old").reason == 0
        broker.write("server.crt", "broken\n")
        broker.reload()
        broker.wait_log("(?i)error.*server.crt|server.crt.*error")
        assert serial()[1] == second
        client.expect_nothing()
    finally:
        broker.stop()


# ---- the log ----


def test_a_failed_handshake_has_openssls_words(broker):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    sock = socket.create_connection(("127.0.0.1", broker.names["port_modern"]), 5)
    source = sock.getsockname()[1]
    with pytest.raises(OSError):
        context.wrap_socket(sock)
    who = "" if IS_MOSQUITTO else rf".*\(TLS handshake with 127\.0\.0\.1:{source}\)"
    broker.wait_log(rf"OpenSSL Error\[0\]: error:\S+:SSL routines::unsupported protocol{who}")


@noctule_only
def test_in_2_1_a_client_is_logged_with_its_cipher(start_broker, broker):
    folder = broker.folder
    log = start_broker("compatibility 2.1\nlistener {port} 127.0.0.1\n"
                       "listener {port_tls} 127.0.0.1\nallow_anonymous true\n"
                       f"certfile {folder}/server.crt\nkeyfile {folder}/server.key\n")
    context = ssl.create_default_context(cafile=path(broker, "ca.crt"))
    context.check_hostname = False
    sock = socket.create_connection(("127.0.0.1", log.names["port_tls"]), 5)
    with raw.Raw(0, sock=context.wrap_socket(sock)) as client:
        client.connect("secured")
    log.wait_log(r"as secured \(.*\n\d+: Client secured negotiated TLSv1\.3 cipher TLS_\w+\n")


# ---- unix sockets ----


def test_mosquittos_clients_over_a_unix_socket(broker, topic):
    where = ["--unix", path(broker, "mqtt.sock")]
    status, _, error = run("mosquitto_pub", *where, "-t", topic, "-m", "kept", "-r", "-q", "1")
    assert status == 0, error
    status, out, _ = run("mosquitto_sub", *where, "-t", topic, "-C", "1", "-W", "5")
    assert (status, out) == (0, "kept\n")


def test_clients_of_a_unix_socket_are_named_by_its_path(broker, topic):
    where = path(broker, "mqtt.sock")
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(where)
    with raw.Raw(0, sock=ways.UnixSocket(sock)) as client:
        client.connect(topic)
    broker.wait_log(re.escape(f"New connection from {where}:0 on port 0."))
    broker.wait_log(re.escape(f"New client connected from {where}:0 as {topic} "))


@noctule_only
def test_websocket_over_a_unix_socket(start_broker):
    broker = start_broker("allow_anonymous true\nlistener {port} 127.0.0.1\n"
                          "listener 0 {dir}/ws.sock\nprotocol websockets\n")
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(5)
    sock.connect(path(broker, "ws.sock"))
    client = raw.Raw(0, sock=ws.WebSocket(sock))
    assert client.connect("unix ws").reason == 0
    client.subscribe(("u", 1))
    client.publish("u", "yes", 1)
    client.expect_message("u", "yes")
    client.close()
    bad = socket.socket(socket.AF_UNIX)
    bad.connect(path(broker, "ws.sock"))
    bad.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert ws.read_answer(bad, to_end=True).status == 426
    where = path(broker, "ws.sock")
    broker.wait_log(re.escape(f"upgrade from {where}:0 on port 0 refused: 426 not-an-upgrade"))


@noctule_only
def test_a_unix_socket_is_removed_at_the_end_and_a_dead_one_replaced(start_broker):
    config = "allow_anonymous true\nlistener {port} 127.0.0.1\nlistener 0 {dir}/mqtt.sock\n"
    broker = start_broker(config)
    where = path(broker, "mqtt.sock")
    broker.process.kill()
    broker.process.wait()
    broker.process = None
    assert os.path.exists(where)
    broker.start()
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(where)
    sock.close()
    broker.stop()
    assert not os.path.exists(where)


# ---- IPv6 ----


@pytest.mark.skipif(not ways.has_ipv6(), reason="this machine has no ::1")
@pytest.mark.parametrize("protocol", ["mqtt", "websockets"])
def test_ipv6(start_broker, protocol):
    if IS_MOSQUITTO and protocol == "websockets":
        pytest.skip("Mosquitto's WebSocket listener takes no IPv6 address")
    broker = start_broker("allow_anonymous true\nlistener {port} 127.0.0.1\n"
                          f"listener {{port_6}} ::1\nprotocol {protocol}\n")
    sock = socket.create_connection(("::1", broker.names["port_6"]), 5)
    source = sock.getsockname()[1]
    client = raw.Raw(0, sock=sock if protocol == "mqtt" else ws.WebSocket(sock))
    assert client.connect("six").reason == 0
    broker.wait_log(rf"New client connected from ::1:{source} as six")
    if protocol == "mqtt":
        assert run("mosquitto_pub", "-h", "::1", "-p", str(broker.names["port_6"]), "-t", "a", "-m",
                   "b")[0] == 0


@pytest.mark.skipif(not ways.has_ipv6(), reason="this machine has no ::1")
@noctule_only
def test_localhost_means_both_loopbacks(start_broker):
    broker = start_broker("allow_anonymous true\nlistener {port} 127.0.0.1\n"
                          "listener {port_ws} localhost\nprotocol websockets\n")
    for host in ("127.0.0.1", "::1"):
        sock = socket.create_connection((host, broker.names["port_ws"]), 5)
        client = raw.Raw(0, sock=ws.WebSocket(sock))
        assert client.connect(f"at {host}").reason == 0
        client.close()


def test_authorities_alone_turn_no_tls_on(start_broker):
    broker = start_broker("listener {port} 127.0.0.1\nallow_anonymous true\ncafile /nonexistent\n")
    broker.client("plain")
    if not IS_MOSQUITTO:
        broker.wait_log("without them it has no TLS")
