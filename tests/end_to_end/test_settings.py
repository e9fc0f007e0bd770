# SPDX-License-Identifier: Apache-2.0
"""T83: settings change at run time, by command and by file, under load; a broken file changes nothing."""
import os
import pathlib
import re
import threading

import pytest
from portiere import DOMAIN, LONG, TRUSTED, wait_until

L = f"anna@{DOMAIN}"
RELOADS = 1000 if LONG else 100


def measured(server):
    """({role, process: descriptors}, {process: memory in KiB}); roles are not dumpable, so that only root may look at them."""
    descriptors, memory = {}, {}
    for role, pid in [("supervisor", server.process.pid), *server.processes()]:
        try:
            descriptors[role, pid] = len(os.listdir(f"/proc/{pid}/fd"))
            rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
            memory[role, pid] = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
        except PermissionError:
            assert os.getuid() != 0 and role != "supervisor"
    return descriptors, memory


@pytest.mark.parametrize("broken, said", [
    ("[service]\nthread_cache = many\n", "thread_cache"),
    ("[service]\nthred_cache = 5\n", "thread_cache"),
    ("[service]\nsession_timeout = 5\n", "session_timeout"),
    ("[table security.trusted]\n10.*.*x\n", "security.trusted"),
    ("[service\n", "1"),
    ("\0\xff\n", "1"),
])
def test_t83_a_broken_file_changes_nothing_and_is_told_with_its_line(server, broken, said):
    good = (server.folder / "portiere.conf").read_bytes()
    (server.folder / "portiere.conf").write_bytes(good + broken.encode("latin-1"))
    try:
        line = good.count(b"\n") + broken.count("\n")
        with server.stranger() as session:
            outcome = server.cli("reload")
            assert outcome.code != 0 and f"portiere.conf:{line}" in outcome.err and (said in outcome.err or said == "1"), outcome
            assert session.command("NOOP").code == 250
            assert server.stranger().extensions["SIZE"] == str(50 << 20)
    finally:
        (server.folder / "portiere.conf").write_bytes(good)
    assert server.cli("reload").code == 0


def test_t83_many_reloads_under_load_drop_no_session_and_leak_nothing(make_server):
    server = make_server({"service.max_incoming_per_host": "none"})
    problems, stop, sent = [], threading.Event(), [0] * 4

    def load(number):
        try:
            with server.trusted() as session:
                while not stop.is_set():
                    reply = session.send("x@altrove.test", [L], b"Subject: under load\r\n\r\nciao\r\n")
                    assert reply.code == 250, reply
                    sent[number] += 1
                assert session.command("NOOP").code == 250
        except Exception as error:
            problems.append(repr(error))
    kept = [server.trusted() for _ in range(20)]
    threads = [threading.Thread(target=load, args=(number,)) for number in range(len(sent))]
    for thread in threads:
        thread.start()
    before = None
    try:
        for i in range(RELOADS):
            server.settings["service.thread_cache"] = str(10 + i % 30)
            server.settings["service.listen"] = [f"smtp {TRUSTED}:{server.smtp_port} auth=no{' lenient=yes' if i % 2 else ''}", *server.settings["service.listen"][1:]]
            server.write_settings()
            if i % 10 == 0:
                outcome = server.cli("reload")
                assert outcome.code == 0, outcome
            else:
                generation = len(server.events("settings-loaded"))
                server.process.send_signal(1)  # SIGHUP
                wait_until(lambda: len(server.events("settings-loaded")) > generation, "reloaded")
            if i == RELOADS // 10:
                before = measured(server)
            assert not problems, problems
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not problems, problems
    assert all(session.command("NOOP").code == 250 for session in kept)
    assert min(sent) > 0
    for session in kept:
        session.quit()
    server.wait_for_mail("anna", sum(sent), timeout=120)
    server.wait_for_empty_queue()
    after = measured(server)
    grown = {who: (before[0][who], count) for who, count in after[0].items() if count > before[0][who] + 12}  # segments and threads come and go
    assert not grown, grown
    fat = {who: (before[1][who], size) for who, size in after[1].items() if size > before[1][who] + 16384}
    assert not fat, fat
    assert not [row for row in server.cli("status").rows if row.get("restarts", "0") != "0"]


def test_listeners_come_and_go_at_run_time(make_server):
    server = make_server()
    from portiere import Smtp, free_port
    more = free_port()
    with server.stranger() as session:
        for _ in range(70):  # more often than front has places for listeners
            for change in ("row-add", "row-remove"):
                outcome = server.cli("settings", change, "service.listen", f"smtp 127.0.0.1:{more} auth=no")
                assert outcome.code == 0, outcome
        server.set("service.listen", *server.settings["service.listen"], f"smtp 127.0.0.1:{more} auth=no")
        with Smtp(more) as client:
            assert client.greeting.code == 220
            assert client.hello().code == 250
        assert session.command("NOOP").code == 250


def test_a_port_that_is_taken_is_told_and_changes_nothing(server):
    import socket
    with socket.create_server(("127.0.0.1", 0)) as taken:
        outcome = server.cli("settings", "row-add", "service.listen", f"smtp 127.0.0.1:{taken.getsockname()[1]}")
        assert outcome.code != 0 and str(taken.getsockname()[1]) in outcome.err, outcome
    assert str(taken) not in (server.folder / "portiere.conf").read_text()
    assert server.stranger().command("NOOP").code == 250


def test_a_comment_survives_a_change_while_the_server_runs(make_server):
    server = make_server(start=False)
    path = server.folder / "portiere.conf"
    path.write_text("# the whole file is mine\n" + path.read_text() + "\n[table security.trusted]\n127.0.0.1 # ourselves\n")
    server.start()
    server.set("service.thread_cache", "7")
    assert server.cli("settings", "row-add", "security.trusted", "192.0.2.7", "--comment", "the scanner").code == 0
    text = path.read_text()
    assert text.startswith("# the whole file is mine\n") and "127.0.0.1 # ourselves" in text and re.search("192.0.2.7 +# the scanner\n", text)
    assert server.cli("settings", "get", "thread_cache").out.strip() == "7"


@pytest.mark.skipif(os.getuid() != 0, reason="only root reads the memory of other processes")
def test_no_secret_of_a_setting_reaches_front_control_or_the_log(make_server):
    server = make_server({"delivery.relay_hosts": ["me:xyzzysegreto@127.0.0.1:1"]})
    wait_until(lambda: server.events("server-ready") or True)
    for role in ("front", "control", "queue", "ledger", "resolver", "mailbox"):
        pid = server.pid(role)
        found = False
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
            for line in maps:
                words = line.split()
                if "r" not in words[1] or words[-1] in ("[vvar]", "[vsyscall]", "[vvar_vclock]"):
                    continue
                start, end = (int(word, 16) for word in words[0].split("-"))
                try:
                    memory.seek(start)
                    found = found or b"xyzzysegreto" in memory.read(end - start)
                except (OSError, OverflowError, ValueError):
                    continue
        assert not found, f"{role} holds the relay's password"
    assert "xyzzysegreto" not in server.output()
