# SPDX-License-Identifier: Apache-2.0
"""Many clients at once while settings and certificates change and roles are killed: front goes on, and what it acknowledged comes.

./test runs this a second time with front, relay and queue built with ThreadSanitizer: PORTIERE_BUILD is then a folder in which they stand beside the
other programs. Its reports can't be symbolized inside the sandbox (TSAN_OPTIONS=symbolize=0); they are here."""
import base64
import contextlib
import random
import re
import socket
import subprocess
import threading
import time

import pytest
from portiere import BUILD, DOMAIN, LONG, PASSWORD, STRANGER, Closed, make_certificate, wait_until

SECONDS = 300 if LONG else 15
CLIENTS = 10
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


def symbolized(report):
    """A report of the sanitizer with functions and lines in place of offsets."""
    def name(found):
        done = subprocess.run(["addr2line", "-Cfpe", BUILD / found[1], found[2]], capture_output=True, text=True)
        return done.stdout.strip() or found[0]
    return re.sub(r"\((portiere-\w+)\+(0x[0-9a-f]+)\)(?: \(BuildId: \w+\))?", name, report)


class Load:
    def __init__(self, server):
        self.server = server
        self.until = time.monotonic() + SECONDS
        self.lock = threading.Lock()
        self.acknowledged = {"anna": set(), "fuori": set()}
        self.numbers = 0
        self.refused = 0
        self.problems = []

    def text(self, size=0):
        with self.lock:
            self.numbers += 1
            mark = f"load-{self.numbers:08d}-"
        line = b"x" * 76 + b"\r\n"
        return mark, f"From: <a@altrove.test>\r\nSubject: {mark}\r\n\r\n".encode() + line * (size // len(line) + 1)

    def note(self, mark, where, reply):
        with self.lock:
            if reply.code == 250:
                self.acknowledged[where].add(mark)
            else:
                self.refused += 1

    # what clients do
    def plain(self, client):
        for _ in range(random.randint(1, 3)):
            mark, octets = self.text(random.choice((0, 5000, 60000, 200000)))
            self.note(mark, "anna", client.send("a@altrove.test", ["anna@casa.test"], octets))

    def large(self, client):
        mark, octets = self.text(1500000)
        self.note(mark, "anna", client.send("a@altrove.test", ["anna@casa.test"], octets))

    def pipelined(self, client):
        """Three messages in one piece that is longer than any buffer: nothing more comes that would make the server look again."""
        marks, all_octets = [], b""
        for _ in range(3):
            mark, octets = self.text(40000)
            marks.append(mark)
            all_octets += b"MAIL FROM:<a@altrove.test>\r\nRCPT TO:<anna@casa.test>\r\nBDAT %d LAST\r\n" % len(octets) + octets
        client.send_octets(all_octets)
        for mark in marks:
            client.replies(2)
            self.note(mark, "anna", client.reply())

    def cut(self, client):
        client.envelope("a@altrove.test", ["anna@casa.test"])
        if client.command("DATA").code == 354:
            client.send_octets(self.text(100000)[1])
        client.reset()

    def relayed(self, _):
        client = self.server.connect(STRANGER, self.server.submission_port, timeout=20)
        with client:
            client.start_tls()
            client.hello()
            if client.auth_plain(f"anna@{DOMAIN}").code == 235:
                mark, octets = self.text()
                self.note(mark, "fuori", client.send("anna@casa.test", ["x@fuori.test"], octets.replace(b"a@altrove", b"anna@casa")))

    def early(self, _):
        """Who talks before the greeting, over TLS from the first octet, is served all the same."""
        with self.server.connect(STRANGER, self.server.submissions_port, implicit_tls=True, timeout=20) as client:
            client.command("AUTH PLAIN " + base64.b64encode(f"\0anna@{DOMAIN}\0{PASSWORD}".encode()).decode())
            client.command("QUIT")

    def idle(self, client):
        time.sleep(random.random() * 2)
        client.command("NOOP")

    def client(self, number):
        deeds = [self.plain, self.plain, self.pipelined, self.large, self.cut, self.relayed, self.early, self.idle]
        random.seed(number)
        while time.monotonic() < self.until:
            deed = random.choice(deeds)
            try:
                if deed in (self.relayed, self.early):
                    deed(None)
                    continue
                with self.server.connect(timeout=20, hello=False) as client:
                    if client.greeting.code == 220 and client.command("EHLO load.altrove.test").code == 250:
                        deed(client)
            except TimeoutError:
                self.problems.append(f"{deed.__name__} waited 20 s for nothing")
            except (OSError, Closed, AssertionError):
                time.sleep(0.02)  # a role was killed, or there was no room

    # what happens meanwhile
    def disturb(self):
        server, turn = self.server, 0
        while time.monotonic() < self.until:
            turn += 1
            with contextlib.suppress(AssertionError, TimeoutError):
                server.set("service.max_incoming", random.choice((6, 256)))
                server.set("service.thread_cache", random.choice((0, 1, 40)))
                if turn % 2:
                    make_certificate(server.folder / "tls")
                if turn % 3 == 0:
                    server.kill(random.choice(("queue", "queue", "vault", "mailbox", "relay", "ledger")))
                server.cli("status")
            time.sleep(0.3)


def test_threads_lose_nothing_while_all_changes(make_server):
    server = make_server({"service.max_incoming": 256, "service.reserve": 0}, dns=True)
    remote = server.remote()
    server.host(remote, "fuori.test")
    server.dns.zone[("fuori.test", "MX")] = [f"10 mx{remote.address.rpartition('.')[2]}.fuori.test."]
    front, load = server.pid("front"), Load(server)
    threads = [threading.Thread(target=load.client, args=(number,)) for number in range(CLIENTS)] + [threading.Thread(target=load.disturb)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    server.set("service.max_incoming", 256)
    server.wait_roles()
    server.cli("queue", "retry")

    def missing(where, messages):
        there = set(re.findall(rb"load-\d{8}-", b"\n".join(messages)))
        return {mark for mark in load.acknowledged[where] if mark.encode() not in there}
    try:
        wait_until(lambda: not missing("anna", server.mail("anna")) and not missing("fuori", [m.octets for m in remote.messages]), "all that was acknowledged comes", 120)
        assert server.pid("front") == front, server.output()
        assert not load.problems, load.problems
        assert len(load.acknowledged["anna"]) > SECONDS, f"{load.refused} were refused"
        wait_until(lambda: int(server.status("front")["sessions"]) == 0, "no session is left behind")
        server.stop()
    finally:
        said = server.output()
        if "ThreadSanitizer" in said:
            pytest.fail(symbolized(said), pytrace=False)


def test_threads_a_greeting_that_had_to_wait_is_heard_by_who_spoke_first(make_server):
    """TLS from the first octet: its first words come while the session stands at the door, and make no event afterwards."""
    with make_server({"service.max_incoming": 1, "service.when_full": "wait", "service.reserve": 0}) as server:
        with server.stranger() as first:
            raw = socket.create_connection(("127.0.0.1", server.smtp_port), timeout=20)
            raw.sendall(b"EHLO early.altrove.test\r\n")
            wait_until(lambda: int(server.status("front")["at_door"]) == 1, "it waits at the door")
            first.quit()
        said = b""
        while b"250 " not in said:
            got = raw.recv(4096)
            assert got, said
            said += got
        raw.close()
