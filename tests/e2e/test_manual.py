# SPDX-License-Identifier: Apache-2.0
"""The client tools' pages of the manual: what they say of the options is what the tools know."""

import json
import os
import re
import shlex
import subprocess
import threading

import pytest

import raw
import ways
from conftest import PROGRAM, Broker

pytestmark = pytest.mark.noctule_only

TOOLS = ("pub", "sub", "rr")


def run(*words, **more):
    return subprocess.run(words, text=True, capture_output=True, timeout=60, **more)


def names_in_help(text):
    """The options at the beginnings of the lines of --help."""
    return [name for line in text.splitlines() if line.startswith("  -")
            for name in re.findall(r"(?:^  |, )(--?[A-Za-z][-\w]*)", line)]


def names_in_roff(text):
    text = text.replace("\\-", "-")
    return [name for line in re.findall(r"^\.TP\n(.*)", text, re.MULTILINE)
            for name in re.findall(r"\\fB(-[-\w]+)\\fR", line)]


@pytest.mark.parametrize("tool", TOOLS)
def test_the_manual_has_each_option_once_and_with_help(tool):
    done = run(PROGRAM, tool, "--man")
    known = names_in_help(run(PROGRAM, tool, "--help").stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(known) > 60 and names_in_roff(done.stdout) == known
    assert not re.search(r"^\.TP\n.*\n(\.TP|$)", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("tool", TOOLS)
def test_the_page_that_was_built_is_whole(tool):
    path = os.path.join(os.path.dirname(PROGRAM), f"noctule-{tool}.1")
    if not os.path.exists(path):
        pytest.skip("the program stands alone")
    with open(path, encoding="utf-8") as file:
        page = file.read()
    sections = re.findall(r"^\.SH (.*)", page, re.MULTILINE)
    output = ["OUTPUT FORMAT"] if tool != "pub" else []
    assert sections == ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", *output, "PROPERTIES", "TLS",
                        "WEBSOCKET AND PORT 443", "FILES", "ENVIRONMENT", "EXIT STATUS",
                        "MOSQUITTO'S NAMES", "EXAMPLES", "SEE ALSO"]
    assert page.startswith('.\\" SPDX') and run(PROGRAM, tool, "--man").stdout in page


@pytest.mark.parametrize("tool", TOOLS)
def test_the_examples_of_a_page_are_command_lines_that_are_known(tool, tmp_path):
    """Each is read whole: what follows is refused, and it is the first thing that is."""
    folder = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "man")
    with open(os.path.join(folder, f"noctule-{tool}.1.tail"), encoding="utf-8") as file:
        text = file.read().replace("\\e\n", "\\\n").replace("\\-", "-").replace("\\(aq", "'")
    lines = re.findall(rf"^(?:.*[|(]\s*)?noctule ({tool} (?:.*\\\n)*.*)", text, re.MULTILINE)
    assert len(lines) >= 4
    for line in lines:
        line = re.sub(r"\)$|\|.*", "", line)
        script = f'exec "$PROGRAM" {line} --nonsense'
        done = run("sh", "-c", script, cwd=tmp_path, stdin=subprocess.DEVNULL,
                   env={**os.environ, "PROGRAM": PROGRAM, "HOME": str(tmp_path)})
        assert (done.returncode, done.stdout) == (1, ""), line
        assert done.stderr.startswith("Error: Unknown option '--nonsense'."), (line, done.stderr)


# ---- the examples, at a broker ----

