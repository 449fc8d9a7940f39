# SPDX-License-Identifier: Apache-2.0
"""A small stand-in for the edge of a tunnel: what stands between a device and its broker.

Each scene is a listener on 127.0.0.1 that plays one recorded answer, or goes on to a
real broker as cloudflared does: the upgrade made anew, Host first, the other names
sorted and written as Go writes them, and TCP closed without a word at the end.

    edge = FakeEdge(folder)          # its CA is folder/ca.crt
    port = edge.port("challenge")    # a scene of ANSWERS, or one of those of play()
    edge.stop()
"""

import base64
import hashlib
import os
import socket
import ssl
import threading

import ways

RAY = "8f2b1c3d4e5f6a7b-FRA"
LOGIN = "https://team.cloudflareaccess.com/cdn-cgi/access/login/mqtt.example?kid=abc"


def answer(status, *lines, body=""):
    head = [f"HTTP/1.1 {status}", "Server: cloudflare", *lines, f"Content-Length: {len(body)}"]
    return ("\r\n".join(head) + "\r\n\r\n" + body).encode()


ANSWERS = {
    "login-301": answer("301 Moved Permanently", f"Location: {LOGIN}", f"CF-RAY: {RAY}"),
    "login-302": answer("302 Found", f"Location: {LOGIN}", f"CF-RAY: {RAY}"),
    "moved": answer("301 Moved Permanently", "Location: https://www.example.com/"),
    "challenge": answer("403 Forbidden", "cf-mitigated: challenge", f"CF-RAY: {RAY}",
                        body="<!DOCTYPE html><html><title>Just a moment...</title></html>"),
    "denied": answer("403 Forbidden", f"Cf-Ray: {RAY}", body="error code: 1020"),
    "forbidden": answer("403 Forbidden"),
    "unauthorized": answer("401 Unauthorized", 'WWW-Authenticate: Basic realm="x"'),
    "bad-request": answer("400 Bad Request"),
    "not-found": answer("404 Not Found", body="404 page not found\n"),
    "upgrade": answer("426 Upgrade Required", "Upgrade: websocket"),
    "page": answer("200 OK", "Content-Type: text/html", body="<html>Welcome</html>"),
    "rate": answer("429 Too Many Requests", "Retry-After: 7", body="error code: 1015"),
    "busy": answer("503 Service Unavailable", "Retry-After: 30"),
    "gateway": answer("502 Bad Gateway", f"CF-RAY: {RAY}"),
    "timeout": answer("504 Gateway Timeout"),
    "520": answer("520", body="error code: 520"),
    "521": answer("521", body="error code: 521"),
    "522": answer("522", body="error code: 522"),
    "525": answer("525", body="error code: 525"),
    "526": answer("526", body="error code: 526"),
    "1033": answer("530", f"CF-RAY: {RAY}", body="error code: 1033"),
    "1016": answer("530", f"CF-RAY: {RAY}", body="error code: 1016"),
    "530": answer("530", body="<html>" + "x" * 3000 + "</html>"),
    "not-http": b"\x20\x02\x00\x00\x00\x00\r\n\r\n",
}
# Wrong before HTTP begins: the certificate to show.
CERTIFICATES = {"wrong-ca": "stranger", "wrong-name": "elsewhere", "expired": "expired"}


def make_certificates(folder):
    ways.make_certificates(folder)
    ways.make_authority(folder, "other", "/CN=Somebody Else")
    ways.make_certificate(folder, "stranger", "/CN=localhost", "other", "DNS:localhost,IP:127.0.0.1")
    ways.make_certificate(folder, "elsewhere", "/CN=elsewhere", names="DNS:elsewhere.example")
    ways.openssl(folder, "x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
                 "-CAcreateserial", "-out", "expired.crt", "-days", "0", "-extfile", "server.ext")
    os.link(os.path.join(folder, "server.key"), os.path.join(folder, "expired.key"))


def go_name(name):
    """Sec-WebSocket-Key becomes Sec-Websocket-Key."""
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))


