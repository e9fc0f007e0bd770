# SPDX-License-Identifier: Apache-2.0
"""Tries each case of cases.py against one running server; below, those that need a server or a world of their own."""
import contextlib
import os
import re
import shutil
import signal
import socket
import struct
import subprocess

import pytest
from cases import CASES, CLOSED, NOTHING, Text, mail_marked
from portiere import DOMAIN, Server, Smtp, free_port, wait_until

LENIENT = free_port()


@pytest.fixture(scope="module")
def world():
    settings = {"delivery.max_message_size": "2M", "advanced.max_recipients_server": "120", "delivery.retry_intervals": "1s"}
    with Server(settings, dns=True, start=False) as server:
        server.settings["service.listen"].append(f"smtp 127.0.0.1:{LENIENT} auth=no lenient=yes")
        server.write_settings()
        server.start()
        server.remote = server.host(server.remote(extensions=("PIPELINING", "8BITMIME", "SIZE 50000000", "ENHANCEDSTATUSCODES", "CHUNKING", "BINARYMIME", "DSN")), "fuori.test")
        server.remote.replies["RCPT"] = lambda _session, argument: "550 5.1.1 nobody" if "nessuno" in argument else "250 2.1.5 ok"
        yield server


def come_in(world, way):
    if way == "login":
        return world.login("anna")
    if way == "friend":
        return world.trusted()
    if way == "mail":
        return world.stranger()
    return world.stranger(port={"smtp": world.smtp_port, "submission": world.submission_port, "lenient": LENIENT}[way], hello=False)


def fits(reply, wanted):
    if isinstance(wanted, set):
        return any(fits(reply, one) for one in wanted)
    return reply.code == wanted if isinstance(wanted, int) else str(reply).startswith(wanted)


def hears(client, wanted, sent):
    if wanted is CLOSED:
        assert client.is_closed(), sent
        return
    if wanted is NOTHING:
        assert not client.is_closed(0.3) and not client.rest, (sent, client.rest)
        return
    for one in wanted if isinstance(wanted, list) else [wanted]:
        reply = client.reply()
        assert fits(reply, one), f"to {sent!r} came {reply}; right is {wanted}"


def talk(world, way, *lines):
    with come_in(world, way) as client:
        assert way not in ("smtp", "lenient", "submission") or len(client.greeting.lines) == 1
        for sent, wanted in zip(lines[::2], lines[1::2], strict=True):
            if isinstance(sent, Text):
                reply = client.data(sent.octets)
                assert fits(reply, wanted), f"to the text came {reply}; right is {wanted}"
                continue
            client.send_octets(sent if isinstance(sent, bytes) else sent.encode() + b"\r\n")
            hears(client, wanted, sent[:200])


@pytest.mark.parametrize("case", [pytest.param(case, id=case.number, marks=[pytest.mark.xfail(reason=case.fails, strict=True)] if case.fails else []) for case in CASES])
def test_case(world, case):
    for way, *lines in case.talks:
        talk(world, way, *lines)
    if case.then:
        case.then(world)
    with world.stranger() as client:
        assert client.command("NOOP").code == 250


# Those that need a moment, a world or a server of their own ------------------------------------------------------------------------------

def alarms(server):
    return [event for event in server.events(level="alarm")]


def test_c016_c020_who_is_silent_is_closed_with_421_and_the_cap_names_its_reason(make_server):
    server = make_server({"service.session_timeout": "5s", "service.max_incoming_per_host": "3"})
    probe = server.stranger(hello=False)
    probe.send_octets(b"QUIT\r")
    monitors = [server.connect("127.0.0.3", hello=False) for _ in range(3)]
    over = server.connect("127.0.0.3", hello=False)
    assert str(over.greeting).startswith("421 4.7.0 Too many connections") and over.is_closed(), over.greeting
    assert not probe.is_closed(0.5) and not probe.rest
    for client in [probe, *monitors]:
        assert str(client.reply()).startswith("421 4.4.2") and client.is_closed()
    wait_until(lambda: Smtp(server.smtp_port, "127.0.0.3").greeting.code == 220, "their places are free, though they never close")
    assert not alarms(server)


