# SPDX-License-Identifier: Apache-2.0
"""Behind nginx, haproxy, and a stand-in for cloudflared, all on loopback."""

import os
import shutil
import socket
import subprocess
import threading
import time
from types import SimpleNamespace

import paho.mqtt.client as paho
import pytest

import raw
import ways
import ws
from conftest import Broker, free_port
from test_cli_peers import start
from test_javascript import MODULE, STEPS, need, run_chromium, run_node

pytestmark = pytest.mark.noctule_only

IDLE_S = 3  # after which a proxy cuts a quiet connection
CONFIG = "max_queued_messages 2000\n" + ways.CONFIG + """
listener {port_ping} 127.0.0.1
protocol websockets
websocket_ping_interval 1
listener {port_noping} 127.0.0.1
protocol websockets
websocket_ping_interval 0
listener 0 {dir}/ws.sock
protocol websockets
"""
STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"

NGINX = """
daemon off;
pid {dir}/nginx.pid;
error_log {dir}/nginx.log;
{user}
{load_module}
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {dir}/nginx.tmp;
    proxy_temp_path {dir}/nginx.tmp;
    fastcgi_temp_path {dir}/nginx.tmp;
    uwsgi_temp_path {dir}/nginx.tmp;
    scgi_temp_path {dir}/nginx.tmp;
    server {{
        listen 127.0.0.1:{bare};
        location / {{ proxy_pass http://127.0.0.1:{port_ws}; }}
    }}
    server {{
        listen 127.0.0.1:{up};
        listen 127.0.0.1:{up_tls} ssl;
        ssl_certificate {dir}/server.crt;
        ssl_certificate_key {dir}/server.key;
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        location / {{ proxy_pass http://127.0.0.1:{port_ws}; }}
        location /secure {{ proxy_pass https://127.0.0.1:{port_wss}; }}
        location /unix {{ proxy_pass http://unix:{dir}/ws.sock:/; }}
        location /wrong {{ proxy_pass http://127.0.0.1:{port}; }}
        location /ping {{ proxy_pass http://127.0.0.1:{port_ping}; proxy_read_timeout {idle}s; }}
        location /noping {{
            proxy_pass http://127.0.0.1:{port_noping};
            proxy_read_timeout {idle}s;
        }}
    }}
}}
"""
NGINX_STREAM = """
stream {{
    server {{ listen 127.0.0.1:{stream}; proxy_pass 127.0.0.1:{port}; }}
    server {{ listen 127.0.0.1:{passthrough}; ssl_preread on; proxy_pass 127.0.0.1:{port_tls}; }}
    server {{
        listen 127.0.0.1:{terminated} ssl;
        ssl_certificate {dir}/server.crt;
        ssl_certificate_key {dir}/server.key;
        proxy_pass 127.0.0.1:{port};
    }}
    server {{
        listen 127.0.0.1:{announced};
        proxy_protocol on;
        proxy_pass 127.0.0.1:{port};
    }}
}}
"""
HAPROXY = """
defaults
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    default-server ca-file {dir}/ca.crt verifyhost localhost
listen plain
    mode tcp
    bind 127.0.0.1:{ha_tcp}
    server broker 127.0.0.1:{port}
listen quiet
    mode tcp
    timeout client {idle}s
    timeout server {idle}s
    bind 127.0.0.1:{ha_quiet}
    server broker 127.0.0.1:{port}
listen checked
    mode tcp
    bind 127.0.0.1:{ha_checked}
    server broker 127.0.0.1:{port} check inter 100ms
listen terminated
    mode tcp
    bind 127.0.0.1:{ha_tls} ssl crt {dir}/server.pem
    server broker 127.0.0.1:{port}
listen terminated_and_tls_again
    mode tcp
    bind 127.0.0.1:{ha_again} ssl crt {dir}/server.pem
    server broker 127.0.0.1:{port_tls} ssl verify required
listen announced
    mode tcp
    bind 127.0.0.1:{ha_announced}
    server broker 127.0.0.1:{port} send-proxy-v2
frontend web
    mode http
    option forwardfor
    bind 127.0.0.1:{ha_ws}
    bind 127.0.0.1:{ha_wss} ssl crt {dir}/server.pem alpn http/1.1
    use_backend wss if {{ path /secure }}
    use_backend ping if {{ path /ping }}
    use_backend noping if {{ path /noping }}
    default_backend ws
backend ws
    mode http
    server broker 127.0.0.1:{port_ws}
backend wss
    mode http
    server broker 127.0.0.1:{port_wss} ssl verify required
backend ping
    mode http
    timeout tunnel {idle}s
    server broker 127.0.0.1:{port_ping}
backend noping
    mode http
    timeout tunnel {idle}s
    server broker 127.0.0.1:{port_noping}
"""


