# SPDX-License-Identifier: Apache-2.0
"""Rows S17, S19 to S22, S29, S34 to S36 and S38 of the guide: delivery, reports, limits of a message, outgoing TLS. Times are seconds here that are
hours in the guide."""
import base64
import collections
import email
import re
import time

from portiere import CLOSE, DOMAIN, wait_until

L, L2 = f"anna@{DOMAIN}", f"bruno@{DOMAIN}"
QUICK = {"delivery.retry_intervals": "1s"}


def report_of(octets):
    """(the message, the delivery-status part as text) of a report."""
    message = email.message_from_bytes(octets)
    assert message.get_content_type() == "multipart/report", octets
    status = next(part for part in message.walk() if part.get_content_type() == "message/delivery-status")
    return message, "\n".join(block.as_string() for block in status.get_payload())


def reports(server, user="anna"):
    return [report_of(octets) for octets in server.mail(user) if b"multipart/report" in octets]


# --- S17 -----------------------------------------------------------------------------------------------------------------------------------

def test_s17_mode_relay_gives_all_to_the_relay_host_and_asks_no_dns(make_server):
    server = make_server(dns=True)
    smarthost, elsewhere = server.remote(), server.host(server.remote(), "fuori.test")
    server.set("delivery.relay_hosts", f"{smarthost.address}:{smarthost.port}")
    server.set("delivery.mode", "relay")
    with server.login() as anna:
        assert anna.send(L, ["r@fuori.test"], b"Subject: per R\r\n\r\nciao\r\n").code == 250
        assert anna.send(L, [L2]).code == 250
    smarthost.wait(1)
    server.wait_for_mail("bruno")
    assert smarthost.messages[0].recipients == ["r@fuori.test"]
    assert not elsewhere.sessions and server.dns.asked("fuori.test") == 0
    assert len(smarthost.messages) == 1


def test_s17_the_relay_host_s_log_in_is_used(make_server):
    server = make_server(dns=True)
    smarthost = server.remote(tls=True)
    smarthost.extensions.append("AUTH PLAIN LOGIN")
    server.set("delivery.relay_hosts", f"me@casa.test:segretissimo@{smarthost.address}:{smarthost.port} tls=require")
    server.set("delivery.mode", "relay")
    with server.login() as anna:
        assert anna.send(L, ["r@fuori.test"]).code == 250
    message = smarthost.wait(1)[0]
    assert message.tls
    auth = [command for session in smarthost.sessions for command in session.commands if command.startswith("AUTH")]
    assert auth and auth[0].startswith("AUTH PLAIN ")
    assert base64.b64decode(auth[0].split()[2]) == b"\0me@casa.test\0segretissimo"
    assert "segretissimo" not in (server.folder / "log" / "portiere.log").read_text()


def test_s17_the_log_in_s_password_may_stand_in_a_file(make_server):
    server = make_server(dns=True)
    smarthost = server.remote(tls=True)
    smarthost.extensions.append("AUTH PLAIN")
    secret = server.folder / "tls" / "relay.secret"
    row = f"me@casa.test:file:tls/relay.secret@{smarthost.address}:{smarthost.port} tls=require"

    def refused(what):
        outcome = server.cli("settings", "row-add", "delivery.relay_hosts", row)
        assert outcome.code != 0 and what in outcome.err and "tls/relay.secret" in outcome.err, outcome
        assert "relay_hosts]" not in (server.folder / "portiere.conf").read_text()

    def sent_password():
        count = len(smarthost.messages)
        with server.login() as anna:
            assert anna.send(L, ["r@fuori.test"]).code == 250
        smarthost.wait(count + 1)
        auth = [command for session in smarthost.sessions for command in session.commands if command.startswith("AUTH")][-1]
        return base64.b64decode(auth.split()[2]).split(b"\0")[1:]

    refused("No such file")
    secret.write_text("")
    secret.chmod(0o640)
    refused("empty")
    secret.write_text("con due @ # segreti \r\nnot this\n")
    secret.chmod(0o644)
    refused("chmod o=")
    secret.chmod(0o640)
    other = server.folder / "tls" / "other"
    secret.rename(other)
    secret.symlink_to("other")
    refused("link")
    other.rename(secret)
    assert server.cli("settings", "row-add", "delivery.relay_hosts", row).code == 0
    server.set("delivery.mode", "relay")
    assert sent_password() == [b"me@casa.test", b"con due @ # segreti "]

    # a reload that does not find it leaves the old one in its place, and says where
    secret.unlink()
    outcome = server.cli("reload")
    lines = (server.folder / "portiere.conf").read_text().splitlines()
    line = 1 + next(i for i, text in enumerate(lines) if "file:tls/relay.secret" in text)
    assert outcome.code != 0 and f"portiere.conf:{line}: delivery.relay_hosts: " in outcome.err, outcome
    server.kill("relay")
    assert sent_password()[1] == b"con due @ # segreti "

    # and one that finds another takes it
    secret.write_text("nuovissimo")
    secret.chmod(0o600)
    assert server.cli("reload").code == 0
    server.kill("relay")  # its connection was kept
    assert sent_password()[1] == b"nuovissimo"

    shown = server.cli("settings", "list").out + (server.folder / "log" / "portiere.log").read_text()
    assert "segreti" not in shown and "nuovissimo" not in shown


