# SPDX-License-Identifier: Apache-2.0
"""How pub, sub and rr run: what they send and show, how they end, and that they come back.
The same words go to Debian's tools where those do the same."""

import concurrent.futures
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

import raw
from conftest import IS_MOSQUITTO, PROGRAM, SANITIZER_WORDS, SLOWER, TOP

TOOL = PROGRAM if not IS_MOSQUITTO else os.path.join(TOP, "build", "noctule")
SECONDS = 30 * SLOWER
CONFIG = """
listener {port} 127.0.0.1
allow_anonymous true
max_queued_messages 0
"""
LARGE = "0123456789abcdef" * 50000  # larger than any buffer of the tools


@pytest.fixture(scope="module", params=["noctule", "debian"])
def tool(request, tmp_path_factory):
    """tool("pub"): the command under Mosquitto's name, ours or Debian's."""
    folder = tmp_path_factory.mktemp("named")
    for name in ("pub", "sub", "rr"):
        target = os.path.abspath(TOOL) if request.param == "noctule" else f"/usr/bin/mosquitto_{name}"
        os.symlink(target, folder / f"mosquitto_{name}")
    return lambda name: str(folder / f"mosquitto_{name}")


def to(broker):
    return ["-h", "127.0.0.1", "-p", str(broker.port)]


def run(command, *words, stdin=None):
    done = subprocess.run([command, *words], input=stdin, capture_output=True, text=True,
                          timeout=SECONDS, check=False,
                          stdin=None if stdin is not None else subprocess.DEVNULL,
                          env={**os.environ, "HOME": "/nonexistent"})
    assert not SANITIZER_WORDS.search(done.stderr), done.stderr
    return done.returncode, done.stdout, done.stderr


class Running:
    """A tool that runs, with -d: wait_for() lines of it."""

    def __init__(self, *words):
        # Debian's tools hold lines back until they end. (Ours may be built with a sanitizer.)
        is_ours = os.path.realpath(words[0]) == os.path.realpath(TOOL)
        unbuffered = [] if is_ours else ["stdbuf", "-oL"]
        self.process = subprocess.Popen([*unbuffered, *words, "-d"], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE,
                                        env={**os.environ, "HOME": "/nonexistent"})
        self.lines = []
        self.watchdog = threading.Timer(SECONDS, self.process.kill)
        self.watchdog.start()

    def wait_for(self, pattern):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if re.search(pattern, line):
                return line
        raise AssertionError(f"no {pattern!r} in {self.lines}: {self.process.stderr.read()}")

    def end(self):
        """(status, lines, stderr) once it has ended."""
        out, err = self.process.communicate()
        self.watchdog.cancel()
        assert not SANITIZER_WORDS.search(err), err
        return self.process.returncode, self.lines + out.splitlines(), err


@pytest.fixture
def running():
    """running(command, words...): is killed at the end if it still runs."""
    started = []

    def start(*words):
        started.append(Running(*words))
        return started[-1]

    yield start
    for one in started:
        one.watchdog.cancel()
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


def subscribed(running, tool, broker, *words):
    sub = running(tool("sub"), *to(broker), *words)
    sub.wait_for("Subscribed")
    return sub


def shown(lines):
    """What is no line of -d."""
    return [line for line in lines if not line.startswith(("Client ", "Subscribed "))]


# ---- pub ----


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("payload", ["hello", LARGE], ids=["small", "large"])
def test_pub_sends_one_message(tool, broker, topic, qos, payload, tmp_path):
    subscriber = broker.client("one-" + topic.replace("/", "-"))
    subscriber.subscribe((topic, qos))
    (tmp_path / "payload").write_text(payload, encoding="ascii")
    assert run(tool("pub"), *to(broker), "-t", topic, "-q", str(qos), "-f",
               str(tmp_path / "payload")) == (0, "", "")
    message = subscriber.expect(raw.PUBLISH, timeout=20)
    assert (message.topic, message.payload, message.qos) == (topic, payload.encode(), qos)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_pub_sends_a_message_for_each_line(tool, broker, topic, qos):
    subscriber = broker.client("lines-" + topic.replace("/", "-"))
    subscriber.subscribe((topic, 0))
    lines = [f"line {n}" for n in range(500)] + ["", LARGE, "last"]
    assert run(tool("pub"), *to(broker), "-t", topic, "-q", str(qos), "-l",
               stdin="\n".join(lines)) == (0, "", "")
    for line in lines:
        message = subscriber.expect(raw.PUBLISH, timeout=20)
        assert message.payload == line.encode()


