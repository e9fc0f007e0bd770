# SPDX-License-Identifier: Apache-2.0
"""Rows S4 to S6 and S14 to S16 of the guide: threads, connections, backlog, outgoing connections."""
import concurrent.futures
import os
import signal
import subprocess
import time

import pytest
from portiere import DOMAIN, PASSWORD, TRUSTED, Smtp, wait_until


def number(server, role, field):
    return int(server.status(role)[field])


def log_in_at_once(server, count):
    """count clients whose AUTH is checked at the same time: each needs a thread of its own while the vault thinks. The verifiers stand still
    until all of them wait, so that it is the same on a busy machine."""
    clients = [server.connect(TRUSTED, server.submission_port) for _ in range(count)]
    for client in clients:
        client.start_tls()
        client.hello()
    verifiers = [process for role, process in server.processes() if role == "verifier"]
    for process in verifiers:
        os.kill(process, signal.SIGSTOP)
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        logins = [pool.submit(client.auth_plain, f"anna@{DOMAIN}") for client in clients]
        try:
            wait_until(lambda: number(server, "front", "threads_busy") >= count, f"{count} threads wait for the vault")
        finally:
            for process in verifiers:
                os.kill(process, signal.SIGCONT)
        replies = [login.result() for login in logins]
    assert {reply.code for reply in replies} == {235}, {str(reply) for reply in replies}
    for client in clients:
        client.quit()


def test_s4_threads_of_closed_connections_are_kept_and_used_again(make_server):
    server = make_server({"service.max_incoming_per_host": "none", "service.thread_cache": "6"})
    log_in_at_once(server, 40)
    wait_until(lambda: number(server, "front", "threads_idle") == 6, "six threads idle")
    made, reused = number(server, "front", "threads_made"), number(server, "front", "threads_reused")
    assert made > 6
    log_in_at_once(server, 4)
    assert number(server, "front", "threads_made") == made
    assert number(server, "front", "threads_reused") > reused
    wait_until(lambda: number(server, "front", "threads_idle") == 6, "six threads idle again")
    server.set("service.thread_cache", 4)
    wait_until(lambda: number(server, "front", "threads_idle") == 4, "two threads have ended")


def test_s4_a_slow_client_holds_no_thread(server):
    made = number(server, "front", "threads_made")
    slow = [server.trusted() for _ in range(60)]
    for client in slow:
        client.envelope("x@altrove.test", [f"anna@{DOMAIN}"])
        assert client.command("DATA").code == 354
        client.send_octets(b"Subject: slow\r\n")
    assert number(server, "front", "sessions") >= 60
    wait_until(lambda: number(server, "front", "threads_busy") <= 1, "nobody is busy")
    for client in slow:
        client.close()
    assert number(server, "front", "threads_made") <= made + 40


def test_s5_the_thread_cache_is_40_and_the_guide_wants_40(server):
    said = server.cli("settings", "explain", "thread_cache")
    assert said.code == 0 and said.out.count("40") >= 2, said


def test_s5_another_cache_is_a_finding_and_is_kept_to(make_server):
    server = make_server({"service.thread_cache": "5", "service.max_incoming_per_host": "none"})
    log_in_at_once(server, 12)
    wait_until(lambda: number(server, "front", "threads_idle") <= 5, "at most five threads idle")
    audit = server.cli("audit")
    assert audit.code == 5 and any("thread_cache" in str(row) for row in audit.rows), audit


def test_s6_over_max_incoming_a_client_waits_to_be_greeted(make_server):
    server = make_server({"service.max_incoming": "2"})
    first, second = server.trusted(), server.trusted()
    third = server.trusted(greeted=False)
    third.socket.settimeout(0.5)
    with pytest.raises(TimeoutError):
        third.socket.recv(1)
    third.socket.settimeout(third.timeout)
    first.quit()
    assert third.reply().code == 220
    assert third.hello().code == 250
    second.quit()


def test_s6_when_full_says_refuse_it_is_refused(make_server):
    server = make_server({"service.max_incoming": "2", "service.when_full": "refuse", "service.reserve": "0%"})
    kept = [server.trusted(), server.trusted()]
    third = server.trusted(hello=False)
    assert str(third.greeting).startswith("421 4.3.2"), third.greeting
    assert third.is_closed()
    kept[0].quit()
    wait_until(lambda: server.trusted(hello=False).greeting.code == 220, "a place is free")