# --- S19 -----------------------------------------------------------------------------------------------------------------------------------

def test_s19_a_message_over_the_limit_is_refused_and_the_session_goes_on(make_server):
    server = make_server({"delivery.max_message_size": "100K"})
    with server.trusted() as t:
        assert t.extensions["SIZE"] == str(100 * 1024)
        reply = t.command(f"MAIL FROM:<x@altrove.test> SIZE={100 * 1024 + 1}")
        assert (reply.code, reply.enhanced) == (552, "5.3.4")
        t.envelope("x@altrove.test", [L])
        reply = t.data(b"Subject: big\r\n\r\n" + b"0123456789abcdef\r\n" * 8000)
        assert (reply.code, reply.enhanced) == (552, "5.3.4")
        assert t.send("x@altrove.test", [L], b"Subject: small\r\n\r\nciao\r\n").code == 250
    messages = server.wait_for_mail("anna")
    assert len(messages) == 1 and b"Subject: small" in messages[0]


def test_s19_without_a_limit_a_large_message_arrives_whole(make_server):
    server = make_server({"delivery.max_message_size": "0"})
    body = b"".join(b"%06d 0123456789abcdef0123456789abcdef0123456789abcdef\r\n" % i for i in range(60000))  # 3.4 MB
    with server.trusted() as t:
        assert t.extensions["SIZE"] in ("", "0")
        assert t.send("x@altrove.test", [L], b"Subject: large\r\n\r\n" + body).code == 250
    stored = server.wait_for_mail("anna")[0]
    assert stored.endswith(b"\r\n\r\n" + body)


# --- S20 -----------------------------------------------------------------------------------------------------------------------------------

def test_s20_a_report_of_success_is_sent_when_asked_for(world):
    with world.login() as anna:
        assert "DSN" in anna.extensions
        assert anna.command(f"MAIL FROM:<{L}> RET=HDRS ENVID=qq314").code == 250
        assert anna.command(f"RCPT TO:<{L2}> NOTIFY=SUCCESS ORCPT=rfc822;{L2}").code == 250
        assert anna.data(b"Subject: prova\r\n\r\nciao\r\n").code == 250
    report = report_of(world.wait_for_mail("anna")[0])[1]
    assert "Action: delivered" in report and "Original-Envelope-Id: qq314" in report and f"Original-Recipient: rfc822;{L2}" in report
    assert re.search(r"Status: 2\.", report)


def test_s20_switched_off_dsn_is_neither_offered_nor_taken(make_server):
    server = make_server({"delivery.delivery_reports": "no"}, dns=True)
    server.dns.zone[("nessuno.test", "MX")] = ["0 ."]
    with server.login() as anna:
        assert "DSN" not in anna.extensions
        assert anna.command(f"MAIL FROM:<{L}>").code == 250
        assert anna.command(f"RCPT TO:<{L2}> NOTIFY=SUCCESS").code == 555
        anna.command("RSET")
        assert anna.send(L, ["r@nessuno.test"]).code == 250
    assert "Action: failed" in report_of(server.wait_for_mail("anna")[0])[1]  # failures are told all the same


# --- S21, S22, S29: a dead site --------------------------------------------------------------------------------------------------------------

