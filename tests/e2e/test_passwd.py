# SPDX-License-Identifier: Apache-2.0
"""`noctule passwd`, and `mosquitto_passwd` beside Debian's."""

import base64
import fcntl
import hashlib
import json
import os
import pathlib
import pty
import re
import resource
import select
import shutil
import signal
import stat
import subprocess
import tempfile
import termios
import time

import pytest

from conftest import PROGRAM, SLOWER, Broker
from own_machine import on_own_machine

pytestmark = pytest.mark.noctule_only

THEIRS = "/usr/bin/mosquitto_passwd"
THEIR_BROKER = "/usr/sbin/mosquitto"
LIMIT = 30 * SLOWER
HASH = re.compile(r"\$(6|7\$\d+)\$[A-Za-z0-9+/]{16}\$[A-Za-z0-9+/]{86}==")
LONG = "u" * 65536


@pytest.fixture(scope="session")
def ours(tmp_path_factory):
    link = tmp_path_factory.mktemp("bin") / "mosquitto_passwd"
    link.symlink_to(PROGRAM)
    return str(link)


def run(*words, cwd=None, stdin=b"", env=None, **options):
    return subprocess.run(words, cwd=cwd, input=stdin, capture_output=True, timeout=LIMIT,
                          env={**os.environ, **(env or {})}, **options)


def passwd(*words, **options):
    return run(PROGRAM, "passwd", *words, **options)


def read(path):
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


# ---- the same as Debian's, call by call ----

A = "$6$c2FsdHNhbHRzYWx0$" + "A" * 86 + "=="
PEOPLE = f"ann:{A}\nbob:{A}\n"

