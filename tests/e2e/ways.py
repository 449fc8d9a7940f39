# SPDX-License-Identifier: Apache-2.0
"""All ways to the broker, for tests that must hold on each: see CONFIG and dial()."""

import os
import socket
import ssl
import subprocess
import time

import raw
import ws

# For a broker whose folder has certificates: call make_certificates(broker.folder).
CONFIG = """
allow_anonymous true
listener {port} 127.0.0.1
listener 0 {dir}/mqtt.sock
listener {port_tls} 127.0.0.1
certfile {dir}/server.crt
keyfile {dir}/server.key
listener {port_ws} 127.0.0.1
protocol websockets
listener {port_wss} 127.0.0.1
protocol websockets
certfile {dir}/server.crt
keyfile {dir}/server.key
"""
WAYS = ["tcp", "unix", "tls", "ws", "wss"]


def openssl(folder, *words):
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


def make_authority(folder, name, subject):
    openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.crt", "-days", "2",
            "-subj", subject)


def make_certificate(folder, name, subject, authority="ca", names=None):
    """name.crt and name.key; names: the subject's alternative names."""
    openssl(folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", subject)
    extensions = []
    if names:
        with open(os.path.join(folder, f"{name}.ext"), "w", encoding="ascii") as out:
            out.write(f"subjectAltName={names}\n")
        extensions = ["-extfile", f"{name}.ext"]
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.crt", "-CAkey",
            f"{authority}.key", "-CAcreateserial", "-out", f"{name}.crt", "-days", "2", *extensions)


def make_certificates(folder):
    """An authority (ca.crt) and a server's certificate for this machine (server.crt, .key)."""
    make_authority(folder, "ca", "/CN=Test CA")
    make_certificate(folder, "server", "/CN=localhost",
                     names="DNS:localhost,IP:127.0.0.1,IP:0:0:0:0:0:0:0:1")


def in_tls(sock, folder, name="localhost", **changes):
    """Wrap a connected socket; changes: attributes of the SSLContext."""
    context = ssl.create_default_context(cafile=os.path.join(folder, "ca.crt"))
    for attribute, value in changes.items():
        setattr(context, attribute, value)
    return context.wrap_socket(sock, server_hostname=name)


def dial_tcp(port, timeout=5):
    """Mosquitto's WebSocket listeners open a moment after the others."""
    deadline = time.monotonic() + 2
    while True:
        try:
            sock = socket.create_connection(("127.0.0.1", port), timeout)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock


def dial_port(broker, way, timeout=5):
    """A connection to the listener of that way, without TLS or WebSocket."""
    if way == "unix":
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(timeout)
        sock.connect(os.path.join(broker.folder, "mqtt.sock"))
        return sock
    return dial_tcp(broker.names["port" if way == "tcp" else f"port_{way}"], timeout)


class UnixSocket:
    """raw.Raw sets an option of TCP that these do not have."""

    def __init__(self, sock):
        self.sock = sock

    def setsockopt(self, *_):
        """Nothing to set."""

    def __getattr__(self, name):
        return getattr(self.sock, name)


def dial(broker, way, timeout=5):
    """A connection that MQTT goes through."""
    sock = dial_port(broker, way, timeout)
    if way in ("tls", "wss"):
        sock = in_tls(sock, broker.folder)
    if way in ("ws", "wss"):
        return ws.WebSocket(sock, timeout)
    return UnixSocket(sock) if way == "unix" else sock


def open_client(broker, way, version=4):
    """A raw.Raw that has not said CONNECT."""
    client = raw.Raw(0, version, sock=dial(broker, way))
    broker.clients.append(client)
    return client


def client(broker, way, client_id, version=4, **options):
    """A connected raw.Raw."""
    opened = open_client(broker, way, version)
    connack = opened.connect(client_id, **options)
    assert connack.reason == 0, f"CONNACK {connack.reason:#x}"
    return opened


def reaches(host, port):
    try:
        socket.create_connection((host, port), 1).close()
        return True
    except OSError:
        return False


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False
