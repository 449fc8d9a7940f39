# SPDX-License-Identifier: Apache-2.0
"""Extended authentication in its surroundings: users, rights, reload, workers, transports, peers."""

import os
import shutil
import subprocess

import pytest

import raw
import scram
import ways
from test_javascript import HERE, MODULE, need
from test_passwords import pbkdf2, sha512

pytestmark = pytest.mark.noctule_only  # Mosquitto needs a plugin for it

METHOD = "authentication_method SCRAM-SHA-512\n"
CONFIG = METHOD + "password_file {dir}/passwords\nacl_file {dir}/acl\nworkers 3\n" + \
    ways.CONFIG.replace("allow_anonymous true", "")
FILES = {
    "passwords": pbkdf2("alice", "wonderland") + pbkdf2("a,l=ice", "c,o=mma") +
    pbkdf2("ümit", "пароль", 5000) + sha512("old", "hat"),
    "acl": "pattern readwrite own/%u/#\n",
}


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    import conftest
    running = conftest.Broker(tmp_path_factory.mktemp("broker"), CONFIG, files=FILES)
    ways.make_certificates(running.folder)
    try:
        yield running.start()
    finally:
        running.stop()


@pytest.mark.parametrize("way", ways.WAYS)
def test_login_on_every_transport(broker, topic, way):
    client = ways.open_client(broker, way, 5)
    assert scram.login(client, topic, "alice", "wonderland").reason == 0
    client.expect_nothing(0.02)
    scram.login_again(client, "alice", "wonderland")


@pytest.mark.parametrize("user,password", [("a,l=ice", "c,o=mma"), ("ümit", "пароль")])
def test_names_that_need_escapes_and_other_rounds(broker, topic, user, password):
    assert scram.login(broker.open(5), topic, user, password).reason == 0


def test_rights_are_those_of_the_methods_user(broker, topic):
    client = broker.open(5)
    scram.login(client, topic, "alice", "wonderland")
    assert client.publish("own/alice/x", "x", 1) in (0, 0x10)
    assert client.publish("own/bob/x", "x", 1) == 0x87
    broker.wait_log(f"connected from .* as {topic} .*u'alice'")


@pytest.mark.parametrize("user,password", [
    ("alice", "Wonderland"), ("nobody", "x"), ("old", "hat"), ("alice", "")])
def test_who_does_not_know_the_password_is_refused_at_the_end(broker, topic, user, password):
    client = broker.open(5)
    assert scram.login(client, topic, user, password or "x").reason == 0x87
    client.expect_closed()
    why = "its password line is not of the kind \\$7\\$" if user == "old" else \
        "unknown user or wrong password"
    broker.wait_log(f"Client {topic} from 127.0.0.1:\\d+ denied: {why}.* \\(user '{user}'\\)")


def test_stranger_has_the_same_salt_each_time(broker, topic):
    challenges = [scram.begin(broker.open(5), topic, "nobody", "x")[1] for _ in range(2)]
    challenges.append(scram.begin(broker.open(5), topic, "no-one", "x")[1])
    salts = [one.split(b",s=")[1] for one in challenges]
    assert salts[0] == salts[1] != salts[2]
    assert challenges[0].split(b",")[0] != challenges[1].split(b",")[0]


@pytest.mark.parametrize("first", [b"", b"x", b"n,,n=alice", b"n,,r=x,n=alice", b"p=y,,n=alice,r=x",
                                   b"n,a=bob,n=alice,r=x", b"n,,n=alice,r=" + b"x" * 300, None])
def test_what_is_no_scram_is_refused(broker, topic, first):
    client = broker.open(5)
    props = [("auth_method", scram.METHOD)] + ([] if first is None else [("auth_data", first)])
    assert client.connect(topic, props=props).reason == 0x87
    client.expect_closed()
    client = broker.open(5)
    scram.begin(client, topic, "alice", "wonderland")
    client.send(scram.auth(0x18, first))
    assert client.expect(raw.CONNACK).reason == 0x87
    client.expect_closed()


