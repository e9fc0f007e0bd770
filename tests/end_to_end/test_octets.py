# SPDX-License-Identifier: Apache-2.0
"""All messages of the corpora through DATA or BDAT, the queue and the Maildir, octet for octet but for the trace fields (T46). PORTIERE_CORPORA: where they
are (../shared/corpora when absent); without them each group is skipped by name."""
import collections
import concurrent.futures
import json
import re

import pytest
from portiere import CORPORA, DOMAIN, Server, free_port, wait_until

LENIENT = free_port()
GROUPS = {"mime": ("mime",), "dsn": ("dsn",), "arf": ("arf",), "smtputf8": ("smtputf8",), "loops": ("loops",)}
KINDS = (".eml", ".msg", ".txt")  # other files there are what a parser should make of them
KEPT_LINE_ENDS = re.compile(r"mime/malformed/|mime4j/bad-newlines")
FIELD = re.compile(rb"[!-9;-~]+[ \t]*:")
FIRST_FIELD = re.compile(rb"\AReceived: from [^\r\n]*(?:\r\n[ \t][^\r\n]*)*\r\n")
OUR_MARK = b"X-Portiere-Local-Sender: "  # behind our trace field when the From field is one of our addresses


def messages_of(group):
    """[(name, octets)]: LF becomes CRLF, but in the files whose line ends are the point."""
    found = []
    for folder in GROUPS[group]:
        for path in sorted((CORPORA / folder).rglob("*")):
            if path.is_file() and path.suffix in KINDS:
                name, octets = str(path.relative_to(CORPORA)), path.read_bytes()
                if not KEPT_LINE_ENDS.search(name):
                    octets = re.sub(rb"\r?\n", b"\r\n", octets)
                found.append((name, octets))
    if group == "loops":
        for vector in json.loads((CORPORA / "loops" / "loop-vectors.json").read_text("utf-8"))["vectors"]:
            found.append((f"loops/{vector['id']}", re.sub(rb"\r?\n", b"\r\n", vector["header"].encode()) + b"\r\ntext\r\n"))
    return found


def has_bare_ends(octets):
    return bool(re.search(rb"\r(?!\n)|(?<!\r)\n", octets))


@pytest.fixture(scope="module")
def world():
    with Server({"advanced.max_hops": "1000", "service.max_bad_commands": "1000"}, start=False) as server:
        server.settings["service.listen"].append(f"smtp 127.0.0.1:{LENIENT} auth=no lenient=yes")
        server.write_settings()
        server.start()
        yield server


def send(client, octets, in_chunks, size):
    """The reply to the end of the message, or an earlier refusal."""
    is_utf8 = any(octet > 127 for octet in octets)
    for command in (f"MAIL FROM:<x@altrove.test>{' BODY=8BITMIME' if is_utf8 else ''}", f"RCPT TO:<anna@{DOMAIN}>"):
        reply = client.command(command)
        assert reply.code == 250, reply
    if not in_chunks:
        return client.data(octets)
    pieces = [octets[at:at + size] for at in range(0, len(octets), size)] or [b""]
    client.send_octets(b"".join(b"BDAT %d%s\r\n" % (len(piece), b" LAST" if number == len(pieces) - 1 else b"") + piece for number, piece in enumerate(pieces)))
    replies = client.replies(len(pieces))
    return next((reply for reply in replies if reply.code >= 400), replies[-1])


def right_replies(octets, is_lenient):
    if b"\0" in octets:
        return {"554 5.6.0", "550 5.6.11"} if has_bare_ends(octets) else {"554 5.6.0"}
    if has_bare_ends(octets) and not is_lenient:
        return {"550 5.6.11"}
    return {"250"}


def went_through(server, sent):
    """Compares what stands in the Maildir with what was sent: {octets: how often}."""
    def all_there():
        return len(list(server.maildir("anna").glob("new/*"))) >= sum(sent.values())
    wait_until(all_there, f"{sum(sent.values())} messages in the Maildir", 120)
    stored = collections.Counter()
    for path in server.maildir("anna").glob("new/*"):
        octets = path.read_bytes()
        trace = FIRST_FIELD.match(octets)
        assert trace, octets[:500]
        rest = octets[trace.end():]
        if rest.startswith(OUR_MARK):
            rest = rest[rest.index(b"\r\n") + 2:]
        stored[rest] += 1
        path.unlink()
    missing, strange = sent - stored, stored - sent
    assert not missing and not strange, [(len(octets), octets[:300]) for octets in [*missing, *strange]][:4]


