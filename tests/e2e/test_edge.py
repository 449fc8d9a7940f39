# SPDX-License-Identifier: Apache-2.0
"""What pub, sub and rr say when a tunnel's edge, a proxy or TLS stands in the way, and that
they come through where they can: see fake_edge.py."""

import concurrent.futures
import os
import re
import shutil
import socket
import subprocess
import threading
import time

import pytest

import fake_edge
import raw
import ways
from conftest import (IS_MOSQUITTO, PROGRAM, SANITIZER_WORDS, SLOWER, START_SECONDS, TOP, Broker,
                      free_port)

TOOL = PROGRAM if not IS_MOSQUITTO else os.path.join(TOP, "build", "noctule")
DEBIAN = "/usr/bin"
CONFIG = ways.CONFIG
SECONDS = 40 * SLOWER  # at most, for a run of a tool

# scene: exit status, what the line says.
SCENES = {
    "wrong-ca": (8, "comes from 'Somebody Else', which is not among the trusted authorities; "
                    "name its CA with --cafile or --capath"),
    "wrong-name": (8, "is for elsewhere.example, not for localhost; connect to a name"),
    "expired": (8, r"expired on 20\d\d-.* \(this machine's clock: .*\); it must be renewed"),
    "raw": (8, "what answers there does not speak TLS; try the port for TLS"),
    "closed": (8, "the server closed the connection in the TLS handshake"),
    "login-301": (70, "HTTP 301: Cloudflare Access sends us to a login; give a service token"),
    "login-302": (70, "HTTP 302: Cloudflare Access sends us to a login; .*Service Auth"),
    "moved": (70, "HTTP 301: the server sends us to https://www.example.com/; connect there"),
    "challenge": (70, r"HTTP 403: .*challenge.* WAF skip rule .*\(Cf-Ray 8f2b1c3d4e5f6a7b-FRA\)"),
    "denied": (70, "HTTP 403: a rule of Cloudflare's .* Cf-Ray 8f2b1c3d4e5f6a7b-FRA"),
    "forbidden": (70, "HTTP 403: the server forbids it"),
    "unauthorized": (70, "HTTP 401: .* --header 'Authorization: ...'"),
    "bad-request": (70, "HTTP 400: .* no WebSocket on the path '/t/path'; check --ws-path"),
    "not-found": (70, "HTTP 404: .* no WebSocket on the path '/t/path'; check --ws-path"),
    "upgrade": (70, "HTTP 426: .* that each proxy in between passes the upgrade on"),
    "page": (70, "HTTP 200: .* opens no WebSocket"),
    "rate": (70, "HTTP 429: the server is busy; try again in 7 s"),
    "busy": (70, "HTTP 503: the server is busy; try again in 30 s"),
    "gateway": (70, r"HTTP 502: .* refused or speaks no HTTP; check scheme \(http, not https"),
    "timeout": (70, "HTTP 504: .* does not answer; check that it runs"),
    "520": (70, "HTTP 520: the server's answer makes no sense to Cloudflare"),
    "521": (70, "HTTP 521: Cloudflare is refused by the server"),
    "522": (70, "HTTP 522: Cloudflare gets no answer from the server"),
    "525": (70, "HTTP 525: .* TLS certificate; .* noTLSVerify"),
    "526": (70, "HTTP 526: .* TLS certificate; .* originServerName"),
    "1033": (70, r"HTTP 530: the tunnel \(error 1033\) has no cloudflared .*; start cloudflared"),
    "1016": (70, r"HTTP 530: Cloudflare \(error 1016\) cannot find .* in the DNS"),
    "530": (70, "HTTP 530: Cloudflare cannot reach the server; check the tunnel"),
    "not-http": (71, "the answer to the WebSocket request is no HTTP"),
    "no-subprotocol": (71, "no MQTT broker; check the path .--ws-path."),
    "wrong-subprotocol": (71, "a subprotocol that was not asked for; check the path"),
    "wrong-accept": (71, "does not belong to our key; something between us"),
    "hang": (72, "no answer to the WebSocket request"),
    "cut": (7, "the connection to localhost port .* was lost: the server closed"),
}