def test_c019_who_connects_and_closes_is_no_news(world):
    for end in (Smtp.close, Smtp.reset) * 20:
        end(Smtp(world.smtp_port, "127.0.0.4", greeted=False))
    with world.connect("127.0.0.4") as client:
        assert client.command("NOOP").code == 250
    assert not [event for event in world.events(client="127.0.0.4") if event["level"] not in ("info", "debug")]
    assert not alarms(world)


def test_c021_a_scanner_may_open_twenty_connections(world):
    clients = [world.connect("127.0.0.5", hello=False) for _ in range(20)]
    assert {client.greeting.code for client in clients} == {220}
    over = world.connect("127.0.0.5", hello=False)
    assert over.greeting.code == 421 and "too many connections" in over.greeting.text.lower()
    for client in clients:
        client.close()


def test_c025_a_stop_says_421_and_never_221(make_server):
    server = make_server()
    with server.stranger() as client:
        assert client.send("x@altrove.test", [f"anna@{DOMAIN}"]).code == 250
        server.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(OSError):
            client.send_octets(b"NOOP\r\n")
        assert client.is_closed()
        said = client.rest.decode().split("\r\n")[:-1]
        assert said in (["421 4.3.2 posta.casa.test Service is stopping, try again later [stopping]"], ["250 2.0.0 Ok"] + [line for line in said if line.startswith("421 4.3.2")]), said
    assert server.process.wait(30) == 0
    server.start()
    server.wait_for_mail("anna")


def test_c038_a_server_without_a_limit(make_server):
    server = make_server({"delivery.max_message_size": "none"})
    with server.stranger() as client:
        assert client.extensions["SIZE"] in ("", "0")
        assert client.command("MAIL FROM:<x@altrove.test> BODY=8BITMIME").code == 250


def test_c048_nobody_connects_to_himself(make_server):
    """The port of remote servers is our own: the literal of our address, and a domain whose MX we are."""
    server = make_server(dns=True, start=False)
    server.settings["delivery.port"] = server.smtp_port
    server.write_settings()
    server.start()
    server.dns.zone[("giro.test", "MX")] = ["10 posta.giro.test."]
    server.dns.zone[("posta.giro.test", "A")] = ["127.0.0.1"]
    connections = int(server.status("front")["connections"])
    with server.trusted() as client:
        assert client.command(f"MAIL FROM:<anna@{DOMAIN}>").code == 250
        replies = [client.command(f"RCPT TO:<max@{domain}>").code for domain in ("[127.0.0.1]", "giro.test")]
        assert set(replies) <= {250, 550}, replies
        if 250 in replies:
            assert client.data(b"Subject: C048\r\n\r\nx\r\n").code == 250
    if 250 in replies:
        wait_until(lambda: sum(octets.count(b"Status: 5.4.6") for octets in server.mail("anna")) == replies.count(250), "a report about each")
    assert int(server.status("front")["connections"]) == connections + 1
    server.wait_for_empty_queue()


def test_c034_postmaster_arrives_somewhere(world):
    with world.stranger() as client:
        assert client.send("x@altrove.test", ["Postmaster"], b"Subject: C034\r\n\r\nx\r\n").code == 250
    wait_until(lambda: [user for user in ("anna", "bruno", "badmail") if mail_marked(world, "C034", user)], "the message to postmaster")


def data_segments_in(client):
    return struct.unpack_from("I", client.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256), 152)[0]


def test_c156_a_hundred_replies_are_few_writes(world):
    with world.trusted() as client:
        before = data_segments_in(client)
        client.send_octets(f"MAIL FROM:<anna@{DOMAIN}>\r\n".encode() + b"".join(b"RCPT TO:<r%d@fuori.test>\r\n" % i for i in range(100)) + b"DATA\r\n")
        replies = client.replies(102)
        assert [reply.code for reply in replies] == [250] * 101 + [354]
        assert data_segments_in(client) - before <= 12, data_segments_in(client) - before


# G. Store and disk -------------------------------------------------------------------------------------------------------------------------

