# SPDX-License-Identifier: Apache-2.0
"""The client library as others use it: installed, with CMake, in one file, from C++, on ESP32."""

import glob
import os
import re
import subprocess

import pytest

from conftest import SLOWER, TOP

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


def test_arduino_library_has_what_the_arduino_tools_ask_for():
    with open(f"{TOP}/{ARDUINO}/library.properties", encoding="utf-8") as file:
        fields = dict(line.rstrip("\n").split("=", 1) for line in file)
    assert {"name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url",
            "architectures"} <= set(fields)
    assert fields["version"] == re.search(r"version: '([^']+)'", open(f"{TOP}/meson.build", encoding="utf-8").read())[1]
