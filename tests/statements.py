#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The normative statements of MQTT: which the source cites, and which the tests test.

    tests/statements.py [--all]
    tests/statements.py --check | --write

A statement is a tag of the standard: [MQTT-3.3.4-6] is one of MQTT 5.0,
[MQTT-3.1.3-8 of 3.1.1] one of MQTT 3.1.1.

Without options: prints the tags found under src/ that stand nowhere under tests/ (with --all:
all tags, with the files that cite them). The exit code is 1 when such a tag stands in src/mqtt.

--check goes through the list of all statements, tests/e2e/conformance/statements.txt: each one
that is a server's duty must be cited by a test beside it, no end-to-end test may cite what is not
in the list, and docs/conformance.md must say the same. Exits with 1, and the reasons, if not.
--write makes docs/conformance.md.
"""

import ast
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIST = ROOT / "tests/e2e/conformance/statements.txt"
PAGE = ROOT / "docs/conformance.md"
# 3.1.1 writes one of its tags as MQTT-3-8.3-4; that, too, is a tag.
TAG = re.compile(r"MQTT-\d+(?:[.-]\d+)*-\d+")
CITED = re.compile(r"MQTT-(\d+(?:[.-]\d+)*-\d+)(\]? of 3\.1\.1)?")
TEXT = {".c", ".h", ".txt", ".py", ".md", ".json"}
WHO = ("server", "client", "none", "deviation")
SECTIONS = {
    "1": "Data types",
    "2": "Packet format",
    "3.1": "CONNECT",
    "3.2": "CONNACK",
    "3.3": "PUBLISH",
    "3.4": "PUBACK",
    "3.5": "PUBREC",
    "3.6": "PUBREL",
    "3.7": "PUBCOMP",
    "3.8": "SUBSCRIBE",
    "3.9": "SUBACK",
    "3.10": "UNSUBSCRIBE",
    "3.11": "UNSUBACK",
    "3.12": "PINGREQ",
    "3.14": "DISCONNECT",
    "3.15": "AUTH",
    "4.1": "Session state",
    "4.2": "Network connections",
    "4.3": "Quality of service",
    "4.4": "Delivery after a reconnect",
    "4.5": "Messages that arrive",
    "4.6": "Order",
    "4.7": "Topics and filters",
    "4.8": "Shared subscriptions",
    "4.9": "Flow control",
    "4.12": "Extended authentication",
    "4.13": "Errors",
    "6": "WebSocket",
}
INTRODUCTION = """\
# Conformance

All normative statements of MQTT 5.0 and 3.1.1 by their numbers, and what the broker does about
each one. This page is made by `tests/statements.py --write`; `make test` fails when it is not
up to date or a statement that is a server's duty has no test.

The tests are in `tests/e2e/conformance`: packets by hand against the running broker, with version
5 and 3.1.1 wherever a statement holds for both. Most of them pass with Mosquitto 2.0.11 too; where
it does otherwise the test says so. The other end-to-end tests and the unit tests go deeper.

"Client's duty": it asks nothing of a server. "Cannot arise": the words say why.

## Beyond the statements

What the standard leaves open is decided as Mosquitto does, so that nobody notices the exchange:

- A subscription that is not valid ends the connection; it is not answered in the SUBACK.
- `$share/` makes a subscription shared in version 3.1.1 as well, if a name and a filter follow it; what
  lacks one of them is a filter like any other there, and ends the connection in version 5.
- Overlapping subscriptions of a client get one copy, at the highest QoS.
- Retained messages of its own come to a subscriber with *no local* too.
- A password that is wrong and a right that is missing have the same reason in CONNACK.
- Nobody may publish below `$SYS`.
- A bridge of version 3 (the high bit of the protocol version) subscribes with *no local* and
  *retain as published*.
- Lengths in the fixed header may take more bytes than they need.
- MQTT 3.1: client identifiers of more than 23 characters are accepted; an empty one is not; the
  user name and password that the flags promise may be missing; SUBSCRIBE, UNSUBSCRIBE and PUBREL
  may have the DUP flag.

Stricter than Mosquitto 2.0.11, because the standard demands it: a PUBLISH at QoS 0 with DUP, a
response topic with a wildcard and reserved flags end the connection; *no local* on a shared
subscription does; shared subscriptions get no retained messages; a QoS 1 or 2 message that has
been sent once does not expire; the will of a version 5 client is sent after every DISCONNECT but
the normal one, and at a takeover unless it is delayed and the session goes on.