class Names(dict):
    """Ports by name, found when they are asked for."""

    def __missing__(self, name):
        self[name] = free_port()
        return self[name]


class Proxy:
    """A proxy's process, with a configuration of its own and nothing of the system's."""

    def __init__(self, broker, name, template, command, **names):
        self.names = Names(names, dir=broker.folder, idle=IDLE_S)
        for key in ("port", "port_ws", "port_wss", "port_tls", "port_ping", "port_noping"):
            self.names[key] = broker.names[key]
        config = os.path.join(broker.folder, f"{name}.conf")
        with open(config, "w", encoding="utf-8") as out:
            out.write(template.format_map(self.names))
        with open(os.path.join(broker.folder, f"{name}.out"), "w+", encoding="utf-8") as out:
            self.process = subprocess.Popen([*command, config], stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=out, cwd=broker.folder)
            deadline = time.monotonic() + 10
            for port in [value for key, value in self.names.items() if isinstance(value, int)
                         and not key.startswith("port") and key != "idle"]:
                while True:
                    try:
                        socket.create_connection(("127.0.0.1", port), 1).close()
                        break
                    except OSError:
                        out.seek(0)
                        assert time.monotonic() < deadline, f"{name}: {out.read()}"
                        assert self.process.poll() is None, f"{name}: {out.read()}"
                        time.sleep(0.02)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    running = Broker(tmp_path_factory.mktemp("broker"), CONFIG)
    ways.make_certificates(running.folder)
    with open(os.path.join(running.folder, "server.pem"), "w", encoding="ascii") as out:
        for name in ("server.crt", "server.key"):
            with open(os.path.join(running.folder, name), encoding="ascii") as part:
                out.write(part.read())
    try:
        yield running.start()
    finally:
        running.stop()


def find(program):
    where = shutil.which(program) or f"/usr/sbin/{program}"
    if not os.path.exists(where) and os.environ.get("CI") != "true":
        pytest.skip(f"{program} is not installed")
    return where


@pytest.fixture(scope="module")
def nginx(broker):
    program = find("nginx")
    has_stream = os.path.exists(STREAM_MODULE)
    proxy = Proxy(broker, "nginx", NGINX + (NGINX_STREAM if has_stream else ""),
                  [program, "-p", broker.folder, "-e", "stderr", "-c"],
                  user="user root;" if os.geteuid() == 0 else "",
                  load_module=f"load_module {STREAM_MODULE};" if has_stream else "")
    proxy.has_stream = has_stream
    yield proxy
    proxy.stop()


@pytest.fixture
def nginx_stream(nginx):
    if not nginx.has_stream:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{STREAM_MODULE} is missing: install libnginx-mod-stream")
        pytest.skip("nginx has no stream module here (Debian: libnginx-mod-stream)")
    return nginx


@pytest.fixture(scope="module")
def haproxy(broker):
    proxy = Proxy(broker, "haproxy", HAPROXY, [find("haproxy"), "-db", "-f"])
    yield proxy
    proxy.stop()


@pytest.fixture
def proxies(request):
    """The proxies by name; started by the first test that asks for them."""
    return request.getfixturevalue


def works(client, name):
    """A round trip of MQTT over a raw.Raw that has not said CONNECT."""
    client.connect(name)
    client.subscribe((f"works/{name}", 2))
    for number in range(10):
        client.publish(f"works/{name}", str(number), number % 3)
        message = client.expect_message(f"works/{name}", str(number))
        client.acknowledge(message)


def dial_ws(proxy, port, path="/", tls_folder=None, more=(), **changes):
    sock = ways.dial_tcp(proxy.names[port])
    if tls_folder:
        sock = ways.in_tls(sock, tls_folder)
    return ws.WebSocket(sock, head=ws.request(f"GET {path} HTTP/1.1", more, **changes))


# ---- the peers ----