def test_pub_sends_a_line_as_it_comes(tool, broker, topic, running):
    subscriber = broker.client("slow-" + topic.replace("/", "-"))
    subscriber.subscribe((topic, 0))
    pub = running(tool("pub"), *to(broker), "-t", topic, "-l")
    for n in range(3):
        pub.process.stdin.write(f"{n}\n")
        pub.process.stdin.flush()
        subscriber.expect_message(topic, str(n).encode(), timeout=20)
    pub.process.stdin.close()
    pub.wait_for("sending DISCONNECT")
    assert pub.process.wait(SECONDS) == 0


def test_pub_repeats(tool, broker, topic):
    subscriber = broker.client("repeat-" + topic.replace("/", "-"))
    subscriber.subscribe((topic, 1))
    before = time.monotonic()
    assert run(tool("pub"), *to(broker), "-t", topic, "-m", "again", "-q", "1", "--repeat", "4",
               "--repeat-delay", "0.1") == (0, "", "")
    assert time.monotonic() - before > 0.3
    for _ in range(4):
        message = subscriber.expect(raw.PUBLISH)
        subscriber.send(raw.ack(raw.PUBACK, message.packet_id))
        assert message.payload == b"again"
    subscriber.expect_nothing()


def test_pub_tells_what_the_broker_does_not_take(tool):
    with Scripted([bytes([0x20, 3, 0, 0, 0]), bytes([0x40, 4, 0, 1, 0x87, 0])]) as port:
        status, out, err = run(tool("pub"), "-h", "127.0.0.1", "-p", port, "-V", "5", "-t", "t",
                               "-q", "1", "-m", "x")
    assert (status, out, err) == (0, "", "Warning: Publish 1 failed: Not authorized.\n")
    with Scripted([bytes([0x20, 5, 0, 0, 2, 0x24, 0])]) as port:
        status, out, err = run(tool("pub"), "-h", "127.0.0.1", "-p", port, "-V", "5", "-t", "t",
                               "-q", "1", "-m", "x")
    assert (status, out) == (0, "")
    assert err == "Error: Message QoS not supported on broker, try a lower QoS.\n"


class Scripted:
    """A listener whose first client gets these answers, one for each thing it sends."""

    def __init__(self, answers, closes=False):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.answers = answers
        self.closes = closes
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def serve(self):
        try:
            sock, _ = self.listener.accept()
            with sock:
                for answer in self.answers:
                    sock.recv(4096)
                    sock.sendall(answer)
                while not self.closes and sock.recv(4096):
                    pass
        except OSError:
            pass

    def __enter__(self):
        self.thread.start()
        return str(self.listener.getsockname()[1])

    def __exit__(self, *_):
        self.listener.close()


@pytest.mark.parametrize("name, words", [
    ("pub", ["-t", "t", "-m", "x", "-q", "1"]), ("rr", ["-t", "t", "-e", "r", "-m", "x", "-V", "311"])])
def test_a_lost_connection_ends_pub_and_rr(tool, name, words):
    with Scripted([bytes([0x20, 2, 0, 0])], closes=True) as port:
        assert run(tool(name), "-h", "127.0.0.1", "-p", port, *words) == (
            7, "", "Error: The connection was lost.\n")


# ---- the lines of -d ----

TRACES = {
    "pub-0": ("pub", ["-t", "{t}", "-m", "hello", "-i", "{id}"]),
    "pub-1": ("pub", ["-t", "{t}", "-m", "hello", "-q", "1", "-r", "-i", "{id}"]),
    "pub-2": ("pub", ["-t", "{t}", "-m", "hello", "-q", "2", "-V", "5", "-i", "{id}"]),
    "pub-repeat": ("pub", ["-t", "{t}", "-n", "--repeat", "3", "-i", "{id}"]),
    "pub-no-id": ("pub", ["-t", "{t}", "-m", "hello"]),
    "sub-exit": ("sub", ["-t", "{t}", "-t", "{t}/#", "-q", "1", "-E", "-i", "{id}"]),
    "sub-v5": ("sub", ["-t", "{t}", "-U", "{t}/x", "-U", "{t}/y", "--retain-as-published", "-W", "4",
                       "-V", "5", "-i", "{id}"]),
    "sub-ping": ("sub", ["-t", "{t}", "-k", "5", "-W", "6", "-i", "{id}"]),
    "rr-timeout": ("rr", ["-t", "{t}", "-e", "{t}/r", "-m", "hello", "-W", "4", "-i", "{id}"]),
    "rr-echo": ("rr", ["-t", "{t}", "-e", "{t}", "-m", "hello", "-i", "{id}"]),
}


