# SPDX-License-Identifier: Apache-2.0
"""Where the control socket is, and whom it serves."""

import json
import os
import shutil
import subprocess
import sys
import tempfile

import pytest

from conftest import PLAIN, PROGRAM, Broker

pytestmark = pytest.mark.noctule_only

STRANGER, GROUP = 65534, 64999
ASK = """
import socket, sys
with socket.socket(socket.AF_UNIX) as peer:
    peer.settimeout(20)
    peer.connect(sys.argv[1])
    peer.sendall(b"status\\n")
    print(peer.recv(65536).decode())
"""


@pytest.fixture
def open_folder():
    """A folder in which others than root may look."""
    folder = tempfile.mkdtemp(prefix="noctule-e2e-")
    os.chmod(folder, 0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become others")
def test_the_rights_of_the_socket_decide_who_is_served(open_folder):
    broker = Broker(open_folder, "control_socket {dir}/control.sock\n"
                                 "listener {port} 127.0.0.1\n").start()
    path = os.path.join(open_folder, "control.sock")

    def ask_with(groups):
        return subprocess.run([sys.executable, "-c", ASK, path], user=STRANGER, group=STRANGER,
                              extra_groups=groups, cwd="/", capture_output=True, text=True,
                              timeout=60, check=False)

    try:
        broker.wait_log(" running")  # the ports are open before the socket is there
        os.chown(path, 0, GROUP)
        assert "PermissionError" in ask_with([]).stderr
        assert '"version"' in ask_with([GROUP]).stdout
    finally:
        broker.stop()


def pid_told(*words, folder="/"):
    done = subprocess.run([PROGRAM, "ctl", *words, "--json", "status"], cwd=folder, text=True,
                          capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["pid"]


def test_of_two_brokers_each_has_a_socket_that_is_found(start_broker):
    # One at most has the place in /run.
    brokers = [start_broker(PLAIN), start_broker(PLAIN),
               start_broker(PLAIN + "persistence_location {dir}\n")]
    for broker in brokers:
        broker.wait_log("Control socket at \\S+sock\\.")
    for broker in brokers[1:]:
        assert pid_told(folder=broker.folder) == broker.process.pid
    assert pid_told("-c", brokers[2].config_path) == brokers[2].process.pid