# The ways through a proxy: which one, its port, what a peer speaks there, and the path. TLS ends at
# the proxy, or goes through it to the broker, or ends and begins again towards the broker.
ROUTES = {
    "nginx-tcp": ("nginx_stream", "stream", "mqtt", ""),
    "nginx-tls": ("nginx_stream", "terminated", "mqtts", ""),
    "nginx-tls-through": ("nginx_stream", "passthrough", "mqtts", ""),
    "nginx-ws": ("nginx", "up", "ws", "/mqtt"),
    "nginx-wss": ("nginx", "up_tls", "wss", "/mqtt"),
    "nginx-wss-again": ("nginx", "up_tls", "wss", "/secure"),
    "haproxy-tcp": ("haproxy", "ha_tcp", "mqtt", ""),
    "haproxy-tls": ("haproxy", "ha_tls", "mqtts", ""),
    "haproxy-tls-again": ("haproxy", "ha_again", "mqtts", ""),
    "haproxy-ws": ("haproxy", "ha_ws", "ws", "/mqtt"),
    "haproxy-wss": ("haproxy", "ha_wss", "wss", "/mqtt"),
    "haproxy-wss-again": ("haproxy", "ha_wss", "wss", "/secure"),
}


def over(*schemes):
    """The routes of peers that speak one of these."""
    names = [name for name, route in ROUTES.items() if route[2] in schemes]
    return pytest.mark.parametrize("route", names, indirect=True)


def find_route(broker, proxies, name):
    proxy, port, scheme, path = ROUTES[name]
    number = proxies(proxy).names[port]
    ca = os.path.join(broker.folder, "ca.crt") if scheme in ("mqtts", "wss") else None
    return SimpleNamespace(url=f"{scheme}://127.0.0.1:{number}{path}", port=number, path=path,
                           ca=ca)


@pytest.fixture
def route(request, broker, proxies):
    return find_route(broker, proxies, request.param)


@over("mqtt", "mqtts")
def test_mosquittos_clients_through_a_proxy(broker, route, topic):
    to = ["-h", "127.0.0.1", "-p", str(route.port), *(["--cafile", route.ca] if route.ca else [])]
    subprocess.run(["mosquitto_pub", *to, "-t", topic, "-m", "kept", "-r", "-q", "2"], check=True,
                   timeout=10)
    out = subprocess.run(["mosquitto_sub", *to, "-t", topic, "-C", "1", "-W", "5"], check=True,
                         timeout=10, capture_output=True, text=True).stdout
    assert out == "kept\n"
    responder = broker.client("responder", 5)
    responder.subscribe((topic + "/ask", 1))
    with start("mosquitto_rr", *to, "-t", topic + "/ask", "-e", topic + "/answer", "-q", "1",
               "-m", "question", "-W", "10") as asker:
        question = responder.expect_message(topic + "/ask", "question")
        assert question.prop("response_topic") == (topic + "/answer").encode()
        responder.publish(topic + "/answer", "reply", 1)
        assert asker.communicate(timeout=10)[0] == "reply\n"


@over("mqtt", "mqtts", "ws", "wss")
@pytest.mark.parametrize("mqtt", [paho.MQTTv31, paho.MQTTv311, paho.MQTTv5],
                         ids=["v31", "v311", "v5"])
def test_paho_through_a_proxy(route, mqtt, topic):
    got = []
    done = threading.Event()

    def on_message(_client, _userdata, message):
        got.append(message.payload)
        if len(got) == 20:
            done.set()

    client = paho.Client("paho" if mqtt == paho.MQTTv31 else "", protocol=mqtt,
                         transport="websockets" if route.path else "tcp")
    if route.path:
        client.ws_set_options(path=route.path)
    if route.ca:
        client.tls_set(route.ca, tls_version=ways.ssl.PROTOCOL_TLS_CLIENT)
    client.on_connect = lambda *_: client.subscribe(topic, 1)
    client.on_subscribe = lambda *_: [client.publish(topic, f"{n}" * 2000, 1) for n in range(20)]
    client.on_message = on_message
    client.connect("127.0.0.1", route.port)
    client.loop_start()
    try:
        assert done.wait(10), got
    finally:
        client.disconnect()
        client.loop_stop()
    assert got == [f"{n}".encode() * 2000 for n in range(20)]


@over("mqtt", "mqtts", "ws", "wss")
def test_mqttjs_through_a_proxy(route, topic):
    need("MQTT.js (npm ci in tests/e2e)", os.path.isdir(MODULE))
    need("node", shutil.which("node"))
    assert run_node([{"url": route.url, "version": 5, "base": topic, "ca": route.ca}]) == [STEPS]


