# SPDX-License-Identifier: Apache-2.0
"""T78, T90 to T92, T94 and T95: garbage on the control socket, roles that die, the server stopped under load, a log that can't be written, two servers on
one folder."""
import concurrent.futures
import json
import os
import random
import re
import signal
import socket
import subprocess
import threading
import time

import pytest
from portiere import BUILD, DOMAIN, ROLES, SANITIZED, TRUSTED, Closed, program_environment, wait_until

L, L2 = f"anna@{DOMAIN}", f"bruno@{DOMAIN}"


def control_socket(server):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(20)
    s.connect(str(server.folder / "run" / "control"))
    return s


def works(server):
    with server.login() as anna:
        assert anna.send(L, [L]).code == 250
    outcome = server.cli("status")
    assert outcome.code == 0, outcome
    return True


def works_again(server):
    """What is refused for the moment is asked again."""
    try:
        return works(server)
    except (AssertionError, Closed, ConnectionError):
        return False


# --- T90 -------------------------------------------------------------------------------------------------------------------------------------

@pytest.mark.sanitized
def test_t90_garbage_on_the_control_socket_is_refused(make_server):
    server = make_server()
    octets = random.Random(90)
    for size in (0, 1, 2, 3, 4, 8, 16, 100, 1000, 60000, 200000):
        for _ in range(4):
            with control_socket(server) as s:
                try:
                    s.send(octets.randbytes(size))
                    s.recv(65536)
                except OSError:
                    pass
    with control_socket(server) as s:  # many packets, none of them awaited
        try:
            for _ in range(2000):
                s.send(octets.randbytes(64))
        except OSError:
            pass
    assert works(server)
    assert server.pid("control")
    assert all(row["restarts"] == "0" for row in server.cli("status").rows if "child" in row)


def test_t90_a_thousand_connections_at_once_do_not_lock_an_administrator_out(make_server):
    server = make_server()
    open_ones = []
    try:
        for _ in range(1000):
            try:
                open_ones.append(control_socket(server))
            except OSError:
                break
        assert len(open_ones) > 60
        wait_until(lambda: server.cli("status").code == 0, "status answers")
    finally:
        for s in open_ones:
            s.close()
    assert works(server)


def test_t90_a_client_that_never_reads_holds_nobody_up(make_server):
    server = make_server()
    with server.trusted() as t:
        for _ in range(50):
            assert t.send("x@altrove.test", ["anna@casa.test"]).code == 250
    slow = subprocess.Popen([BUILD / "portiere", "events", "--count", "100000", "--json", "--directory", server.folder], stdout=subprocess.PIPE, env=program_environment())
    try:
        assert works(server)
    finally:
        slow.kill()
        slow.wait()
        slow.stdout.close()


# --- T91 -------------------------------------------------------------------------------------------------------------------------------------

@pytest.mark.sanitized
@pytest.mark.parametrize("role", ROLES)
def test_t91_a_role_that_dies_is_replaced(server, role):
    """Sessions of front die with it; everything else goes on."""
    server.wait_roles()
    with server.trusted() as session:
        number = signal.SIGKILL if SANITIZED or role in ("queue", "mailbox") else signal.SIGSEGV
        died = server.kill(role, number)
        server.wait_roles()
        assert server.pid(role) != died
        if role != "front":
            reply = session.command("NOOP")
            assert reply.code == 250
    said = server.output() + json.dumps(server.events("role-restarted"))
    assert f"role={role}" in said or f'"{role}"' in said
    wait_until(lambda: works_again(server), "the server works again")


def test_t91_a_role_that_dies_again_and_again_waits_longer_each_time(make_server):
    server = make_server()
    deaths, end = 0, time.monotonic() + 8
    while time.monotonic() < end:
        pid = server.pid("resolver")
        if pid:
            try:
                os.kill(pid, signal.SIGKILL)
                deaths += 1
            except ProcessLookupError:
                pass
        time.sleep(0.01)
    assert 3 <= deaths <= 12, deaths
    with server.login() as anna:  # others go on meanwhile
        assert anna.send(L, [L]).code == 250
    server.wait_for_mail("anna")
    wait_until(lambda: server.pid("resolver"), "it comes back")


def test_t91_all_roles_at_once(make_server):
    server = make_server()
    for _ in range(3):
        for _, pid in server.processes():
            os.kill(pid, signal.SIGKILL)
        server.wait_roles()
    wait_until(lambda: works_again(server), "the server works again")


# --- T92 -------------------------------------------------------------------------------------------------------------------------------------