@contextlib.contextmanager
def small_disk(folder, size):
    """A file system of its own on a folder; skipped by name where it may not be mounted."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", folder], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        pytest.skip(f"needs the right to mount a small file system: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True, stdin=subprocess.DEVNULL)


def test_c139_a_full_queue_disk_is_452(make_server):
    server = make_server(start=False)
    spool = server.folder / "spool"
    spool.mkdir(exist_ok=True)
    with small_disk(spool, "300m"):
        server.start()
        with server.stranger() as client:
            assert client.send("x@altrove.test", [f"anna@{DOMAIN}"], b"Subject: before\r\n\r\nx\r\n").code == 250
        server.wait_for_mail("anna")
        filler = spool / "filler"
        with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"\0" * (1 << 20))

        def send():
            with server.stranger() as client:
                for command in ("MAIL FROM:<x@altrove.test>", f"RCPT TO:<anna@{DOMAIN}>", "DATA"):
                    reply = client.command(command)
                    if reply.code >= 400:
                        return reply
                return client.text(b"Subject: full\r\n\r\n" + b"x" * 70 * 1000 + b"\r\n")
        wait_until(lambda: send().code != 250, "the disk is full")
        reply = send()
        assert str(reply).startswith("452 4.3.1"), reply
        taken = len([octets for octets in server.mail("anna")])
        filler.unlink()
        wait_until(lambda: send().code == 250, "there is room again")
        server.wait_for_mail("anna", taken + 1)
        assert server.stop() == 0


def test_c141_the_folder_is_durable_before_the_queue_forgets(world):
    """What the mailbox calls: the file synced, its name made, the folder synced; and only then it answers the queue."""
    if not shutil.which("strace"):
        pytest.skip("needs strace")
    trace = world.folder / "trace"
    tracer = subprocess.Popen(["strace", "-f", "-y", "-o", trace, "-p", str(world.pid("mailbox"))], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        if "attached" not in tracer.stderr.readline():
            pytest.skip("the mailbox can not be traced here")
        with world.stranger() as client:
            assert client.send("x@altrove.test", [f"bruno@{DOMAIN}"], b"Subject: C141\r\n\r\nx\r\n").code == 250
        wait_until(lambda: mail_marked(world, "C141", "bruno"), "the message")
        world.wait_for_empty_queue()
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(30)
    calls = trace.read_text(errors="replace").splitlines()

    def place(pattern, after=0):
        found = [number for number, line in enumerate(calls) if number >= after and re.search(pattern, line)]
        assert found, f"no {pattern} after line {after} of\n" + "\n".join(calls)
        return found[0]
    named = place(r"\b(rename|link)\w*\(.*\bnew\b|\b(rename|link)\w*\(.*/new>")
    synced = place(r"\b(fsync|fdatasync|syncfs|sync_file_range)\(")
    answered = place(r"\bsend(msg|to)?\(", named)
    assert synced < answered, "\n".join(calls)
    place(r"\b(fsync|syncfs)\(.*(/new|bruno|/mail)", named)
    assert place(r"\b(fsync|syncfs)\(.*(/new|bruno|/mail)", named) < answered, "\n".join(calls)


def test_c143_a_maildir_that_is_not_writable_waits(world):
    box = world.maildir("bruno")
    wait_until(box.exists, "the mailbox")
    before = box.stat()
    os.chmod(box / "tmp", 0o500)
    os.chown(box / "tmp", os.getuid(), os.getgid())
    try:
        with world.stranger() as client:
            assert client.send("x@altrove.test", [f"bruno@{DOMAIN}"], b"Subject: C143\r\n\r\nx\r\n").code == 250
        deferred = world.wait_for_event("recipient-deferred", recipient=f"bruno@{DOMAIN}")[-1]
        assert deferred["reply"].startswith("4"), deferred
        assert any("ermission" in str(event) or "EACCES" in str(event) for event in world.events() if "bruno" in str(event)), deferred
        assert not [octets for octets in world.mail("anna") if b"multipart/report" in octets and b"C143" in octets]
    finally:
        os.chown(box / "tmp", before.st_uid, before.st_gid)
        os.chmod(box / "tmp", 0o700)
    wait_until(lambda: mail_marked(world, "C143", "bruno"), "the message, once it can be written")