Limits of our own, where the standard knows none: a CONNECT has 64 KiB at most, a topic or filter
200 levels, and QoS 2 messages that wait for their PUBREL 64 MiB per client.
"""


def tags_below(folder):
    """Map each tag to the sorted list of files below folder that cite it."""
    found = {}
    for path in sorted((ROOT / folder).rglob("*")):
        if path.suffix not in TEXT or not path.is_file() or path == LIST:
            continue
        if "node_modules" in path.parts:
            continue
        for tag in TAG.findall(path.read_text(errors="replace")):
            files = found.setdefault(tag, [])
            name = str(path.relative_to(ROOT))
            if name not in files:
                files.append(name)
    return found


def order(tag):
    return [int(part) for part in re.findall(r"\d+", tag)]


def list_untested(is_all):
    source, tests = tags_below("src"), tags_below("tests")
    untested = [tag for tag in sorted(source, key=order) if tag not in tests]
    if is_all:
        for tag in sorted(source, key=order):
            print(f"{tag}: {', '.join(source[tag])} | {', '.join(tests.get(tag, ['no test']))}")
    else:
        for tag in untested:
            print(f"{tag}: no test; cited in {', '.join(source[tag])}")
    print(f"{len(source)} statements cited in src, {len(untested)} without a test")
    return any(name.startswith("src/mqtt/") for tag in untested for name in source[tag])


# ---- the list of all statements ----


def read_list():
    """Map ("5" or "3", number) to (who, words), or to ("=", [numbers of 5.0])."""
    statements = {}
    for line in LIST.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        version, number, who, words = line.split(" ", 3)
        assert version in "35" and (version, number) not in statements, line
        if who == "=":
            assert version == "3", line
            statements[version, number] = (who, words.split())
        else:
            assert who in WHO and words.endswith("."), line
            statements[version, number] = (who, words)
    return statements


def tests_of(path):
    """Yield (name, text) of the tests in a file, decorators and all, and of the rest of it."""
    source = path.read_text()
    lines = source.splitlines()
    rest = list(lines)
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            first = min([node.lineno] + [mark.lineno for mark in node.decorator_list]) - 1
            yield node.name, "\n".join(lines[first : node.end_lineno])
            rest[first : node.end_lineno] = [""] * (node.end_lineno - first)
    yield path.name, "\n".join(rest)


def read_tests(folder):
    """Map each statement that is cited there to the names of the tests that do it."""
    cited = {}
    for path in sorted((ROOT / folder).glob("test_*.py")):
        for name, text in tests_of(path):
            for number, suffix in CITED.findall(text):
                names = cited.setdefault(("3" if suffix else "5", number), [])
                if name not in names and (name != path.name or not names):
                    names.append(name)
    return cited


def missing(statements, cited):
    """What is wrong with list and tests, a line each."""
    for (version, number), (who, words) in statements.items():
        label = number if version == "5" else f"{number} of 3.1.1"
        if who == "server" and (version, number) not in cited:
            yield f"[MQTT-{label}] has no test: {words}"
        if who == "=":
            for other in words:
                if ("5", other) not in statements:
                    yield f"[MQTT-{label}] refers to {other}, which is not in the list"
    elsewhere = read_tests("tests/e2e")
    for (version, number), names in sorted([*cited.items(), *elsewhere.items()]):
        if (version, number) not in statements:
            label = number if version == "5" else f"{number} of 3.1.1"
            yield f"[MQTT-{label}] is not in the list; cited by {', '.join(names)}"


def cell(version, number, statements, cited):
    """The columns "what it asks for" and "how we meet it"."""
    who, words = statements[version, number]
    names = cited.get((version, number), [])[:3]
    tests = ", ".join(f"`{name}`" for name in names)
    if who == "=":
        return "", "as " + ", ".join(words) + " of 5.0"
    if who == "client":
        return words, "client's duty" + (f"; {tests}" if tests else "")
    if who == "none":
        return words, "cannot arise"
    if who == "deviation":
        return words, "**deviation**"
    return words, tests


def page(statements, cited):
    out = [INTRODUCTION]
    for version, title in (("5", "MQTT 5.0"), ("3", "MQTT 3.1.1")):
        numbers = sorted((n for v, n in statements if v == version), key=order)
        duties = sum(statements[version, n][0] in ("server", "=") for n in numbers)
        out.append(f"## {title}\n\n{len(numbers)} statements, {duties} of them ours.\n")
        previous = None
        for number in numbers:
            section = next(s for s in (".".join(number.split("-")[0].split(".")[:2]),
                                       number.split(".")[0]) if s in SECTIONS)
            if section != previous:
                out.append(("" if previous is None else "\n") +
                           f"### {section} {SECTIONS[section]}\n\n"
                           "| number | what it asks for | how we meet it |\n| --- | --- | --- |")
                previous = section
            words, how = cell(version, number, statements, cited)
            out.append(f"| {number} | {words} | {how} |")
        out.append("")
    return "\n".join(out)


def check(is_writing):
    statements, cited = read_list(), read_tests("tests/e2e/conformance")
    wrong = list(missing(statements, cited))
    text = page(statements, cited)
    if is_writing:
        PAGE.write_text(text)
    elif not PAGE.exists() or PAGE.read_text() != text:
        wrong.append("docs/conformance.md is out of date: run tests/statements.py --write")
    for line in wrong:
        print(line)
    print(f"{len(statements)} statements, {len(wrong)} findings")
    return bool(wrong)


def main(arguments):
    if "--check" in arguments or "--write" in arguments:
        return check("--write" in arguments)
    return list_untested("--all" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
