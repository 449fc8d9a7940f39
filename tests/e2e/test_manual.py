# SPDX-License-Identifier: Apache-2.0
"""The client tools' pages of the manual: what they say of the options is what the tools know."""

import os
import re
import subprocess

import pytest

from conftest import PROGRAM

pytestmark = pytest.mark.noctule_only

TOOLS = ("pub", "sub", "rr")


def run(*words, **more):
    return subprocess.run(words, text=True, capture_output=True, timeout=60, **more)


def names_in_help(text):
    """The options at the beginnings of the lines of --help."""
    return [name for line in text.splitlines() if line.startswith("  -")
            for name in re.findall(r"(?:^  |, )(--?[A-Za-z][-\w]*)", line)]


def names_in_roff(text):
    text = text.replace("\\-", "-")
    return [name for line in re.findall(r"^\.TP\n(.*)", text, re.MULTILINE)
            for name in re.findall(r"\\fB(-[-\w]+)\\fR", line)]


@pytest.mark.parametrize("tool", TOOLS)
def test_the_manual_has_each_option_once_and_with_help(tool):
    done = run(PROGRAM, tool, "--man")
    known = names_in_help(run(PROGRAM, tool, "--help").stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(known) > 60 and names_in_roff(done.stdout) == known
    assert not re.search(r"^\.TP\n.*\n(\.TP|$)", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("tool", TOOLS)
def test_the_page_that_was_built_is_whole(tool):
    path = os.path.join(os.path.dirname(PROGRAM), f"noctule-{tool}.1")
    if not os.path.exists(path):
        pytest.skip("the program stands alone")
    with open(path, encoding="utf-8") as file:
        page = file.read()
    sections = re.findall(r"^\.SH (.*)", page, re.MULTILINE)
    output = ["OUTPUT FORMAT"] if tool != "pub" else []
    assert sections == ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", *output, "PROPERTIES", "TLS",
                        "WEBSOCKET AND PORT 443", "FILES", "ENVIRONMENT", "EXIT STATUS",
                        "MOSQUITTO'S NAMES", "EXAMPLES", "SEE ALSO"]
    assert page.startswith('.\\" SPDX') and run(PROGRAM, tool, "--man").stdout in page


@pytest.mark.parametrize("tool", TOOLS)
def test_the_examples_of_a_page_are_command_lines_that_are_known(tool, tmp_path):
    """Each is read whole: what follows is refused, and it is the first thing that is."""
    folder = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "man")
    with open(os.path.join(folder, f"noctule-{tool}.1.tail"), encoding="utf-8") as file:
        text = file.read().replace("\\e\n", "\\\n").replace("\\-", "-").replace("\\(aq", "'")
    lines = re.findall(rf"^(?:.*[|(]\s*)?noctule ({tool} (?:.*\\\n)*.*)", text, re.MULTILINE)
    assert len(lines) >= 4
    for line in lines:
        line = re.sub(r"\)$|\|.*", "", line)
        script = f'exec "$PROGRAM" {line} --nonsense'
        done = run("sh", "-c", script, cwd=tmp_path, stdin=subprocess.DEVNULL,
                   env={**os.environ, "PROGRAM": PROGRAM, "HOME": str(tmp_path)})
        assert (done.returncode, done.stdout) == (1, ""), line
        assert done.stderr.startswith("Error: Unknown option '--nonsense'."), (line, done.stderr)


def test_mosquittos_tools_have_no_option_for_it(tmp_path):
    link = tmp_path / "mosquitto_sub"
    link.symlink_to(os.path.abspath(PROGRAM))
    done = run(link, "--man")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: Unknown option '--man'.")


@pytest.mark.parametrize("option", ("--man", "--help", "--version"))
def test_what_could_not_be_written_is_a_failure(option):
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([PROGRAM, "pub", option], stdout=full, timeout=60)
    assert done.returncode == 1