def test_another_user_name_in_connect_is_refused(broker, topic):
    client = broker.open(5)
    assert scram.login(client, topic, "alice", "wonderland", user="old").reason == 0x87
    broker.wait_log(f"Client {topic} .* denied: its SCRAM is for another user \\(user 'old'\\)")
    assert scram.login(broker.open(5), topic, "alice", "wonderland", user="alice").reason == 0


def test_user_name_and_password_still_work(broker, topic):
    broker.client(topic, 5, user="alice", password="wonderland")
    broker.client(topic + "3", 4, user="old", password="hat")


def test_session_is_found_again_on_its_worker(broker, topic):
    """Three workers: most of these come to another one than that which accepts them."""
    def come(number, clean):
        client = broker.open(5)
        exchange, challenge = scram.begin(client, f"{topic}-{number}", "alice", "wonderland",
                                          clean=clean)
        client.send(scram.auth(0x18, exchange.answer(challenge)), raw.packet(raw.PINGREQ))
        connack = client.expect(raw.CONNACK)
        assert connack.reason == 0 and exchange.is_proved(connack.prop("auth_data"))
        client.expect(raw.PINGRESP)
        return client, connack

    clients = [come(number, True)[0] for number in range(30)]
    for number, client in enumerate(clients):
        come(number, False)
        assert client.expect_closed() == 0x8E


def test_half_an_exchange_is_cut_at_the_deadline(start_broker, topic):
    broker = start_broker(METHOD + "connect_timeout 1\nlistener {port} 127.0.0.1\n"
                          "password_file {dir}/passwords\n", files=FILES)
    client = broker.open(5)
    scram.begin(client, topic, "alice", "wonderland")
    with pytest.raises(raw.Closed):
        client.receive(10)
    broker.wait_log("no AUTH in time")


def test_password_that_changes_meanwhile_is_not_taken(start_broker, topic):
    broker = start_broker(METHOD + "listener {port} 127.0.0.1\npassword_file {dir}/passwords\n",
                          files=FILES)
    there, stays = broker.open(5), broker.open(5)
    scram.login(there, topic, "alice", "wonderland")
    scram.login(stays, topic + "2", "ümit", "пароль")
    halfway = broker.open(5)
    exchange, challenge = scram.begin(halfway, topic + "3", "alice", "wonderland")
    broker.write("passwords", pbkdf2("alice", "looking glass") +
                 FILES["passwords"].split("\n", 1)[1])
    broker.reload()
    assert there.expect_closed() == 0x87  # its entry has changed
    halfway.send(scram.auth(0x18, exchange.answer(challenge)))
    assert halfway.expect(raw.CONNACK).reason == 0x87
    broker.wait_log("denied: its password has changed meanwhile \\(user 'alice'\\)")
    stays.expect_nothing(0.02)
    scram.login_again(stays, "ümit", "пароль")
    assert scram.login(broker.open(5), topic, "alice", "looking glass").reason == 0


def test_method_without_users_is_an_error_of_the_configuration(tmp_path, broker):
    config = tmp_path / "c"
    config.write_text("listener 1883\nauthentication_method SCRAM-SHA-512\n")
    done = subprocess.run([broker.program, "broker", "-c", config, "--test-config"],
                          capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 3
    assert f"{config}:2" in done.stderr + done.stdout
    assert "password_file" in done.stderr + done.stdout


def test_mqtt_js(broker, topic):
    """MQTT.js does the AUTH packets, Node's crypto the rest."""
    need("MQTT.js (npm ci in tests/e2e)", os.path.isdir(MODULE))
    need("node", shutil.which("node"))
    done = subprocess.run(
        ["node", os.path.join(HERE, "js", "scram.js"), f"mqtt://127.0.0.1:{broker.port}", topic],
        capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stdout == "in\nagain\n"
