# SPDX-License-Identifier: Apache-2.0
"""pub and sub on every way there is, against our broker and Debian's."""

import os
import socket
import struct
import subprocess
import threading

import pytest

import fake_edge
import raw
import test_passwd
import ways
from conftest import IS_MOSQUITTO, PROGRAM, SANITIZER_WORDS, SLOWER, TOP, Broker

TOOL = PROGRAM if not IS_MOSQUITTO else os.path.join(TOP, "build", "noctule")
SECONDS = 30 * SLOWER
CONFIG = ways.CONFIG + """
listener {port_v6} ::1
listener {port_old} 127.0.0.1
certfile {dir}/server.crt
keyfile {dir}/server.key
tls_version tlsv1.2
ciphers ECDHE-ECDSA-AES128-GCM-SHA256
listener {port_cert} 127.0.0.1
cafile {dir}/ca.crt
certfile {dir}/server.crt
keyfile {dir}/server.key
require_certificate true
listener {port_psk} 127.0.0.1
psk_hint hint
use_identity_as_username true
psk_file {dir}/psk
"""

# Each way: its words; {port_x} is a listener of the broker, {dir} its folder.
WAYS = {
    "tcp": "-h 127.0.0.1 -p {port}",
    "name": "-h localhost -p {port}",
    "ipv6": "-h ::1 -p {port_v6}",
    "bind": "-h 127.0.0.1 -p {port} -A 127.0.0.3",
    "unix": "--unix {dir}/mqtt.sock",
    "url": "-L mqtt://127.0.0.1:{port}/{topic}",
    "tls": "-h localhost -p {port_tls} --cafile {dir}/ca.crt",
    "tls-address": "-h 127.0.0.1 -p {port_tls} --cafile {dir}/ca.crt",
    "tls-capath": "-h localhost -p {port_tls} --capath {dir}/authorities",
    "tls-insecure": "-h 127.0.0.2 -p {relay_tls} --cafile {dir}/ca.crt --insecure",
    "tls-1.3": "-h localhost -p {port_tls} --cafile {dir}/ca.crt --tls-version tlsv1.3",
    "tls-old": "-h localhost -p {port_old} --cafile {dir}/ca.crt --tls-version tlsv1.2"
               " --ciphers ECDHE-ECDSA-AES128-GCM-SHA256",
    "tls-alpn": "-h localhost -p {port_tls} --cafile {dir}/ca.crt --tls-alpn mqtt",
    "tls-cert": "-h localhost -p {port_cert} --cafile {dir}/ca.crt --cert {dir}/client.crt"
                " --key {dir}/client.key",
    "tls-psk": "-h localhost -p {port_psk} --psk 0123abcd --psk-identity bat",
    "ws": "-h 127.0.0.1 -p {port_ws} --ws --ws-path /",
    "wss": "-h localhost -p {port_wss} --ws --cafile {dir}/ca.crt",
    "wss-url": "-L wss://localhost:{port_wss}/{topic} --cafile {dir}/ca.crt",
    "socks": "-h localhost -p {port} --proxy socks5h://127.0.0.1:{proxy}",
    "socks-login": "-h localhost -p {port_tls} --cafile {dir}/ca.crt"
                   " --proxy socks5h://bat:wing@127.0.0.1:{proxy_login}",
}


