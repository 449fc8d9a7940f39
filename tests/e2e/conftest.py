# SPDX-License-Identifier: Apache-2.0
"""Brokers for the tests.

NOCTULE_PROGRAM names the program (build/noctule by default). With a program
called mosquitto the same tests run against Mosquitto, which shows that they ask
for what users have today; what only this project does bears the marker
noctule_only.

A module may say how its broker is configured with CONFIG: {port} is the port
of the clients the tests open, any other name that starts with "port" is one
more free port, {dir} a fresh directory.
"""

import itertools
import os
import re
import signal
import socket
import string
import subprocess
import time

import pytest

pytest.register_assert_rewrite("raw")

import raw  # noqa: E402  (its assertions are rewritten too)

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.environ.get("NOCTULE_PROGRAM", os.path.join(TOP, "build", "noctule"))
IS_MOSQUITTO = os.path.basename(PROGRAM) == "mosquitto"
SANITIZER_WORDS = re.compile(r"(ERROR|WARNING): \w*Sanitizer|runtime error:")
START_SECONDS = STOP_SECONDS = 20
SLOWER = 4 if os.environ.get("NOCTULE_SANITIZER") else 1  # time limits under a sanitizer

# What tries programs that have one thread, for which the thread sanitizer is only slow.
if os.environ.get("NOCTULE_SANITIZER") == "thread":
    collect_ignore = ["test_client_rough.py", "test_client_tools.py", "test_client_ways.py", "test_completion.py",
                      "test_db.py", "test_edge.py", "test_invocations.py", "test_library.py", "test_manual.py",
                      "test_output_formats.py", "test_passwd.py"]

PLAIN = """
listener {port} 127.0.0.1
allow_anonymous true
"""


def pytest_configure(config):
    config.addinivalue_line("markers", "noctule_only: what Mosquitto does not do, or otherwise")


def pytest_collection_modifyitems(items):
    if IS_MOSQUITTO:
        for item in items:
            if item.get_closest_marker("noctule_only"):
                item.add_marker(pytest.mark.skip(reason="Mosquitto does otherwise"))


given_ports = set()
# Where several processes run tests ("gw0", "gw1"), each has ports of its own. Not by the lowest bit: the kernel gives out
# ports of one kind of that first.
PROCESS = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
PROCESSES = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))


def free_port():
    """A port that nobody has now, and that no test was given before."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port // 2 % PROCESSES == PROCESS and port not in given_ports:
            given_ports.add(port)
            return port


class Ports(dict):
    """The names in a configuration's braces; ports are found when they are asked for."""

    def __missing__(self, name):
        if not name.startswith("port"):
            raise KeyError(name)
        self[name] = free_port()
        return self[name]