CONFIG = """
allow_anonymous true
listener {port} 127.0.0.1
listener {port_wss} 127.0.0.1
protocol websockets
certfile {dir}/server.crt
keyfile {dir}/server.key
"""
END = " -C 1 -W 30"  # for those that would go on


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A broker that the tools find by their options files, and a folder where `noctule` is."""
    running = Broker(tmp_path_factory.mktemp("broker"), CONFIG)
    ways.make_certificates(running.folder)
    os.symlink(os.path.abspath(PROGRAM), os.path.join(running.folder, "noctule"))
    for tool in TOOLS:
        running.write(f"mosquitto_{tool}", f"-h 127.0.0.1\n-p {running.port}\n")
    running.write("picture.jpg", "picture")
    try:
        yield running.start()
    finally:
        running.stop()


def examples(tool):
    """The blocks of the section, as a shell reads them."""
    path = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "man", f"noctule-{tool}.1.tail")
    with open(path, encoding="utf-8") as file:
        text = file.read().replace("\\e\n", "\\\n").replace("\\-", "-").replace("\\(aq", "'")
    return re.findall(r"^\.nf\n(.*?)^\.fi", text, re.MULTILINE | re.DOTALL)


def run_example(place, script):
    """What it prints. Port 443 and the authorities of the system are not ours to use."""
    wss = f"localhost:{place.names['port_wss']}"
    ca = f"--cafile {place.folder}/ca.crt"
    script = script.replace("-h mqtt.example.com -p 443 --capath /etc/ssl/certs",
                            f"-h localhost -p {place.names['port_wss']} --ws {ca}")
    script = re.sub(r"-L (wss://\S*@)mqtt\.example\.com(\S*)", rf"{ca} -L \1{wss}\2", script)
    assert "example.com" not in script
    done = run("sh", "-ec", script, cwd=place.folder, stdin=subprocess.DEVNULL,
               env={**os.environ, "XDG_CONFIG_HOME": place.folder,
                    "PATH": f"{place.folder}:{os.environ['PATH']}"})
    assert (done.returncode, done.stderr) == (0, ""), script
    return done.stdout


def test_the_examples_of_pub_publish(place):
    plain, tunnel, url, keep, log, picture = examples("pub")
    listener = place.client("manual-pub", 5)
    listener.subscribe(("#", 1))
    for script, wanted in (
            (plain, [("home/lamp", b"on")]),
            (tunnel, [("test/topic", b"hello")]),
            (url, [("test/topic", b"hello")]),
            (keep, [("home/lamp", b"on"), ("home/lamp", b"")]),
            (log.replace("tail -f /var/log/syslog", "printf 'one\\ntwo\\n'"),
             [("logs/host1", b"one"), ("logs/host1", b"two")]),
            (picture, [("camera/1", b"picture")])):
        assert run_example(place, script) == ""
        for topic, payload in wanted:
            last = listener.receive()
            assert (last.topic, last.payload) == (topic, payload)
            if last.qos == 1:
                listener.acknowledge(last)
    assert last.prop("content_type") == b"image/jpeg" and last.prop("message_expiry") in range(50, 61)
    late = place.client("manual-late", 5)
    late.subscribe(("home/#", 0))
    late.expect_nothing()


def test_the_examples_of_sub_show_what_comes(place):
    everything, tunnel, columns, parsed, value, session, probes = examples("sub")
    publisher = place.client("manual-publisher")
    publisher.publish("home/lamp", b"on", qos=1, retain=True)
    assert run_example(place, everything.strip() + END) == "home/lamp on\n"
    assert run_example(place, tunnel.strip() + END) == "home/lamp on\n"
    assert re.fullmatch(r"\d\d:\d\d:\d\d home/lamp {22}on\n", run_example(place, columns.strip() + END))
    assert run_example(place, value + 'echo "<$value>"') == "<on>\n"
    publisher.publish("home/lamp", b'{"temperature": 21.5}', qos=1, retain=True)
    command, program = parsed.strip().split(" | ")
    assert program == "jq .payload.temperature"
    assert json.loads(run_example(place, command + END))["payload"]["temperature"] == 21.5
    assert run_example(place, session.strip() + " -E") == ""
    publisher.publish("logs/a", b"waited", qos=1)
    assert run_example(place, session.strip() + END) == "waited\n"
    words = [shlex.join(shlex.split(line.replace(",", ""))) for line in re.findall(r"\[(.*)\]", probes)]
    assert run_example(place, words[0]) == '{"temperature": 21.5}\n' and len(words) == 2
    assert run_example(place, words[1]) == ""
    publisher.publish("home/lamp", b"", qos=1, retain=True)


def test_the_examples_of_rr_show_the_answer(place):
    lamp = place.client("manual-lamp", 5)
    lamp.subscribe(("lamp/get", 0))

    def serve():
        for request in iter(lamp.receive, None):
            props = [(name, value) for name, value in request.props if name == "correlation_data"]
            lamp.send(raw.publish(request.prop("response_topic"), b"on", version=5, props=props))

    def answer():
        try:
            serve()
        except (raw.Closed, OSError, TimeoutError):
            return

    lamp.timeout = 60
    thread = threading.Thread(target=answer)
    thread.start()
    try:
        ask, tunnel, latency, whole = examples("rr")
        assert run_example(place, ask) == "on\n"
        assert run_example(place, tunnel) == "on\n"
        assert re.fullmatch(r"Latency: \d+\.\d{6}\non\n", run_example(place, latency))
        shown = json.loads(run_example(place, whole))
        assert (shown["payload"], shown["properties"]["correlation-data"]) == ("on", "4711")
    finally:
        lamp.sock.shutdown(2)
        thread.join()


# ---- the views of sub ----


def test_views_are_what_the_page_says(place):
    publisher = place.client("manual-views")
    for topic, payload in (("view/a", b"1"), ("view/b", b"2\t")):
        publisher.publish(topic, payload, qos=1, retain=True)
    view = "noctule sub -t 'view/#' -C 2 -W 30 "
    assert re.search(r"^2 messages \(2 retained\), 3 bytes in .* messages/s\n$",
                     run_example(place, view + "--stats"))
    assert re.search(r"view/\n +a = 1 .*\n +b = 2", run_example(place, view + "--tree"))
    watched = run_example(place, view + "-w").splitlines()
    assert len(watched) == 2 and "view/a" in watched[0] and "view/b" in watched[1], watched
    assert run_example(place, view + "--message-rate") in ("", "2\n")


# ---- more of the pages ----


def test_mosquittos_tools_have_no_option_for_it(tmp_path):
    link = tmp_path / "mosquitto_sub"
    link.symlink_to(os.path.abspath(PROGRAM))
    done = run(link, "--man")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: Unknown option '--man'.")


@pytest.mark.parametrize("option", ("--man", "--help", "--version"))
def test_what_could_not_be_written_is_a_failure(option):
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([PROGRAM, "pub", option], stdout=full, timeout=60)
    assert done.returncode == 1
