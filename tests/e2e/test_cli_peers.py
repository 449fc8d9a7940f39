# SPDX-License-Identifier: Apache-2.0
"""Clients that nobody here wrote: mosquitto_pub, _sub and _rr, and paho-mqtt."""

import os
import ssl
import subprocess
import threading

import paho.mqtt.client as paho
import pytest

from conftest import IS_MOSQUITTO

# Whoever must be refused at once is not just waited out.
CONFIG = ("" if IS_MOSQUITTO else "connect_timeout 60\n") + """
per_listener_settings false
allow_anonymous true
listener {port} 127.0.0.1
listener 0 {dir}/broker.sock
listener {port_ws} 127.0.0.1
protocol websockets
listener {port_tls} 127.0.0.1
certfile {dir}/server.crt
keyfile {dir}/server.key
listener {port_mutual} 127.0.0.1
cafile {dir}/ca.crt
certfile {dir}/server.crt
keyfile {dir}/server.key
require_certificate true
use_identity_as_username true
"""


def openssl(folder, *words):
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


def make_certificates(folder):
    """A CA and, signed by it, a server's and a client's certificate."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(folder, "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-days", "2",
            "-subj", "/CN=Test CA")
    for name, subject in (("server", "/CN=localhost"), ("client", "/CN=device")):
        openssl(folder, "req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr",
                "-subj", subject)
        openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
                "-CAcreateserial", "-out", f"{name}.crt", "-days", "2")


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    from conftest import Broker

    running = Broker(tmp_path_factory.mktemp("broker"), CONFIG)
    make_certificates(running.folder)
    try:
        yield running.start()
    finally:
        running.stop()


def way(broker, transport):
    """The options by which Mosquitto's clients get there."""
    def at(name):
        return os.path.join(broker.folder, name)

    if transport == "unix":
        return ["--unix", at("broker.sock")]
    if transport == "tcp":
        return ["-h", "127.0.0.1", "-p", str(broker.port)]
    tls = ["-h", "localhost", "--cafile", at("ca.crt")]
    if transport == "tls":
        return [*tls, "-p", str(broker.names["port_tls"])]
    return [*tls, "-p", str(broker.names["port_mutual"]), "--cert", at("client.crt"),
            "--key", at("client.key")]


TRANSPORTS = ["tcp", "tls", "mutual", "unix"]


def start(*words, **options):
    # Without stdbuf a line would be held back until the client ends.
    return subprocess.Popen(["stdbuf", "-oL", *words], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, **options)


def wait_subscribed(process):
    """mosquitto_sub -d prints the SUBACK it got; -W ends it, and so the wait, in any case."""
    for line in process.stdout:
        if "Subscribed" in line:
            return
    raise AssertionError("never subscribed: " + process.stderr.read())


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("mqtt", ["31", "311", "5"])
def test_pub_and_sub(broker, topic, transport, mqtt):
    common = [*way(broker, transport), "-V", mqtt, "-t", topic, "-q", "2"]
    with start("mosquitto_sub", *common, "-C", "3", "-W", "10", "-d", "-v") as receiver:
        wait_subscribed(receiver)
        lines = "one\ntwo\nthree\n"
        subprocess.run(["mosquitto_pub", *common, "-l"], input=lines, text=True, check=True,
                       timeout=10)
        out, _ = receiver.communicate(timeout=10)
        got = [line for line in out.splitlines() if line.startswith(topic)]
        assert got == [f"{topic} one", f"{topic} two", f"{topic} three"]
        assert receiver.returncode == 0


@pytest.mark.parametrize("transport", ["tcp", "tls", "unix"])
def test_request_and_response(broker, topic, transport):
    to = way(broker, transport)
    with start("mosquitto_sub", *to, "-t", topic, "-C", "1", "-W", "10", "-d", "-V", "5",
               "-F", "got %R") as server:
        wait_subscribed(server)
        with start("mosquitto_rr", *to, "-t", topic, "-e", topic + "/answer", "-m", "question",
                   "-W", "10") as asker:
            out, _ = server.communicate(timeout=10)
            assert f"got {topic}/answer" in out
            subprocess.run(["mosquitto_pub", *to, "-t", topic + "/answer", "-m", "reply"],
                           check=True, timeout=10)
            out, _ = asker.communicate(timeout=10)
            assert out.strip() == "reply"


def test_large_file_through_tls(broker, topic):
    path = broker.write("payload", "0123456789abcdef" * 65536)
    to = way(broker, "tls")
    with start("mosquitto_sub", *to, "-t", topic, "-C", "1", "-W", "15", "-N", "-q", "1",
               "-i", "receiver", "-F", "%l") as receiver:
        broker.wait_log("Sending SUBACK to receiver", 10)
        subprocess.run(["mosquitto_pub", *to, "-t", topic, "-f", path, "-q", "1"], check=True,
                       timeout=15)
        assert receiver.communicate(timeout=15)[0] == str(1 << 20)


def test_client_without_certificate_is_refused(broker, topic):
    words = ["mosquitto_pub", "-h", "localhost", "-p", str(broker.names["port_mutual"]),
             "--cafile", os.path.join(broker.folder, "ca.crt"), "-t", topic, "-m", "x", "-q", "1"]
    assert subprocess.run(words, capture_output=True, timeout=10, check=False).returncode != 0


def test_tls_on_the_plain_port_is_refused_quickly(broker, topic):
    words = ["mosquitto_pub", "-h", "localhost", "-p", str(broker.port), "--cafile",
             os.path.join(broker.folder, "ca.crt"), "-t", topic, "-m", "x"]
    # Long before the time for a CONNECT is up.
    assert subprocess.run(words, capture_output=True, timeout=10, check=False).returncode != 0


@pytest.mark.parametrize("transport", ["tcp", "websockets", "tls"])
@pytest.mark.parametrize("protocol", [paho.MQTTv311, paho.MQTTv5], ids=["v311", "v5"])
def test_paho_sends_itself_200_messages(broker, topic, transport, protocol):
    count = 200
    got, subscribed, complete = [], threading.Event(), threading.Event()
    client = paho.Client("", protocol=protocol,
                         transport="websockets" if transport == "websockets" else "tcp")

    def on_message(_client, _data, message):
        got.append(int(message.payload))
        if len(got) == count:
            complete.set()

    client.on_message = on_message
    client.on_connect = lambda c, *_: c.subscribe(topic, 2)
    client.on_subscribe = lambda *_: subscribed.set()
    port = {"tcp": "port", "websockets": "port_ws", "tls": "port_tls"}[transport]
    if transport == "tls":
        client.tls_set(os.path.join(broker.folder, "ca.crt"), tls_version=ssl.PROTOCOL_TLS_CLIENT)
    client.connect("localhost" if transport == "tls" else "127.0.0.1", broker.names[port])
    client.loop_start()
    try:
        assert subscribed.wait(10)
        for number in range(count):
            client.publish(topic, number, number % 3)
        assert complete.wait(20), f"only {len(got)} came"
        for qos in range(3):
            same = [n for n in got if n % 3 == qos]
            assert same == sorted(same)  # [MQTT-4.6.0-5]
        assert sorted(got) == list(range(count))
    finally:
        client.disconnect()
        client.loop_stop()