# Text of the file f before (None: not there), what is typed, and the words.
SAME = [
    # making and changing
    (None, "", "-c -b f ann secret"),
    (PEOPLE, "", "-c -b f cid secret"),
    (PEOPLE, "", "-b -c f cid secret"),
    (PEOPLE, "", "-b f ann secret"),
    (PEOPLE, "", "-b f bob secret"),
    (PEOPLE, "", "-b f cid secret"),
    ("", "", "-b f cid secret"),
    (PEOPLE, "", ["-b", "f", "cid", ""]),
    (PEOPLE, "", ["-b", "f", "cid", "two words"]),
    (PEOPLE, "", ["-b", "f", "ci d", "x"]),
    (PEOPLE, "", ["-b", "f", "ümit", "пароль"]),
    (PEOPLE, "", "-b f cid -secret"),
    (PEOPLE, "", "-b f -cid secret"),
    (PEOPLE, "", ["-b", "f", "u" * 65535, "x"]),
    (PEOPLE, "", ["-b", "f", "cid", "p" * 65535]),
    (PEOPLE, "", "-c -b f cid secret more"),
    ("ann:x\r\nbob:y\r\n", "", "-b f ann secret"),
    ("ann:x\r\nbob:y\r\n", "", "-b f cid secret"),
    (" ann : x\nbob:y\n", "", "-b f ann secret"),
    (" ann : x\nbob:y\n", "", "-b f bob secret"),
    ("ann:x:y\nbob:z:\n", "", "-b f bob secret"),
    ("$6$x:y\n", "", "-b f bob secret"),
    # kinds
    (PEOPLE, "", "-H sha512 -b f ann secret"),
    (PEOPLE, "", "-H sha512-pbkdf2 -b f ann secret"),
    (PEOPLE, "", "-b -H sha512 f ann secret"),
    (PEOPLE, "", "-H sha512 -H sha512-pbkdf2 -b f ann secret"),
    (None, "", "-H sha512 -c -b f ann secret"),
    (PEOPLE, "", "-I 7 -b f ann secret"),
    (PEOPLE, "", "-I 7x -b f ann secret"),
    (None, "", "-b -c -I 1 f ann secret"),
    (PEOPLE, "", "-H sha512 -I 7 -b f ann secret"),
    # deleting
    (PEOPLE, "", "-D f ann"),
    (PEOPLE, "", "-D f bob"),
    (PEOPLE, "", "-D f bob more"),
    (PEOPLE, "", "-D f nobody"),
    (PEOPLE, "", ["-D", "f", ""]),
    (PEOPLE, "", ["-D", "f", "#x"]),
    ("", "", "-D f ann"),
    (f"ann:{A}\nbob:{A}\nann:{A}\n", "", "-D f ann"),
    (" ann : x\n", "", "-D f ann"),
    (None, "", "-D f ann"),
    # hashing what is plain
    ("ann:one\nbob:two words\n", "", "-U f"),
    ("ann:one:two\n", "", "-U f"),
    (" ann : one \n", "", "-U f"),
    ("ann:one\r\nbob:two\r\n", "", "-U f"),
    ("ann:one", "", "-U f"),
    ("ann:one\n", "", "-H sha512 -U f"),
    (None, "", "-U f"),
    # asking
    (None, "secret\nsecret\n", "-c f ann"),
    (PEOPLE, "secret\nsecret\n", "f ann"),
    (PEOPLE, "secret\r\nsecret\n", "f ann"),
    (PEOPLE, "secret\nsecret", "f cid"),
    (PEOPLE, "secret\nsecret\nmore\n", "f cid"),
    (PEOPLE, "secret\nSecret\n", "f cid"),
    (PEOPLE, "secret\nsecret \n", "-c f cid"),
    (PEOPLE, "secret\n", "f cid"),
    (PEOPLE, "secret\n\n", "f cid"),
    (PEOPLE, "\nsecret\n", "f cid"),
    (PEOPLE, "", "f cid"),
    (PEOPLE, "", "-c f cid"),
    (PEOPLE, "a\na\n", "-c f cid more"),
    (None, "a\na\n", "f ann"),
    (None, "a\na\n", "-c no/f ann"),
    (PEOPLE, "a\na\n", "-H sha512 f ann"),
    (PEOPLE, "a\na\n", "-I 5 f ann"),
    # names and passwords that can't be
    (PEOPLE, "", "-b f a:b secret"),
    (PEOPLE, "", ["-b", "f", "a:\tb", "secret"]),
    (PEOPLE, "", ["-b", "f", "a\nb", "secret"]),
    (PEOPLE, "", ["-b", "f", "a\x7f", "secret"]),
    (PEOPLE, "", ["-b", "f", "\x01", "secret"]),
    (PEOPLE, "", ["-b", "f", LONG, "secret"]),
    (PEOPLE, "", ["-b", "f", "cid", LONG]),
    (PEOPLE, "", ["-b", "f", LONG, LONG]),
    (PEOPLE, "", ["-b", "f", "a:b", LONG]),
    (PEOPLE, "", ["-c", "-b", "f", "a:b", "x"]),
    (PEOPLE, "", ["-c", "f", "a:b"]),
    (PEOPLE, "", ["-D", "f", "a:b"]),
    (PEOPLE, "", ["-D", "f", LONG]),
    (None, "", ["-b", "f", "a:b", "x"]),
    # words that are missing or too many
    (PEOPLE, "", "-c"),
    (PEOPLE, "", "-c f"),
    (PEOPLE, "", "-c -b"),
    (PEOPLE, "", "-c -b f"),
    (PEOPLE, "", "-c -b f ann"),
    (PEOPLE, "", "-D"),
    (PEOPLE, "", "-D f"),
    (PEOPLE, "", "-U"),
    (PEOPLE, "", "-U f more"),
    (PEOPLE, "", "-H"),
    (PEOPLE, "", "-b -H"),
    (PEOPLE, "", "-I"),
    (PEOPLE, "", "-H sha512 -I"),
    # options that do not go together, or make no sense
    (PEOPLE, "", "-c -D f ann"),
    (PEOPLE, "", "-c -U f"),
    (PEOPLE, "", "-D -U f"),
    (PEOPLE, "", "-D -b f ann"),
    (PEOPLE, "", "-b -D f ann secret"),
    (PEOPLE, "", "-c -D -U f"),
    (PEOPLE, "", "-D -U -b f"),
    (PEOPLE, "", "-c -D"),
    (PEOPLE, "", "-H md5 -b f ann secret"),
    (PEOPLE, "", ["-H", "", "-b", "f", "ann", "secret"]),
    (PEOPLE, "", "-H SHA512 -b f ann secret"),
    (PEOPLE, "", "-H -b f ann secret"),
    (PEOPLE, "", "-c -D -H md5"),
    (PEOPLE, "", "-I 0 -b f ann secret"),
    (PEOPLE, "", "-I -1 -b f ann secret"),
    (PEOPLE, "", "-I x -b f ann secret"),
    (PEOPLE, "", ["-I", "", "-b", "f", "ann", "secret"]),
    (PEOPLE, "", "-I 0 -h"),
    (PEOPLE, "", "-H md5 -h"),
    # files that can't be
    (None, "", "-b f ann secret"),
    (None, "", "-b no/f ann secret"),
    (None, "", "-c -b no/f ann secret"),
    (None, "", "-D no/f ann"),
    (None, "", "-U no/f"),
    (None, "", ["-b", "", "ann", "secret"]),
    (None, "", ["-c", "-b", "", "ann", "secret"]),
    (None, "", ["-U", ""]),
    (None, "", "-b . ann secret"),
    (None, "", "-c -b . ann secret"),
    (None, "", "-D . ann"),
    (None, "", "-U ."),
    (PEOPLE, "", "-b f/x ann secret"),
    (PEOPLE, "", "-c -b f/x ann secret"),
    (None, "", "-b loop ann secret"),
    (None, "", "-c -b loop ann secret"),
    (None, "", "-D loop ann"),
    # other places
    (PEOPLE, "", "-b link ann secret"),
    (PEOPLE, "", "-c -b link ann secret"),
    (PEOPLE, "", "-D link ann"),
    (None, "", "-c -b link ann secret"),
    (PEOPLE, "", "-b ../d/f ann secret"),
    (PEOPLE, "", "-b ./f ann secret"),
    (PEOPLE, "", "-c -b /dev/null ann secret"),
    (PEOPLE, "", "-c -b /dev/stdout ann secret"),
    (PEOPLE, "", "-c -b - ann secret"),
    # a file that is none
    ("listener 1883\n", "", "-D f ann"),
    ("ann:x\nnothing\n", "", "-D f bob"),
    ("ann:x\nnothing\n", "", "-U f"),
    ("nothing\n", "", "-U f"),
    ("ann:x\n:y\n", "", "-U f"),
    ("ann:\n", "", "-U f"),
    ("ann:x\nbob: \n", "", "-U f"),
]

