# SPDX-License-Identifier: Apache-2.0
"""T96: a million messages wait for a dead host (PORTIERE_WAITING: another number; --long). Mail for the living goes in seconds all the same, a start
takes seconds, and no process holds the messages in memory. The figures are printed: pytest -s, or PORTIERE_WAITING=200000 ./test --long t96."""
import contextlib
import itertools
import json
import os
import socket
import subprocess
import threading
import time

import pytest
from portiere import BUILD, DOMAIN, LONG, SANITIZED, TRUSTED, program_environment, wait_until

COUNT = int(os.environ.get("PORTIERE_WAITING") or 1_000_000)
SESSIONS, BATCH = 64, 50
ANNA = f"anna@{DOMAIN}"
BODY = b"Subject: for the dead\r\nFrom: <anna@casa.test>\r\n\r\n" + b"ciao a tutti quanti\r\n" * 20
MIB = 1 << 20


def memory_of(pid, field="Pss"):
    """Octets that the process holds of the machine, its part of what is shared with others."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(field + ":"))


class Peaks:
    """The highest memory of some processes while the block runs."""

    def __init__(self, pids):
        self.pids = pids
        self.before = {role: memory_of(pid) for role, pid in self.pids.items()}
        self.peak = dict(self.before)
        self.is_over = threading.Event()

    def __enter__(self):
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()
        return self

    def watch(self):
        while not self.is_over.wait(0.2):
            for role, pid in self.pids.items():
                with contextlib.suppress(OSError):
                    self.peak[role] = max(self.peak[role], memory_of(pid))

    def __exit__(self, *_):
        self.is_over.set()
        self.thread.join()


def fill(server, count):
    """Several sessions, each some messages ahead of its replies."""
    one = f"MAIL FROM:<{ANNA}>\r\nRCPT TO:<r@morto.test>\r\nBDAT {len(BODY)} LAST\r\n".encode() + BODY
    left, lock, wrong = [count], threading.Lock(), []

    def work():
        with socket.create_connection((TRUSTED, server.smtp_port), timeout=120) as s:
            replies = s.makefile("rb")
            replies.readline()
            s.sendall(b"HELO fill.test\r\n")
            replies.readline()
            while True:
                with lock:
                    batch = min(BATCH, left[0])
                    left[0] -= batch
                if not batch:
                    return
                s.sendall(one * batch)
                for _ in range(3 * batch):
                    line = replies.readline()
                    if not line.startswith(b"250"):
                        wrong.append(line)
                        return
    threads = [threading.Thread(target=work) for _ in range(SESSIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[0]


def waiting(server):
    return int(server.status("queue")["waiting"])


def queue_opened(server):
    """Its events of this name; server.events() would keep millions of lines in memory."""
    found = []
    for path in sorted((server.folder / "log").iterdir()):
        with open(path, "rb") as file:
            found += [json.loads(line)["fields"] for line in file if b'"queue-open"' in line]
    return found


def send_and_wait(server, recipient, arrived):
    began = time.monotonic()
    with server.login() as anna:
        assert anna.send(ANNA, [recipient], b"Subject: for the living\r\n\r\nciao\r\n").code == 250
    wait_until(arrived, f"mail for {recipient}")
    return time.monotonic() - began


def list_all(server):
    """(rows, seconds, peaks of memory) of the command line's list."""
    began = time.monotonic()
    with subprocess.Popen([BUILD / "portiere", "queue", "list", "--directory", server.folder], stdout=subprocess.PIPE, env=program_environment()) as process:
        first = process.stdout.readline()
        with Peaks({"list": process.pid, "control": server.pid("control"), "queue": server.pid("queue")}) as peaks:
            rows = sum(b"morto.test" in line for line in itertools.chain([first], process.stdout))
    assert process.returncode == 0
    return rows, time.monotonic() - began, peaks


@pytest.mark.skipif(not LONG or SANITIZED, reason="takes minutes: ./test --long, with the programs as they are shipped")
def test_t96_a_million_that_wait_for_a_dead_host_delay_nobody(make_server):
    told = []

    def tell(words):
        told.append(words)
        print(f"    t96: {words}", flush=True)

    server = make_server({"service.max_incoming_per_host": "none", "security.relay_only_local_sender": "no"}, dns=True)
    alive = server.host(server.remote(), "vivo.test")
    server.host(server.remote(), "morto.test").close()
    empty = memory_of(server.pid("queue"))

    began = time.monotonic()
    with Peaks({"queue": server.pid("queue")}) as peaks:
        fill(server, COUNT)
    seconds = time.monotonic() - began
    assert waiting(server) == COUNT
    held = memory_of(server.pid("queue"))
    tell(f"{COUNT} messages taken in {seconds:.0f} s ({COUNT / seconds:.0f} a second); the queue holds {held / MIB:.0f} MiB ({(held - empty) / COUNT:.0f} octets a message), "
         f"at most {peaks.peak['queue'] / MIB:.0f} MiB on the way")
    assert held < 64 * MIB + 300 * COUNT and peaks.peak["queue"] < 128 * MIB + 400 * COUNT

    local = send_and_wait(server, f"bruno@{DOMAIN}", lambda: len(server.mail("bruno")) >= 1)
    away = send_and_wait(server, "r@vivo.test", lambda: len(alive.messages) >= 1)
    tell(f"meanwhile, from the log-in to the arrival: {local:.3f} s to a mailbox here, {away:.3f} s to a living host")
    assert local < 5 and away < 10

    rows, seconds, peaks = list_all(server)
    assert rows == COUNT
    tell(f"queue list: {rows} rows in {seconds:.1f} s; MiB at its begin and at most: "
         + ", ".join(f"{name} {peaks.before[name] / MIB:.1f} and {peaks.peak[name] / MIB:.1f}" for name in peaks.pids))
    for name in peaks.pids:
        assert peaks.peak[name] < peaks.before[name] + 16 * MIB, name

    began = time.monotonic()
    server.stop(timeout=120)
    tell(f"stopped in {time.monotonic() - began:.1f} s")
    seen = len(queue_opened(server))
    began = time.monotonic()
    server.start()
    ready = time.monotonic() - began
    local = send_and_wait(server, f"bruno@{DOMAIN}", lambda: len(server.mail("bruno")) >= 2)
    first = time.monotonic() - began
    opened = wait_until(lambda: queue_opened(server)[seen:], "the queue told that it is open")[-1]
    held = memory_of(server.pid("queue"))
    tell(f"started: ready after {ready:.2f} s, the queue read its {opened['waiting']} messages in {int(opened['milliseconds']) / 1000:.2f} s, the first mail sent at once was in its "
         f"mailbox {first:.2f} s after the start; the queue holds {held / MIB:.0f} MiB")
    assert int(opened["waiting"]) == COUNT and ready < 10 and first < 30
    assert held < 64 * MIB + 300 * COUNT
    away = send_and_wait(server, "r@vivo.test", lambda: len(alive.messages) >= 2)
    tell(f"after the start: {away:.3f} s to a living host")
    assert away < 10