def test_s21_after_the_set_time_one_report_says_that_it_was_not_delivered(make_server):
    server = make_server({**QUICK, "delivery.undelivered_after": "4s", "delivery.warn_after": "none"}, dns=True)
    server.host(server.remote(), "morto.test").close()
    with server.login() as anna:
        assert anna.send(L, ["r@morto.test"]).code == 250
    message, status = report_of(server.wait_for_mail("anna")[0])
    assert "Action: failed" in status and "Status: 5.4.7" in status and "r@morto.test" in status
    assert "MAILER-DAEMON" in message["From"] and "Mail Delivery Subsystem" in message["From"]
    server.wait_for_empty_queue()
    assert len(server.mail("anna")) == 1
    assert message["Auto-Submitted"] == "auto-replied"


def test_s22_one_warning_comes_before_it(make_server):
    server = make_server({**QUICK, "delivery.undelivered_after": "7s", "delivery.warn_after": "2s"}, dns=True)
    server.host(server.remote(), "morto.test").close()
    with server.login() as anna:
        assert anna.send(L, ["r@morto.test"]).code == 250
        assert anna.command(f"MAIL FROM:<{L2}>").code == 550  # she is anna
        assert anna.command(f"MAIL FROM:<{L}>").code == 250
        assert anna.command("RCPT TO:<nodelay@morto.test> NOTIFY=FAILURE").code == 250
        assert anna.data(b"Subject: no warning\r\n\r\n").code == 250
    wait_until(lambda: sum("Action: failed" in status for _, status in reports(server)) == 2, "two reports of failure")
    delayed = [status for _, status in reports(server) if "Action: delayed" in status]
    assert len(delayed) == 1 and "r@morto.test" in delayed[0] and re.search(r"Status: 4\.", delayed[0]), reports(server)
    server.wait_for_empty_queue()


def test_s22_no_warning_when_it_is_off(make_server):
    server = make_server({**QUICK, "delivery.undelivered_after": "5s", "delivery.warn_after": "0"}, dns=True)
    server.host(server.remote(), "morto.test").close()
    with server.login() as anna:
        assert anna.send(L, ["r@morto.test"]).code == 250
    server.wait_for_mail("anna")
    server.wait_for_empty_queue()
    assert ["Action: failed" in status for _, status in reports(server)] == [True]


def test_s29_tries_come_at_the_set_intervals_and_the_last_one_repeats(make_server):
    server = make_server({"delivery.retry_intervals": "1s 1s 3s"}, dns=True)
    remote = server.host(server.remote(), "fuori.test")
    tries = []

    def later(_session, _argument):
        tries.append(time.monotonic())
        return "450 4.2.0 later"
    remote.replies["RCPT"] = later
    with server.login() as anna:
        assert anna.send(L, ["r@fuori.test"]).code == 250
    wait_until(lambda: len(tries) >= 5, "five tries")
    gaps = [after - before for before, after in zip(tries, tries[1:])]
    for gap, wanted in zip(gaps, [1, 1, 3, 3]):
        assert gap > wanted - 0.3, gaps
    assert gaps[2] > gaps[1] + 0.5, gaps
    # a change counts for what waits: without it the next try is an hour away
    server.set("delivery.retry_intervals", "1h")
    count = len(tries)
    wait_until(lambda: len(tries) > count or all(int(row["next"]) > time.time() * 1000 + 1800_000 for row in server.queue()), "the long interval")
    remote.replies.pop("RCPT")
    server.set("delivery.retry_intervals", "1s")
    remote.wait(1)
    server.wait_for_empty_queue()


# --- S34, S35, S36 ---------------------------------------------------------------------------------------------------------------------------

def test_s34_more_than_max_hops_received_fields_are_a_loop(server):
    field = b"Received: from a by b; Wed, 25 Nov 2026 10:00:00 +0000\r\n"
    with server.trusted() as t:
        assert t.send("x@altrove.test", [L], field * 20 + b"Subject: 20\r\n\r\nciao\r\n").code == 250
        reply = t.send("x@altrove.test", [L], field * 21 + b"Subject: 21\r\n\r\nciao\r\n")
        assert (reply.code, reply.enhanced, reply.explain) == (554, "5.4.6", "mail-loop")
        assert t.send("x@altrove.test", [L], b"Subject: text\r\n\r\n" + field * 30).code == 250


def test_s35_recipients_over_the_limit_are_left_out_and_the_others_get_it(make_server):
    server = make_server({"advanced.max_recipients_server": "3"})
    for name in ("carla", "dino", "ezio"):
        server.add_account(name)
    with server.trusted() as t:
        assert t.command("MAIL FROM:<x@altrove.test>").code == 250
        replies = [t.command(f"RCPT TO:<{name}@{DOMAIN}>") for name in ("anna", "bruno", "carla", "dino", "ezio")]
        assert [(reply.code, reply.enhanced) for reply in replies] == [(250, "2.1.5")] * 3 + [(452, "4.5.3")] * 2
        assert t.data(b"Subject: tre\r\n\r\nciao\r\n").code == 250
    for name in ("anna", "bruno", "carla"):
        server.wait_for_mail(name)
    server.wait_for_empty_queue()
    assert not server.mail("dino") and not server.mail("ezio")