# What is meant to be otherwise, and what each then does: (status, error text, text of f).
DIFFERENT = {
    "the usage is in words of our own": (PEOPLE, "", "f", (1, "", PEOPLE)),
    "help is too": (PEOPLE, "", "-h", (1, "", PEOPLE)),
    "comments and blank lines stay": (
        f"# people\n\nann:{A}\n", "", "-b f ann x", (0, "", "# people\n\nann:HASH 7$101\n")),
    "comments do not stop a deletion": (f"# people\nann:{A}\n", "", "-D f ann",
                                        (0, "", "# people\n")),
    "comments do not stop -U": ("# people\nann:x\n", "", "-U f",
                                (0, "", "# people\nann:HASH 7$101\n")),
    "a corrupt file is not cut off at the line, and it is a failure": (
        f"nothing\nann:{A}\n", "", "-b f ann x",
        (1, "Error: Corrupt password file at line 1.\n", f"nothing\nann:{A}\n")),
    "a line without password is no corruption, as it can't let anybody in": (
        "ann:\nbob:\n", "", "-b f ann x", (0, "", "ann:HASH 7$101\nbob:\n")),
    "a last line without line feed does not run into the next": (
        f"ann:{A}", "", "-b f bob x", (0, "", f"ann:{A}\nbob:HASH 7$101\n")),
    "-U leaves what is hashed": (f"ann:{A}\nbob:x\n", "", "-U f",
                                 (0, "", f"ann:{A}\nbob:HASH 7$101\n")),
    "-U minds -I": ("ann:x\n", "", "-I 7 -U f", (0, "", "ann:HASH 7$7\n")),
    "-U of an empty file is no failure": ("", "", "-U f", (0, "", "")),
    "of two lines for a user the second would win, so it goes": (
        f"ann:{A}\nann:{A}\n", "", "-b f ann x", (0, "", "ann:HASH 7$101\n")),
    "argon2id, as 2.1 has it": (PEOPLE, "", "-H argon2id -D f ann", (0, "", f"bob:{A}\n")),
    "a name that would be a comment": (
        PEOPLE, "", ["-b", "f", "#x", "y"],
        (1, "Error: The username cannot be used: its '#' would make the line a comment.\n",
         PEOPLE)),
    "an empty name": (PEOPLE, "", ["-b", "f", "", "y"],
                      (1, "Error: The username cannot be used: it is empty.\n", PEOPLE)),
    "a name with blanks around it": (
        PEOPLE, "", ["-b", "f", " x", "y"],
        (1, "Error: The username cannot be used: the broker would take it without the blanks "
            "around it.\n", PEOPLE)),
    "a name that is not UTF-8": (
        PEOPLE, "", ["-b", "f", b"\xff", "y"],
        (1, "Error: The username cannot be used: it is not UTF-8, as MQTT's names are.\n",
         PEOPLE)),
    "a device is not said to be corrupt": (
        PEOPLE, "", "-b /dev/null ann x",
        (1, "Error: cannot open '/dev/null': it is not a plain file.\n", PEOPLE)),
    "a zero byte in a password": (PEOPLE, "a\0b\na\0b\n", "f ann",
                                  (1, "Error: Password must not contain a zero byte.\n", PEOPLE)),
}


def in_a_folder(folder, program, text, typed, words):
    """One call. Its status, its output, and what is in the folder then."""
    folder.mkdir()
    (folder / "link").symlink_to("f")
    (folder / "loop").symlink_to("loop")
    if text is not None:
        (folder / "f").write_bytes(text.encode())
        (folder / "f").chmod(0o600)
    words = words.split() if isinstance(words, str) else words
    done = run(program, *words, cwd=folder, stdin=typed.encode())
    files = {path.name: re.sub(HASH, r"HASH \1", read(path)) for path in folder.iterdir()
             if not path.is_symlink()}
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()
             if path.name in files}
    links = sorted(path.name for path in folder.iterdir() if path.is_symlink())
    return done, files, modes, links


def name_of(case):
    words = case[2] if isinstance(case[2], str) else " ".join(case[2])
    return words if len(words) < 60 else words[:60] + "..."


@pytest.mark.parametrize("case", SAME, ids=name_of)
def test_it_does_as_debians(ours, tmp_path, case):
    results = []
    for number, program in enumerate((THEIRS, ours)):
        # The same path for both: it is in some messages.
        done, files, modes, links = in_a_folder(tmp_path / "d", program, *case)
        (tmp_path / "d").rename(tmp_path / f"done{number}")
        results.append((done.returncode, re.sub(HASH, r"HASH \1", done.stdout.decode()),
                        done.stderr, files, links))
        for mode in modes.values():  # theirs leaves a new file to the umask
            assert program == THEIRS or mode == 0o600
    assert results[1] == results[0]


@pytest.mark.parametrize("name", DIFFERENT)
def test_it_differs_where_it_means_to(ours, tmp_path, name):
    text, typed, words, (status, error, after) = DIFFERENT[name]
    their, their_files, _, _ = in_a_folder(tmp_path / "theirs", THEIRS, text, typed, words)
    done, files, _, _ = in_a_folder(tmp_path / "ours", ours, text, typed, words)
    after = re.sub(HASH, r"HASH \1", after)
    assert (done.returncode, done.stderr.decode(), files["f"]) == (status, error, after)
    assert files.keys() == {"f"}
    # And it is a difference.
    assert (their.returncode, their.stdout, their.stderr, their_files) != (
        done.returncode, done.stdout, done.stderr, files)


def test_there_are_enough_of_them():
    assert len(SAME) >= 140 and len(DIFFERENT) >= 15


def test_more_iterations_than_anybody_waits_for_are_refused(ours, tmp_path):
    done = run(ours, "-I", "100000001", "-c", "-b", "f", "ann", "x", cwd=tmp_path)  # theirs starts
    assert done.returncode == 1 and done.stderr == (
        b"Error: Number of iterations must be at most 100000000.\n")
    assert not (tmp_path / "f").exists()


# ---- as 2.1 ----

