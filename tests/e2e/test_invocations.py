# SPDX-License-Identifier: Apache-2.0
"""Command lines of invocations.txt, run with Debian's tools and with ours."""

import concurrent.futures
import itertools
import os
import re
import shlex
import subprocess

import pytest

from conftest import IS_MOSQUITTO, PLAIN, PROGRAM, Broker, free_port

TABLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "invocations.txt")
DEBIAN = "/usr/bin"
FILES = {"empty": b"", "text": b"hello", "json": b'{"a":1}', "lines": b"one\ntwo\n"}
# The command itself may take a while on a busy machine; none waits longer than -W 5 by itself.
SECONDS = 60

pytestmark = pytest.mark.skipif(
    IS_MOSQUITTO or not os.path.exists(f"{DEBIAN}/mosquitto_pub"),
    reason="compares Debian's tools with ours")


def unescape(value):
    """\\n, \\r and \\t in what is told of files, input and output."""
    return re.sub(r"\\([nrt\\])", lambda m: {"n": "\n", "r": "\r", "t": "\t", "\\": "\\"}[m.group(1)],
                  value).encode()


class Row:
    """A line of the table, and what is told below it."""

    def __init__(self, number, line):
        self.number = number
        self.tool, *self.words = shlex.split(line)
        self.line = line
        self.told = {}
        self.before, self.environment = [], []

    def tell(self, line):
        key, value = line.split(":", 1)
        value = value[1:]
        if key == "before":
            self.before.append(shlex.split(value))
        elif key == "env":
            self.environment.append(value)
        else:
            assert key in ("stdin", "file", "differs", "out", "err", "status"), line
            self.told[key] = value

    def expected(self, debian, names):
        """What ours must print: as Debian's, but for what the row tells."""
        out, err, status = debian
        if "differs" not in self.told:
            return debian
        return (self.told_bytes("out", out, names), self.told_bytes("err", err, names),
                int(self.told.get("status", status)))

    def told_bytes(self, key, otherwise, names):
        if key not in self.told:
            return otherwise
        value = self.told[key]
        return value if value == "*" else unescape(fill(value, names).decode("latin-1"))


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
    word = re.sub(r"\{(\w+)\}", lambda m: names[m.group(1)], word)
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
    """{closed} and {at} are several words."""
    filled = []
    for word in words:
        name = re.fullmatch(r"\{(closed|at)\}", word)
        filled += names[name.group(1)].encode().split() if name else [fill(word, names)]
    return [os.path.join(folder, "mosquitto_" + filled[0].decode()).encode(), *filled[1:]]


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


class Runner:
    """Runs rows; each has a folder of its own for its options file."""

    def __init__(self, place, **names):
        self.place = place
        self.names = {"dir": str(place), "closed": f"-h 127.0.0.1 -p {free_port()}", **names}
        self.numbers = itertools.count(1)

    def run(self, row, programs):
        number = next(self.numbers)
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
            path.write_bytes(unescape(row.told["file"]))
        names = {**self.names, "topic": f"topic/{number}"}
        for words in row.before:
            subprocess.run(command(DEBIAN, words, names), check=True, capture_output=True,
                           timeout=SECONDS, env={**os.environ, "XDG_CONFIG_HOME": "/nonexistent"})
        done = subprocess.run(command(programs, [row.tool, *row.words], names), capture_output=True,
                              env=environment, input=unescape(row.told.get("stdin", "")),
                              timeout=SECONDS, check=False)
        # The topic is another one in each run.
        out, err = (text.replace(f"topic/{number}".encode(), b"TOPIC") for text in
                    (done.stdout, done.stderr))
        return out, err, done.returncode

    def run_all(self, rows, programs):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            return list(pool.map(lambda row: self.run(row, programs), rows))


def is_same(expected, got):
    return expected == got or (expected == "*" and got != b"")


def differences(rows, expected, got):
    """A text for each row whose result is not what is expected."""
    return [f"invocations.txt:{row.number}: {row.line}\n  expected {want}\n  got      {have}"
            for row, want, have in zip(rows, expected, got)
            if not all(is_same(*pair) for pair in zip(want, have))]


def test_alone(place):
    runner = Runner(place)
    rows = GROUPS["alone"]
    ours = runner.run_all(rows, str(place / "bin"))
    debian = runner.run_all(rows, DEBIAN)
    expected = [row.expected(result, runner.names) for row, result in zip(rows, debian)]
    wrong = differences(rows, expected, ours)
    assert not wrong, f"{len(wrong)} of {len(rows)} rows:\n" + "\n".join(wrong)


def test_table():
    rows = GROUPS["alone"]
    assert len(rows) > 500
    for row in itertools.chain(*GROUPS.values()):
        told = set(row.told) & {"out", "err", "status"}
        assert ("differs" in row.told) == bool(told), f"invocations.txt:{row.number}"


@pytest.fixture(scope="module")
def brokers(tmp_path_factory):
    """Debian's mosquitto, and ours."""
    started = [Broker(tmp_path_factory.mktemp("broker"), PLAIN, program=program)
               for program in ("/usr/sbin/mosquitto", PROGRAM)]
    try:
        yield [broker.start() for broker in started]
    finally:
        for broker in started:
            broker.stop()


def test_with_brokers(place, brokers):
    rows = GROUPS["broker"]
    runners = [Runner(place / str(i), at=f"-h 127.0.0.1 -p {broker.port}")
               for i, broker in enumerate(brokers)]
    for runner in runners:
        runner.place.mkdir()
        for name, content in FILES.items():
            (runner.place / name).write_bytes(content)
    programs = [DEBIAN, str(place / "bin")]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        # Of Debian's tools at Debian's broker first.
        results = list(pool.map(lambda pair: pair[1].run_all(rows, pair[0]),
                                itertools.product(programs, runners)))
    wanted = [row.expected(result, runners[0].names) for row, result in zip(rows, results[0])]
    wrong = differences(rows, results[0], results[1])
    for result in results[2:]:
        wrong += differences(rows, wanted, result)
    assert not wrong, f"{len(wrong)} rows:\n" + "\n".join(wrong)
