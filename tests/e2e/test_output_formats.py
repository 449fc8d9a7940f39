# SPDX-License-Identifier: Apache-2.0
"""What subscribers print: Debian's is what the vectors say, and ours is the same."""

import os
import subprocess

import pytest

import output_formats
from conftest import IS_MOSQUITTO, PROGRAM, TOP

DEBIAN = "/usr/bin/mosquitto_sub"
VECTORS = os.path.join(TOP, "tests", "vectors", "output_formats.txt")


def version(program):
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout


def read_vectors():
    with open(VECTORS, encoding="ascii") as file:
        return file.read().splitlines()


def differences(lines):
    return [f"{got[:300]}\nnot\n{wanted[:300]}"
            for got, wanted in zip(lines, read_vectors()) if got != wanted]


@pytest.mark.skipif(not os.path.exists(DEBIAN) or "2.0.11" not in version(DEBIAN),
                    reason="the vectors are of mosquitto_sub 2.0.11")
def test_vectors_are_what_debian_prints():
    lines = output_formats.vectors(output_formats.run_all(DEBIAN))
    assert len(lines) == len(read_vectors())
    assert not differences(lines)


@pytest.mark.skipif(IS_MOSQUITTO, reason="looks at our own tool")
@pytest.mark.skipif(bool(os.environ.get("NOCTULE_SANITIZER")),
                    reason="the library that stops the clock would come before the sanitizer's")
def test_ours_prints_the_same(tmp_path):
    program = tmp_path / "mosquitto_sub"
    program.symlink_to(PROGRAM)
    assert not differences(output_formats.vectors(output_formats.run_all(str(program))))