def test_21_has_other_words_and_other_hashes(ours, tmp_path):
    as_21 = {"NOCTULE_COMPATIBILITY": "2.1"}
    done = run(ours, "-c", "-b", "f", "ann", "one", cwd=tmp_path, env=as_21)
    assert (done.returncode, done.stdout) == (0, b"Adding password for user ann\n"), done
    done = run(ours, "-b", "f", "bob", "two", cwd=tmp_path, env=as_21)
    assert (done.returncode, done.stdout) == (0, b"Adding password for user bob\n")
    done = run(ours, "f", "ann", cwd=tmp_path, env=as_21, stdin=b"three\nthree\n")
    assert done.stdout == b"Password: \nReenter password: \nUpdating password for user ann\n"
    assert run(ours, "-H", "argon2id", "-b", "f", "cid", "x", cwd=tmp_path,
               env=as_21).returncode == 0
    lines = dict(line.split(":") for line in read(tmp_path / "f").splitlines())
    assert re.fullmatch(r"\$7\$1000\$[A-Za-z0-9+/]{86}==\$[A-Za-z0-9+/]{86}==", lines["bob"])
    assert lines["cid"].startswith("$argon2id$v=19$m=47104,t=1,p=1$")
    done = run(ours, "-c", "-b", "-", "ann", "one", cwd=tmp_path, env=as_21)
    assert done.returncode == 0 and done.stdout.startswith(b"ann:$7$1000$")
    assert not (tmp_path / "-").exists()
    # A deletion says nothing, in 2.1 either.
    assert run(ours, "-D", "f", "bob", cwd=tmp_path, env=as_21).stdout == b""


def test_no_other_version_is_known(ours, tmp_path):
    done = run(ours, "-c", "-b", "f", "a", "b", cwd=tmp_path, env={"NOCTULE_COMPATIBILITY": "3"})
    assert done.returncode == 1 and b"Use 2.0 or 2.1" in done.stderr
    assert not (tmp_path / "f").exists()


# ---- what one makes the other one's broker takes ----

PASSWORDS = {"ann": "wonderland", "ben": "pass:with:colons", "ümit": "пароль", "dot": " x ",
             "big": "y" * 60000}
BROKER = "listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {dir}/passwords\n"


def make_file(path, *words):
    for number, (user, password) in enumerate(PASSWORDS.items()):
        first = ["-c"] if number == 0 else []
        done = run(*words, *first, "-b", str(path), user, password)
        assert done.returncode == 0, done.stderr


def assert_passwords(broker, passwords):
    for user, password in passwords.items():
        for attempt in (password, password[:-1] + "!"):
            with broker.open() as client:
                refused = client.connect("", user=user, password=attempt).reason != 0
                assert refused == (attempt != password), (user, attempt[:20])


MAKERS = {
    "debian-pbkdf2": lambda ours: [THEIRS],
    "debian-sha512": lambda ours: [THEIRS, "-H", "sha512"],
    "ours-pbkdf2": lambda ours: [ours],
    "ours-sha512": lambda ours: [ours, "-H", "sha512"],
    "ours-7": lambda ours: [ours, "-I", "7"],
    "passwd-few": lambda ours: [PROGRAM, "passwd", "-I", "11"],
    "passwd": lambda ours: [PROGRAM, "passwd", "-H", "sha512-pbkdf2"],
    "passwd-sha512": lambda ours: [PROGRAM, "passwd", "-H", "sha512"],
}


@pytest.mark.parametrize("program", [PROGRAM, THEIR_BROKER], ids=["noctule", "mosquitto"])
def test_either_broker_takes_what_either_makes(ours, tmp_path_factory, tmp_path, program):
    everybody, text = {}, ""
    for name, words in MAKERS.items():
        make_file(tmp_path / name, *words(ours))
        for line in read(tmp_path / name).splitlines():
            user, hashed = line.split(":")
            text += f"{name}-{user}:{hashed}\n"
            everybody[f"{name}-{user}"] = PASSWORDS[user]
    broker = Broker(tmp_path_factory.mktemp("broker"), BROKER, program=program,
                    files={"passwords": text})
    try:
        assert_passwords(broker.start(), everybody)
    finally:
        broker.stop()


def test_check_knows_debians_passwords(tmp_path):
    for kind in ("sha512", "sha512-pbkdf2"):
        make_file(tmp_path / "f", THEIRS, "-H", kind)
        for user, password in PASSWORDS.items():
            assert passwd("check", "-b", "f", user, password, cwd=tmp_path).returncode == 0
            assert passwd("check", "f", user, cwd=tmp_path, stdin=password.encode()).returncode == 0
            assert passwd("check", "-b", "f", user, password[1:], cwd=tmp_path).returncode == 1
        assert passwd("check", "f", cwd=tmp_path).returncode == 0


def test_the_broker_takes_argon2id(start_broker):
    lines = passwd("-H", "argon2id", "-c", "-b", "-", "ann", "wonderland").stdout.decode()
    lines += passwd("hash", "-H", "argon2id", "-b", "ben", "x").stdout.decode()
    assert_passwords(start_broker(BROKER, files={"passwords": lines}),
                     {"ann": "wonderland", "ben": "x"})


# ---- hash ----