class Broker:
    """One broker process: its configuration, its log, its clients."""

    def __init__(self, folder, config=PLAIN, program=PROGRAM, files=None, arguments=None,
                 environment=None):
        """arguments: the command line, instead of one that names the configuration."""
        self.folder = str(folder)
        self.names = Ports(dir=self.folder)
        self.program = program
        self.arguments = arguments
        self.environment = {**os.environ, **(environment or {})}
        self.config_path = os.path.join(self.folder, "broker.conf")
        self.log_path = os.path.join(self.folder, "broker.log")
        self.process = None
        self.clients = []
        for name, content in (files or {}).items():
            self.write(name, content)
        self.configure(config)

    @property
    def port(self):
        return self.names["port"]

    def write(self, name, content):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as out:
            out.write(content)
        os.chmod(path, 0o600)
        return path

    def configure(self, config):
        """Write the configuration; ports stay what they were."""
        # Debian's mosquitto gives up root for a user that could not read our folders.
        has_user = os.geteuid() != 0 or re.search("^user ", config, re.MULTILINE)
        user = "" if has_user else "user root\n"
        self.write("broker.conf", user + string.Formatter().vformat(config, (), self.names))

    def command(self):
        is_named_mosquitto = os.path.basename(self.program) == "mosquitto"
        words = [self.program] if is_named_mosquitto else [self.program, "broker"]
        return words + (self.arguments or ["-c", self.config_path, "-v"])

    def start(self):
        before = len(self.log()) if os.path.exists(self.log_path) else 0
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=self.environment
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            assert self.process.poll() is None, f"the broker ended at once:\n{self.log()}"
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, f"the broker does not listen:\n{self.log()}"
                time.sleep(0.01)
        # Its other listeners open after the first; where it logs elsewhere there is no telling.
        while re.search(r"version \S+ starting", newest := self.log()[before:]) and not re.search(
                r"version \S+ running", newest):
            assert self.process.poll() is None, f"the broker ended before it ran:\n{self.log()}"
            assert time.monotonic() < deadline, f"the broker does not run:\n{self.log()}"
            time.sleep(0.01)
        return self

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def wait_user_ids(self, wanted):
        """Wait until it runs under these: root is given up after the ports are open."""
        deadline = time.monotonic() + 5
        while self.user_ids() != wanted:
            assert time.monotonic() < deadline, f"user ids {self.user_ids()}, not {wanted}"
            time.sleep(0.01)

    def user_ids(self):
        """The user ids under which the process runs."""
        with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as status:
            return {int(n) for n in re.search(r"(?m)^Uid:(.*)", status.read()).group(1).split()}

    def wait_log(self, pattern, seconds=5):
        """Wait until the log holds a match of a regular expression."""
        deadline = time.monotonic() + seconds
        while True:
            found = re.search(pattern, self.log())
            if found:
                return found
            assert time.monotonic() < deadline, f"no {pattern!r} in the log:\n{self.log()}"
            time.sleep(0.02)

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def stop(self):
        """End it as a service manager does, and see that it went well."""
        for client in self.clients:
            client.close()
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the broker does not end on SIGTERM:\n{self.log()}") from None
        self.process = None
        assert not SANITIZER_WORDS.search(self.log()), self.log()
        assert status == 0, f"exit status {status}:\n{self.log()}"

    def open(self, version=4, port=None):
        """A connection that has not said CONNECT."""
        client = raw.Raw(self.port if port is None else self.names[port], version)
        self.clients.append(client)
        return client

    def client(self, client_id, version=4, port=None, **options):
        """A connected client; the CONNACK is its .connack."""
        client = self.open(version, port)
        connack = client.connect(client_id, **options)
        assert connack.reason == 0, f"CONNACK {connack.reason:#x}"
        return client


@pytest.fixture(scope="module")
def broker(request, tmp_path_factory):
    """The module's broker, with its CONFIG and FILES."""
    module = request.module
    running = Broker(
        tmp_path_factory.mktemp("broker"),
        getattr(module, "CONFIG", PLAIN),
        files=getattr(module, "FILES", None),
    )
    try:
        yield running.start()
    finally:
        running.stop()


@pytest.fixture
def start_broker(tmp_path_factory):
    """Start a broker of the test's own: start_broker(config, files={...})."""
    started = []

    def start(config=PLAIN, **options):
        started.append(Broker(tmp_path_factory.mktemp("broker"), config, **options))
        return started[-1].start()

    yield start
    for one in started:
        one.stop()


@pytest.fixture(autouse=True)
def no_client_stays(request):
    """Close what a test opened, so that the next one starts without its clients."""
    yield
    if "broker" in request.fixturenames:
        shared = request.getfixturevalue("broker")
        for client in shared.clients:
            client.close()
        shared.clients.clear()


numbers = itertools.count(1)


@pytest.fixture
def topic(request):
    """A topic that no other test uses."""
    return f"{re.sub(r'[^a-z0-9_]', '-', request.node.name.lower())}/{next(numbers)}"


@pytest.fixture(params=[4, 5], ids=["v311", "v5"])
def version(request):
    return request.param