@pytest.fixture(scope="module")
def traces(broker, tmp_path_factory):
    """What each invocation prints with -d: {case: (ours, Debian's)}; all at once."""
    folder = tmp_path_factory.mktemp("traced")

    def trace(case, who):
        name, words = TRACES[case]
        command = f"/usr/bin/mosquitto_{name}"
        if who == "ours":
            command = str(folder / f"mosquitto_{name}")
        names = {"t": f"trace/{case}/{who[:4]}", "id": f"{case}-{who[:4]}"}
        status, out, err = run(command, *to(broker), "-d", *(word.format(**names) for word in words))
        return status, out.replace(who[:4], "WHO"), err

    for name in ("pub", "sub", "rr"):
        os.symlink(os.path.abspath(TOOL), folder / f"mosquitto_{name}")
    with concurrent.futures.ThreadPoolExecutor(2 * len(TRACES)) as pool:
        runs = {case: [pool.submit(trace, case, who) for who in ("ours", "them")] for case in TRACES}
        return {case: [one.result() for one in pair] for case, pair in runs.items()}


@pytest.mark.parametrize("case", TRACES)
def test_debug_lines_are_mosquittos(traces, case):
    ours, theirs = traces[case]
    assert ours == theirs
    assert "sending CONNECT" in ours[1]


# ---- sub ----


def test_sub_shows_messages_of_each_qos_and_size(tool, broker, topic, running):
    sub = subscribed(running, tool, broker, "-t", topic + "/#", "-q", "2", "-v", "-C", "4")
    publisher = broker.client("p-" + topic.replace("/", "-"))
    publisher.send(raw.publish(topic + "/0", b"a"), raw.publish(topic + "/1", b"b", 1, 1))
    publisher.send(raw.publish(topic + "/2", b"c", 2, 2))
    publisher.wait_for(raw.PUBREC, 2)
    publisher.send(raw.ack(raw.PUBREL, 2))
    publisher.wait_for(raw.PUBCOMP, 2)
    sub.wait_for("^" + topic + "/2 c$")
    publisher.send(raw.publish(topic + "/3", LARGE.encode(), 1, 3))
    status, lines, err = sub.end()
    assert (status, err) == (0, "")
    assert shown(lines) == [f"{topic}/0 a", f"{topic}/1 b", f"{topic}/2 c", f"{topic}/3 {LARGE}"]


def test_sub_leaves_out_what_it_is_told_to(tool, broker, topic, running):
    publisher = broker.client("f-" + topic.replace("/", "-"))
    publisher.send(raw.publish(topic + "/old", b"kept", retain=True))
    sub = subscribed(running, tool, broker, "-t", topic + "/#", "-R", "-T", topic + "/+/out", "-C", "2",
                     "-v")
    for name in ("a/out", "a", "b/out", "b"):
        publisher.send(raw.publish(f"{topic}/{name}", b"x"))
    assert shown(sub.end()[1]) == [f"{topic}/a x", f"{topic}/b x"]


def test_sub_takes_retained_messages_away(broker, topic, running):
    publisher = broker.client("r-" + topic.replace("/", "-"))
    for n in range(5):
        publisher.send(raw.publish(f"{topic}/{n}", b"kept", retain=True))
    sub = running(TOOL, "sub", *to(broker), "-t", topic + "/#", "--remove-retained", "-v")
    for n in range(5):
        sub.wait_for(rf"received PUBACK \(Mid: {n + 2}")
    sub.process.send_signal(signal.SIGINT)
    status, lines, _ = sub.end()
    assert status == 0
    assert sorted(line for line in shown(lines) if "kept" in line) == [
        f"{topic}/{n} kept" for n in range(5)]
    late = broker.client("late-" + topic.replace("/", "-"))
    late.subscribe((topic + "/#", 0))
    late.expect_nothing()


def test_sub_ends_at_the_first_fresh_message(tool, broker, topic, running):
    publisher = broker.client("o-" + topic.replace("/", "-"))
    publisher.send(raw.publish(topic, b"kept", retain=True))
    sub = subscribed(running, tool, broker, "-t", topic, "--retained-only")
    sub.wait_for("^kept$")
    publisher.send(raw.publish(topic, b"fresh"))
    status, lines, err = sub.end()
    assert (status, shown(lines), err) == (0, ["kept"], "")