def test_hash_prints_the_line_alone(tmp_path):
    done = passwd("hash", "ann", stdin=b"wonderland\nnot this\n", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    user, _, rounds, salt, digest = re.fullmatch(
        r"(ann):\$(7)\$(\d+)\$([^$]+)\$([^$]+)\n", done.stdout.decode()).groups()
    assert rounds == "210000"
    assert base64.b64decode(digest) == hashlib.pbkdf2_hmac(
        "sha512", b"wonderland", base64.b64decode(salt), 210000)
    assert os.listdir(tmp_path) == []
    done = passwd("hash", "-b", "-I", "5", "-H", "sha512-pbkdf2", "ben", "-x")
    assert done.stdout.startswith(b"ben:$7$5$")
    assert passwd("hash", "-b", "-H", "sha512", "hash", "x").stdout.startswith(b"hash:$6$")
    assert passwd("hash", "--", "-dash", stdin=b"x").stdout.startswith(b"-dash:$7$210000$")


def test_a_line_without_end_is_no_password():
    with open("/dev/zero", "rb") as endless:
        done = subprocess.run([PROGRAM, "passwd", "hash", "ann"], stdin=endless, timeout=LIMIT,
                              capture_output=True, check=False)
    assert (done.returncode, b"65535" in done.stderr) == (2, True)


def test_hash_in_a_pipe_that_is_full_is_a_failure():
    with open("/dev/full", "wb") as full:
        done = subprocess.run([PROGRAM, "passwd", "hash", "-b", "ann", "x"], stdout=full,
                              stderr=subprocess.PIPE, timeout=LIMIT)
    assert done.returncode == 2 and b"cannot write" in done.stderr


# ---- check and list ----

BAD_FILE = f"""# people
ann:{A}
nothing
ben:plain
ann:$7$300000$c2FsdHNhbHRzYWx0${'A' * 86}==
:nobody
zoë\x1b[31m "q":$7$101$c2FsdHNhbHRzYWx0${'A' * 86}==
"""


def test_check_names_the_bad_lines(tmp_path):
    (tmp_path / "f").write_text(BAD_FILE)
    (tmp_path / "f").chmod(0o600)
    done = passwd("check", "f", cwd=tmp_path)
    assert done.returncode == 1 and b"f: 3 users, not sound\n" == done.stdout
    assert re.findall(r"f:(\d+): ", done.stderr.decode()) == ["3", "4", "5", "6"]
    assert b"\x1b" not in done.stderr
    (tmp_path / "f").write_text(PEOPLE + "# the end\n\n")
    assert passwd("check", "f", cwd=tmp_path).stdout == b"f: 2 users, sound\n"
    (tmp_path / "f").write_text((tmp_path / "f").read_text().splitlines()[0] + "\n")
    assert passwd("check", "f", cwd=tmp_path).stdout == b"f: 1 user, sound\n"
    (tmp_path / "f").chmod(0o644)
    done = passwd("check", "f", cwd=tmp_path)
    assert done.returncode == 0 and b"chmod o-r" in done.stderr


def test_check_of_a_user_tells_no_from_trouble(tmp_path):
    assert passwd("-I", "9", "-c", "-b", "f", "ann", "x", cwd=tmp_path).returncode == 0
    for words, stdin, status, text in [
            (["f", "ann"], b"x\n", 0, "right"), (["f", "ann"], b"y\n", 1, "not the password"),
            (["f", "ben"], b"x\n", 1, "no user 'ben'"), (["f", "ann"], b"", 2, "empty"),
            (["f", "ann"], b"a\0b\n", 2, "zero byte"), (["f", "ann"], LONG.encode(), 2, "65535"),
            (["g", "ann"], b"x\n", 2, "No such file"), (["g"], b"", 2, "No such file"),
            (["."], b"", 2, "folder"), (["-b", "f", "ann", "x"], b"", 0, "right"),
            (["-b", "f", "ann", "y"], b"", 1, "not the password"),
            (["-b", "f", "ann"], b"", 2, "missing")]:
        done = passwd("check", *words, cwd=tmp_path, stdin=stdin)
        assert done.returncode == status and text in (done.stdout + done.stderr).decode(), words


def test_list_shows_kind_strength_and_bad_lines(tmp_path):
    (tmp_path / "f").write_text(BAD_FILE)
    (tmp_path / "f").chmod(0o600)
    done = passwd("list", "f", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    rows = [line.split() for line in done.stdout.decode().splitlines()[1:]]
    assert [row[0] for row in rows] == ["2", "3", "4", "5", "6", "7"]
    assert rows[0][1:] == ["sha512", "one", "round", "weak", "ann"]
    assert rows[1][1:3] == ["BAD", "LINE"] and rows[2][-1] == "ben"
    assert rows[3][1:] == ["sha512-pbkdf2", "300000", "iterations", "good", "ann"]
    assert b"\x1b" not in done.stdout
    values = json.loads(passwd("list", "--json", "f", cwd=tmp_path).stdout)
    assert values == json.loads(passwd("list", "f", "--json", cwd=tmp_path).stdout)
    assert [one["line"] for one in values["users"]] == [2, 5, 7]
    assert values["users"][2] == {"line": 7, "user": 'zoë\x1b[31m "q"', "kind": "sha512-pbkdf2",
                                  "iterations": 101, "salt_bytes": 12, "weak": True}
    assert [(one["line"], one["user"]) for one in values["bad_lines"]] == [
        (3, None), (4, "ben"), (6, None)]
    assert "no ':'" in values["bad_lines"][0]["cause"]


def test_list_of_argon2id_and_of_nothing(tmp_path):
    line = passwd("hash", "-H", "argon2id", "-b", "ann", "x").stdout
    (tmp_path / "f").write_bytes(line)
    (tmp_path / "f").chmod(0o600)
    assert json.loads(passwd("list", "--json", "f", cwd=tmp_path).stdout)["users"] == [
        {"line": 1, "user": "ann", "kind": "argon2id", "memory_kib": 47104, "passes": 1,
         "lanes": 1, "salt_bytes": 64, "weak": False}]
    (tmp_path / "f").write_bytes(b"\xff\xfea\0")
    assert b"UTF-16" in passwd("list", "f", cwd=tmp_path).stderr
    (tmp_path / "f").write_bytes(b"")
    assert json.loads(passwd("list", "--json", "f", cwd=tmp_path).stdout) == {
        "users": [], "bad_lines": []}


# ---- the command line of our own ----

def test_users_and_files_named_like_the_words(tmp_path):
    for word in ("hash", "check", "list", "del"):
        assert passwd("-I", "1", "-c", "-b", "f", word, "x", cwd=tmp_path).returncode == 0
        assert read(tmp_path / "f").startswith(f"{word}:$7$1$")
        assert passwd("check", "f", word, cwd=tmp_path, stdin=b"x").returncode == 0
        for path in (["./" + word], ["--", word]):
            assert passwd("-I", "1", "-b", "-c", *path, "ann", "x", cwd=tmp_path).returncode == 0
            assert passwd("-I", "1", "-b", *path, word, "x", cwd=tmp_path).returncode == 0
            assert passwd("list", word, cwd=tmp_path).stdout.count(b"sha512-pbkdf2") == 2
        assert passwd("del", word, word, cwd=tmp_path).returncode == 0
        done = passwd("-c", word, "ann", cwd=tmp_path)
        assert done.returncode == 2 and b"write ./ before it" in done.stderr


def test_options_may_be_written_together(tmp_path):
    assert passwd("-cbI5", "f", "ann", "x", cwd=tmp_path).returncode == 0
    assert read(tmp_path / "f").startswith("ann:$7$5$")
    assert passwd("f", "ben", cwd=tmp_path, stdin=b"x\n").returncode == 0
    assert "\nben:$7$210000$" in read(tmp_path / "f")
    assert passwd("-D", "f", "ann", cwd=tmp_path).returncode == 0
    done = passwd("-D", "f", "ann", cwd=tmp_path)
    assert done.returncode == 1 and b"f: there is no user 'ann'" in done.stderr
    (tmp_path / "f").write_text("ann:x\n" + PEOPLE)
    assert passwd("-U", "-I", "3", "f", cwd=tmp_path).returncode == 0
    assert read(tmp_path / "f").startswith("ann:$7$3$")
    assert read(tmp_path / "f").endswith(PEOPLE)


BAD_CALLS = [
    ("", "file and a user are needed"), ("f", "a file and a user are needed"),
    ("-b f ann", "a file, a user and a password are needed"),
    ("f ann x", "'x' is one word too many"), ("-b f ann x y", "'y' is one word too many"),
    ("-D f", "missing"), ("-D f ann x", "too many"), ("-U", "file and a user are needed"),
    ("-U f ann", "too many"), ("-c -D f ann", "-c does not go with -D"),
    ("-c -U f", "-c does not go with -U"), ("-D -U f", "-U does not go with -D"),
    ("-b -D f ann", "-b does not go with -D"), ("-H sha512 -D f ann", "-H does not go with -D"),
    ("--json f ann", "--json does not go with FILE USER"), ("-H md5 f ann", "not 'md5'"),
    ("-I 0 f ann", "not '0'"), ("-I x f ann", "not 'x'"), ("-I 5x f ann", "not '5x'"),
    ("-I 100000001 f ann", "100000000"), ("-I -1 f ann", "not '-1'"),
    ("-H argon2id -I 5 f ann", "sha512-pbkdf2 only"), ("-x f ann", "invalid option"),
    ("--nonsense", "unrecognized option"), ("-H", "requires an argument"),
    ("hash", "missing"), ("hash ann x", "too many"), ("hash -b ann", "missing"),
    ("hash -D ann", "-D does not go with hash"), ("-c hash ann", "-c does not go with hash"),
    ("hash --json ann", "--json does not go with hash"), ("hash a:b", "':'"),
    ("hash -b a:b x", "':'"), ("-b f a:b x", "':'"), ("list", "missing"), ("list f g", "too many"),
    ("list -b f", "-b does not go with list"), ("check", "missing"), ("check f ann x", "too many"),
    ("check -H sha512 f", "-H does not go with check"), ("del f", "missing"),
    ("del f ann x", "too many"), ("del -b f ann", "-b does not go with del"),
    ("none ann", "cannot open"), ("-b none ann x", "-c makes a new file"),
    ("-b -c no/f ann x", "its folder must be there"), ("-b . ann x", "Is a directory"),
    ("del none ann", "cannot open"), ("list none", "No such file"), ("-U none", "cannot open"),
    ("-b bad ann x", "bad:2: there is no ':' in this line; nothing was changed"),
    ("del bad ann", "bad:2:"), ("-U bad", "bad:2:"), ("-b /dev/null ann x", "not a plain file"),
]


@pytest.mark.parametrize("words,text", BAD_CALLS, ids=[call[0] for call in BAD_CALLS])
def test_a_bad_call_is_explained_in_one_line(tmp_path, words, text):
    (tmp_path / "f").write_text(PEOPLE)
    (tmp_path / "bad").write_text(f"ann:{A}\nnothing\n")
    done = passwd(*words.split(), cwd=tmp_path, stdin=b"secret\n")
    error = done.stderr.decode()
    assert (done.returncode, done.stdout) == (2, b""), error
    assert text in error and error.startswith("noctule passwd: ") and error.count("\n") == 1
    assert read(tmp_path / "f") == PEOPLE and sorted(os.listdir(tmp_path)) == ["bad", "f"]


def test_help_is_no_failure():
    for words in (["--help"], ["-h"], ["hash", "--help"], ["list", "-h"]):
        done = passwd(*words)
        assert done.returncode == 0 and done.stdout.startswith(b"Usage: noctule passwd")


def test_closed_streams_do_not_become_the_file(ours, tmp_path):
    for program in ([ours, "-c", "-b"], [PROGRAM, "passwd", "-I", "1", "-c", "-b"]):
        done = subprocess.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *program,
                               "f", "ann", "x"], cwd=tmp_path, timeout=LIMIT,
                              env={**os.environ, "NOCTULE_COMPATIBILITY": "2.1"})
        assert done.returncode == 0
        assert re.fullmatch(r"ann:\$7\$\d+\$\S+\n", read(tmp_path / "f"))


