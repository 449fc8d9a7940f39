# SPDX-License-Identifier: Apache-2.0
"""Password files: every kind of hash, reload, and a Kubernetes Secret."""

import base64
import hashlib
import os
import time

import pytest

import raw

CONFIG = """
listener {port} 127.0.0.1
allow_anonymous false
password_file {dir}/passwords
"""


def b64(value):
    return base64.b64encode(value).decode()


def pbkdf2(user, password, rounds=101, salt_bytes=12):
    salt = os.urandom(salt_bytes)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds)
    return f"{user}:$7${rounds}${b64(salt)}${b64(digest)}\n"


def sha512(user, password):
    salt = os.urandom(12)
    digest = hashlib.sha512(password.encode() + salt).digest()
    return f"{user}:$6${b64(salt)}${b64(digest)}\n"


FILES = {
    "passwords": "# people\n\n" + pbkdf2("alice", "wonderland") + sha512("bob", "builder")
    + pbkdf2("carol", "pass:with:colons") + pbkdf2("dave", "") + pbkdf2("ümit", "пароль", 1)
}


def answer(broker, user, password, version=4):
    """The code of the CONNACK."""
    with broker.open(version) as client:
        return client.connect("", user=user, password=password).reason


@pytest.mark.parametrize("user,password", [
    ("alice", "wonderland"), ("bob", "builder"), ("carol", "pass:with:colons"), ("ümit", "пароль")])
def test_right_password_is_welcome(broker, version, user, password):
    assert answer(broker, user, password, version) == 0


@pytest.mark.parametrize("user,password", [
    ("alice", "Wonderland"), ("alice", ""), ("alice", None), ("bob", "wonderland"),
    ("nobody", "x"), ("", "x"), ("ALICE", "wonderland"), (None, None), ("alice", "x" * 60000)])
def test_wrong_password_is_refused(broker, user, password):
    assert answer(broker, user, password, 4) in (4, 5)  # [MQTT-3.1.4-2]
    assert answer(broker, user, password, 5) in (0x86, 0x87)


def test_a_refused_client_is_closed_and_cannot_go_on(broker):
    with broker.open() as client:
        client.send(raw.connect("c", user="alice", password="no"), raw.subscribe(1, [("#", 0)]))
        assert client.expect(raw.CONNACK).reason != 0
        client.expect_closed()  # [MQTT-3.2.2-7]


def test_many_logins_at_once_are_all_answered(broker):
    clients = [broker.open() for _ in range(100)]
    for number, client in enumerate(clients):
        password = "wonderland" if number % 2 else "wrong"
        client.send(raw.connect(f"many{number}", user="alice", password=password))
    for number, client in enumerate(clients):
        assert (client.expect(raw.CONNACK, 20).reason == 0) == bool(number % 2)


def test_a_client_that_came_back_is_not_taken_over_by_its_old_connect(start_broker):
    broker = start_broker(CONFIG, files={"passwords": pbkdf2("slow", "1", 1_500_000) + pbkdf2("fast", "1")})
    with broker.open() as old:
        old.send(raw.connect("one", user="slow", password="1"))
        # Workers accept for themselves: which connection is the older one shows only there.
        broker.wait_log(f"New connection from 127.0.0.1:{old.sock.getsockname()[1]} ")
    new = broker.client("one", user="fast", password="1")
    # "taken over": the new one came so late that the old one was in already.
    broker.wait_log("has connected anew since|Session of client one is taken over: .* replaces", 30)
    new.publish("t", "x", 1)


def wait_answer(broker, wanted, user, password, seconds=10):
    deadline = time.monotonic() + seconds
    while answer(broker, user, password) != wanted:
        assert time.monotonic() < deadline, f"{user} is not answered with {wanted}"
        time.sleep(0.05)


def test_reload_adds_changes_and_removes(start_broker):
    unchanged = pbkdf2("a", "1")
    broker = start_broker(CONFIG, files={"passwords": unchanged + pbkdf2("b", "1")})
    stays = broker.client("stays", user="a", password="1")
    broker.write("passwords", unchanged + pbkdf2("c", "1"))
    broker.reload()
    wait_answer(broker, 0, "c", "1")
    assert answer(broker, "b", "1") in (4, 5)
    stays.expect_nothing()


@pytest.mark.noctule_only
def test_broken_file_on_reload_keeps_everybody(start_broker):
    broker = start_broker(CONFIG, files={"passwords": pbkdf2("a", "1")})
    stays = broker.client("stays", user="a", password="1")
    broker.write("passwords", pbkdf2("b", "1") + "c:$7$101$broken\n")
    broker.reload()
    broker.wait_log("passwords")
    time.sleep(0.3)
    assert answer(broker, "a", "1") == 0
    stays.expect_nothing()


class Secret:
    """A Secret volume as the kubelet makes it: files behind ..data behind a dated directory."""

    def __init__(self, folder):
        self.folder = folder
        self.count = 0
        os.makedirs(folder)

    def update(self, content):
        self.count += 1
        name = f"..2026_01_01_00_00_{self.count:02}"
        directory = os.path.join(self.folder, name)
        os.mkdir(directory, 0o755)
        path = os.path.join(directory, "passwords")
        with open(path, "w", encoding="utf-8") as out:
            out.write(content)
        os.chmod(path, 0o440)
        link = os.path.join(self.folder, "..data")
        os.symlink(name, link + "_tmp")
        os.rename(link + "_tmp", link)
        entry = os.path.join(self.folder, "passwords")
        if not os.path.islink(entry):
            os.symlink("..data/passwords", entry)


SECRET = """
listener {port} 127.0.0.1
allow_anonymous false
password_file {dir}/secret/passwords
"""


@pytest.fixture
def secret(tmp_path_factory, monkeypatch):
    """A broker whose password file is a Secret's, and the Secret."""
    from conftest import Broker

    monkeypatch.delenv("MOSQUITTO_UNSAFE_ALLOW_SYMLINKS", raising=False)
    broker = Broker(tmp_path_factory.mktemp("broker"), SECRET)
    volume = Secret(os.path.join(broker.folder, "secret"))
    volume.update(pbkdf2("old", "1"))
    yield broker, volume
    broker.stop()


def test_kubernetes_secret_is_read_through_its_links(secret):
    broker, _ = secret
    broker.start()
    assert answer(broker, "old", "1") == 0


def test_kubernetes_secret_is_read_again_on_sighup(secret):
    broker, volume = secret
    broker.start()
    volume.update(pbkdf2("new", "2"))
    broker.reload()
    wait_answer(broker, 0, "new", "2")
    assert answer(broker, "old", "1") in (4, 5)


@pytest.mark.noctule_only
def test_kubernetes_secret_is_watched(secret):
    broker, volume = secret
    broker.start()
    assert "arning" not in broker.log()
    for number in range(3):
        volume.update(pbkdf2("new", str(number)))
        wait_answer(broker, 0, "new", str(number))
    assert answer(broker, "new", "0") in (4, 5)