def send_to_250(server):
    with server.login() as anna:
        assert anna.send(L, [f"r{i:03}@fuori.test" for i in range(250)]).code == 250


def test_s36_many_recipients_of_one_site_are_split(world):
    send_to_250(world)
    messages = world.remotes[0].wait(3)
    assert sorted(len(message.recipients) for message in messages) == [50, 100, 100]
    everybody = [recipient for message in messages for recipient in message.recipients]
    assert len(everybody) == len(set(everybody)) == 250
    world.wait_for_empty_queue()
    assert len(world.remotes[0].messages) == 3


def test_s36_each_gets_it_once_though_the_queue_is_killed_between(make_server):
    """The reply of the first transaction came, and its result is on the disk: then the queue dies."""
    server = make_server({"service.max_outgoing_per_destination": "1", "delivery.retry_intervals": "1s"}, dns=True)
    remote = server.host(server.remote(), "fuori.test")
    killed = []

    def slowly(_session, _argument):
        if len(remote.messages) == 1 and not killed:
            wait_until(lambda: int(server.status("queue")["relayed"]) == 100 and int(server.status("queue")["groups"]) >= 2, "the results are in the journal")
            killed.append(server.kill("queue"))
        return "250 2.0.0 taken"
    remote.replies["MAIL"] = slowly
    send_to_250(server)
    wait_until(lambda: killed and sum(len(message.recipients) for message in remote.messages) >= 250, "250 recipients")
    server.wait_roles()
    server.wait_for_empty_queue()
    times = collections.Counter(recipient for message in remote.messages for recipient in message.recipients)
    assert len(times) == 250
    # what was on its way when the queue died may come twice: at most that one transaction
    assert sum(count - 1 for count in times.values()) <= 100, times
    assert all(count == 1 for recipient, count in times.items() if recipient in remote.messages[0].recipients), times


# --- S38 -------------------------------------------------------------------------------------------------------------------------------------

def test_s38_tls_is_used_where_it_is_offered(make_server):
    server = make_server(dns=True)
    with_tls, without = server.host(server.remote(tls=True), "cifrato.test"), server.host(server.remote(), "chiaro.test")
    with server.login() as anna:
        assert anna.send(L, ["r@cifrato.test"]).code == 250
        assert anna.send(L, ["r@chiaro.test"]).code == 250
    assert with_tls.wait(1)[0].tls
    assert not without.wait(1)[0].tls


def test_s38_required_tls_keeps_the_message_rather_than_send_it_in_clear(make_server):
    server = make_server({**QUICK, "advanced.tls_outgoing": "require"}, dns=True)
    remote = server.host(server.remote(), "chiaro.test")
    with server.login() as anna:
        assert anna.send(L, ["r@chiaro.test"]).code == 250
    deferred = server.wait_for_event("recipient-deferred")[0]
    assert "4.7." in deferred["reply"], deferred
    assert not remote.messages
    assert not [command for session in remote.sessions for command in session.commands if command.upper().startswith("MAIL")]
    server.set("advanced.tls_outgoing", "opportunistic")
    remote.wait(1)


def test_s38_a_failed_handshake_goes_on_in_clear_only_when_tls_is_opportunistic(make_server):
    server = make_server({**QUICK, "advanced.tls_policy": ["serio.test require"]}, dns=True)
    broken, serious = server.host(server.remote(tls=True), "rotto.test"), server.host(server.remote(tls=True), "serio.test")

    def no_handshake(session, _argument):
        session.socket.sendall(b"220 go on\r\n")
        session.socket.recv(1)
        session.socket.sendall(b"this is no handshake\r\n")
        return CLOSE
    for remote in (broken, serious):
        remote.replies["STARTTLS"] = no_handshake
    with server.login() as anna:
        assert anna.send(L, ["r@rotto.test"]).code == 250
        assert anna.send(L, ["r@serio.test"]).code == 250
    assert not broken.wait(1)[0].tls
    server.wait_for_event("recipient-deferred", recipient="r@serio.test")
    assert not serious.messages