def run(*words, stdin=None, program=None, environment=None):
    """Run a tool: noctule's by its word, Debian's by its path."""
    command = [*(program or [TOOL]), *words]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=SECONDS, check=False,
                          stdin=None if stdin is not None else subprocess.DEVNULL, text=True,
                          env={**os.environ, "HOME": "/nonexistent", **(environment or {})})
    assert not SANITIZER_WORDS.search(done.stderr), done.stderr
    return done


@pytest.fixture(scope="module")
def edge(broker, tmp_path_factory):
    running = fake_edge.FakeEdge(tmp_path_factory.mktemp("edge"), broker.names["port_ws"])
    yield running
    running.stop()


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    running = Broker(tmp_path_factory.mktemp("broker"), CONFIG)
    ways.make_certificates(running.folder)
    try:
        yield running.start()
    finally:
        running.stop()


@pytest.fixture(scope="module")
def answers(edge):
    """Every scene at once, since some of them take their time."""
    with concurrent.futures.ThreadPoolExecutor(len(SCENES)) as pool:
        ports = {scene: edge.port(scene) for scene in SCENES}
        runs = {scene: pool.submit(
            run, "pub", "-h", "localhost", "-p", str(ports[scene]), "--ws", "--ws-path", "/t/path",
            "--cafile", edge_ca(edge), "-t", "t", "-m", "x") for scene in SCENES}
        return {scene: one.result() for scene, one in runs.items()}


def edge_ca(edge):
    return os.path.join(edge.folder, "ca.crt")


@pytest.mark.parametrize("scene", SCENES)
def test_each_answer_has_its_line_and_status(answers, scene):
    status, words = SCENES[scene]
    done = answers[scene]
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    assert re.fullmatch(r"noctule pub: [^\n]*\n", done.stderr), done.stderr
    assert re.search(words, done.stderr), done.stderr


def test_all_lines_differ(answers):
    lines = {re.sub(r"port \d+", "port", done.stderr) for done in answers.values()}
    assert len(lines) == len(SCENES)


def test_through_the_edge_to_a_broker(edge, broker, topic):
    """With the request as cloudflared makes it anew, and headers of ours."""
    subscriber = broker.client("edge-" + topic.replace("/", "-"))
    subscriber.subscribe((topic, 1))
    port = edge.port("good")
    done = run("pub", "-L", f"wss://localhost:{port}/{topic}", "--cafile", edge_ca(edge), "-q", "1",
               "-m", "hello", "--ws-path", "/mqtt?x=1", "--user-agent", "bat/1",
               "--header", "CF-Access-Client-Id: abc.access", "--header", "CF-Access-Client-Secret: 0")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    subscriber.expect_message(topic, b"hello")
    head = edge.requests[-1].decode()
    assert head.startswith("GET /mqtt?x=1 HTTP/1.1\r\n")
    for line in (f"Host: localhost:{port}", "User-Agent: bat/1", "CF-Access-Client-Id: abc.access",
                 "CF-Access-Client-Secret: 0", "Sec-WebSocket-Protocol: mqtt"):
        assert f"\r\n{line}\r\n" in head, head


def test_sub_and_rr_through_the_edge(edge, broker, topic):
    port = str(edge.port("good"))
    words = ["-h", "localhost", "-p", port, "--ws", "--cafile", edge_ca(edge)]
    publisher = broker.client("pub-" + topic.replace("/", "-"))
    publisher.send(publish(topic, b"kept" * 100000))
    done = run("sub", *words, "-t", topic, "-C", "1", "-W", "20")
    assert (done.returncode, done.stdout, done.stderr) == (0, "kept" * 100000 + "\n", "")
    publisher.send(publish(topic, b""))
    done = run("rr", *words, "-t", topic, "-e", topic, "-m", "echo", "-W", "20")
    assert (done.returncode, done.stdout, done.stderr) == (0, "echo\n", "")


def publish(topic, payload):
    return raw.publish(topic, payload, retain=True)


# ---- port 443: what is there is found out ----