def test_sub_says_goodbye_after_a_message_that_takes_its_time(tool, broker, topic):
    """A round that is longer than the clock's millisecond; without DISCONNECT the will would come."""
    assert run(tool("pub"), *to(broker), "-t", topic, "-r", "-s", stdin=LARGE * 8) == (0, "", "")
    status, out, _ = run(tool("sub"), *to(broker), "-t", topic, "-C", "1", "-F", "%x", "-d")
    assert status == 0
    assert out.splitlines()[-1].endswith("sending DISCONNECT")
    assert run(tool("pub"), *to(broker), "-t", topic, "-r", "-n") == (0, "", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_sub_says_goodbye_on_a_signal(tool, broker, topic, running, number):
    sub = subscribed(running, tool, broker, "-t", topic)
    sub.process.send_signal(number)
    status, lines, err = sub.end()
    assert (status, err) == (0, "")
    assert lines[-1] == "Client (null) sending DISCONNECT"


def test_sub_ends_when_its_time_is_over(tool, broker, topic):
    assert run(tool("sub"), *to(broker), "-t", topic, "-W", "1") == (27, "", "Timed out\n")


def test_sub_tells_that_all_was_denied(tool):
    with Scripted([bytes([0x20, 2, 0, 0]), bytes([0x90, 3, 0, 1, 0x80])]) as port:
        assert run(tool("sub"), "-h", "127.0.0.1", "-p", port, "-t", "t") == (
            0, "", "All subscription requests were denied.\n")


def test_sub_ends_with_the_first_reason_of_a_denial():
    with Scripted([bytes([0x20, 3, 0, 0, 0]), bytes([0x90, 5, 0, 1, 0, 0x87, 0x97])]) as port:
        assert run(TOOL, "sub", "-h", "127.0.0.1", "-p", port, "-V", "5", "-t", "a", "-t", "b") == (
            0x87, "", "All subscription requests were denied.\n")


@pytest.mark.parametrize("words, line", [
    (["-q", "2", "-m", "x"], "Error: The broker does not take this QoS, try a lower one (-q).\n"),
    (["-m", "x" * 200], "Error: Message too large for the broker.\n")])
def test_rr_tells_what_the_broker_does_not_take(words, line):
    """Maximum QoS 1, maximum packet size 100."""
    connack = bytes([0x20, 10, 0, 0, 7, 0x24, 1, 0x27, 0, 0, 0, 100])
    with Scripted([connack, bytes([0x90, 4, 0, 1, 0, 1])]) as port:
        assert run(TOOL, "rr", "-h", "127.0.0.1", "-p", port, "-t", "a", "-e", "b", *words) == (
            1, "", line)


def test_sub_takes_each_message_of_qos_2_once(broker, topic, running, tmp_path):
    """Ended in the middle, and started again with the same session: all are there, none twice."""
    total, topic_filter = 400, topic + "/#"
    words = [TOOL, "sub", *to(broker), "-t", topic_filter, "-q", "2", "-c", "-i", "once-" +
             topic.replace("/", "-")]
    subprocess.run([*words, "-E"], check=True, timeout=SECONDS, stdin=subprocess.DEVNULL)
    lines = "".join(f"{n}\n" for n in range(total))
    subprocess.run([TOOL, "pub", *to(broker), "-t", topic + "/x", "-q", "2", "-l"], check=True,
                   input=lines, text=True, timeout=SECONDS)
    seen = []
    while len(seen) < total:
        got = subprocess.run([*words, "-C", str(min(37, total - len(seen)))], check=True, text=True,
                             capture_output=True, timeout=SECONDS, stdin=subprocess.DEVNULL)
        seen += got.stdout.split()
        assert len(seen) == len(set(seen))
    assert sorted(map(int, seen)) == list(range(total))


# ---- coming back ----


@pytest.mark.parametrize("mode", ["mosquitto", "noctule"])
def test_sub_comes_back_with_its_subscription(start_broker, topic, running, tmp_path, mode):
    broker = start_broker(CONFIG)
    command = [TOOL, "sub"]
    if mode == "mosquitto":
        os.symlink(os.path.abspath(TOOL), tmp_path / "mosquitto_sub")
        command = [str(tmp_path / "mosquitto_sub")]
    sub = running(*command, *to(broker), "-t", topic, "-C", "1")
    sub.wait_for("Subscribed")
    broker.stop()
    broker.start()
    sub.wait_for("Subscribed")
    broker.client("again").send(raw.publish(topic, b"after"))
    status, lines, err = sub.end()
    assert (status, shown(lines)) == (0, ["after"])
    if mode == "mosquitto":
        assert err == ""
    else:
        assert "noctule sub: the connection to 127.0.0.1 port" in err


def test_pub_of_lines_goes_on_after_a_restart(start_broker, topic, running):
    broker = start_broker(CONFIG)
    pub = running(TOOL, "pub", *to(broker), "-t", topic, "-q", "1", "-l", "-r")
    pub.process.stdin.write("one\n")
    pub.process.stdin.flush()
    pub.wait_for("received PUBACK")
    broker.stop()
    pub.process.stdin.write("two\n")
    pub.process.stdin.flush()
    broker.start()
    pub.wait_for("received PUBACK")
    pub.process.stdin.close()
    pub.wait_for("sending DISCONNECT")
    assert pub.process.wait(SECONDS) == 0
    late = broker.client("late")
    late.subscribe((topic, 0))
    late.expect_message(topic, b"two")


# ---- rr ----


def test_rr_shows_the_response(tool, broker, topic):
    assert run(tool("rr"), *to(broker), "-t", topic, "-e", topic, "-v", "-m", "hello") == (
        0, f"{topic} hello\n", "")


@pytest.mark.parametrize("qos", [0, 1])
def test_rr_shows_a_large_response(broker, topic, tmp_path, qos):
    """(Debian's sends nothing of a file.)"""
    (tmp_path / "payload").write_text(LARGE, encoding="ascii")
    assert run(TOOL, "rr", *to(broker), "-t", topic, "-e", topic, "-v", "-q", str(qos), "-f",
               str(tmp_path / "payload")) == (0, f"{topic} {LARGE}\n", "")


def test_rr_shows_the_properties_of_a_large_response(broker, topic, tmp_path):
    (tmp_path / "payload").write_text(LARGE, encoding="ascii")
    properties = [word for name in ("content-type text", "correlation-data 17", "user-property a b",
                                    "user-property c d") for word in ["-D", "publish", *name.split()]]
    assert run(TOOL, "rr", *to(broker), "-t", topic, "-e", topic, "-F", "%C %D %R %P %p", *properties,
               "-f", str(tmp_path / "payload")) == (0, f"text 17 {topic} a:b c:d {LARGE}\n", "")


@pytest.mark.parametrize("words,shown", [
    (["-u", "ann", "-P", "pass://word@"], ["-u", "ann", "-P", "*" * 12]),
    (["-L", "mqtt://ann:word@127.0.0.1:{port}/t"], ["-L", "mqtt://" + "*" * 8 + "@127.0.0.1:{port}/t"]),
    (["-L", "mqtt://127.0.0.1:{port}/t"], ["-L", "mqtt://127.0.0.1:{port}/t"])])
def test_passwords_leave_the_list_of_processes(broker, topic, running, words, shown):
    words, shown = ([word.format(port=broker.port) for word in given] for given in (words, shown))
    sub = running(TOOL, "sub", *to(broker), "-t", topic, *words)
    sub.wait_for("SUBACK")
    with open(f"/proc/{sub.process.pid}/cmdline", encoding="utf-8") as line:
        assert line.read().split("\0")[-2 - len(shown):-2] == shown


def test_output_that_nobody_reads_ends_sub(broker, topic, running):
    sub = subprocess.Popen([TOOL, "sub", *to(broker), "-t", topic], stdout=subprocess.PIPE,
                           stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    sub.stdout.close()
    publisher = broker.client("gone-" + topic.replace("/", "-"))
    deadline = time.monotonic() + SECONDS
    while sub.poll() is None:
        assert time.monotonic() < deadline
        publisher.send(raw.publish(topic, b"x"))
        time.sleep(0.02)
    assert sub.returncode == 1
    assert sub.stderr.read() == b""


# ---- views ----


def test_sub_shows_a_tree_and_statistics(broker, topic):
    broker.client("tree-" + topic.replace("/", "-")).send(
        raw.publish(topic + "/b/c", b"2", retain=True), raw.publish(topic + "/a", b"1", retain=True))
    words = [*to(broker), "-t", topic + "/#", "-C", "2"]
    status, out, err = run(TOOL, "sub", *words, "--tree")
    assert (status, err) == (0, "")
    assert re.search(r"\n +a = 1  \(\d+/s, 1\)\n +b/\n +c = 2  \(\d+/s, 1\)\n$", out), out
    status, out, err = run(TOOL, "sub", *words, "--stats")
    assert (status, err) == (0, "")
    assert re.search(r"^2 messages \(2 retained\), 2 bytes in \d\.\d+ s: \d+ messages/s\n$", out), out


def test_sub_counts_messages_each_second(broker, topic):
    status, out, err = run(TOOL, "sub", *to(broker), "-t", topic, "--message-rate", "-W", "3")
    assert (status, err) == (27, "Timed out\n")
    assert set(out.split()) == {"0"}, out


def test_pub_shows_its_progress(broker, topic):
    status, out, err = run(TOOL, "pub", *to(broker), "-t", topic, "-l", "--progress", stdin="x\n" * 5000)
    assert (status, out) == (0, "")
    assert err.endswith("\n5000 messages\n"), err  # (its \\r are line ends to Python)


# ---- command lines that are not right, under our own name ----

CA_WORDS = "a word of whom to trust (--cafile, --capath, --tls-use-os-certs)"


@pytest.mark.parametrize("words, line", [
    ("pub -t t", "Both topic and message must be supplied."),
    ("pub -t t -m x --retian", "Unknown option '--retian', did you mean '--retain'?"),
    ("sub -t t --TLS-verson x", "Unknown option '--TLS-verson', did you mean '--tls-version'?"),
    ("sub -t t --progres", "Unknown option '--progres'."),  # only pub has it
    ("pub -t t -m x --fish", "Unknown option '--fish'."),
    ("pub -t t -m x -rr", "Unknown option '-rr'."),
    ("pub -t t -m x -V 3.1.1",
     "Invalid protocol version argument given.\nIt is one of 5, 311 and 31."),
    ("pub -t t -m x -D publsh content-type a",
     "Invalid command given in --property argument.\n"
     "It is one of connect, publish, subscribe, unsubscribe, disconnect, will."),
    ("sub -t t -D subscribe contenttype a",
     "Invalid property name given in --property argument.\n"
     "Those of subscribe are subscription-identifier, user-property."),
])
def test_what_is_wrong_is_told_with_what_is_right(words, line):
    tool_name, *words = words.split()
    assert run(TOOL, tool_name, *words) == (
        1, "", f"Error: {line}\n\nUse 'noctule {tool_name} --help' to see usage.\n")


@pytest.mark.parametrize("words, line", [
    ("--insecure", f"--insecure needs TLS, which {CA_WORDS} turns on."),
    ("--cert c --key k", f"--cert needs TLS, which {CA_WORDS} turns on."),
    ("--tls-version tlsv1.3", f"--tls-version needs TLS, which {CA_WORDS} turns on."),
    ("--tls-alpn mqtt -p 443", f"--tls-alpn needs TLS, which {CA_WORDS} turns on."),
    ("--ciphers ALL", f"--ciphers needs TLS, which {CA_WORDS} turns on."),
    ("--tls-keylog k", f"--tls-keylog needs TLS, which {CA_WORDS} turns on."),
    ("--psk-identity bat", "--psk-identity needs TLS, which --psk turns on."),
])
def test_options_of_tls_do_not_go_in_the_clear(broker, topic, words, line):
    assert run(TOOL, "pub", *to(broker), "-t", topic, "-m", "x", *words.split()) == (
        1, "", f"Error: {line}\n")


def test_mosquittos_tools_go_in_the_clear_with_options_of_tls(broker, tool, topic):
    assert run(tool("pub"), *to(broker), "-t", topic, "-m", "x", "--insecure", "--tls-version",
               "tlsv1.3") == (0, "", "")
    assert run(TOOL, "pub", *to(broker), "-t", topic, "-m", "x", "--insecure", "--no-tls") == (
        0, "", "")


def run_with_folder(tmp_path, *words):
    (tmp_path / "mosquitto_pub").mkdir(exist_ok=True)
    done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=False,
                          env={**os.environ, "XDG_CONFIG_HOME": str(tmp_path)})
    return done.returncode, done.stdout, done.stderr


def test_an_options_file_that_is_a_folder(broker, tool, topic, tmp_path):
    """Mosquitto's tools take it for an empty file; we say it under our own name."""
    assert run_with_folder(tmp_path, tool("pub"), *to(broker), "-t", topic, "-m", "x") == (
        0, "", "")
    status, _, err = run_with_folder(tmp_path, TOOL, "pub", *to(broker), "-t", topic, "-m", "x")
    path = tmp_path / "mosquitto_pub"
    assert (status, err.splitlines()[0]) == (
        1, f'Error: Unable to read options file "{path}": Is a directory.')
