#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the client's side of tests/conversations as seeds for server_fuzz: conversation_seeds.py FOLDER

The fuzzer's first octet chooses the kind of listener and how the input is cut (src/smtp/server_fuzz.c)."""
import pathlib
import re
import sys

ESCAPES = {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\"}
KINDS = [0x00, 0x01, 0x2C, 0x41, 0x42, 0xB0, 0xE9]


def unescaped(text):
    return re.sub(r"\\(x..|.)", lambda m: ESCAPES.get(m[1]) or chr(int(m[1][1:], 16)), text)


def client_side(path):
    octets = ""
    for line in path.read_text("utf-8").splitlines():
        kind, text = line[:2], line[2:].removeprefix(" ")
        if kind in ("C:", "T:"):
            octets += unescaped(text) + ("\r\n" if kind == "C:" else "")
    return octets.encode("latin-1")


def main():
    target = pathlib.Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted((pathlib.Path(__file__).parent.parent / "conversations").glob("*.txt")):
        for kind in KINDS:
            (target / f"{path.stem}-{kind:02x}").write_bytes(bytes([kind]) + client_side(path))


main()