class Proxy:
    """A SOCKS5 proxy for names; with a login it insists on bat and wing."""

    def __init__(self, wants_login):
        self.wants_login = wants_login
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.names = []
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        with sock, sock.makefile("rb") as stream:
            _, count = stream.read(2)
            methods = stream.read(count)
            if self.wants_login and 2 not in methods:
                return sock.sendall(b"\x05\xff")
            if self.wants_login:
                sock.sendall(b"\x05\x02")
                login = stream.read(len(b"\x01\x03bat\x04wing"))
                if login != b"\x01\x03bat\x04wing":
                    return sock.sendall(b"\x01\x01")
                sock.sendall(b"\x01\x00")
            else:
                sock.sendall(b"\x05\x00")
            version, command, _, kind, size = stream.read(5)
            assert (version, command, kind) == (5, 1, 3)
            name = stream.read(size).decode()
            port, = struct.unpack("!H", stream.read(2))
            self.names.append(name)
            assert name == "localhost"
            with socket.create_connection(("127.0.0.1", port)) as there:
                sock.sendall(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
                back = threading.Thread(target=fake_edge.pump, args=(there, sock), daemon=True)
                back.start()
                fake_edge.pump(sock, there)
                back.join()


def relay(address, port):
    """A listener at that address whose connections go on to a port; returns its port."""
    listener = socket.create_server((address, 0))

    def serve():
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            there = socket.create_connection(("127.0.0.1", port))
            for pair in ((sock, there), (there, sock)):
                threading.Thread(target=fake_edge.pump, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()[1]


@pytest.fixture(scope="module", params=[PROGRAM, "/usr/sbin/mosquitto"], ids=["our", "debian"])
def broker(request, tmp_path_factory):
    running = Broker(tmp_path_factory.mktemp("broker"), CONFIG, program=request.param)
    folder = running.folder
    ways.make_certificates(folder)
    ways.make_certificate(folder, "client", "/CN=client")
    running.write("psk", "bat:0123ABCD\n")
    os.mkdir(os.path.join(folder, "authorities"))
    os.link(os.path.join(folder, "ca.crt"), os.path.join(folder, "authorities", "ca.crt"))
    ways.openssl(folder, "rehash", "authorities")
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def places(broker):
    """The names in the braces of WAYS."""
    proxies = [Proxy(False), Proxy(True)]
    yield {"dir": broker.folder, "proxy": proxies[0].port, "proxy_login": proxies[1].port,
           "relay_tls": relay("127.0.0.2", broker.names["port_tls"]),
           **{name: broker.names[name] for name in
              ("port", "port_v6", "port_tls", "port_old", "port_cert", "port_psk", "port_ws",
               "port_wss")}}
    for proxy in proxies:
        proxy.listener.close()


def run(*words, stdin=None):
    done = subprocess.run([TOOL, *words], input=stdin, capture_output=True, text=True, check=False,
                          stdin=None if stdin is not None else subprocess.DEVNULL,
                          timeout=SECONDS, env={**os.environ, "HOME": "/nonexistent"})
    assert not SANITIZER_WORDS.search(done.stderr), done.stderr
    return done.returncode, done.stdout, done.stderr


def need_listener(broker, way):
    """Pre-shared keys are an option that our broker names as not active yet."""
    if way == "tls-psk" and "psk_file" in broker.log():
        pytest.skip("the broker has no pre-shared keys yet")


@pytest.mark.parametrize("way", WAYS)
def test_a_message_comes_through(broker, places, topic, way):
    need_listener(broker, way)
    words = WAYS[way].format(topic=topic, **places).split()
    if "-L" not in words:
        words += ["-t", topic]
    words += ["-V", ["311", "5"][list(WAYS).index(way) % 2]]
    payload = "x" * 70000
    assert run("pub", *words, "-q", "1", "-r", "-s", stdin=payload) == (0, "", "")
    assert run("sub", *words, "-C", "1") == (0, payload + "\n", "")


@pytest.fixture(scope="module")
def encrypted_key(broker):
    ways.openssl(broker.folder, "pkey", "-in", "client.key", "-aes128", "-passout", "pass:secret",
                 "-out", "encrypted.key")
    return os.path.join(broker.folder, "encrypted.key")


def test_the_passphrase_of_a_key_is_asked_on_the_terminal(broker, places, topic, encrypted_key):
    words = WAYS["tls-cert"].format(topic=topic, **places).split()[:-1] + [encrypted_key]
    assert test_passwd.ask(broker.folder, [TOOL, "pub", *words, "-t", topic, "-m", "x"],
                           ["Enter PEM pass phrase:"], ["secret\n"]) == (
                               0, "Enter PEM pass phrase:\r\n")


def test_without_a_terminal_no_message_is_taken_for_a_passphrase(places, topic, encrypted_key):
    words = WAYS["tls-cert"].format(topic=topic, **places).split()[:-1] + [encrypted_key]
    done = subprocess.run([TOOL, "pub", *words, "-t", topic, "-l"], input="secret\n", text=True,
                          capture_output=True, check=False, timeout=SECONDS,
                          start_new_session=True)
    assert (done.returncode, done.stdout, done.stderr) == (
        1, "", f"noctule pub: cannot load the key '{encrypted_key}': it is encrypted, and no "
               "passphrase is given\n")


def test_secrets_are_logged(broker, places, topic, tmp_path):
    log = tmp_path / "keys"
    words = WAYS["tls"].format(topic=topic, **places).split()
    assert run("pub", *words, "-t", topic, "-n", "--tls-keylog", str(log)) == (0, "", "")
    assert "SECRET" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("words, status, line", [
    ("-h localhost -p {port_tls} --cafile {dir}/server.crt", 8, "not among the trusted"),
    ("-h localhost -p {port_tls}", 7, "; check the port, and whether it wants TLS (--cafile) or --ws"),
    ("-h localhost -p {port} --cafile {dir}/ca.crt", 8, "no TLS with "),
    ("-h localhost -p {port} --proxy socks5h://127.0.0.1:{proxy_login}", 16,
     "the proxy wants a user name and password"),
    ("-h localhost -p {port} --proxy socks5h://bat:wrong@127.0.0.1:{proxy_login}", 16,
     "the proxy refused the user name or password"),
])
def test_what_does_not_come_through_is_told(broker, places, words, status, line):
    found, out, err = run("pub", *words.format(**places).split(), "-t", "t", "-q", "1", "-m", "x")
    assert line in err, err
    assert (found, out) == (status, "")
    assert err.count("\n") == 1


def test_a_wrong_key_is_told(broker, places):
    need_listener(broker, "tls-psk")
    words = WAYS["tls-psk"].replace("0123abcd", "0123abce").format(topic="t", **places).split()
    status, _, err = run("pub", *words, "-t", "t", "-m", "x")
    assert status == 8
    assert "no TLS with localhost" in err


def test_a_missing_certificate_is_told(broker, places):
    status, _, err = run("pub", *"-h localhost -p {port_cert} --cafile {dir}/ca.crt".format(
        **places).split(), "-t", "t", "-q", "1", "-m", "x")
    if broker.program == PROGRAM and not IS_MOSQUITTO:
        assert status == 8
        assert "the server wants a certificate from us; check --cert and --key" in err
    else:  # its alert may be lost, since it closes with bytes of ours unread
        assert status in (7, 8)