# ---- on a terminal ----

class Terminal:
    """A program on a terminal of its own, whose output is read up to what is waited for."""

    def __init__(self, cwd, *words):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            # As a shell starts it: whatever runs the tests may ignore these (nohup).
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            os.chdir(cwd)
            os.execv(words[0], words)
        self.text = ""

    def wait_for(self, pattern):
        deadline = time.monotonic() + LIMIT
        while not re.search(pattern, self.text):
            assert time.monotonic() < deadline, self.text
            if select.select([self.fd], [], [], 0.1)[0]:
                self.text += os.read(self.fd, 4096).decode()

    def wait_for_silence(self):
        """Debian's shows its prompt first, and turns the echo off then."""
        deadline = time.monotonic() + LIMIT
        while termios.tcgetattr(self.fd)[3] & termios.ECHO:
            assert time.monotonic() < deadline, self.text
            time.sleep(0.005)

    def type(self, text):
        os.write(self.fd, text.encode())

    def end(self):
        """Its status and all it said; what does not end is made to."""
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            if not select.select([self.fd], [], [], 0.1)[0]:
                continue
            try:
                self.text += os.read(self.fd, 4096).decode()
            except OSError:  # its end of the terminal is closed
                break
        else:
            os.kill(self.pid, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.fd)
        return status, self.text


