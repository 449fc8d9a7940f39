# SPDX-License-Identifier: Apache-2.0
"""The ACL file, and its change while the broker runs."""

import time

import pytest

import raw

ACL = """# topics of those without a name
topic read public/#
topic write inbox/anonymous

user alice
topic readwrite alice/#
topic read news/+
topic deny alice/secret
topic write drop/box with blanks

user bob
topic bob/#

pattern readwrite users/%u/#
pattern write clients/%c/up
pattern read clients/%c/down
"""
CONFIG = """
listener {port} 127.0.0.1
allow_anonymous true
acl_file {dir}/acl
"""
FILES = {"acl": ACL}


@pytest.mark.parametrize("user,topic,is_allowed", [
    ("alice", "alice/a/b", True),
    ("alice", "alice/secret", False),
    ("alice", "news/x", False),
    ("alice", "drop/box with blanks", True),
    ("alice", "bob/x", False),
    ("alice", "users/alice/x", True),
    ("alice", "users/bob/x", False),
    ("bob", "bob/x", True),
    ("bob", "alice/x", False),
    (None, "inbox/anonymous", True),
    (None, "public/x", False),
    (None, "users//x", False),
    ("stranger", "public/x", False),
    ("stranger", "users/stranger/x", True),
])
def test_v5_publisher_is_told(broker, user, topic, is_allowed):
    client = broker.client("acl-writer", 5, user=user)
    assert client.publish(topic, "x", 1) in ((0, 0x10) if is_allowed else (0x87,))
    assert client.publish(topic, "x", 2) in ((0, 0x10) if is_allowed else (0x87,))


def test_client_id_pattern(broker):
    client = broker.client("device7", 5, user="alice")
    assert client.publish("clients/device7/up", "x", 1) != 0x87
    assert client.publish("clients/device8/up", "x", 1) == 0x87
    assert client.publish("clients/device7/down", "x", 1) == 0x87


def test_v311_denied_publish_is_acknowledged_and_dropped(broker):
    reader = broker.client("r", user="bob")
    reader.subscribe(("bob/#", 0))
    writer = broker.client("w", user="alice")
    writer.publish("bob/x", "denied", 1)
    writer.publish("bob/x", "denied", 2)
    reader.expect_nothing()


@pytest.mark.parametrize("user,filters,readable,hidden", [
    ("alice", "alice/#", ["alice/a"], ["alice/secret"]),
    ("alice", "#", ["alice/a", "news/x"], ["bob/x"]),
    (None, "#", ["public/a"], ["alice/a", "inbox/anonymous"]),
    ("bob", "bob/+", ["bob/x"], []),
])
def test_read_right_is_checked_at_delivery(broker, user, filters, readable, hidden):
    reader = broker.client("r", 5, user=user)
    assert reader.subscribe((filters, 0)) == [0]
    writers = {"alice": "alice", "bob": "bob", "inbox": None}
    sent = []
    for topic in hidden + readable:
        owner = topic.split("/", maxsplit=1)[0]
        if owner in writers and topic != "alice/secret":
            broker.client("", user=writers[owner]).publish(topic, topic, 1)
            sent.append(topic)
    for topic in readable:
        if topic in sent:
            reader.expect_message(topic, topic)
    reader.expect_nothing()


def test_denied_will_is_not_sent(broker):
    reader = broker.client("r", user="bob")
    reader.subscribe(("bob/#", 0))
    broker.client("dying", user="alice", will={"topic": "bob/will", "payload": "x"}).close()
    reader.expect_nothing(0.3)


def test_wildcard_in_a_name_gets_nothing_by_patterns(broker):
    reader = broker.client("r", user="bob")
    reader.subscribe(("users/#", 0))
    client = broker.client("w", 5, user="bo+")
    try:
        assert client.publish("users/bo+/x", "x", 1) == 0x87
    except raw.Closed:
        pass
    reader.expect_nothing()


def test_change_takes_effect_on_reload(start_broker):
    broker = start_broker(CONFIG, files={"acl": "topic readwrite open/#\n"})
    client = broker.client("c", 5)
    client.subscribe(("open/#", 0), ("other/#", 0))
    assert client.publish("other/x", "x", 1) == 0x87
    broker.write("acl", "topic readwrite other/#\n")
    broker.reload()
    deadline = time.monotonic() + 5
    while client.publish("other/x", "x", 1) == 0x87:
        assert time.monotonic() < deadline, "the new ACL is not in force"
        time.sleep(0.05)
    assert client.expect(raw.PUBLISH).topic == "other/x"
    assert client.publish("open/x", "x", 1) == 0x87
    client.expect_nothing()


@pytest.mark.noctule_only
def test_broken_file_on_reload_keeps_the_old_one(start_broker):
    broker = start_broker(CONFIG, files={"acl": "topic readwrite open/#\n"})
    client = broker.client("c", 5)
    broker.write("acl", "topic readwrite other/#\ntopc what\n")
    broker.reload()
    broker.wait_log(r"acl")
    time.sleep(0.3)
    assert client.publish("open/x", "x", 1) == 0x10
    assert client.publish("other/x", "x", 1) == 0x87