@pytest.mark.parametrize("proxy", ["nginx", "haproxy"])
def test_chromium_through_a_proxy(broker, proxies, proxy, topic, tmp_path):
    """One browser for all routes of a proxy: its start takes longer than they do."""
    need("MQTT.js (npm ci in tests/e2e)", os.path.isdir(MODULE))
    need("chromium", shutil.which("chromium"))
    routes = [find_route(broker, proxies, f"{proxy}-{rest}") for rest in ("ws", "wss", "wss-again")]
    tasks = [{"url": route.url, "version": 5, "base": f"{topic}-{number}"}
             for number, route in enumerate(routes)]
    assert run_chromium(str(tmp_path), tasks) == {"results": [STEPS] * len(tasks)}


# ---- WebSocket through HTTP proxies ----


@pytest.mark.parametrize("name, port, path, is_tls", [
    ("nginx", "up", "/", False),
    ("nginx", "up", "/mqtt", False),
    ("nginx", "up", "/secure", False),
    ("nginx", "up", "/unix", False),
    ("nginx", "up_tls", "/", True),
    ("haproxy", "ha_ws", "/", False),
    ("haproxy", "ha_ws", "/mqtt", False),
    ("haproxy", "ha_wss", "/", True),
    ("haproxy", "ha_ws", "/secure", False),
])
def test_websocket_through_a_proxy(broker, proxies, name, port, path, is_tls):
    upgraded = dial_ws(proxies(name), port, path, broker.folder if is_tls else None,
                       ["X-Forwarded-For: 6.6.6.6"])
    works(raw.Raw(0, sock=upgraded), f"{port}{path}")


@pytest.mark.parametrize("name, port", [("nginx", "up"), ("haproxy", "ha_ws")])
def test_a_connect_before_the_answer_to_the_upgrade(proxies, name, port):
    sock = ways.dial_tcp(proxies(name).names[port])
    sock.sendall(ws.request() + ws.frame(ws.BINARY, raw.connect("eager")))
    answer = ws.read_answer(sock)
    assert answer.status == 101
    assert (answer.rest or sock.recv(100)) == b"\x82\x04\x20\x02\0\0"


def test_nginx_without_the_upgrade_lines(broker, nginx):
    with pytest.raises(AssertionError, match="426"):
        dial_ws(nginx, "bare", "/lost", Sec_WebSocket_Protocol="mqtt")
    line = broker.wait_log(".*refused: 426 upgrade-stripped.*/lost.*").group(0)
    for word in ("proxy_http_version 1.1", "proxy_set_header Upgrade", "127.0.0.1"):
        assert word in line


