# SPDX-License-Identifier: Apache-2.0
"""Command lines of invocations.txt, run with Debian's tools and with ours."""

import concurrent.futures
import itertools
import os
import re
import shlex
import signal
import subprocess
import threading
import time

import pytest

import raw
import ways
from conftest import IS_MOSQUITTO, PROGRAM, Broker, free_port

TABLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "invocations.txt")
DEBIAN = "/usr/bin"
FILES = {"empty": b"", "text": b"hello", "json": b'{"a":1}', "lines": b"one\ntwo\n",
         "zeros": b"a\0b\0", "large": b"0123456789abcdef" * 50000}
# The command itself may take a while on a busy machine.
SECONDS = 60

# The brokers of the group [broker]; the part of a name after port_ is what rows call the place.
CONFIG = """
per_listener_settings true
listener {port} 127.0.0.1
allow_anonymous true
listener {port_locked} 127.0.0.1
allow_anonymous false
password_file {dir}/passwords
acl_file {dir}/rights
listener {port_named} 127.0.0.1
allow_anonymous true
allow_zero_length_clientid false
listener {port_first} 127.0.0.1
allow_anonymous true
max_qos 1
max_topic_alias 0
listener {port_tls} 127.0.0.1
allow_anonymous true
certfile {dir}/server.crt
keyfile {dir}/server.key
listener 0 {dir}/socket
allow_anonymous true
"""
SMALL_CONFIG = """
listener {port} 127.0.0.1
allow_anonymous true
retain_available false
max_packet_size 200
max_inflight_messages 1
"""
# What the user ann may, whose password is secret.
RIGHTS = """topic read $SYS/#
user ann
topic readwrite open/#
topic read readable/#
topic write writable/#
"""

# What a run has as its result, in this order; a row may tell another one for ours.
RESULT = ("out", "err", "status", "seen")

pytestmark = pytest.mark.skipif(
    IS_MOSQUITTO or not os.path.exists(f"{DEBIAN}/mosquitto_pub"),
    reason="compares Debian's tools with ours")


def unescape(value):
    """\\n, \\r, \\t and \\0 in what is told of files, input and output."""
    letters = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", "0": "\0"}
    return re.sub(r"\\([nrt\\0])", lambda m: letters[m.group(1)], value).encode("latin-1")


def told_bytes(filled):
    return unescape(filled.decode("latin-1"))


class Row:
    """A line of the table, and what is told below it."""

    def __init__(self, number, line):
        self.number = number
        self.tool, *self.words = shlex.split(line)
        self.line = line
        self.told = {}
        self.lists = {"before": [], "beside": [], "after": []}
        self.environment = []

    def tell(self, line):
        key, value = line.split(":", 1)
        value = value[1:]
        if key in self.lists:
            self.lists[key].append(shlex.split(value))
        elif key == "env":
            self.environment.append(value)
        else:
            assert key in ("stdin", "file", "answer", "signal", "differs", "broker", *RESULT), line
            assert key not in self.told, line
            self.told[key] = value

    def expected(self, debian, names):
        """What ours must print: as Debian's, but for what the row tells."""
        if "differs" not in self.told:
            return debian
        out, err, status, seen = debian
        return (self.told_bytes("out", out, names), self.told_bytes("err", err, names),
                int(self.told.get("status", status)), self.told_bytes("seen", seen, names))

    def told_bytes(self, key, otherwise, names):
        if key not in self.told:
            return otherwise
        value = self.told[key]
        return value if value == "*" else told_bytes(fill(value, {**names, "dir": "DIR"}))


