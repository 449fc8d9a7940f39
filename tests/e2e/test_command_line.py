# SPDX-License-Identifier: Apache-2.0
"""What the command line says before any broker runs."""

import os
import subprocess

import pytest

from conftest import PROGRAM, free_port
from test_cli_peers import make_certificates

pytestmark = pytest.mark.noctule_only

GOOD = ("listener {port} 127.0.0.1\npassword_file {dir}/passwords\nacl_file {dir}/acl\n"
        "certfile {dir}/server.crt\nkeyfile {dir}/server.key\n")


def check(folder, config, *more):
    path = folder / "broker.conf"
    path.write_text(config.format(dir=folder, port=free_port()))
    return subprocess.run([PROGRAM, "broker", "-c", path, "--test-config", *more], text=True,
                          capture_output=True, timeout=60)


@pytest.fixture
def folder(tmp_path):
    make_certificates(tmp_path)
    (tmp_path / "passwords").write_text("")
    (tmp_path / "acl").write_text("topic read #\n")
    for secret in ("passwords", "acl", "server.key"):
        (tmp_path / secret).chmod(0o600)
    return tmp_path


def test_a_good_configuration_is_good_and_explained(folder):
    done = check(folder, GOOD)
    assert (done.returncode, done.stdout) == (0, "Configuration file is OK.\n"), done.stderr
    done = check(folder, GOOD, "--explain")
    assert done.returncode == 0 and "acl_file" in done.stdout


def test_a_test_reads_the_acl_file(folder):
    (folder / "acl").write_text("topic read #\ntopic reed a\n")
    done = check(folder, GOOD)
    assert (done.returncode, done.stdout) == (3, "")
    assert "acl:2: 'reed'" in done.stderr


def test_a_test_warns_of_users_who_cannot_log_in(folder):
    (folder / "passwords").write_text("alice:plain\n")
    done = check(folder, GOOD)
    assert done.returncode == 0 and "user 'alice' cannot log in" in done.stderr


def test_a_test_sees_a_key_that_is_another_certificates(folder):
    done = check(folder, GOOD.replace("server.key", "client.key"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "client.key" in done.stderr


def test_explain_alone_starts_no_broker(folder):
    done = subprocess.run([PROGRAM, "broker", "--explain"], text=True, capture_output=True,
                          timeout=60)
    assert done.returncode == 3 and "--test-config" in done.stderr

@pytest.mark.skipif(os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"]).returncode != 0,
                    reason="only root can have another /etc/passwd")
def test_the_command_for_a_missing_folder_names_who_there_is(tmp_path):
    path = tmp_path / "broker.conf"
    path.write_text("listener 1\npid_file /nonexistent/d/pid\n")
    users = tmp_path / "passwd"
    users.write_text("root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
    script = f"mount --bind {users} /etc/passwd && exec {PROGRAM} broker -c {path} --test-config"
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], text=True, capture_output=True,
                          timeout=60)
    assert done.returncode == 3, done.stderr
    assert "Create it: mkdir -p /nonexistent/d && chown nobody /nonexistent/d" in done.stderr