def test_s6_idle_strangers_keep_nobody_out(make_server):
    """More strangers than places, all idle: one who waits is greeted, and one who logs in does not wait for them."""
    server = make_server({"service.max_incoming": "20", "service.max_incoming_per_host": "none"})
    strangers = [server.stranger(greeted=False) for _ in range(200)]
    began = time.monotonic()
    with server.login("anna") as anna:
        logged_in = time.monotonic() - began
        assert anna.send(f"anna@{DOMAIN}", [f"bruno@{DOMAIN}"]).code == 250
    for _ in range(5):  # on a busy machine he may be the idle one himself before he has said a word
        other = server.connect("127.0.0.9", hello=False)
        if other.command("EHLO client.altrove.test").code == 250:
            break
    assert other.command("NOOP").code == 250
    other.close()
    print(f"log-in after {logged_in:.2f} s, the stranger's greeting after {time.monotonic() - began:.2f} s")
    cut = [client for client in strangers if client.is_closed(0.001)]
    assert cut and all(b"421 4.3.2" in client.rest for client in cut), [client.rest for client in cut]
    for client in strangers:
        client.close()


def test_s6_a_host_has_its_own_limit(make_server):
    server = make_server({"service.max_incoming_per_host": "3"})
    kept = [server.stranger() for _ in range(3)]
    over = server.stranger(hello=False)
    assert str(over.greeting).startswith("421 4.7.0") and over.is_closed(), over.greeting
    assert server.connect("127.0.0.3").command("NOOP").code == 250
    assert all(client.command("NOOP").code == 250 for client in kept)
    trusted = [server.trusted() for _ in range(6)]
    assert all(client.command("NOOP").code == 250 for client in trusted)


def backlog_of(port):
    said = subprocess.run(["ss", "-ltnH", f"sport = :{port}"], capture_output=True, text=True, check=True).stdout
    return int(said.split()[2])


def test_s14_the_backlog_is_what_the_setting_says_or_the_kernel_allows(make_server):
    server = make_server()
    most = int(open("/proc/sys/net/core/somaxconn").read())
    assert backlog_of(server.smtp_port) == min(5000, most)
    with server.stranger() as client:
        server.set("service.backlog", 3000)
        wait_until(lambda: backlog_of(server.smtp_port) == min(3000, most), "the new backlog")
        assert client.command("NOOP").code == 250
    shown = str(server.cli("status").rows)
    assert "3000" in shown and str(min(3000, most)) in shown


def test_s15_the_product_s_variable_sets_the_backlog_in_any_case_of_letters(make_server):
    server = make_server()
    for name in ("c_system_adv_protocols_backlog", "C_System_Adv_Protocols_BackLog", "C_SYSTEM_ADV_PROTOCOLS_BACKLOG"):
        value = 4000 + len(name) + sum(c.isupper() for c in name)
        server.set(name, value)
        assert server.cli("settings", "get", name.swapcase()).out.strip() == str(value)
        assert server.cli("settings", "get", "service.backlog").out.strip() == str(value)
        wait_until(lambda: backlog_of(server.smtp_port) == min(value, int(open("/proc/sys/net/core/somaxconn").read())))


def test_s16_no_more_outgoing_connections_than_the_setting_allows(make_server):
    server = make_server({"service.max_outgoing": "2"}, dns=True)
    remotes = []
    for i in range(10):
        remote = server.host(server.remote(), f"sito{i}.test")

        def slowly(_session, _argument):
            time.sleep(0.3)
            return "250 2.0.0 taken"
        remote.replies["DOT"] = slowly
        remotes.append(remote)
    running = []
    with server.login() as anna:
        for i in range(10):
            assert anna.send(f"anna@{DOMAIN}", [f"r@sito{i}.test"]).code == 250
    wait_until(lambda: running.append(sum(remote.now for remote in remotes)) or all(remote.messages for remote in remotes), "ten messages out")
    assert max(running) <= 2
    assert all(len(remote.messages) == 1 for remote in remotes)
    server.wait_for_empty_queue()