def read_table():
    groups, rows = {}, None
    with open(TABLE, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            line = line.rstrip("\n")
            if line.startswith("["):
                rows = groups.setdefault(line.strip("[]"), [])
            elif line.startswith("    "):
                rows[-1].tell(line.strip(" ") if "file:" not in line else line[4:])
            elif line and not line.startswith("#"):
                rows.append(Row(number, line))
    return groups


GROUPS = read_table()


def fill(word, names):
    """The braces and the angle brackets of a word, as bytes."""
    return fill_bytes(re.sub(r"\{(\w+)\}", lambda m: names[m.group(1)], word))


def fill_bytes(word):
    """The angle brackets."""
    parts = re.split(r"(<(?:[0-9a-f]{2})+>|<.\*\d+>)", word)
    filled = b""
    for part in parts:
        if re.fullmatch(r"<(?:[0-9a-f]{2})+>", part):
            filled += bytes.fromhex(part[1:-1])
        elif re.fullmatch(r"<.\*\d+>", part):
            filled += part[1].encode() * int(part[3:-1])
        else:
            filled += part.encode()
    return filled


def command(folder, words, names):
    """Where to ({closed}, {at} and the like) is several words."""
    filled = []
    for word in words:
        name = re.fullmatch(r"\{(\w+)\}", word)
        value = names[name.group(1)] if name else ""
        filled += value.encode().split() if value.startswith("-") else [fill(word, names)]
    return [os.path.join(folder, "mosquitto_" + filled[0].decode()).encode(), *filled[1:]]


MASKS = [(rb"auto-[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}", b"AUTO"),
         (rb'("tst":\s?)"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\+0000"', rb'\1"TIME"'),
         (rb"\bpid-\d+\b", b"PID"),
         (rb"\b(0*)(?:359\d|3600)\b", rb"\g<1>3600")]  # seconds that are left


def mask(text, number, folder):
    """Leave out what is another one in each run."""
    text = text.replace(folder.encode(), b"DIR")
    for pattern, word in MASKS:
        text = re.sub(pattern, word, text)
    return text.replace(f"topic/{number:05}".encode(), b"TOPIC").replace(
        f"id-{number:05}".encode(), b"ID")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with our tools, the files, and a port that is closed."""
    folder = tmp_path_factory.mktemp("invocations")
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    (folder / "folder").mkdir()
    (folder / "bin").mkdir()
    for tool in ("pub", "sub", "rr"):
        (folder / "bin" / f"mosquitto_{tool}").symlink_to(PROGRAM)
    return folder


QUIET_HOME = {**os.environ, "XDG_CONFIG_HOME": "/nonexistent"}


class Beside:
    """A tool of Debian's that runs while the row does."""

    def __init__(self, words, names):
        """sub: until it has subscribed; it must end by itself then."""
        self.is_sub = words[0] == "sub"
        self.process = subprocess.Popen(
            ["stdbuf", "-oL", *command(DEBIAN, words + ["-d"] * self.is_sub, names)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=QUIET_HOME)
        self.watchdog = threading.Timer(SECONDS, self.process.kill)
        self.watchdog.start()
        if self.is_sub:
            for line in self.process.stdout:
                if line.startswith(b"Subscribed"):
                    return
            raise AssertionError(f"{words} has not subscribed")

    def end(self):
        """What it has shown."""
        if not self.is_sub:
            self.process.terminate()
        out, _ = self.process.communicate()
        self.watchdog.cancel()
        return b"".join(line for line in out.splitlines(True)
                        if self.is_sub and not line.startswith((b"Client ", b"Subscribed ")))


class Answer:
    """Who answers requests to the row's topic: `PAYLOAD [NAME=VALUE...]`, = is the request's."""

    def __init__(self, words, names):
        payload, *more = (fill(word, names) for word in shlex.split(words))
        self.payload = payload
        self.options = dict(word.split(b"=", 1) for word in more)
        self.client = raw.Raw(int(names["port"]), 5, timeout=SECONDS)
        self.client.connect("answer-" + names["id"])
        assert self.client.subscribe((names["topic"], 2)) == [2]
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        try:
            while True:
                self.answer(self.client.receive())
        except (raw.Closed, OSError, TimeoutError):
            return

    def answer(self, request):
        if request.kind == raw.PUBREC:
            self.client.send(raw.ack(raw.PUBREL, request.packet_id))
        if request.kind != raw.PUBLISH:
            return
        topic = request.prop("response_topic") or self.options.get(b"topic")
        props = [(name, value) for name, value in request.props if name == "correlation_data"]
        props += [(name.decode(), value) for name, value in self.options.items()
                  if name.decode() in raw.PROPERTIES]
        payload = request.payload if self.payload == b"=" else self.payload
        self.client.send(raw.publish(topic, payload, request.qos, 1, b"retain" in self.options,
                                     version=5, props=props))
        self.client.acknowledge(request)

    def end(self):
        self.client.sock.shutdown(2)
        self.thread.join()
        self.client.close()


def state_of(pid):
    """A process's state as proc(5) has it: R when it runs or wants to."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return file.read().rsplit(")", 1)[1].split()[0]


class Runner:
    """Runs rows; each has a folder of its own for its options file."""

    def __init__(self, place, broker=None, **names):
        self.place = place
        self.broker = broker
        self.names = {"dir": str(place), "closed": f"-h 127.0.0.1 -p {free_port()}", **names}
        self.numbers = itertools.count(1)

    def environment(self, row, number):
        home = self.place / f"home{number}"
        (home / ".config").mkdir(parents=True)
        environment = {**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config"),
                       "LC_ALL": "C", "TZ": "UTC"}
        environment.pop("NOCTULE_COMPATIBILITY", None)
        for setting in row.environment:
            name, _, value = setting.partition("=")
            environment[name] = value
            if "=" not in setting:
                del environment[name]
        if "file" in row.told:
            path = home / ".config" / f"mosquitto_{row.tool}"
            path.write_bytes(told_bytes(row.told["file"].encode()))
        return environment

    def send_signal(self, process, row, names):
        """As soon as the broker has seen what the row tells, `NAME LOG-LINE`, and the tool waits.

        Debian's tools disconnect within their signal handler: one that comes while a packet is written finds the
        lock of that held, and they hang.
        """
        name, words = row.told["signal"].split(" ", 1)
        self.broker.wait_log(re.escape(words.format(**names)), SECONDS)
        deadline = time.monotonic() + SECONDS
        while state_of(process.pid) == "R" and time.monotonic() < deadline:
            time.sleep(0.001)
        process.send_signal(signal.Signals["SIG" + name])

    def run_tool(self, row, programs, names, number):
        process = subprocess.Popen(
            command(programs, [row.tool, *row.words], names), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment(row, number))
        try:
            if "signal" in row.told:
                self.send_signal(process, row, names)
            out, err = process.communicate(
                told_bytes(fill_bytes(row.told.get("stdin", ""))), SECONDS)
        finally:
            process.kill()
        return out, err, process.returncode

    def run(self, row, programs):
        number = next(self.numbers)
        names = {**self.names, "topic": f"topic/{number:05}", "id": f"id-{number:05}"}
        for words in row.lists["before"]:
            subprocess.run(command(DEBIAN, words, names), check=True, capture_output=True,
                           timeout=SECONDS, env=QUIET_HOME)
        answer = Answer(row.told["answer"], names) if "answer" in row.told else None
        besides = [Beside(words, names) for words in row.lists["beside"]]
        try:
            out, err, status = self.run_tool(row, programs, names, number)
        finally:
            seen = [one.end() for one in besides]
            if answer:
                answer.end()
        for words in row.lists["after"]:
            done = subprocess.run(command(DEBIAN, words, names), capture_output=True, check=False,
                                  timeout=SECONDS, env=QUIET_HOME)
            seen.append(done.stdout + done.stderr)
        out, err, seen = (mask(text, number, str(self.place)) for text in (out, err, b"".join(seen)))
        return out, err, status, seen


def run_all(jobs, threads):
    """The results of (runner, row, programs), in their order."""
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda job: job[0].run(*job[1:]), jobs))


def is_same(expected, got):
    return expected == got or (expected == "*" and got != b"")


def difference(row, what, expected, got):
    """A text about it, if there is one."""
    if all(is_same(*pair) for pair in zip(expected, got)):
        return []
    return [f"invocations.txt:{row.number}: {row.line}: {what}\n  expected {expected}\n"
            f"  got      {got}"]


def differences(rows, debian, ours, names, what="ours"):
    """A text for each row whose result is not what is expected."""
    wrong = []
    for row, theirs, got in zip(rows, debian, ours):
        wrong += difference(row, what, row.expected(theirs, names), got)
    return wrong


def stale(rows, *runs):
    """A text for each row that tells of a difference and has none. runs: (Debian's, ours)."""
    return [f"invocations.txt:{row.number}: {row.line}: does not differ"
            for row, *pairs in zip(rows, *(zip(*run) for run in runs))
            if "differs" in row.told and all(theirs == got for theirs, got in pairs)]


def report(wrong, rows):
    assert not wrong, f"{len(wrong)} of {len(rows)} rows:\n" + "\n".join(wrong)


def test_alone(place):
    runner = Runner(place)
    rows = GROUPS["alone"]
    ours = run_all([(runner, row, str(place / "bin")) for row in rows], 8)
    debian = run_all([(runner, row, DEBIAN) for row in rows], 8)
    report(differences(rows, debian, ours, runner.names) + stale(rows, (debian, ours)), rows)


def test_table():
    assert len(GROUPS["alone"]) > 500 and len(GROUPS["broker"]) > 250
    for row in itertools.chain(*GROUPS.values()):
        told = set(row.told) & set(RESULT)
        assert ("differs" in row.told) == bool(told), f"invocations.txt:{row.number}"


@pytest.fixture(scope="module")
def brokers(tmp_path_factory):
    """Debian's mosquitto, and ours: of each one with CONFIG, and a small one."""
    keys = tmp_path_factory.mktemp("keys")
    ways.make_certificates(keys)
    passwords = keys / "passwords"
    subprocess.run([f"{DEBIAN}/mosquitto_passwd", "-b", "-c", passwords, "ann", "secret"],
                   capture_output=True, check=True)
    files = {"passwords": passwords.read_text(), "rights": RIGHTS}
    for name in ("ca.crt", "server.crt", "server.key"):
        files[name] = (keys / name).read_text()
    started = [Broker(tmp_path_factory.mktemp("broker"), config, program=program, files=files)
               for program in ("/usr/sbin/mosquitto", PROGRAM) for config in (CONFIG, SMALL_CONFIG)]
    try:
        yield [(started[i].start(), started[i + 1].start()) for i in (0, 2)]
    finally:
        for broker in started:
            broker.stop()


def runner_at(place, broker, small):
    """A runner of rows, and the names they have at this broker."""
    place.mkdir()
    for name, content in FILES.items():
        (place / name).write_bytes(content)
    at = {name: f"-h 127.0.0.1 -p {broker.names['port_' + name]}"
          for name in ("locked", "named", "first")}
    return Runner(place, broker, at=f"-h 127.0.0.1 -p {broker.port}", **at, port=str(broker.port),
                  small=f"-h 127.0.0.1 -p {small.port}", keys=broker.folder,
                  port_locked=str(broker.names["port_locked"]),
                  tls=f"-h localhost -p {broker.names['port_tls']}")


def test_with_brokers(place, brokers):
    rows = GROUPS["broker"]
    runners = [runner_at(place / str(i), *pair) for i, pair in enumerate(brokers)]
    programs = [DEBIAN, str(place / "bin")]
    results = iter(run_all(itertools.product(runners, rows, programs), 32))
    at_mosquitto, at_noctule = (
        list(zip(*((next(results), next(results)) for _ in rows))) for _ in runners)
    wrong = differences(rows, *at_mosquitto, runners[0].names, "ours at Mosquitto")
    wrong += differences(rows, *at_noctule, runners[1].names, "ours at Noctule")
    wrong += stale(rows, at_mosquitto, at_noctule)
    for row, expected, got in zip(rows, at_mosquitto[0], at_noctule[0]):
        if "broker" not in row.told:
            wrong += difference(row, "Debian's tool at Noctule", expected, got)
        elif expected == got:
            wrong += [f"invocations.txt:{row.number}: {row.line}: the brokers do not differ"]
    report(wrong, rows)