def test_t92_a_stop_under_load_loses_nothing(make_server):
    """Each 250 is kept over stop and start; who is not done hears 421, and nothing else."""
    server = make_server({"service.max_incoming_per_host": "none"})
    taken, replies, lock = [], [], threading.Lock()
    started = threading.Barrier(9)

    def load(number):
        count = 0
        try:
            with server.trusted() as session:
                started.wait()
                while True:
                    name = f"stop-{number}-{count}"
                    reply = session.send("x@altrove.test", [L], f"Subject: {name}\r\n\r\n{'x' * 2000}\r\n".encode())
                    with lock:
                        replies.append(reply.code)
                        if reply.code == 250:
                            taken.append(name)
                    count += 1
                    if reply.code == 421:
                        return
        except AssertionError as error:  # of envelope() and data(): the reply stands in it
            assert "421" in str(error), error
        except (Closed, ConnectionError, TimeoutError):
            pass
    threads = [threading.Thread(target=load, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    started.wait()
    wait_until(lambda: len(taken) > 50, "fifty messages")
    began = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == 0
    print(f"stopped in {time.monotonic() - began:.1f} s")
    for thread in threads:
        thread.join()
    assert set(replies) <= {250, 421, 451}, set(replies)
    server.start()
    stored = server.wait_for_mail("anna", len(taken), 120)
    subjects = {re.search(rb"^Subject: (\S+)\r$", octets, re.M)[1].decode() for octets in stored}
    assert set(taken) <= subjects, set(taken) - subjects


def test_t92_nobody_new_is_let_in_while_it_stops(make_server):
    server = make_server()
    with server.trusted() as session:
        session.envelope("x@altrove.test", [L])
        assert session.command("DATA").code == 354
        session.send_octets(b"Subject: in the middle\r\n")
        server.process.send_signal(signal.SIGTERM)

        def is_shut():
            try:
                with socket.create_connection(("127.0.0.1", server.smtp_port), timeout=2) as s:
                    s.settimeout(2)
                    return not s.recv(100).startswith(b"220")
            except OSError:
                return True
        wait_until(is_shut, "the door is shut")
        session.send_octets(b"\r\nciao\r\n.\r\n")
        code = session.reply().code
        assert code in (250, 421)
    assert server.process.wait(60) == 0
    if code == 250:
        server.start()
        assert b"Subject: in the middle" in server.wait_for_mail("anna")[0]


def test_t92_portiere_stop_stops_and_leaves_nothing(make_server):
    server = make_server()
    left = server.processes()
    assert server.cli("stop").code == 0
    assert server.process.wait(60) == 0
    assert not [pid for _, pid in left if os.path.exists(f"/proc/{pid}")]
    assert server.cli("status").code == 3


# --- T94 -------------------------------------------------------------------------------------------------------------------------------------

HOSTILE = ["ciao\x1b[31mrosso", "doppio\"apice", "caff\u00e9 \u202e rovesciato", "a" * 400]


@pytest.mark.sanitized
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_t94_what_a_stranger_says_is_one_escaped_line(make_server, log_format):
    server = make_server({"log.format": log_format, "service.max_bad_commands": "1000"})
    with server.connect("127.0.0.2", hello=False) as x:
        for words in HOSTILE:
            x.command(f"EHLO {words}")
            x.command(f"MAIL FROM:<{words}@altrove.test>")
            x.command(b"MAIL FROM:<\xe9\xff@altrove.test>")
            x.command(f"RCPT TO:<{words}@{DOMAIN}>")
            x.command("RSET")
    with server.stranger() as x:
        assert x.send("x@altrove.test", [L], "Subject: ciao\u2028\x1b]0;titolo\x07\r\nMessage-ID: <\x1b[2J@x>\r\n\r\nciao\r\n".encode()).code == 250
    server.wait_for_mail("anna")
    path = server.folder / "log" / "portiere.log"
    octets = wait_until(lambda: b"message-done" in path.read_bytes() and path.read_bytes())
    for line in octets.decode("utf-8").splitlines(keepends=True):
        assert line.endswith("\n")
        assert not [c for c in line[:-1] if ord(c) < 32 or ord(c) == 127 or c in "\u2028\u202e"], line
        if log_format == "json":
            json.loads(line)


@pytest.mark.parametrize("how", ["gone", "a folder", "no right"])
def test_t94_mail_flows_without_a_log(make_server, how):
    server = make_server()
    log = server.folder / "log" / "portiere.log"
    server.wait_for_event("server-ready")
    if how == "gone":
        log.unlink()
    elif how == "a folder":
        log.unlink()
        log.mkdir()
    else:
        os.chmod(server.folder / "log", 0)
    try:
        server.kill("ledger")
        for _ in range(20):
            with server.trusted() as t:
                assert t.send("x@altrove.test", [L]).code == 250
        server.wait_for_mail("anna", 20)
    finally:
        os.chmod(server.folder / "log", 0o750)


def test_t94_a_full_disk_under_the_log_does_not_stop_mail(make_server, request):
    server = make_server(start=False)
    (server.folder / "log").mkdir(exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=755", "tmpfs", server.folder / "log"], capture_output=True)
    if mounted.returncode:
        pytest.skip("no right to mount a small file system")
    request.addfinalizer(lambda: subprocess.run(["umount", "-l", server.folder / "log"], check=True))
    server.start()
    with server.trusted() as t:
        for _ in range(600):
            assert t.send("x@altrove.test", [L]).code == 250
    server.wait_for_mail("anna", 600, timeout=120)
    server.stop()


# --- T78, T95: the spool ---------------------------------------------------------------------------------------------------------------------

def test_t78_a_full_disk_is_temporary_trouble_and_ends_by_itself(make_server, request):
    server = make_server(start=False)
    (server.folder / "spool").mkdir(exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m,mode=755", "tmpfs", server.folder / "spool"], capture_output=True)
    if mounted.returncode:
        pytest.skip("no right to mount a small file system")
    request.addfinalizer(lambda: subprocess.run(["umount", "-l", server.folder / "spool"], check=True))
    server.start()
    with server.trusted() as t:
        assert t.send("x@altrove.test", [L]).code == 250
    filler = server.folder / "spool" / "filler"
    file = os.open(filler, os.O_WRONLY | os.O_CREAT)
    try:
        while os.write(file, b"\0" * 65536):
            pass
    except OSError:
        os.close(file)
    codes = set()

    def is_full():
        with server.trusted() as t:
            reply = t.command("MAIL FROM:<x@altrove.test>")
            if reply.code == 250:
                assert t.command(f"RCPT TO:<{L}>").code == 250
                reply = t.command("DATA")
                if reply.code == 354:
                    reply = t.text(b"Subject: full\r\n\r\n" + b"0123456789abcdef\r\n" * 20000)
            codes.add((reply.code, reply.enhanced))
            return reply.code in (451, 452)
    wait_until(is_full, "452")
    assert {code for code, _ in codes} <= {250, 451, 452}, codes
    filler.unlink()
    wait_until(lambda: server.trusted().send("x@altrove.test", [L], b"Subject: room again\r\n\r\n").code == 250, "room again")
    wait_until(lambda: any(b"Subject: room again" in octets for octets in server.mail("anna")), "delivered")
    server.stop()


def test_t95_a_second_server_on_one_folder_does_not_start(server):
    second = subprocess.run([BUILD / "portiere", "serve", "--directory", server.folder], capture_output=True, text=True, timeout=30, env=program_environment())
    assert second.returncode != 0 and "another server" in second.stderr, second
    assert works(server)


# --- others go on ----------------------------------------------------------------------------------------------------------------------------

@pytest.mark.sanitized
def test_t8_who_hangs_up_before_the_end_has_sent_nothing(server):
    server.wait_roles()
    before = len(server.mail("anna"))
    for octets in (b"", b"Subject: x\r\n\r\nciao", b"Subject: x\r\n\r\nciao\r\n.", b"Subject: x\r\n\r\nciao\r\n.\r"):
        with server.trusted() as t:
            t.envelope("x@altrove.test", [L])
            assert t.command("DATA").code == 354
            t.send_octets(octets)
        with server.trusted() as t:
            t.envelope("x@altrove.test", [L])
            assert t.command("DATA").code == 354
            t.send_octets(octets)
            t.reset()
    with server.trusted() as t:
        t.envelope("x@altrove.test", [L])
        t.send_octets(b"BDAT 5000\r\nSubject: never ended\r\n")
    wait_until(lambda: int(server.status("front")["sessions"]) == 0, "no session left")
    assert not server.queue() and len(server.mail("anna")) == before


@pytest.mark.sanitized
def test_t8_the_end_behind_the_last_octets_is_seen_at_once(server):
    server.wait_roles()
    for _ in range(20):
        with socket.create_connection((TRUSTED, server.smtp_port)) as s:
            s.settimeout(10)
            assert s.recv(1000).startswith(b"220")
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
            s.sendall(b"HELO altrove.test\r\nNOOP\r\n")
            s.shutdown(socket.SHUT_WR)  # in one packet with them
            assert s.makefile("rb").read().count(b"250 ") == 2


@pytest.mark.sanitized
def test_many_sessions_at_once_each_gets_its_own_replies(server):
    server.wait_roles()
    before = len(server.mail("bruno"))

    def one(number):
        with server.trusted() as t:
            for count in range(5):
                name = f"{number}-{count}"
                reply = t.send(f"x{number}@altrove.test", [L2], f"Subject: {name}\r\n\r\n{name}\r\n".encode() * 1)
                assert reply.code == 250, reply
        return number
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert len(list(pool.map(one, range(40)))) == 40
    stored = server.wait_for_mail("bruno", before + 200, timeout=120)
    assert len(stored) == before + 200