def ask(cwd, program, prompts, answers):
    terminal = Terminal(cwd, *program)
    for prompt, answer in zip(prompts, answers):
        terminal.wait_for(prompt + "$")
        terminal.wait_for_silence()
        terminal.type(answer)
    return terminal.end()


@pytest.mark.parametrize("answers", [["one\n", "one\n"], ["one\n", "two\n"], ["\n"],
                                     ["one\n", "\n"]],
                         ids=["same", "different", "empty", "second empty"])
def test_on_a_terminal_it_asks_as_debians(ours, tmp_path, answers):
    results = [ask(tmp_path, [program, "-c", "f", "ann"], ["Password: ", "Reenter password: "],
                   answers) for program in (THEIRS, ours)]
    assert results[1] == results[0]


def test_what_is_typed_can_be_corrected(ours, tmp_path):
    """Debian's takes the erasing key for a part of the password, and the end of input, too."""
    prompts = ["Password: ", "Reenter password: "]
    assert ask(tmp_path, [ours, "-c", "f", "ann"], prompts, ["onn\x7fe\n", "one\n"]) == (
        0, "Password: \r\nReenter password: \r\n")
    assert ask(tmp_path, [ours, "f", "ann"], prompts, ["\x04"]) == (
        1, "Password: Error: Empty password.\r\n")


def test_our_own_questions_leave_standard_output_alone(tmp_path):
    shell = ["/bin/sh", "-c", 'umask 077; exec "$0" passwd hash -I 3 ann >f', PROGRAM]
    status, text = ask(tmp_path, shell, ["Password: ", "Once more: "], ["x\n", "x\n"])
    assert (status, text) == (0, "Password: \r\nOnce more: \r\n")
    assert read(tmp_path / "f").startswith("ann:$7$3$")
    check = [PROGRAM, "passwd", "check", "f", "ann"]
    assert ask(tmp_path, check, ["Password: "], ["x\n"]) == (
        0, "Password: \r\nthe password of 'ann' is right\r\n")
    status, text = ask(tmp_path, shell, ["Password: ", "Once more: "], ["x\n", "y\n"])
    assert status == 2 and "the two passwords differ" in text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_at_the_question_gives_the_echo_back(tmp_path, number):
    terminal = Terminal(tmp_path, PROGRAM, "passwd", "-c", "f", "ann")
    terminal.wait_for("Password: $")
    terminal.wait_for_silence()
    held = os.open(os.readlink(f"/proc/{terminal.pid}/fd/0"), os.O_RDWR | os.O_NOCTTY)
    os.kill(terminal.pid, number)
    deadline = time.monotonic() + LIMIT
    while not (ended := os.waitpid(terminal.pid, os.WNOHANG))[0]:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert os.waitstatus_to_exitcode(ended[1]) == -number
    assert termios.tcgetattr(held)[3] & termios.ECHO
    os.close(held)
    os.close(terminal.fd)
    assert os.listdir(tmp_path) == []


# ---- many at once, and no room ----

def test_changes_at_once_are_all_kept(ours, tmp_path):
    (tmp_path / "f").write_text(PEOPLE)
    calls = [[ours, "-b", "f"], [PROGRAM, "passwd", "-I", "1", "-b", "f"]]
    running = [subprocess.Popen([*calls[n % 2], f"user{n}", "x"], cwd=tmp_path) for n in range(40)]
    assert [one.wait(LIMIT) for one in running] == [0] * 40
    names = {line.split(":")[0] for line in read(tmp_path / "f").splitlines()}
    assert names == {"ann", "bob"} | {f"user{n}" for n in range(40)}
    assert os.listdir(tmp_path) == ["f"]


