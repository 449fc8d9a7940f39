# SPDX-License-Identifier: Apache-2.0
"""A machine of a test's own, as far as mounts and a network make one.

For configurations that name the system's folders and ports. It needs root, and is
skipped without it.
"""

import ctypes
import fcntl
import os
import socket
import struct
import traceback

import pytest

FOLDERS = ("/run", "/var/lib", "/var/log", "/etc/mosquitto")


def enter_own_machine():
    """Mounts and a network that nobody else sees; the folders of Mosquitto are empty."""
    libc = ctypes.CDLL(None, use_errno=True)

    def call(name, *arguments):
        if getattr(libc, name)(*arguments) != 0:
            raise OSError(ctypes.get_errno(), name)

    call("unshare", 0x00020000 | 0x40000000)  # CLONE_NEWNS, CLONE_NEWNET
    call("mount", None, b"/", None, ctypes.c_ulong(0x4000 | 1 << 18), None)  # MS_REC, MS_PRIVATE
    for folder in FOLDERS:
        call("mount", b"tmpfs", folder.encode(), b"tmpfs", ctypes.c_ulong(0), b"mode=755")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        up = struct.pack("16sh14x", b"lo", 0x41)  # IFF_UP, IFF_RUNNING
        fcntl.ioctl(control, 0x8914, up)  # SIOCSIFFLAGS


def on_own_machine(work):
    """Run work() there, in a child; what it raises is raised here."""
    if os.geteuid() != 0:
        pytest.skip("needs root: folders and ports of the system are made anew")
    if not os.path.isdir("/etc/mosquitto"):
        pytest.skip("needs the folder /etc/mosquitto, to put an empty one in its place")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        word = b"unavailable"
        try:
            enter_own_machine()
            word = b"failed"
            work()
            word = b"good"
        except BaseException:  # whatever it is, the parent has to hear of it
            word += b"\n" + traceback.format_exc().encode()[-16000:]
        finally:
            os.write(writing, word)
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        word = pipe.read().decode()
    os.waitpid(child, 0)
    if word.startswith("unavailable"):
        pytest.skip("needs the right to make namespaces: " + word.splitlines()[-1])
    assert word == "good", word
