#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the C sources to the rules of style that a program can see: no typedef for structs, includes by folder, headers that open with their contract,
functions that end within reach, TODO with its issue, no mutable global.

usage: style.py [PROJECT FOLDER]      exit status 0: it holds; 1: it does not, each place on its own line"""
import os
import re
import sys

LONGEST_FUNCTION = 75  # the rule says 60 at the outside; what is a table or one long switch may be a little longer
LONGEST_LINE = 200
CONTRACT_LINES = 12


def without_comments_and_strings(source):
    def blank(match):
        text = match.group(0)
        return re.sub(r"[^\n]", " ", text) if text.startswith(("/*", "//")) else '""'
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, source, flags=re.S)


def functions(code):
    """(line, name, length) of each function: a line that begins with a letter, a brace in column 0, and its end in column 0."""
    lines = code.split("\n")
    start, name = None, None
    for number, line in enumerate(lines):
        if line == "{" and number and start is None:
            head = next((lines[i] for i in range(number - 1, -1, -1) if re.match(r"[A-Za-z_]", lines[i])), "")
            found = re.search(r"(\w+)\(", head)
            start, name = number, found.group(1) if found else "?"
        elif line == "}" and start is not None:
            yield start + 1, name, number - start - 1
            start = None


def problems_of(root, path):
    name = os.path.relpath(path, root)
    with open(path, encoding="utf-8") as file:
        source = file.read()
    code = without_comments_and_strings(source)
    is_test = path.endswith(("_test.c", "_fuzz.c", "_for_tests.c"))
    for number, line in enumerate(source.split("\n"), 1):
        if len(line) > LONGEST_LINE and not name.endswith(".def"):
            yield f"{name}:{number}: {len(line)} columns"
        if "\t" in line:
            yield f"{name}:{number}: a tab"
        if re.search(r"\b(TODO|FIXME|XXX)\b", line) and not re.search(r"\b(TODO|FIXME|XXX) #\d+", line):
            yield f"{name}:{number}: TODO without the number of its issue"
        include = re.match(r'#include "([^"]+)"', line)
        if include and "/" not in include.group(1) and not include.group(1).endswith(".def"):
            yield f"{name}:{number}: include it by its folder: {os.path.basename(os.path.dirname(path))}/{include.group(1)}"
    for number, line in enumerate(code.split("\n"), 1):
        if re.match(r"\s*typedef\s+(struct|union|enum)\b", line):
            yield f"{name}:{number}: no typedef for a struct"
        if re.match(r"(static\s+)?(?!const\b|extern\b|typedef\b|struct\s+\w+;)(?:[\w]+[\s*]+)+\w+(\[[^\]]*\])*\s*(=[^=].*)?;$", line) and not is_test:
            if not re.match(r"(static\s+)?(const|struct\s+\w+;|enum\s+\w+;|return|else|goto)\b", line) and " const " not in f" {line} " and "(" not in line.split("=")[0]:
                yield f"{name}:{number}: a mutable global"
    if path.endswith(".h"):
        second = source.split("\n")[1:2]
        if not second or not second[0].startswith("/* "):
            yield f"{name}:2: a header opens with its contract"
        elif source[source.index("/*", source.index("*/")):].split("*/", 1)[0].split("\n *\n", 1)[0].count("\n") >= CONTRACT_LINES:
            yield f"{name}:2: the contract is longer than {CONTRACT_LINES} lines; a format's description goes below an empty line"
    for number, function, length in functions(code):
        if length > LONGEST_FUNCTION and not is_test:  # a table of cases may be as long as it likes
            yield f"{name}:{number}: {function} has {length} lines"


SELF_TEST = {
    "typedef struct { int x; } thing;\n": "no typedef",
    "int counter;\n": "a mutable global",
    "static struct thing *things[4] = {0};\n": "a mutable global",
    "/* TODO later */\n": "TODO",
    '#include "text.h"\n': "include it by its folder",
    "int f(void)\n{\n" + "    g();\n" * 80 + "}\n": "has 80 lines",
    "static const int table[] = {1};\nenum { A = 1 };\nstruct x;\nint f(void);\n": None,
}


def self_test():
    import tempfile
    with tempfile.TemporaryDirectory() as folder:
        for source, wanted in SELF_TEST.items():
            path = os.path.join(folder, "a.c")
            with open(path, "w", encoding="utf-8") as file:
                file.write(source)
            found = list(problems_of(folder, path))
            assert (len(found) == 1 and wanted in found[0]) if wanted else not found, (source, found)


def main():
    self_test()
    root = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
    files, problems = 0, []
    for parent, _, names in os.walk(os.path.join(root, "src")):
        for name in sorted(names):
            if name.endswith((".c", ".h")):
                files += 1
                problems += problems_of(root, os.path.join(parent, name))
    print(*problems, f"{files} files, {len(problems)} problems", sep="\n")
    return 1 if problems or not files else 0


if __name__ == "__main__":
    sys.exit(main())
