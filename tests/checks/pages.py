#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the pages to the program: the manual pages in docs/man are what `portiere help --as-manual` makes from the tables, and every link in a
page of ours leads to a file of ours.

usage: pages.py PORTIERE [PROJECT FOLDER]     (PORTIERE: the built program)
After a change of a table: PORTIERE help --as-manual >docs/man/portiere.1; PORTIERE help settings --as-manual >docs/man/portiere.conf.5"""

import os
import re
import subprocess
import sys

MANUALS = {"docs/man/portiere.1": ["help", "--as-manual"], "docs/man/portiere.conf.5": ["help", "settings", "--as-manual"]}


def manual_problems(program, root):
    for page, words in MANUALS.items():
        made = subprocess.run([program, *words], stdout=subprocess.PIPE, check=True, env={"PATH": os.environ["PATH"], "LANG": "C"}).stdout
        assert len(made) > 1000, page
        with open(os.path.join(root, page), "rb") as file:
            if file.read() != made:
                yield f"{page}: differs from what the tables say; make it anew: portiere {' '.join(words)} >{page}"


def link_problems(root):
    pages = 0
    for parent, folders, names in os.walk(root):
        folders[:] = [f for f in folders if not f.startswith((".", "build")) and f not in ("demo", "node_modules")]
        for name in names:
            if not name.endswith(".md"):
                continue
            pages += 1
            path = os.path.join(parent, name)
            for number, line in enumerate(open(path, encoding="utf-8"), 1):
                for link in re.findall(r"\]\(([^)#\s]+)", line):
                    if not re.match(r"https?:|mailto:", link) and not os.path.exists(os.path.join(parent, link)):
                        yield f"{os.path.relpath(path, root)}:{number}: {link} is not there"
    assert pages >= 3, pages


def main():
    program = os.path.abspath(sys.argv[1])
    root = os.path.abspath(sys.argv[2] if len(sys.argv) > 2 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
    problems = [*manual_problems(program, root), *link_problems(root)]
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
