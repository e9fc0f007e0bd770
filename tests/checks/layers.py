#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the sources to docs/architecture.md: reads its table of folders and fails when an include contradicts it, when a pure folder calls the
kernel, when a library is used outside the folder that wraps it, when a function that trusts a terminated string is called outside of system/,
when a file has no licence line, and when a folder is called util, common or misc.

usage: layers.py [PROJECT FOLDER]      exit status 0: it holds; 1: it does not, each place on its own line"""

import os
import re
import shutil
import sys
import tempfile

BANNED = """strcpy strcat strncpy strncat stpcpy sprintf vsprintf gets scanf sscanf fscanf strtok strtok_r atoi atol atoll atof strtol strtoul
strtoll strtoull strtod strchr strrchr strstr strcmp strncmp strcasecmp strncasecmp strdup strndup strlen strnlen alloca system popen
tmpnam mktemp""".split()
KERNEL_HEADERS = re.compile(r"<(unistd|fcntl|poll|time|pthread|signal|netdb|dirent|threads|(sys|netinet|arpa|linux)/\w+)\.h>")
# Whose header may stand where; elsewhere the folder that wraps it is used.
LIBRARIES = {
    "openssl/ssl.h": {"tls"},
    "sqlite3.h": {"accounts", "record"},
    "unbound.h": {"dns"},
    "gsasl.h": {"accounts"},
    "crypt.h": {"accounts"},
    "seccomp.h": {"system"},
    "xxhash.h": {"base", "spool"},
    "idn2.h": {"mail"},
    "jansson.h": {"command", "console", "record"},
}
# The one place where a terminated string becomes a text.
PERMITTED = {("src/base/text.c", "strlen")}
FORBIDDEN_FOLDERS = {"util", "utils", "common", "misc"}


def table_of(page):
    """folder -> (is pure, folders it may include); None for all."""
    rows, inside = {}, False
    for line in open(page, encoding="utf-8"):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if cells[0] == "folder":
            inside = True
        elif not line.startswith("|"):
            inside = False
        elif inside and len(cells) == 4 and not cells[0].startswith("-"):
            allowed = None if cells[3] == "all" else {name.strip() for name in cells[3].split(",")} - {"–", ""}
            rows[cells[0]] = (cells[2] == "yes", allowed)
    return rows


def without_comments_and_strings(source):
    """Blanks out what is no code; line numbers stay."""
    def blank(match):
        text = match.group(0)
        return re.sub(r"[^\n]", " ", text) if text.startswith(("/*", "//")) else '""'
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, source, flags=re.S)


def is_test(name):
    return name.endswith(("_test.c", "_fuzz.c", "_for_tests.c", "_for_tests.h"))


def check_file(root, folder, path, table, problems):
    name = os.path.basename(path)
    where = os.path.relpath(path, root)
    source = open(path, encoding="utf-8").read()
    pure, allowed = table[folder]
    if name.endswith((".c", ".h")) and source.split("\n", 1)[0] != "/* SPDX-License-Identifier: Apache-2.0 */":
        problems.append(f"{where}:1: the first line is not the licence line")
    for number, line in enumerate(source.split("\n"), 1):
        own = re.match(r'\s*#\s*include\s+"(\w+)/', line)
        system = re.match(r"\s*#\s*include\s+(<[^>]+>)", line)
        if own and own.group(1) != folder and allowed is not None and own.group(1) not in allowed:
            if not (is_test(name) and own.group(1) in table):
                problems.append(f"{where}:{number}: {folder} may not include {own.group(1)} (docs/architecture.md)")
        if system and pure and not is_test(name) and KERNEL_HEADERS.match(system.group(1)):
            problems.append(f"{where}:{number}: {folder} is pure and may not include {system.group(1)}")
        library = system.group(1)[1:-1] if system else None
        if library in LIBRARIES and folder not in LIBRARIES[library] and not is_test(name):
            problems.append(f"{where}:{number}: {library} belongs to {', '.join(sorted(LIBRARIES[library]))}")
    if folder == "system" or is_test(name):
        return
    code = without_comments_and_strings(source)
    for match in re.finditer(r"\b(" + "|".join(BANNED) + r")\s*\(", code):
        number = code.count("\n", 0, match.start()) + 1
        if (where, match.group(1)) in PERMITTED:
            continue
        problems.append(f"{where}:{number}: {match.group(1)} is not used outside of system/ (struct text, src/base/text.h)")


def check_folder_names(root, problems):
    for parent, folders, _ in os.walk(root):
        folders[:] = [f for f in folders if not f.startswith((".", "build")) and f not in ("demo", "node_modules")]
        for folder in folders:
            if folder.lower() in FORBIDDEN_FOLDERS:
                problems.append(f"{os.path.relpath(os.path.join(parent, folder), root)}: a folder is named after what it holds")


SELF_TEST = {
    "src/mail/a.c": ('#include "spool/spool.h"\n', 2, "mail may not include spool"),
    "src/mail/b.c": ("#include <unistd.h>\n", 2, "mail is pure"),
    "src/smtp/c.c": ("#include <openssl/ssl.h>\n", 2, "belongs to tls"),
    "src/smtp/d.c": ("int f(void) { return atoi(TEXT); }\n", 2, "atoi is not used"),
    "src/smtp/good.c": ('#include "mail/mail.h"\n/* strcpy() in a comment, "strcpy()" in a string: */ char *x = "strcpy(";\n', 0, ""),
    "src/system/e.c": ("#include <unistd.h>\nint f(void) { return strlen(x); }\n", 0, ""),
    "src/util/f.c": ("", 0, ""),
}


def self_test(root):
    """Each forbidden thing is found where it stands, and nothing else is."""
    with tempfile.TemporaryDirectory() as folder:
        os.makedirs(os.path.join(folder, "docs"))
        shutil.copy(os.path.join(root, "docs", "architecture.md"), os.path.join(folder, "docs"))
        for name, (source, _, _) in SELF_TEST.items():
            os.makedirs(os.path.join(folder, os.path.dirname(name)), exist_ok=True)
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write("/* SPDX-License-Identifier: Apache-2.0 */\n" + source)
        with open(os.path.join(folder, "src/smtp/g.c"), "w", encoding="utf-8") as file:
            file.write("int x;\n")
        found, _, _ = check(folder)
    wanted = [f"{name}:{line}: .*{what}" for name, (_, line, what) in SELF_TEST.items() if line]
    wanted += ["src/smtp/g.c:1: the first line", "src/util: no row", "src/util: a folder is named"]
    for pattern in wanted:
        assert sum(bool(re.match(pattern, problem)) for problem in found) == 1, (pattern, found)
    assert len(found) == len(wanted), found


def check(root):
    """problems, number of files, number of folders"""
    table = table_of(os.path.join(root, "docs", "architecture.md"))
    problems, files = [], 0
    if len(table) < 10:
        problems.append("docs/architecture.md: the table of folders was not found")
    for folder in sorted(os.listdir(os.path.join(root, "src"))):
        path = os.path.join(root, "src", folder)
        if not os.path.isdir(path):
            continue
        if folder not in table:
            problems.append(f"src/{folder}: no row of this folder in docs/architecture.md")
            continue
        for name in sorted(os.listdir(path)):
            if name.endswith((".c", ".h", ".def")):
                files += 1
                check_file(root, folder, os.path.join(path, name), table, problems)
    check_folder_names(root, problems)
    return problems, files, len(table)


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    root = os.path.abspath(root)
    self_test(root)
    problems, files, folders = check(root)
    for problem in problems:
        print(problem)
    print(f"{files} files, {folders} folders, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