def rebuild(request):
    """What the origin gets for a client's upgrade request."""
    lines = request.decode("latin-1").split("\r\n")
    path = lines[0].split(" ")[1]
    fields = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            fields[go_name(name)] = value.strip()
    host = fields.pop("Host")
    fields.update({"Connection": "Upgrade", "Upgrade": "websocket", "Sec-Websocket-Version": "13",
                   "Accept-Encoding": "gzip", "Cf-Ray": RAY, "Cf-Connecting-Ip": "203.0.113.9",
                   "X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"})
    head = [f"GET {path} HTTP/1.1", f"Host: {host}"]
    head += [f"{name}: {value}" for name, value in sorted(fields.items())]
    return ("\r\n".join(head) + "\r\n\r\n").encode("latin-1")


def accept_key(request):
    for line in request.decode("latin-1").split("\r\n"):
        if line.lower().startswith("sec-websocket-key:"):
            key = line.split(":", 1)[1].strip() + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            return base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
    return ""


def switch(accept, *lines):
    return "\r\n".join(["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket",
                        "Connection: Upgrade", f"Sec-WebSocket-Accept: {accept}", *lines,
                        "\r\n"]).encode()


def read_head(sock):
    """The request and what came behind it; or the start of what is none."""
    head = b""
    while b"\r\n\r\n" not in head and head[:1] in (b"", b"G"):
        more = sock.recv(4096)
        if not more:
            return head, b""
        head += more
    head, _, rest = head.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", rest


def wait_end(sock):
    """Until the other side closes."""
    try:
        while sock.recv(4096):
            pass
    except OSError:
        pass


def pump(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass
    for sock in (source, target):
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class FakeEdge:
    def __init__(self, folder, origin=None):
        """origin: the port of a broker's WebSocket listener, for the scene "good"."""
        self.folder = str(folder)
        self.origin = origin
        self.requests = []  # heads as clients sent them
        self.listeners = {}
        self.sockets = []
        make_certificates(self.folder)

    def port(self, scene):
        if scene not in self.listeners:
            listener = socket.create_server(("127.0.0.1", 0))
            self.listeners[scene] = listener
            threading.Thread(target=self.listen, args=(scene, listener), daemon=True).start()
        return self.listeners[scene].getsockname()[1]

    def listen(self, scene, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            self.sockets.append(sock)
            threading.Thread(target=self.serve, args=(scene, sock), daemon=True).start()

    def serve(self, scene, sock):
        try:
            self.play(scene, sock)
        except OSError:
            pass  # the client may go when it likes
        finally:
            sock.close()

    def play(self, scene, sock):
        if scene == "mute":  # not even TLS
            return wait_end(sock)
        if scene == "raw":  # something else on that port
            sock.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
            return wait_end(sock)
        if scene == "closed":
            return sock.recv(1)
        certificate = os.path.join(self.folder, CERTIFICATES.get(scene, "server"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate + ".crt", certificate + ".key")
        with context.wrap_socket(sock, server_side=True) as secure:
            self.sockets.append(secure)
            return self.play_http(scene, secure)

    def play_http(self, scene, sock):
        head, rest = read_head(sock)
        self.requests.append(head)
        if not head.startswith(b"GET "):
            return sock.sendall(ANSWERS["bad-request"])
        accept = accept_key(head)
        if scene == "hang":
            return wait_end(sock)
        if scene == "good":
            return self.forward(sock, head, rest)
        if scene == "no-subprotocol":
            sock.sendall(switch(accept))
        elif scene == "wrong-accept":
            sock.sendall(switch(accept_key(b"Sec-WebSocket-Key: another"),
                                "Sec-WebSocket-Protocol: mqtt"))
        elif scene == "wrong-subprotocol":
            sock.sendall(switch(accept, "Sec-WebSocket-Protocol: amqp"))
        elif scene == "cut":  # goes away in the middle of the answer
            return sock.sendall(b"HTTP/1.1 101 Switch")
        else:
            sock.sendall(ANSWERS[scene])
        return wait_end(sock)

    def forward(self, sock, head, rest):
        with socket.create_connection(("127.0.0.1", self.origin)) as origin:
            self.sockets.append(origin)
            origin.sendall(rebuild(head) + rest)
            back = threading.Thread(target=pump, args=(origin, sock), daemon=True)
            back.start()
            pump(sock, origin)
            back.join()

    def stop(self):
        for listener in self.listeners.values():
            listener.close()
        for sock in self.sockets:
            try:
                sock.close()
            except OSError:
                pass
