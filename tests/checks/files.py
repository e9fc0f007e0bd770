#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Holds every file of the project to what belongs in it: small texts with a licence line, nothing that a tool made, no path of somebody's machine.

usage: files.py [PROJECT FOLDER]      exit status 0: it holds; 1: it does not, each place on its own line"""
import os
import re
import subprocess
import sys

BIGGEST = 512 * 1024
PICTURES = (".png", ".svg")
LICENSED = (".c", ".h", ".py", ".sh", ".ts", ".tsx")
MADE = re.compile(r"(\.(o|a|so|pyc|orig|rej|swp|log|gcda|gcno|profraw)|~)$|(^|/)(__pycache__|node_modules|build[^/]*|demo)/")
MACHINE_PATHS = re.compile(rb"/work/|/home/[a-z]|/root/")


def listed(root):
    """What git holds or would take; without git, everything."""
    done = subprocess.run(["git", "-C", root, "-c", f"safe.directory={root}", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], capture_output=True)
    if done.returncode == 0:
        return sorted(name for name in done.stdout.decode().split("\0") if name and os.path.lexists(os.path.join(root, name)))
    found = []
    for parent, folders, names in os.walk(root):
        folders[:] = [folder for folder in folders if not folder.startswith((".git", "build")) and folder not in ("demo", "node_modules", "__pycache__")]
        found += [os.path.relpath(os.path.join(parent, name), root) for name in names]
    return sorted(found)


def problems_of(root, name):
    path = os.path.join(root, name)
    if os.path.islink(path):
        yield f"{name}: a link"
        return
    size = os.path.getsize(path)
    if size > BIGGEST:
        yield f"{name}: {size} octets; what is that big does not belong here"
        return
    if MADE.search(name):
        yield f"{name}: a tool makes it"
    with open(path, "rb") as file:
        octets = file.read()
    if name.endswith(PICTURES):
        return
    is_data = name.startswith(("tests/fuzz/", "tests/corpora/"))
    if b"\0" in octets and not is_data:
        yield f"{name}: not a text"
        return
    if is_data:
        return
    head = octets[:300]
    is_script = head.startswith(b"#!")
    if (name.endswith(LICENSED) or is_script) and b"SPDX-License-Identifier: Apache-2.0" not in head:
        yield f"{name}:1: no licence line"
    if is_script and not name.endswith((".c", ".h")) and not os.access(path, os.X_OK):
        yield f"{name}: a script that can't be run: chmod +x"
    if octets and not octets.endswith(b"\n"):
        yield f"{name}: no line end at its end"
    for number, line in enumerate(octets.split(b"\n"), 1):
        if line.endswith(b"\r"):
            yield f"{name}:{number}: a line ends in CR"
        elif line.endswith((b" ", b"\t")) and not name.endswith((".md", ".txt")):
            yield f"{name}:{number}: blanks at its end"
        if re.match(rb"(<<<<<<<|>>>>>>>) ", line):
            yield f"{name}:{number}: a conflict is left"
        if MACHINE_PATHS.search(line) and name != "tests/checks/files.py":
            yield f"{name}:{number}: a path of somebody's machine"


def main():
    root = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
    names = listed(root)
    problems = [problem for name in names for problem in problems_of(root, name)]
    print(*problems, f"{len(names)} files, {len(problems)} problems", sep="\n")
    return 1 if problems or not names else 0


if __name__ == "__main__":
    sys.exit(main())