def test_a_browser_that_looks_gets_an_answer_through_a_proxy(broker, nginx):
    sock = ways.dial_tcp(nginx.names["bare"])
    sock.sendall(b"GET /look HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    answer = ws.read_answer(sock, to_end=True)
    assert answer.status == 426 and b"MQTT" in answer.rest
    broker.wait_log("refused: 426 not-an-upgrade.*/look")


def test_a_proxy_that_leads_to_the_mqtt_listener(broker, nginx):
    with pytest.raises(AssertionError, match="400"):
        dial_ws(nginx, "up", "/wrong")
    broker.wait_log(f"HTTP request to an MQTT listener .port {broker.port}")


@pytest.mark.parametrize("name, port", [("nginx", "up"), ("haproxy", "ha_ws")])
def test_pings_keep_a_quiet_line_open(broker, proxies, name, port):
    """MQTT is silent for longer than the proxy's limit; without pings it cuts the line."""
    watcher = broker.client("watcher")
    watcher.subscribe(("cut", 0))
    kept = raw.Raw(0, sock=dial_ws(proxies(name), port, "/ping"), timeout=IDLE_S + 3)
    kept.connect("kept", keepalive=0)
    lost = raw.Raw(0, sock=dial_ws(proxies(name), port, "/noping"))
    lost.connect("lost", keepalive=0, will={"topic": "cut", "payload": name})
    with pytest.raises(TimeoutError):
        kept.receive(IDLE_S + 1.5)
    kept.expect_nothing(0.01)
    assert kept.sock.pings >= 2
    watcher.expect_message("cut", name, 15)  # the proxy closes TCP, without a close frame
    kept.disconnect()


# ---- TCP and TLS through proxies ----


def test_alpn_goes_through_nginx_to_the_broker(broker, nginx_stream):
    sock = ways.dial_tcp(nginx_stream.names["passthrough"])
    context = ways.ssl.create_default_context(cafile=os.path.join(broker.folder, "ca.crt"))
    context.set_alpn_protocols(["mqtt"])
    sock = context.wrap_socket(sock, server_hostname="localhost")
    assert (sock.version(), sock.selected_alpn_protocol()) == ("TLSv1.3", "mqtt")
    works(raw.Raw(0, sock=sock), "alpn")


def test_haproxys_idle_cut_publishes_the_will(broker, haproxy):
    watcher = broker.client("watcher")
    watcher.subscribe(("idle", 0))
    client = raw.Raw(haproxy.names["ha_quiet"])
    client.connect("idle", keepalive=0, will={"topic": "idle", "payload": "cut"})
    watcher.expect_message("idle", "cut", IDLE_S + 15)


def test_health_checks_leave_no_lines(broker, haproxy):
    broker.client("checked").publish("nowhere", "x", 1)
    broker.wait_log("Sending PUBACK to checked")
    before = len(broker.log())
    time.sleep(0.6)  # some six checks
    assert "New connection" not in broker.log()[before:]
    assert haproxy.process.poll() is None


@pytest.mark.parametrize("name, port", [("nginx_stream", "announced"),
                                        ("haproxy", "ha_announced")])
def test_a_proxy_header_nobody_expects_is_named(broker, proxies, name, port):
    before = broker.log().count("PROXY protocol header")
    client = raw.Raw(proxies(name).names[port])
    client.send(raw.connect("announced"))
    with pytest.raises(raw.Closed):
        client.receive()
    deadline = time.monotonic() + 5
    while broker.log().count("PROXY protocol header") == before:
        assert time.monotonic() < deadline
        time.sleep(0.02)


# ---- a stand-in for cloudflared ----


class Tunnel:
    """What cloudflared does to the origin's side of a WebSocket.

    It reads the device's request, writes its own as Go does (Host first, then the other
    names sorted and capitalised, no User-Agent if there was none), and pipes bytes. It
    closes TCP without a close frame: after idle seconds, or when it is cut.
    """

    def __init__(self, origin, idle=100):
        self.origin, self.idle = origin, idle
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.pairs = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                device, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(device,), daemon=True).start()

    def rewrite(self, head):
        start, *lines = head.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers["-".join(word.capitalize() for word in name.split("-"))] = value.strip()
        host = headers.pop("Host", "")
        headers.update({
            "Connection": "Upgrade", "Upgrade": "websocket", "Sec-Websocket-Version": "13",
            "Accept-Encoding": "gzip", "Cdn-Loop": "cloudflare; loops=1",
            "Cf-Connecting-Ip": "203.0.113.9", "Cf-Ipcountry": "DE",
            "Cf-Ray": "8f0123456789abcd-FRA", "Cf-Visitor": '{"scheme":"https"}',
            "Cf-Warp-Tag-Id": "01234567-89ab-cdef-0123-456789abcdef",
            "X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https",
        })
        out = [start, f"Host: {host}"]
        out += [f"{name}: {headers[name]}" for name in sorted(headers)]
        return ("\r\n".join(out) + "\r\n\r\n").encode("latin-1")

    def serve(self, device):
        data = b""
        while b"\r\n\r\n" not in data:
            part = device.recv(65536)
            if not part:
                device.close()
                return
            data += part
        head, _, rest = data.partition(b"\r\n\r\n")
        origin = socket.create_connection(("127.0.0.1", self.origin), 5)
        origin.sendall(self.rewrite(head) + rest)
        self.pairs.append((device, origin))
        last = [time.monotonic()]
        for one, other in ((device, origin), (origin, device)):
            threading.Thread(target=self.pipe, args=(one, other, last), daemon=True).start()

    def pipe(self, one, other, last):
        one.settimeout(0.1)
        try:
            while True:
                try:
                    data = one.recv(65536)
                except socket.timeout:
                    if time.monotonic() - last[0] < self.idle:
                        continue
                    break
                if not data:
                    break
                last[0] = time.monotonic()
                other.sendall(data)
        except OSError:
            pass
        for end in (one, other):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        """The edge restarts: every connection is gone."""
        for pair in self.pairs:
            for end in pair:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        self.pairs.clear()

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.cut()


@pytest.fixture
def tunnel(broker):
    started = []

    def start(port="port_ws", **options):
        started.append(Tunnel(broker.names[port], **options))
        return started[-1]

    yield start
    for one in started:
        one.stop()


ESP32 = ("GET {} HTTP/1.1\r\nConnection: Upgrade\r\nHost: mqtt.example.org:443\r\n{}"
         "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + ws.KEY +
         "\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n")


