# SPDX-License-Identifier: Apache-2.0
"""The client library as others use it: installed, with CMake, in one file, from C++, on ESP32."""

import glob
import os
import re
import subprocess

import pytest

import raw
import scram
from conftest import Broker, SLOWER, TOP
from test_passwords import pbkdf2

pytestmark = pytest.mark.skipif(
    bool(os.environ.get("NOCTULE_SANITIZER")), reason="needs no broker that is slowed down")

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
IDF = "examples/esp32-idf"
ARDUINO = "examples/esp32-arduino"


def run(*command, **more):
    done = subprocess.run([str(part) for part in command], cwd=more.pop("cwd", TOP), text=True, timeout=120 * SLOWER,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, **more)
    assert done.returncode == 0, done.stdout
    return done.stdout


def public_headers():
    return sorted(os.path.basename(path) for path in glob.glob(f"{TOP}/include/noctule/*.h"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """`make install` into a folder of the test's; its pkg-config as a function."""
    folder = tmp_path_factory.mktemp("installed")
    run("meson", "install", "-C", "build", "--no-rebuild", "--quiet", env={**os.environ, "DESTDIR": str(folder)})
    pc = glob.glob(f"{folder}/**/libnoctule.pc", recursive=True)
    assert len(pc) == 1, pc

    def config(*options):
        environment = {**os.environ, "PKG_CONFIG_SYSROOT_DIR": str(folder),
                       "PKG_CONFIG_PATH": os.path.dirname(pc[0])}
        return run("pkg-config", *options, "libnoctule", env=environment).split()

    config.folder = folder
    config.libraries = os.path.dirname(os.path.dirname(pc[0]))
    return config


@pytest.fixture(scope="module")
def amalgamation(tmp_path_factory):
    folder = tmp_path_factory.mktemp("amalgamation")
    run("make", "amalgamation", f"AMALGAMATION={folder}")
    return folder


def says_hello(program, broker, **more):
    assert run(program, "127.0.0.1", broker.port, **more) == "examples/hello: Hello\n"


def test_shared_library(installed, broker, tmp_path):
    program = tmp_path / "hello"
    run("cc", "-std=c11", *WARNINGS, "examples/hello.c", *installed("--cflags", "--libs"), "-o", program)
    assert "libnoctule.so.0" in run("readelf", "-d", program)
    says_hello(program, broker, env={**os.environ, "LD_LIBRARY_PATH": installed.libraries})


def test_static_library(installed, broker, tmp_path):
    program = tmp_path / "hello"
    run("cc", "-std=c11", "examples/hello.c", *installed("--cflags"), f"{installed.libraries}/libnoctule.a",
        *[flag for flag in installed("--static", "--libs") if flag != "-lnoctule"], "-o", program)
    assert "libnoctule" not in run("readelf", "-d", program)
    says_hello(program, broker)


def test_exports_what_the_headers_declare_and_nothing_else(installed):
    symbols = run("nm", "-D", "--defined-only", f"{installed.libraries}/libnoctule.so.0").splitlines()
    exported = {line.split()[2] for line in symbols if not line.split()[1] == "A"}
    assert all("@@NOCTULE_0" in name for name in exported), exported
    text = "".join(open(f"{TOP}/include/noctule/{name}", encoding="utf-8").read() for name in public_headers())
    declared = set(re.findall(r"NOC_PUBLIC[^;(]*?\b(noc_\w+)\(", text))
    only_device = {name for name in declared if "mbedtls" in name}
    assert {name.split("@@")[0] for name in exported} == declared - only_device


@pytest.mark.parametrize("header", public_headers())
def test_each_header_stands_alone_in_c_and_cpp(header, tmp_path):
    source = tmp_path / "alone.c"
    source.write_text(f"#include <noctule/{header}>\nint main(void) {{ return 0; }}\n")
    run("cc", "-std=c11", *WARNINGS, "-Iinclude", "-fsyntax-only", source)
    run("g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-Iinclude", "-fsyntax-only", "-x", "c++", source)


def test_cmake(broker, tmp_path):
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(user LANGUAGES C)\n"
        f"add_subdirectory({TOP} noctule)\nadd_executable(hello {TOP}/examples/hello.c)\n"
        "target_link_libraries(hello PRIVATE noctule)\n")
    run("cmake", "-S", tmp_path, "-B", tmp_path / "out")
    run("cmake", "--build", tmp_path / "out", "-j2")
    says_hello(tmp_path / "out" / "hello", broker)


def test_two_files(amalgamation, broker, tmp_path):
    """Without the tree's headers: they come first in the compiler's eyes, but are not there."""
    program = tmp_path / "hello"
    (tmp_path / "noctule").mkdir()
    for name in public_headers():
        (tmp_path / "noctule" / name).write_text('#include "noctule.h"\n')
    run("cc", "-std=c11", *WARNINGS, f"-I{amalgamation}", "-c", amalgamation / "noctule.c", "-o", tmp_path / "n.o")
    run("cc", "-std=c11", *WARNINGS, f"-I{amalgamation}", f"-I{tmp_path}", "-Isrc", "-Wno-unused-parameter",
        "examples/hello.c", "src/client/socket_posix.c", "src/client/fault.c", tmp_path / "n.o", "-o", program)
    says_hello(program, broker)


def test_two_files_need_no_system(amalgamation, tmp_path):
    run("cc", "-std=c11", "-ffreestanding", "-nostdinc", "-Itests/device/include",
        f"-isystem{run('cc', '-print-file-name=include').strip()}", *WARNINGS, f"-I{amalgamation}",
        "-c", amalgamation / "noctule.c", "-o", tmp_path / "n.o")
    needed = {line.split()[-1] for line in run("nm", "-u", tmp_path / "n.o").splitlines()}
    assert needed <= {"memcpy", "memmove", "memset", "memcmp", "memchr", "strlen", "__stack_chk_fail",
                      "_GLOBAL_OFFSET_TABLE_"}, needed


@pytest.mark.parametrize("source", [
    f"{IDF}/main/main.c", f"{IDF}/main/wifi.c", f"{IDF}/components/noctule/esp_tls_transport.c"])
def test_esp_idf_example_compiles(source, amalgamation, tmp_path):
    run("cc", "-std=gnu17", *WARNINGS[:2], "-Werror", "-include", "sdkconfig.h", "-Itests/examples/idf",
        f"-I{IDF}/components/noctule", f"-I{amalgamation}", "-c", source, "-o", tmp_path / "x.o")


@pytest.mark.parametrize("sketch", ["SecureWebSocket", "Links2004"])
def test_arduino_sketch_compiles(sketch, amalgamation, tmp_path):
    run("g++", "-std=gnu++17", *WARNINGS[:2], "-Werror", "-x", "c++", "-include", "Arduino.h",
        "-Itests/examples/arduino", f"-I{ARDUINO}/src", f"-I{amalgamation}",
        "-c", f"{ARDUINO}/examples/{sketch}/{sketch}.ino", "-o", tmp_path / "x.o")


def test_no_file_of_the_arduino_library_hides_another_where_case_does_not_count(amalgamation):
    names = os.listdir(f"{TOP}/{ARDUINO}/src") + os.listdir(amalgamation)
    assert len({name.lower() for name in names}) == len(names), names


def test_arduino_library_has_what_the_arduino_tools_ask_for():
    with open(f"{TOP}/{ARDUINO}/library.properties", encoding="utf-8") as file:
        fields = dict(line.rstrip("\n").split("=", 1) for line in file)
    assert {"name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url",
            "architectures"} <= set(fields)
    assert os.path.isfile(f"{TOP}/{ARDUINO}/src/{fields['includes']}")
    assert fields["version"] == re.search(r"version: '([^']+)'", open(f"{TOP}/meson.build", encoding="utf-8").read())[1]


# ---- request and response ----


@pytest.fixture(scope="module")
def build_example(installed, tmp_path_factory):
    """An example's program, which runs with the shared library."""
    folder = tmp_path_factory.mktemp("examples")

    def build(name):
        run("cc", "-std=c11", *WARNINGS, f"examples/{name}.c", *installed("--cflags", "--libs"), "-o", folder / name)
        return Example(folder / name, {**os.environ, "LD_LIBRARY_PATH": installed.libraries})

    return build


class Example:
    def __init__(self, program, environment):
        self.program, self.environment = program, environment

    def start(self, *arguments):
        return subprocess.Popen([str(part) for part in (self.program, *arguments)], env=self.environment, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)

    def run(self, *arguments):
        """Status, output and errors."""
        return outcome(self.start(*arguments))


def outcome(process):
    output, errors = process.communicate(timeout=60 * SLOWER)
    return process.returncode, output, errors


@pytest.fixture(scope="module")
def request_example(build_example):
    return build_example("request")


def test_request_is_answered(request_example, broker, topic):
    with broker.client("answers", 5) as client:
        client.subscribe((topic, 1))
        asking = request_example.start("127.0.0.1", broker.port, topic, "how many?")
        question = client.expect(raw.PUBLISH)
        assert (question.topic, question.payload) == (topic, b"how many?")
        reply, correlation = question.prop("response_topic").decode(), question.prop("correlation_data")
        assert reply.startswith("examples/request/") and len(correlation) == 8
        # What is not the answer is passed over: no correlation data, and another's.
        client.publish(reply, "41")
        client.publish(reply, "40", props=[("correlation_data", correlation[:7] + bytes([correlation[7] ^ 1]))])
        client.publish(reply, "42", qos=1, props=[("correlation_data", correlation)])
        assert outcome(asking) == (0, "42\n", "")


def test_request_that_nobody_is_there_for(request_example, broker, topic):
    assert request_example.run("127.0.0.1", broker.port, topic, "?") == (
        2, "", "request: no matching subscribers\n")


def test_requests_answer_that_is_too_large(request_example, broker, topic):
    with broker.client("answers", 5) as client:
        client.subscribe((topic, 1))
        asking = request_example.start("127.0.0.1", broker.port, topic, "much?")
        question = client.expect(raw.PUBLISH)
        client.publish(question.prop("response_topic").decode(), b"x" * 5000,
                       props=[("correlation_data", question.prop("correlation_data"))])
        assert outcome(asking) == (1, "", "request: the answer: too large\n")


# ---- SCRAM ----


@pytest.fixture(scope="module")
def scram_example(build_example):
    return build_example("scram")


@pytest.fixture(scope="module")
def scram_broker(tmp_path_factory):
    passwords = pbkdf2("alice", "wonderland", 5000) + pbkdf2("a,l=ice", "c,o=mma", 4096) + \
        pbkdf2("ümit", "пароль", 4097, 33) + pbkdf2("weak", "pencil", 101)
    running = Broker(tmp_path_factory.mktemp("scram"), "listener {port}\npassword_file {dir}/passwords\n"
                     "authentication_method SCRAM-SHA-512\n", files={"passwords": passwords})
    try:
        yield running.start()
    finally:
        running.stop()


@pytest.mark.noctule_only
@pytest.mark.parametrize("user,password", [("alice", "wonderland"), ("a,l=ice", "c,o=mma"), ("ümit", "пароль")])
def test_scram_logs_in_to_the_broker_and_again(scram_example, scram_broker, user, password):
    assert scram_example.run("127.0.0.1", scram_broker.port, "SCRAM-SHA-512", user, password) == (
        0, "logged in\nand again\n", "")


@pytest.mark.noctule_only
@pytest.mark.parametrize("method,user,password,error", [
    ("SCRAM-SHA-512", "alice", "Wonderland", "the server refused the connection (135)"),
    ("SCRAM-SHA-512", "nobody", "x", None),
    ("SCRAM-SHA-256", "alice", "wonderland", "the server refused the connection (140)"),
    ("SCRAM-SHA-512", "weak", "pencil",
     "the server could not be authenticated: the server wants too few rounds"),
])
def test_scram_does_not_log_in(scram_example, scram_broker, method, user, password, error):
    status, output, errors = scram_example.run("127.0.0.1", scram_broker.port, method, user, password)
    assert (status, output) == (1, "")
    assert error is None or errors == f"scram: {error}\n"


@pytest.mark.noctule_only
def test_request_with_a_password(request_example, scram_broker, topic):
    question = ["127.0.0.1", scram_broker.port, topic, "?"]
    assert request_example.run(*question, "alice", "wonderland") == (2, "", "request: no matching subscribers\n")
    assert request_example.run(*question)[0] == 1


@pytest.mark.parametrize("method", ["SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_scram_with_a_peer_in_python(scram_example, method):
    with scram.Server(method, "us,er", "pencil") as server:
        assert scram_example.run("127.0.0.1", server.port, method, "us,er", "pencil") == (
            0, "logged in\nand again\n", "")
        server.join()
    assert server.log == ["login", "again", "bye"]


def replace(old, new):
    return lambda text: text.replace(old, new, 1)


@pytest.mark.parametrize("password,challenge,final,error", [
    ("other", None, None, "the server refused the connection (135)"),
    (None, replace(b"r=", b"r=x"), None, "the server's nonce is not ours and more"),
    (None, replace(b"i=5000", b"i=4000000000"), None, "the server wants too many rounds"),
    (None, replace(b"i=5000", b"i=1"), None, "the server wants too few rounds"),
    (None, replace(b"i=5000", b"i=99999999999999999999"), None, "the server's challenge is none"),
    (None, replace(b"r=", b"m=x,r="), None, "the server's challenge is none"),
    (None, lambda text: b"\0" * 400, None, "the server's challenge is none"),
    (None, lambda text: b"", None, "the server's challenge is none"),
    (None, lambda text: b"e=other-error", None, "the server says that it failed"),
    (None, None, lambda text: b"e=other-error", "the server says that it failed"),
    (None, None, lambda text: b"v=" + b"A" * 43 + b"=", "the server does not know the password"),
    (None, None, lambda text: text[:-4], "the server proves nothing"),
    (None, None, lambda text: b"", "the server proves nothing"),
    (None, None, lambda text: None, "the server proves nothing"),
])
def test_scram_leaves_hostile_servers(scram_example, password, challenge, final, error):
    with scram.Server("SCRAM-SHA-256", "user", password or "pencil", challenge, final) as server:
        status, output, errors = scram_example.run("127.0.0.1", server.port, "SCRAM-SHA-256", "user", "pencil")
        server.join()
    assert (status, output) == (1, "")
    assert "login" not in server.log
    assert errors in (f"scram: {error}\n", f"scram: the server could not be authenticated: {error}\n")


def test_scram_must_not_be_skipped(scram_example):
    """Success right after CONNECT, from who knows no password."""
    with scram.Server("SCRAM-SHA-256", "user", "pencil", skips=True) as server:
        assert scram_example.run("127.0.0.1", server.port, "SCRAM-SHA-256", "user", "pencil") == (
            1, "", "scram: the server could not be authenticated: the server accepted what was not asked\n")
        server.join()