def test_new_files_made_at_once_are_whole(ours, tmp_path):
    running = [subprocess.Popen([ours, "-c", "-b", "f", f"user{n}", "x"], cwd=tmp_path)
               for n in range(20)]
    assert [one.wait(LIMIT) for one in running] == [0] * 20
    assert re.fullmatch(r"user\d+:" + HASH.pattern + "\n", read(tmp_path / "f"))
    assert os.listdir(tmp_path) == ["f"]


def test_a_full_disk_leaves_the_old_file(ours):
    def work():
        folder = "/var/lib"  # a small disk of its own
        subprocess.run(["mount", "-o", "remount,size=64k", folder], check=True)
        text = "".join(f"user{n}:{A}\n" for n in range(300))
        with open(f"{folder}/f", "w", encoding="utf-8") as file:
            file.write(text)
        for words in ([ours, "-b"], [PROGRAM, "passwd", "-I", "1", "-b"]):
            done = run(*words, "f", "user7", "x", cwd=folder)
            assert done.returncode != 0 and b"No space left on device" in done.stderr
            assert read(f"{folder}/f") == text and os.listdir(folder) == ["f"]

    on_own_machine(work)


@pytest.mark.parametrize("words", [["-b"], ["-c", "-b"]], ids=["set", "new"])
@pytest.mark.parametrize("is_ours", [True, False], ids=["noctule", "mosquitto"])
def test_a_password_leaves_the_list_of_processes(ours, tmp_path, words, is_ours):
    """Seen while it waits for who is changing the file."""
    (tmp_path / "f").write_text(PEOPLE)
    (tmp_path / "f").chmod(0o600)
    program = [PROGRAM, "passwd", "-I", "1"] if is_ours else [ours]
    lock = os.open(tmp_path / "f.noctule-new", os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with subprocess.Popen([*program, *words, "f", "ann", "pass:word"], cwd=tmp_path,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + LIMIT
        shown = ""
        while not shown.endswith("\0f\0ann\0*********\0"):
            assert time.monotonic() < deadline and process.poll() is None, shown
            with open(f"/proc/{process.pid}/cmdline", encoding="utf-8") as line:
                shown = line.read()
        os.close(lock)
        assert process.wait(LIMIT) == 0, process.stderr.read()
    assert passwd("check", "-b", "f", "ann", "pass:word", cwd=tmp_path).returncode == 0


def test_a_limit_on_files_leaves_the_old_one(tmp_path):
    text = PEOPLE * 100
    (tmp_path / "f").write_text(text)

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))

    done = passwd("-I", "1", "-b", "f", "cid", "x", cwd=tmp_path, preexec_fn=limit)
    assert done.returncode == 2 and b"File too large" in done.stderr
    assert read(tmp_path / "f") == text and os.listdir(tmp_path) == ["f"]


def test_a_file_mounted_by_itself_is_explained(ours):
    def work():
        os.mkdir("/run/inner")
        for path in ("/run/f", "/run/inner/f"):
            with open(path, "w", encoding="utf-8") as file:
                file.write(PEOPLE)
        subprocess.run(["mount", "--bind", "/run/f", "/run/inner/f"], check=True)
        done = passwd("-I", "1", "-b", "/run/inner/f", "ann", "x")
        assert done.returncode == 2 and b"mount its folder" in done.stderr
        assert read("/run/inner/f") == PEOPLE and os.listdir("/run/inner") == ["f"]
        subprocess.run(["mount", "-o", "remount,ro", "/run"], check=True)
        done = passwd("-I", "1", "-b", "/run/f", "ann", "x")
        assert done.returncode == 2 and b"noctule passwd hash" in done.stderr
        done = run(ours, "-b", "/run/f", "ann", "x")
        assert done.stderr == (b"Error: Unable to open password file /run/f. "
                               b"Read-only file system.\n")

    on_own_machine(work)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: to be somebody else")
def test_a_file_of_somebody_else_is_left_alone():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        ours = str(folder / "mosquitto_passwd")
        shutil.copy(PROGRAM, ours)  # where it was built may be root's alone
        folder.chmod(0o755)
        work = folder / "work"
        work.mkdir()
        work.chmod(0o777)
        (work / "f").write_text(PEOPLE)
        (work / "f").chmod(0o644)
        nobody = {"cwd": work, "user": 65534, "group": 65534}
        results = [run(program, "-b", "f", "ann", "x", **nobody) for program in (THEIRS, ours)]
        assert results[0].stderr == results[1].stderr and results[1].returncode == 1
        assert b"Permission denied" in results[1].stderr
        (work / "f").chmod(0o666)  # they may write it, but not make one that is root's
        done = run(ours, "-b", "f", "ann", "x", **nobody)
        assert done.returncode == 1 and b"as the file's owner" in done.stderr
        assert read(work / "f") == PEOPLE and os.listdir(work) == ["f"]
        work.chmod(0o755)
        done = run(ours, "-b", "f", "ann", "x", **nobody)
        assert done.returncode == 1 and b"must be writable" in done.stderr
        assert [run(program, "-c", "-b", "g", "ann", "x", **nobody).stderr
                for program in (THEIRS, ours)] == [
            b"Error: Unable to open file g for writing. Permission denied.\n"] * 2