@pytest.mark.parametrize("agent", ["", "User-Agent: ESP32 Websocket Client\r\n"],
                         ids=["no-agent", "agent"])
@pytest.mark.parametrize("path", ["/", "/mqtt"])
def test_an_esp32_through_the_tunnel(broker, tunnel, path, agent):
    sock = ways.dial_tcp(tunnel().port)
    upgraded = ws.WebSocket(sock, head=ESP32.format(path, agent).encode())
    assert upgraded.answer.headers["sec-websocket-accept"] == ws.ACCEPT
    assert upgraded.answer.headers["sec-websocket-protocol"] == "mqtt"
    client = raw.Raw(0, sock=upgraded)
    client.connect("esp32", user="device", password="secret", keepalive=120)
    client.subscribe(("esp", 1))
    broker.client("server").publish("esp", "on", 1)
    client.acknowledge(client.expect_message("esp", "on"))
    client.disconnect()


def test_the_tunnels_request_is_logged_with_what_it_says(broker, tunnel):
    ws.WebSocket(ways.dial_tcp(tunnel().port),
                 head=ESP32.format("/tunnelled", "User-Agent: ESP32\r\n").encode())
    broker.wait_log("WebSocket upgrade .*/tunnelled.*mqtt.*ESP32")


def test_the_tunnels_idle_cut_does_not_come(tunnel):
    client = raw.Raw(0, sock=ws.WebSocket(ways.dial_tcp(tunnel("port_ping", idle=3).port)))
    client.connect("kept", keepalive=0)
    with pytest.raises(TimeoutError):
        client.receive(4.5)
    client.expect_nothing(0.01)


def test_an_idle_cut_is_a_lost_connection(broker, tunnel):
    watcher = broker.client("watcher")
    watcher.subscribe(("tunnel", 0))
    client = raw.Raw(0, sock=ws.WebSocket(ways.dial_tcp(tunnel("port_noping", idle=1).port)))
    client.connect("kept", keepalive=0, clean=False,
                   will={"topic": "tunnel", "payload": "cut", "qos": 0})
    client.subscribe(("waiting", 1))
    watcher.expect_message("tunnel", "cut", 15)
    broker.client("sender").publish("waiting", "for you", 1)
    client = raw.Raw(0, sock=ws.WebSocket(ways.dial_tcp(tunnel("port_noping").port)))
    assert client.connect("kept", clean=False).session_present
    client.acknowledge(client.expect_message("waiting", "for you"))


def test_a_storm_after_the_edge_restarts(broker, tunnel):
    edge = tunnel()

    def open_all():
        clients = []
        for number in range(60):
            client = raw.Raw(0, 5, sock=ws.WebSocket(ways.dial_tcp(edge.port)))
            client.send(raw.connect(f"storm {number}", 5, clean=False,
                                    props=[("session_expiry", 60)],
                                    will={"topic": "storm/will", "payload": str(number),
                                          "props": [("will_delay", 20)]}))
            clients.append(client)
        return clients, [client.expect(raw.CONNACK) for client in clients]

    watcher = broker.client("watcher")
    watcher.subscribe(("storm/#", 0))
    _, answers = open_all()
    assert not any(answer.session_present for answer in answers)
    edge.cut()
    before = time.monotonic()
    clients, answers = open_all()
    assert all(answer.session_present for answer in answers)
    assert time.monotonic() - before < 15
    watcher.expect_nothing(0.2)  # nobody's will, as all were back in time
    for client in clients:
        client.send(raw.disconnect())


def test_service_https_to_a_plain_listener_is_named(broker):
    """cloudflared with https:// before a port without TLS: the origin gets a TLS hello."""
    sock = ways.dial_tcp(broker.names["port_ws"])
    source = sock.getsockname()[1]
    with pytest.raises((ways.ssl.SSLError, ConnectionError)):
        ways.in_tls(sock, broker.folder)
    broker.wait_log(rf"127\.0\.0\.1:{source} .*tls-hello.*http://")


def test_service_tcp_to_a_websocket_listener_is_named(broker):
    """cloudflared with tcp:// before a WebSocket port: the origin gets bare MQTT."""
    client = raw.Raw(broker.names["port_ws"])
    source = client.sock.getsockname()[1]
    client.send(raw.connect("bare"))
    with pytest.raises(raw.Closed):
        client.receive()
    broker.wait_log(rf"127\.0\.0\.1:{source} .*plain-mqtt")
