# SPDX-License-Identifier: Apache-2.0
"""`noctule completion`: what bash and zsh complete, by the functions themselves and by the Tab key."""

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import time

import pytest

from conftest import PROGRAM

pytestmark = pytest.mark.noctule_only

TOOLS = ("pub", "sub", "rr")
# What bash calls when Tab is pressed, and what it finds then.
PRESS = """
source "$SCRIPT"
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_noctule "$1" "${!#}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def run(*words, **more):
    return subprocess.run(words, text=True, capture_output=True, timeout=60, **more)


@pytest.fixture(scope="module")
def shells(tmp_path_factory):
    """A folder with the scripts, and bin/ with noctule and links to it."""
    folder = tmp_path_factory.mktemp("shells")
    (folder / "bin").mkdir()
    (folder / "functions").mkdir()
    for name in ("noctule", "mosquitto_pub", "mosquitto_sub", "mosquitto_rr", "mosquitto"):
        (folder / "bin" / name).symlink_to(os.path.abspath(PROGRAM))
    for shell, name in (("bash", "noctule.bash"), ("zsh", "functions/_noctule")):
        done = run(PROGRAM, "completion", shell)
        assert (done.returncode, done.stderr) == (0, "")
        (folder / name).write_text(done.stdout)
    return folder


@pytest.fixture
def press(shells, tmp_path):
    """What bash offers for the words up to the cursor; with the last one as it is so far."""

    def complete(*words):
        env = {"PATH": f"{shells / 'bin'}:{os.environ['PATH']}", "SCRIPT": str(shells / "noctule.bash")}
        done = run("bash", "--norc", "--noprofile", "-c", PRESS, "bash", *words, cwd=tmp_path, env=env)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.split("\n")[:-1] if done.stdout != "\n" else []

    return complete


def names_in_help(text):
    """The options at the beginnings of the lines."""
    return [name for pair in re.findall(r"^ +(-[-\w]+)(?:, (--[-\w]+))?", text, re.MULTILINE)
            for name in pair if name]


def commands():
    return re.findall(r"^  (\w+)  ", run(PROGRAM, "--help").stdout, re.MULTILINE)


# ---- the command itself ----

def test_help_is_told(tmp_path):
    done = run(PROGRAM, "completion", "--help")
    assert done.returncode == 0 and "source <(noctule completion zsh)" in done.stdout


@pytest.mark.parametrize("words, said", [
    ((), "Usage: noctule completion"),
    (("fish",), "noctule completion: no script for 'fish'; there are bash and zsh"),
    (("",), "noctule completion: no script for ''"),
    (("bash", "zsh"), "Usage: noctule completion"),
    (("--nonsense",), "noctule completion: unrecognized option '--nonsense'"),
])
def test_wrong_use_is_told(words, said):
    done = run(PROGRAM, "completion", *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(said)


@pytest.mark.parametrize("word", ("bash", "zsh", "--help"))
def test_a_script_that_could_not_be_written_is_a_failure(word):
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([PROGRAM, "completion", word], stdout=full, stderr=subprocess.PIPE,
                              timeout=60)
    assert done.returncode == 1 and done.stderr.startswith(b"noctule completion: cannot write: ")


def test_the_scripts_are_good_to_their_shells(shells):
    assert run("bash", "-n", shells / "noctule.bash").stderr == ""
    assert run("zsh", "-n", shells / "functions" / "_noctule").stderr == ""


# ---- bash: what is offered ----

def test_the_commands_are_those_of_help(press):
    assert press("noctule", "") == [*commands(), "--help", "--version"]
    assert press("noctule", "p") == ["passwd", "pub"]
    assert press("noctule", "nonsense", "") == []
    assert press("noctule", "$(x)]", "-") == []
    assert press("noctule", "--help", "-") == []


def test_the_options_of_each_command_are_those_of_its_help(press):
    for command in commands():
        known = names_in_help(run(PROGRAM, command, "--help").stdout)
        assert known and press("noctule", command, "-") == known, command


def test_a_tool_of_mosquittos_name_has_no_options_of_ours(press, shells):
    for tool in TOOLS:
        known = names_in_help(run(shells / "bin" / f"mosquitto_{tool}", "--help").stdout)
        offered = press(f"mosquitto_{tool}", "-")
        assert offered == known and "--man" not in offered and "--ws-path" in offered
        assert press(str(shells / "bin" / f"mosquitto_{tool}"), "-q", "") == ["0", "1", "2"]
    assert "--test-config" in press("mosquitto", "--")


def test_what_is_no_link_to_noctule_is_left_alone(press, tmp_path):
    (tmp_path / "mosquitto_pub").write_text("#!/bin/sh\n")
    (tmp_path / "mosquitto_pub").chmod(0o755)
    assert press(str(tmp_path / "mosquitto_pub"), "-") == []
    assert press(str(tmp_path / "mosquitto_sub"), "-") == []
    assert press(shutil.which("mosquitto_pub", path="/usr/bin"), "-") == []


@pytest.mark.parametrize("words, offered", [
    ("sub -q ", "0 1 2"),
    ("sub --qos ", "0 1 2"),
    ("pub --will-qos ", "0 1 2"),
    ("sub -t x -v -V ", "5 311 31 mqttv5 mqttv311 mqttv31"),
    ("rr --protocol-version m", "mqttv5 mqttv311 mqttv31"),
    ("sub --retain-handling n", "new never"),
    ("sub --retain-ha", "--retain-handling"),
    ("pub --retain-ha", ""),
    ("pub --tls-version ", "tlsv1.2 tlsv1.3"),
    # values that nobody can guess, and what stands behind them
    ("pub -t ", ""),
    ("pub -t -q --will-t", "--will-topic"),
    ("sub -t x --retained", "--retained-only"),
    # -D has three words, or four
    ("pub -D ", "connect publish subscribe unsubscribe disconnect will"),
    ("pub -D P", "PUBLISH"),
    ("pub --property will will-d", "will-delay-interval"),
    ("pub -D Publish c", "content-type correlation-data"),
    ("pub -D nonsense ", ""),
    ("pub -D publish content-type ", ""),
    ("pub -D publish content-type x --will-q", "--will-qos"),
    ("pub -D publish user-property name --will-q", ""),
    ("pub -D publish user-property name value --will-q", "--will-qos"),
    # words of other commands
    ("ctl ", "status clients reload"),
    ("ctl --json ", "status clients reload"),
    ("ctl -c file r", "reload"),
    ("ctl status --j", "--json"),
    ("db ", "dump check salvage export"),
    ("db dump --cl", "--client-stats"),
    ("db check o", "one"),
    ("bench --scenario q", "qos1 qos2"),
    ("completion ", "bash zsh"),
    # bash splits words at = and :
    ("broker --config-file = ", "folder one two.txt"),
    ("broker --config-file = tw", "two.txt"),
    ("broker --port = 1883 --verb", "--verbose"),
    ("pub -L mqtt : //host --will-q", "--will-qos"),
    ("pub -L mqtt : //host", ""),
    ("pub -L mqtt :", ""),
    ("pub -D publish user-property a : b c --will-q", "--will-qos"),
    # files and folders
    ("pub -f t", "two.txt"),
    ("pub --file ", "folder one two.txt"),
    ("pub --cafile o", "one"),
    ("pub --capath ", "folder"),
    ("sub --unix o", "one"),
    ("broker -c folder/", "folder/inner"),
    ("setup ", "folder"),
])
def test_bash_offers(press, tmp_path, words, offered):
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "one").touch()
    (tmp_path / "two.txt").touch()
    found = press("noctule", *words.split(" "))
    assert sorted(found) == sorted(offered.split())


def test_a_file_may_have_blanks(press, tmp_path):
    (tmp_path / "a file").touch()
    assert press("noctule", "pub", "-f", "a") == ["a file"]


def test_the_program_takes_what_is_offered(press):
    """Each word that an option can be, and each property of each packet."""
    for tool in TOOLS:
        for option in press("noctule", tool, "-"):
            for word in press("noctule", tool, option, "") if option not in ("-D", "--property") else ():
                if word.startswith("-"):
                    break  # it has no value
                done = run(PROGRAM, tool, option, word, "--version")
                assert done.returncode == 0, (tool, option, word, done.stderr)
    for packet in press("noctule", "pub", "-D", ""):
        properties = press("noctule", "pub", "-D", packet, "")
        assert "user-property" in properties
        for name in properties:
            values = ["1", "1"] if name == "user-property" else ["1"]
            done = run(PROGRAM, "pub", "-D", packet, name, *values, "--version")
            assert done.returncode == 0, (packet, name, done.stderr)


# ---- the Tab key ----

class Terminal:
    """A shell on a terminal of its own, in which noctule is a function that shows its words."""

    def __init__(self, shell, env, start):
        self.seen = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(shell[0], shell, env)
        self.type("PS1='<re''ady>'; noctule() { printf 'got:%s;\\n' \"$*\"; }; " + start + "\n")
        self.expect("<ready>")

    def type(self, text):
        os.write(self.fd, text.encode())

    def expect(self, wanted):
        """Wait for a text, forget what is up to its end, and return that."""
        end = time.monotonic() + 60
        while wanted not in self.seen:
            assert time.monotonic() < end, self.seen
            if select.select([self.fd], [], [], 1)[0]:
                self.seen += os.read(self.fd, 65536).decode(errors="replace")
        before, _, self.seen = self.seen.partition(wanted)
        return before

    def words_of(self, keys):
        """What noctule gets when that is typed."""
        self.type(keys + "\n")
        self.expect("got:")
        words = self.expect(";")
        self.expect("<ready>")
        return words

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


STARTS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "source {folder}/noctule.bash"),
    "zsh-fpath": (["zsh", "-f", "-i"], "fpath=({folder}/functions $fpath); autoload -Uz compinit; "
                  "compinit -u -D"),
    "zsh-source": (["zsh", "-f", "-i"], "autoload -Uz compinit; compinit -u -D; "
                   "source {folder}/functions/_noctule"),
}


@pytest.mark.parametrize("start", STARTS)
def test_the_tab_key_completes(shells, tmp_path, start):
    (tmp_path / "folder").mkdir()
    (tmp_path / "two.txt").touch()
    shell, line = STARTS[start]
    env = {"PATH": f"{shells / 'bin'}:{os.environ['PATH']}", "HOME": str(tmp_path), "TERM": "dumb",
           "HISTFILE": "/dev/null"}
    go = f"cd {tmp_path}; " + line.format(folder=shells)
    terminal = Terminal(shell, env, go)
    try:
        for keys, words in (
                ("noctule bro\t--conf\ttw\t", "broker --config-file two.txt"),
                ("noctule sub --retain-ha\tal\t-t x", "sub --retain-handling always -t x"),
                ("noctule pub -D publ\tmess\t60 --will-q\t2", "pub -D publish message-expiry-interval 60 "
                 "--will-qos 2"),
                ("noctule pub -D will user-p\tk v --debu\t", "pub -D will user-property k v --debug"),
                ("noctule ctl rel\t", "ctl reload"),
                ("noctule setup fol\t", "setup folder"),
        ):
            assert terminal.words_of(keys).strip().rstrip("/") == words
        terminal.type("mosquitto_pub --will-ret\t--help | head -n 1\n")
        terminal.expect("mosquitto_pub: publish a message")
    finally:
        terminal.close()