@pytest.fixture
def at_443():
    """Sockets at an address of their own, port 443; needs the right to bind it."""
    taken = []

    def listen():
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((f"127.0.44.{os.getpid() % 200 + 1}", 443))
        except OSError as error:
            sock.close()
            pytest.skip(f"cannot bind port 443: {error}")
        sock.listen(20)
        taken.append(sock)
        return sock, sock.getsockname()[0]

    yield listen
    for sock in taken:
        sock.shutdown(socket.SHUT_RDWR)
        sock.close()


def relay(listener, port):
    """Every connection goes on to that port of 127.0.0.1."""
    def serve():
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            there = socket.create_connection(("127.0.0.1", port))
            threading.Thread(target=fake_edge.pump, args=(sock, there), daemon=True).start()
            threading.Thread(target=fake_edge.pump, args=(there, sock), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()


def test_no_password_goes_out_in_the_clear(broker, topic, at_443):
    listener, address = at_443()
    relay(listener, broker.port)
    done = pub_443(address, None, topic, "-u", "bat", "-P", "secret")
    assert done.returncode == 8
    assert "no TLS with" in done.stderr
    done = pub_443(address, None, topic, "-u", "bat", "-P", "secret", "--no-tls")
    assert done.returncode == 0, done.stderr


def ends_by(sock, deadline):
    """Does the other side close it before that time of time.monotonic()?"""
    try:
        while True:
            sock.settimeout(max(0.001, deadline - time.monotonic()))
            if not sock.recv(4096):
                return True
    except socket.timeout:
        return False


def test_all_ways_on_port_443_have_one_time(at_443):
    """The first one takes half of it, and ends as where there is no TLS."""
    listener, address = at_443()
    start = time.monotonic()
    with subprocess.Popen([TOOL, "sub", "-h", address, "-p", "443", "-t", "t", "-W", "4"],
                          stderr=subprocess.DEVNULL) as sub:
        first, _ = listener.accept()
        with first:
            assert not ends_by(first, start + 2)
        second, _ = listener.accept()
        with second:
            assert ends_by(second, start + 5.8)  # with a time of its own it had six seconds
        assert sub.wait() == 27


def pub_443(address, ca, topic, *words):
    return run("pub", "-h", address, "-p", "443", *(["--cafile", ca, "--insecure"] if ca else []),
               "-t", topic, "-m", "hello", "-q", "1", "-d", *words)


@pytest.mark.parametrize("kind, words", [
    ("edge", "Port 443: the server answers in HTTP: MQTT over secure WebSocket"),
    ("tls", "Port 443: no WebSocket there: MQTT over TLS with ALPN mqtt"),
    ("plain", "Port 443: no TLS there: MQTT as it is"),
])
def test_what_is_on_port_443_is_found_out(edge, broker, topic, at_443, kind, words):
    listener, address = at_443()
    port = {"edge": edge.port("good"), "tls": broker.names["port_tls"], "plain": broker.port}[kind]
    ca = {"edge": edge_ca(edge), "tls": os.path.join(broker.folder, "ca.crt"), "plain": None}[kind]
    relay(listener, port)
    subscriber = broker.client("at-443-" + kind)
    subscriber.subscribe((topic, 1))
    done = pub_443(address, ca, topic)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(words + "\n") or f"\n{words}\n" in done.stdout, done.stdout
    subscriber.expect_message(topic, b"hello")


@pytest.mark.parametrize("scene, words", [
    ("challenge", "HTTP 403: Cloudflare wants a browser's challenge solved"),
    ("bad-request", "HTTP 400: what answers there opens no WebSocket"),
])
def test_a_refusal_in_http_on_port_443_is_told(edge, at_443, topic, scene, words):
    listener, address = at_443()
    relay(listener, edge.port(scene))
    done = pub_443(address, edge_ca(edge), topic)
    assert done.returncode == 70
    assert words in done.stderr


def test_the_time_of_sub_counts_while_443_is_found_out(edge, at_443, topic):
    """When it is over, no other way is tried any more."""
    listener, address = at_443()
    relay(listener, edge.port("hang"))
    done = run("sub", "-h", address, "-p", "443", "--cafile", edge_ca(edge), "--insecure", "-t",
               topic, "-d", "-W", "2")
    assert (done.returncode, done.stderr) == (27, "Timed out\n")
    assert "MQTT over TLS" not in done.stdout


# ---- nginx ----

NGINX = """
daemon off;
pid {dir}/nginx.pid;
error_log {dir}/nginx.log;
{user}
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {dir}/tmp;
    proxy_temp_path {dir}/tmp;
    fastcgi_temp_path {dir}/tmp;
    uwsgi_temp_path {dir}/tmp;
    scgi_temp_path {dir}/tmp;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {dir}/server.crt;
        ssl_certificate_key {dir}/server.key;
        location /mqtt {{
            proxy_pass http://127.0.0.1:{origin};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
        }}
        location /stripped {{ proxy_pass http://127.0.0.1:{origin}; }}
        location /dead {{ proxy_pass http://127.0.0.1:{dead}; }}
    }}
}}
"""


def wait_listening(port):
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < deadline, "nginx does not listen"
            time.sleep(0.02)


@pytest.fixture(scope="module")
def nginx(broker):
    if not shutil.which("nginx"):
        pytest.skip("nginx is not installed")
    port = free_port()
    broker.write("nginx.conf", NGINX.format(
        dir=broker.folder, port=port, origin=broker.names["port_ws"], dead=free_port(),
        user="user root;" if os.geteuid() == 0 else ""))
    process = subprocess.Popen(
        ["nginx", "-p", broker.folder, "-c", os.path.join(broker.folder, "nginx.conf")],
        stdin=subprocess.DEVNULL)
    try:
        wait_listening(port)
        yield port
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def nginx_words(broker, port, *words):
    return ["-h", "localhost", "-p", str(port), "--ws", "--cafile",
            os.path.join(broker.folder, "ca.crt"), *words]


def test_secure_websocket_through_nginx(broker, nginx, topic):
    subscriber = broker.client("nginx-" + topic.replace("/", "-"))
    subscriber.subscribe((topic, 0))
    lines = "".join(f"line {n}\n" for n in range(2000))
    done = run("pub", *nginx_words(broker, nginx, "-t", topic, "-l"), stdin=lines)
    assert (done.returncode, done.stderr) == (0, "")
    for n in range(2000):
        subscriber.expect_message(topic, b"line %d" % n)


@pytest.mark.noctule_only
@pytest.mark.parametrize("path, words", [
    ("/stripped", "HTTP 426: .* that each proxy in between passes the upgrade on"),
    ("/dead", "HTTP 502: .* the broker behind it refused"),
    ("/other", "HTTP 404: .* on the path '/other'"),
])
def test_what_nginx_answers_is_told(broker, nginx, path, words):
    done = run("pub", *nginx_words(broker, nginx, "--ws-path", path, "-t", "t", "-m", "x"))
    assert done.returncode == 70
    assert re.search(words, done.stderr), done.stderr


# ---- under Mosquitto's names ----


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """Links to the program: named("pub") is a command."""
    folder = tmp_path_factory.mktemp("named")
    for tool in ("pub", "sub", "rr"):
        os.symlink(os.path.abspath(TOOL), folder / f"mosquitto_{tool}")
    return lambda tool: [str(folder / f"mosquitto_{tool}")]


def both(named, tool, *words):
    """What Debian's tool and ours say to the same words: (status, stdout, stderr) of each."""
    found = []
    for program in (named(tool), [f"{DEBIAN}/mosquitto_{tool}"]):
        done = run(*words, program=program)
        found.append((done.returncode, done.stdout, done.stderr))
    return found


REST = {"pub": ["-t", "t", "-m", "x"], "sub": ["-t", "t"], "rr": ["-t", "t", "-e", "r", "-m", "x"]}


@pytest.mark.parametrize("tool", REST)
@pytest.mark.parametrize("scene", ["wrong-ca", "wrong-name", "expired", "closed"])
def test_tls_failures_read_as_mosquittos(edge, named, tool, scene):
    ours, theirs = both(named, tool, "-h", "localhost", "-p", str(edge.port(scene)), "--cafile",
                        edge_ca(edge), *REST[tool])
    assert ours == (8, "", "Error: A TLS error occurred.\n")
    # When the handshake fails within its connect function, Debian's say it otherwise.
    assert theirs in (ours, (1, "", "Unable to connect (A TLS error occurred.).\n"))


@pytest.mark.parametrize("tool", REST)
@pytest.mark.parametrize("words", [
    ["-h", "127.0.0.1", "-p", "1"],
    ["-h", "no.such.name.invalid"],
    ["--unix", "/nonexistent/mqtt.sock"],
    ["-h", "127.0.0.1", "-p", "1", "--quiet"],
    ["-h", "127.0.0.1", "-p", "1", "-A", "192.0.2.1"],
    ["-h", "127.0.0.1", "-p", "1", "--cafile", "/nonexistent"],
], ids=lambda words: " ".join(words))
def test_failures_to_connect_read_as_mosquittos(named, tool, words):
    ours, theirs = both(named, tool, *words, *REST[tool])
    assert ours == theirs
    assert ours[0] == 1


def serve_once(connack):
    """A listener whose clients all get that CONNACK."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with sock:
                try:
                    sock.recv(1000)
                    sock.sendall(connack)
                    fake_edge.wait_end(sock)
                except OSError:
                    pass

    threading.Thread(target=serve, daemon=True).start()
    return listener


@pytest.mark.parametrize("tool", REST)
@pytest.mark.parametrize("version, codes", [
    ("311", [1, 2, 3, 4, 5]), ("5", [0x80, 0x84, 0x86, 0x87, 0x89, 0x9c, 0x9f])])
def test_refusals_read_as_mosquittos(named, tool, version, codes):
    for code in codes:
        connack = bytes([0x20, 3, 0, code, 0] if version == "5" else [0x20, 2, 0, code])
        with serve_once(connack) as listener:
            ours, theirs = both(named, tool, "-h", "127.0.0.1", "-p", str(listener.getsockname()[1]),
                                "-V", version, *REST[tool])
            assert ours == theirs
            assert ours[0] == code


@pytest.mark.parametrize("version, code, words", [
    ("311", 5, "not authorised; give user and password (-u, -P)"),
    ("311 -u bat", 5, "not authorised; check user and password"),
    ("311 -u bat", 4, "bad user name or password; check user and password"),
    ("311", 1, "unsupported protocol version; try another version"),
    ("5", 0x85, "client identifier not valid; try another client id"),
    ("5", 0x89, "server busy"),
])
def test_refusals_in_our_words(version, code, words):
    connack = bytes([0x20, 3, 0, code, 0] if version == "5" else [0x20, 2, 0, code])
    with serve_once(connack) as listener:
        done = run("sub", "-h", "127.0.0.1", "-p", str(listener.getsockname()[1]), "-V", *version.split(),
                   "-t", "t")
    assert done.returncode == code
    assert done.stderr.startswith(f"noctule sub: the broker refused the connection: {words}")


@pytest.mark.parametrize("words, status, line", [
    (["-h", "127.0.0.1", "-p", "1"], 14,
     "cannot connect to 127.0.0.1 port 1: Connection refused; nothing listens there: check the "
     "port (-p), and that the broker runs"),
    (["-h", "no.such.name.invalid"], 15, "cannot find the host 'no.such.name.invalid': "),
    (["--unix", "/nonexistent/x.sock"], 14,
     "cannot connect to the socket '/nonexistent/x.sock': No such file or directory; check the path"),
    (["--proxy", "socks5h://127.0.0.1:1"], 14, "cannot connect to "),
    (["--cafile", "/dev/null"], 1, "cannot load the CA file '/dev/null': "),
])
def test_failures_to_connect_in_our_words(words, status, line):
    done = run("sub", *words, "-t", "t")
    assert done.returncode == status, done.stderr
    assert done.stderr.startswith(f"noctule sub: {line}"), done.stderr
    assert done.stderr.count("\n") == 1


def test_what_is_not_mqtt_is_told():
    with serve_once(b"HTTP/1.1 400 Bad Request\r\n\r\n") as listener:
        port = str(listener.getsockname()[1])
        done = run("pub", "-h", "127.0.0.1", "-p", port, "-t", "t", "-m", "x")
    assert done.returncode == 73
    assert "does not speak MQTT; check the port" in done.stderr
