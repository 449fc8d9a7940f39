#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""List the normative statements of MQTT that the source cites, and which of them no test cites.

    tests/statements.py [--all]

A statement is a tag of the standard, such as [MQTT-3.3.4-6]. Prints the tags found under src/
that stand nowhere under tests/ (with --all: all tags, with the files that cite them). The exit
code is 1 when such a tag stands in src/mqtt, else 0.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# 3.1.1 writes one of its tags as MQTT-3-8.3-4; that, too, is a tag.
TAG = re.compile(r"MQTT-\d+(?:[.-]\d+)*-\d+")
TEXT = {".c", ".h", ".txt", ".py", ".md", ".json"}


def tags_below(folder):
    """Map each tag to the sorted list of files below folder that cite it."""
    found = {}
    for path in sorted((ROOT / folder).rglob("*")):
        if path.suffix not in TEXT or not path.is_file():
            continue
        for tag in TAG.findall(path.read_text(errors="replace")):
            files = found.setdefault(tag, [])
            name = str(path.relative_to(ROOT))
            if name not in files:
                files.append(name)
    return found


def order(tag):
    return [int(part) for part in re.findall(r"\d+", tag)]


def main(arguments):
    source, tests = tags_below("src"), tags_below("tests")
    untested = [tag for tag in sorted(source, key=order) if tag not in tests]
    if "--all" in arguments:
        for tag in sorted(source, key=order):
            print(f"{tag}: {', '.join(source[tag])} | {', '.join(tests.get(tag, ['no test']))}")
    else:
        for tag in untested:
            print(f"{tag}: no test; cited in {', '.join(source[tag])}")
    print(f"{len(source)} statements cited in src, {len(untested)} without a test")
    return any(name.startswith("src/mqtt/") for tag in untested for name in source[tag])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
