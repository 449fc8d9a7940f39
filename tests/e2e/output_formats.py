#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a subscriber prints: formats and messages, and a broker that plays them.

output_formats.py [PROGRAM]

runs PROGRAM (/usr/bin/mosquitto_sub) with each row of CASES against a broker of
this file's own, which sends it each of MESSAGES, at a clock that stands still,
and prints tests/vectors/output_formats.txt: what the unit test of the formats
reads. test_output_formats.py does the same to compare.
"""

import concurrent.futures
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import raw  # noqa: E402

SECOND, NANOSECOND = 1751378712, 123456789
ZONE = "CET-1CEST,M3.5.0,M10.5.0/3"

FROZEN_CLOCK = """
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *at)
{
    if (clock == CLOCK_REALTIME) {
        at->tv_sec = %d;
        at->tv_nsec = %d;
        return 0;
    }
    return (int)syscall(SYS_clock_gettime, clock, at);
}
""" % (SECOND, NANOSECOND)

JSON_GOOD = [
    b'{"a":1,"b":[],"c":{},"d":[1,2,{"e":null}],"f":true,"g":false}',
    b'[0,-0,1,-1,1.0,0.1,1.5,-2.25,1e3,1E+3,1e-7,1e15,1e16,1e17,123456789012345678,1e300,-1e300]',
    b'[1e999,-1e999,3.141592653589793,0.30000000000000004,2147483647,2147483648,-2147483648,'
    b'-2147483649,4294967296,9007199254740993,5e-324,1.7976931348623157e308,100000,1234567.891]',
    b'{"esc":"\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20ac\\ud83d\\ude00","":"","a\\nb":1,"a":2,"a":3}',
    b'"text"', b"12", b"true", b"false", b"null", b"[]", b"{}", b' \t\r\n[ 1 , 2 ]', b"[[[[[[]]]]]]",
    '"žluťoučký ☃ 😀"'.encode(), b'"\x7f\xc2\x80"', b"-0.0", b"1.", b"01", b"-", b"1e5x"[:3],
    b'"raw\ttab"', b'"raw\nline"', b'{"k":"\xff\xfe"}', b"\xef\xbb\xbf[1]", b"+1", b"1e", b"1e+", b".5",
    b"--1", b"1-2", b"1.5.5", b"0x10", b'{"a" : 1 , "b" : [ ] }', b'[1,\n2]', b"1E5", b"00", b"-00.50",
    b"[" * 30 + b"]" * 30,
    b'"\\uZZZZabc"', b'"ab\\u0000cd"', b'{"a\\u0000b":"c"}', b"[1e5,-1.5e-3,1.25E+2]", b"\x01\x1f[]",
    b"1" * 63, b"1" * 64, b"[" + b"9" * 64 + b"]", b"1" * 400, b"0" * 200 + b".5", b"1." + b"0" * 300 + b"1", b"[" * 1000 + b"]" * 1000, b'[{"a":[{"b":{}},[[]]]},"x"]',
    b'"\\ud800"', b'"\\udc00"', b'"\\u0000"', b'"\\ud83d\\u0041"', b'"\\uD83D\\uDE00"', b'"\\x"', b'"\\u12"',
]
JSON_BAD = [
    b"{", b"[1,]", b"[1 2]", b'{"a"}', b'{"a":}', b'{"a":1,}', b"{a:1}", b"'x'", b"tru", b"nul", b"truex",
    b'"open', b'"a"b', b"[1] ", b"[1]\n", b" ", b"[1]\x00", b"hello", b"NaN", b"Infinity", b'{1:2}', b"[,]",
    b"[" * 1001 + b"]" * 1001, b"1 ", b'"\xc3"',
]


def message(name, topic, payload, qos=0, retain=False, props=()):
    return {"name": name, "topic": topic, "payload": payload, "qos": qos, "retain": retain,
            "props": list(props)}


SHAPES = [
    message("plain", "a/b", b"hello"),
    message("qos 1", "a/b", b"one", qos=1),
    message("retained", "a", b"kept", retain=True),
    message("empty", "a/empty", b""),
    message("all bytes", "a/bytes", bytes(range(256))),
    message("zero", "a/zero", b"ab\0cd"),
    message("lines", "a/lines", b"one\ntwo\r\n\tthree\x1b[0m\x7f"),
    message("quotes", 'a/"quoted"\\back', b'"quoted" \\back/ \b\f'),
    message("text", "ž/☃/😀", "žluťoučký ☃ 😀".encode()),
    message("bad utf-8", "a/bad", b"ok \xff\xfe \xc3\x28 \xed\xa0\x80 end"),
    message("cut utf-8", "a/cut", b"abc\xe2\x82"),
    message("long", "a/long", b"0123456789" * 6),
    message("floats", "a/float", struct.pack("<f", 1.5)),
    message("doubles", "a/double", struct.pack("<d", -0.1)),
    message("properties", "a/props", b"p", qos=1, props=[
        ("payload_format", 1), ("message_expiry", 3600), ("content_type", "text/plain"),
        ("response_topic", "re/ply"), ("correlation_data", b"corr"), ("user", ("k", "v")),
        ("user", ("k2", "v 2"))]),
    message("other order", "a/order", b"p", props=[
        ("user", ("name", 'va"lue')), ("correlation_data", b"\x00\xff\x01"), ("user", ("name", "again")),
        ("subscription_id", 268435455), ("content_type", "ž\\"),
        ("message_expiry", 4294967295), ("user", ("", ""))]),
    message("user only", "a/user", b"p", props=[("user", ("x", "y"))]),
    message("format 0", "a/format", b"p", props=[("payload_format", 0), ("message_expiry", 0)]),
    message("empty texts", "a/emptytexts", b"p", props=[
        ("content_type", ""), ("response_topic", ""), ("correlation_data", b"")]),
    # The last one, for it comes after a handshake.
    message("qos 2", "sensors/kitchen/temperature", b"21.5", qos=2),
]
JSON = [message("json", "j", payload) for payload in JSON_GOOD + JSON_BAD]

CODES = "AECFIDPRSJjlmpqrtUxX"
# After each message a byte that stands in no other, to tell where it ends.
END = "\x1d"


def formats():
    yield from (f"%{code}{END}" for code in CODES)
    for width in ("8", "08", "-8", "-08", "3", "03", "2", "1", "0", "5", "005"):
        yield from (f"[%{width}{code}]{END}" for code in "AECFISlmptxXRDPqr%jJU")
    for precision in (".3", "8.3", "-8.3", ".0", ".", "0.5", "08.2"):
        yield from (f"[%{precision}{code}]{END}" for code in "CtRIpxXlm")
    yield from (f"@{letter}{END}" for letter in "aAbBcCdDeFgGhHIjklmMnNpPrRsStTuUVwWxXyYzZ@%qEOLoQivJf+ é1")
    yield from [
        "\\\\ \\0 \\a \\e \\n \\r \\t \\v" + END, "plain" + END, "%t %p" + END, "%% %p%%" + END,
        "%t: %q %r %l\\n" + END, "@Y-@m-@dT@H:@M:@S.@N %t %p\\n", "@s.@N", "é%té" + END,
        "%20t|%-20t|%.2t|%10.2t|%-10.2t|" + END, "%j\\n", "%J\\n", "<%J>" + END, "<%j %j>" + END, "%p", "%x",
        "%I %t %p\\n", "%U %t\\n", "%0%" + END,
        "[%-p]" + END, "[%-x]" + END, "[%-X]" + END, "[%-t]" + END, "[%-l]" + END, "[%0l]" + END,
        "[%00005l]" + END, "[%-0p]" + END, "[%-.2x]" + END, "[%.4p]" + END, "[%3.1t]" + END, "%j%J%p" + END,
    ]


CASES = [(SHAPES, case) for case in (
    [[], ["-v"], ["-N"], ["-v", "-N"], ["-F", ""], ["-F", "", "-v"], ["-v", "-F", "%p" + END],
     ["-N", "-F", "%p" + END], ["--pretty", "-F", "%j\\n"], ["--pretty", "-v"]]
    + [["-F", one] for one in formats()])]
CASES += [(JSON, case) for case in (
    ["-F", "%J" + END], ["-F", "%j" + END], ["--pretty", "-F", "%J" + END], ["-N", "-F", "<%J>\\n"])]


def wire(one, mid):
    return raw.publish(one["topic"], one["payload"], one["qos"], mid, one["retain"], False, 5,
                       one["props"])


class Player(threading.Thread):
    """A broker that greets whoever comes, sends them MESSAGES, and waits for the goodbye."""

    def __init__(self, messages):
        super().__init__(daemon=True)
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.socket.getsockname()[1]
        mids = iter(range(1, 65536))
        self.bytes = b"".join(wire(one, next(mids) if one["qos"] else 0) for one in messages)

    def run(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.play, args=(connection,), daemon=True).start()

    def play(self, connection):
        with connection:
            client = raw.Raw(0, 5, 60, connection)
            try:
                client.receive()
                client.send(raw.packet(raw.CONNACK, b"\0\0\0"))
                subscribe = client.receive()
                client.send(raw.packet(raw.SUBACK, subscribe.body[:2] + b"\0\0"))
                client.send(self.bytes)
                while True:
                    packet = client.receive()
                    if packet.kind == raw.PUBREC:
                        client.send(raw.ack(raw.PUBREL, struct.unpack(">H", packet.body[:2])[0]))
            except (raw.Closed, OSError):
                pass

    def stop(self):
        self.socket.close()


def make_clock(folder):
    """The library that makes the clock stand still."""
    source, library = os.path.join(folder, "clock.c"), os.path.join(folder, "clock.so")
    with open(source, "w", encoding="ascii") as out:
        out.write(FROZEN_CLOCK)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    return library


def run(program, case, port, clock, count):
    """Standard output and error, and the status, of a subscriber that prints that many messages."""
    words = [program, "-h", "127.0.0.1", "-p", str(port), "-t", "#", "-V", "5", "-q", "2", "-C",
             str(count), "-W", "60", *case]
    environment = {**os.environ, "LD_PRELOAD": clock, "TZ": ZONE, "LC_ALL": "C",
                   "XDG_CONFIG_HOME": "/nonexistent"}
    done = subprocess.run(words, capture_output=True, env=environment, timeout=120, check=False)
    return done.stdout, done.stderr, done.returncode


def run_all(program):
    """What the program prints for each of CASES: a list of the results of run()."""
    players = {id(messages): Player(messages) for messages in (SHAPES, JSON)}
    for player in players.values():
        player.start()
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(8) as pool:
        clock = make_clock(folder)
        jobs = [pool.submit(run, program, case, players[id(messages)].port, clock, len(messages))
                for messages, case in CASES]
        results = [job.result() for job in jobs]
    for player in players.values():
        player.stop()
    return results


def token(value):
    """Bytes as a word of the vectors."""
    if not value or value == b"-":
        return "\\x2d" if value else "-"
    return "".join(chr(byte) if 0x21 <= byte <= 0x7E and byte != 0x5C else f"\\x{byte:02x}"
                   for byte in value)


def vectors(results):
    """The lines of tests/vectors/output_formats.txt."""
    lines = ["# SPDX-License-Identifier: Apache-2.0", "#",
             "# What mosquitto_sub 2.0.11 (cJSON 1.7.15) prints. Made by tests/e2e/output_formats.py, and",
             "# read by tests/unit/cli/output_format_test.c. Words have no blanks: \\xNN is a byte, - nothing.",
             "#",
             "#     time SECONDS NANOSECONDS TIME-ZONE",
             "#     messages                  those that follow are another set",
             "#     message TOPIC PAYLOAD QOS RETAIN MID PROPERTIES     (their block, without its length)",
             "#     case OPTIONS FORMAT OUTPUT         (of all messages of the set; v, N, p(retty); * is no -F)",
             f"time {SECOND} {NANOSECOND} {ZONE}"]
    seen = None
    for (messages, case), (out, _, status) in zip(CASES, results):
        assert status == 0, (case, status)
        if messages is not seen:
            seen = messages
            lines += ["messages", *message_lines(messages)]
        flags = "".join({"-v": "v", "-N": "N", "--pretty": "p"}.get(word, "") for word in case)
        form = case[case.index("-F") + 1] if "-F" in case else None
        name = "*" if form is None else token(form.encode())
        lines.append(f"case {flags or '-'} {name} {token(out)}")
    return lines


def message_lines(messages):
    mid = 0
    for one in messages:
        mid += one["qos"] > 0
        block = raw.properties(one["props"])
        length = next(i for i in range(4) if block[i] < 128) + 1
        yield (f"message {token(raw.to_bytes(one['topic']))} {token(one['payload'])} {one['qos']} "
               f"{int(one['retain'])} {mid if one['qos'] else 0} {token(block[length:])}")


if __name__ == "__main__":
    program = sys.argv[1] if len(sys.argv) > 1 else "/usr/bin/mosquitto_sub"
    print("\n".join(vectors(run_all(program))))
