# SPDX-License-Identifier: Apache-2.0
"""MQTT.js, in Node and in headless Chromium: js/scenario.js is what it does."""

import http.server
import json
import os
import shutil
import signal
import subprocess
import threading

import pytest

import ways
from conftest import Broker

HERE = os.path.dirname(os.path.abspath(__file__))
MODULE = os.path.join(HERE, "node_modules", "mqtt")
CHROMIUM_SECONDS = 90
VERSIONS = [3, 4, 5]
STEPS = ["eachQos", "retained", "oneMegabyte", "burst", "will", "session", "properties",
         "unsubscribe"]
SCHEMES = {"tcp": "mqtt", "tls": "mqtts", "ws": "ws", "wss": "wss"}


def need(what, is_there):
    """Without a peer there is nothing to test; where all must be there, that is a failure."""
    if not is_there:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{what} is missing")
        pytest.skip(f"{what} is missing (make test installs it)")


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    running = Broker(tmp_path_factory.mktemp("broker"), "max_queued_messages 2000\n" + ways.CONFIG)
    ways.make_certificates(running.folder)
    try:
        yield running.start()
    finally:
        running.stop()


def make_task(broker, way, version, where):
    port = broker.names["port" if way == "tcp" else f"port_{way}"]
    return {
        "url": f"{SCHEMES[way]}://localhost:{port}" + ("/mqtt" if way in ("ws", "wss") else ""),
        "version": version,
        "base": f"{where}{way}{version}",
    }


# Debian's mosquitto does not get the megabyte through a WebSocket.
only_ours = pytest.mark.noctule_only
WS_WAYS = [pytest.param("ws", marks=only_ours), pytest.param("wss", marks=only_ours)]


def run_node(tasks):
    """Run the tasks in Node, one after the other; what steps each has done."""
    done = subprocess.run(["node", os.path.join(HERE, "js", "node.js"), *map(json.dumps, tasks)],
                          capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("way", ["tcp", "tls", *WS_WAYS])
def test_node(broker, way):
    need("MQTT.js (npm ci in tests/e2e)", os.path.isdir(MODULE))
    need("node", shutil.which("node"))
    tasks = [make_task(broker, way, version, "n") for version in VERSIONS]
    for task in tasks:
        if way in ("tls", "wss"):
            task["ca"] = os.path.join(broker.folder, "ca.crt")
        # What Node makes of localhost may be ::1, where nobody listens.
        task["url"] = task["url"].replace("localhost", "127.0.0.1")
    assert run_node(tasks) == [STEPS] * len(VERSIONS)


class Page(http.server.ThreadingHTTPServer):
    """Serves the page with its scripts and tasks, and takes its result."""

    daemon_threads = True

    def __init__(self, tasks):
        super().__init__(("127.0.0.1", 0), Handler)
        self.tasks = json.dumps(tasks).encode()
        self.result = None
        self.is_done = threading.Event()


class Handler(http.server.BaseHTTPRequestHandler):
    FILES = {
        "/": (os.path.join(HERE, "js", "page.html"), "text/html"),
        "/scenario.js": (os.path.join(HERE, "js", "scenario.js"), "text/javascript"),
        "/mqtt.min.js": (os.path.join(MODULE, "dist", "mqtt.min.js"), "text/javascript"),
    }

    def answer(self, status, kind="text/plain", body=b""):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/tasks":
            self.answer(200, "application/json", self.server.tasks)
        elif self.path in self.FILES:
            name, kind = self.FILES[self.path]
            with open(name, "rb") as file:
                self.answer(200, kind, file.read())
        else:
            self.answer(404)

    def do_POST(self):
        self.server.result = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(204)
        self.server.is_done.set()

    def log_message(self, *_):
        """The test's output is enough."""


def run_chromium(folder, tasks):
    """Open the page with a browser of its own; what the page posted."""
    page = Page(tasks)
    threading.Thread(target=page.serve_forever, daemon=True).start()
    output = os.path.join(folder, "chromium.log")
    with open(output, "w", encoding="utf-8") as log:
        browser = subprocess.Popen(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
             "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync", "--disable-extensions",
             "--no-proxy-server", "--ignore-certificate-errors",
             f"--user-data-dir={os.path.join(folder, 'profile')}",
             f"http://127.0.0.1:{page.server_port}/"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            env=dict(os.environ, HOME=str(folder)))
    try:
        for _ in range(CHROMIUM_SECONDS * 10):
            if page.is_done.wait(0.1) or browser.poll() is not None:
                break
    finally:
        try:
            os.killpg(browser.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        browser.wait()
        page.shutdown()
        page.server_close()
    with open(output, encoding="utf-8", errors="replace") as log:
        assert page.result is not None, "the page posted nothing:\n" + log.read()[-4000:]
    return page.result


@pytest.mark.parametrize("way", WS_WAYS)
def test_chromium(broker, tmp_path, way):
    need("MQTT.js (npm ci in tests/e2e)", os.path.isdir(MODULE))
    need("chromium", shutil.which("chromium"))
    tasks = [make_task(broker, way, version, "c") for version in VERSIONS]
    result = run_chromium(str(tmp_path), tasks)
    assert "error" not in result, result["error"]
    assert result["results"] == [STEPS] * len(VERSIONS)