def as_stored(octets, in_chunks, is_lenient):
    """DATA ends with a line end: a message of which the last line had none got one; BDAT takes what comes. A Return-Path that came along is a trace field
    that only we may write, and goes; a line that is no field ends the header. On a lenient listener each CR, LF and CRLF ends a line."""
    if not in_chunks and not octets.endswith(b"\r\n"):
        octets += b"\r\n"
    if is_lenient:
        octets = re.sub(rb"\r\n|\r|\n", b"\r\n", octets)
    lines, kept, goes = re.findall(rb"[^\n]*\n|[^\n]+", octets), [], False
    for at, line in enumerate(lines):
        if at == 0 or line[:1] not in b" \t":
            if not FIELD.match(line):
                kept += lines[at:]
                break
            goes = line.lower().startswith(b"return-path")
        if not goes:
            kept.append(line)
    return b"".join(kept)


@pytest.mark.parametrize("group", GROUPS)
def test_t46_octet_for_octet_through_queue_and_maildir(world, group):
    messages = messages_of(group) if CORPORA.is_dir() else []
    if not messages:
        pytest.skip(f"corpora/{group} is not at {CORPORA}")
    sent, wrong = collections.Counter(), []

    def session(port, mine):
        with world.stranger(port=port) as client:
            for number, name, octets in mine:
                in_chunks = number % 2 == 1
                reply = send(client, octets, in_chunks, 1000 + 7919 * number % 60000)
                right = right_replies(octets, port == LENIENT)
                if not any(str(reply).startswith(begin) for begin in right):
                    wrong.append((name, "BDAT" if in_chunks else "DATA", str(reply), right))
                elif reply.code == 250:
                    yield as_stored(octets, in_chunks, port == LENIENT)
                assert client.command("RSET").code == 250

    def run(job):
        return list(session(*job))
    numbered = [(number, *message) for number, message in enumerate(messages)]
    bare = [row for row in numbered if has_bare_ends(row[2])]
    jobs = [(world.smtp_port, numbered[0::2]), (world.smtp_port, numbered[1::2]), (LENIENT, bare)]
    with concurrent.futures.ThreadPoolExecutor(len(jobs)) as pool:
        for stored in pool.map(run, jobs):
            sent.update(stored)
    assert not wrong, wrong[:5]
    went_through(world, sent)
    print(f"{group}: {len(messages)} messages, {sum(sent.values())} stored, {len(bare)} with bare CR or LF")


def test_t46_nul_is_refused_on_both_listeners(world):
    for port in (world.smtp_port, LENIENT):
        for in_chunks in (False, True):
            with world.stranger(port=port) as client:
                assert str(send(client, b"Subject: x\r\n\r\nbefore\0behind\r\n", in_chunks, 10)).startswith("554 5.6.0")
                assert client.command("NOOP").code == 250
    assert not list(world.maildir("anna").glob("new/*"))


def test_binarymime_may_hold_nul(world):
    octets = b"Subject: binario\r\nContent-Transfer-Encoding: binary\r\n\r\n" + bytes(range(256)) * 10
    with world.stranger() as client:
        assert "BINARYMIME" in client.extensions
        client.send_octets(b"MAIL FROM:<x@altrove.test> BODY=BINARYMIME\r\nRCPT TO:<anna@casa.test>\r\nBDAT %d LAST\r\n" % len(octets) + octets)
        replies = client.replies(3)
    assert [reply.code for reply in replies[:2]] == [250, 250]
    assert replies[2].code == 250, replies[2]
    wait_until(lambda: list(world.maildir("anna").glob("new/*")), "the message")
    path, = world.maildir("anna").glob("new/*")
    stored = path.read_bytes()
    path.unlink()
    assert FIRST_FIELD.sub(b"", stored) in (octets, octets + b"\r\n"), stored
