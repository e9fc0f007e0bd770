# SPDX-License-Identifier: Apache-2.0
"""Rows S1, S43 to S45, S49 and S61 to S66 of the guide: who may send what through us, and how the log tells it."""
import itertools

import pytest
from portiere import DOMAIN, PASSWORD, STRANGER, TRUSTED, wait_until

L, L2, R, OTHER = f"anna@{DOMAIN}", f"bruno@{DOMAIN}", "r@fuori.test", "x@altrove.test"
GUARDS = ("security.reject_unauthorised_local_sender", "security.reject_auth_sender_mismatch", "security.reject_auth_header_mismatch",
          "security.relay_only_local_sender", "security.require_helo")


def said(reply):
    return reply.code, reply.enhanced, reply.explain


def replies_to(client, sender, *recipients):
    """Codes for MAIL and each RCPT; the transaction is dropped."""
    codes = [client.command(f"MAIL FROM:<{sender}>").code]
    if codes[0] == 250:
        codes += [client.command(f"RCPT TO:<{recipient}>").code for recipient in recipients]
    client.command("RSET")
    return codes


# --- S1, S43 ---------------------------------------------------------------------------------------------------------------------------------

def test_s1_a_stranger_may_not_relay(server):
    with server.stranger() as x:
        assert x.command(f"MAIL FROM:<{OTHER}>").code == 250
        assert said(x.command(f"RCPT TO:<{R}>")) == (550, "5.7.1", "relay-not-permitted")


@pytest.mark.parametrize("guard", GUARDS)
def test_s43_no_setting_that_is_off_lets_a_stranger_relay(make_server, guard):
    server = make_server({guard: "no"})
    with server.stranger() as x:
        for sender in (OTHER, L, "", f"postmaster@{DOMAIN}", f"nessuno@{DOMAIN}"):
            for recipient in (R, f"r%fuori.test@{DOMAIN}", f"@{DOMAIN}:{R}", f'"{R}"@{DOMAIN}', "r@[192.0.2.1]"):
                assert x.command("RSET").code == 250
                if x.command(f"MAIL FROM:<{sender}>").code == 250:
                    reply = x.command(f"RCPT TO:<{recipient}>")
                    assert reply.code >= 500, (sender, recipient, reply)
    assert not server.queue()


# --- S44, S45 --------------------------------------------------------------------------------------------------------------------------------

def test_s44_a_local_sender_needs_authorisation(make_server):
    server = make_server(dns=True)
    with server.stranger() as x:
        reply = x.command(f"MAIL FROM:<{L}>")
        assert said(reply) == (550, "5.7.1", "sender-not-authorised")
        assert x.command("MAIL FROM:<ANNA@CASA.TEST>").code == 550
    with server.login() as anna:
        assert anna.command(f"MAIL FROM:<{L}>").code == 250
    with server.trusted() as t:
        assert t.command(f"MAIL FROM:<{L}>").code == 250
    server.set("security.reject_unauthorised_local_sender", "no")
    with server.stranger() as x:
        assert replies_to(x, L, L2, R) == [250, 250, 550]


def test_s45_each_way_of_authorisation_alone_is_enough_and_none_is_not(server):
    with server.stranger() as x:
        assert replies_to(x, L, R) == [550]
    with server.login(source=STRANGER) as anna:
        assert replies_to(anna, L, R) == [250, 250]
    with server.trusted() as t:
        assert replies_to(t, L, R) == [250, 250]


@pytest.mark.parametrize("name", [f"posta.{DOMAIN}", "localhost", "[127.0.0.1]", DOMAIN, "trusted"])
def test_s45_what_a_client_says_of_itself_authorises_nothing(server, name):
    with server.connect(STRANGER, hello=False) as x:
        assert x.command(f"EHLO {name}").code == 250
        assert replies_to(x, L, R) == [550]
        assert replies_to(x, OTHER, R) == [250, 550]
        x.command("RSET")
        assert x.send(OTHER, [L], f"From: {L}\r\nSender: {L}\r\nReceived: from [127.0.0.1] by posta.casa.test with ESMTPSA\r\nX-Authenticated: yes\r\n\r\nciao\r\n".encode()).code == 250
        assert replies_to(x, L, R) == [550]


def test_s45_a_trusted_host_that_logs_in_is_bound_to_its_log_in(server):
    with server.login("anna", source=TRUSTED) as anna:
        assert replies_to(anna, L, R) == [250, 250]
        assert anna.command(f"MAIL FROM:<{L2}>").code == 550


# --- S49 -------------------------------------------------------------------------------------------------------------------------------------

def test_s49_submission_wants_a_log_in_and_that_only_under_tls(server):
    for source in (STRANGER, TRUSTED):
        with server.connect(source, server.submission_port) as client:
            assert "AUTH" not in client.extensions
            assert said(client.command(f"MAIL FROM:<{L}>"))[:2] == (530, "5.7.0")
            assert said(client.auth_plain(L)) == (538, "5.7.11", "login-needs-tls")
            client.start_tls()
            client.hello()
            assert set(client.extensions["AUTH"].split()) >= {"PLAIN", "LOGIN"}
            assert said(client.command(f"MAIL FROM:<{L}>"))[:2] == (530, "5.7.0")
            assert client.auth_plain(L).code == 235
            assert replies_to(client, L, R) == [250, 250]
    with server.connect(STRANGER, server.submissions_port, implicit_tls=True) as client:
        assert said(client.command(f"MAIL FROM:<{L}>"))[:2] == (530, "5.7.0")
        assert client.auth_plain(L).code == 235
        assert replies_to(client, L, R) == [250, 250]


def test_s49_port_25_offers_no_log_in_unless_its_row_says_so(make_server):
    server = make_server()
    with server.stranger() as x:
        x.start_tls()
        x.hello()
        assert "AUTH" not in x.extensions
        assert x.auth_plain(L).code == 504
    server.set("service.listen", f"smtp 127.0.0.1:{server.smtp_port} auth=yes", *server.settings["service.listen"][1:])

    def offers():
        with server.stranger() as client:
            assert "AUTH" not in client.extensions and client.auth_plain(L).code == 538
            client.start_tls()
            client.hello()
            return "AUTH" in client.extensions and client.auth_plain(L).code == 235
    wait_until(offers, "AUTH on port 25 under TLS")


# --- S61 -------------------------------------------------------------------------------------------------------------------------------------

def test_s61_who_logs_in_sends_as_himself(make_server):
    server = make_server(dns=True)
    for words in (("alias", "add", f"info@{DOMAIN}", L), ("alias", "add", f"altri@{DOMAIN}", L2), ("alias", "add", f"vendite@{DOMAIN}", L2), ("account", "send-as", L, f"vendite@{DOMAIN}")):
        outcome = server.cli(*words)
        assert outcome.code == 0, outcome
    with server.login() as anna:
        for sender in (L, "Anna@Casa.TEST", f"anna+liste@{DOMAIN}", f"info@{DOMAIN}", f"vendite@{DOMAIN}", ""):
            assert replies_to(anna, sender, L2) == [250, 250], sender
        for sender in (L2, f"altri@{DOMAIN}", f"nessuno@{DOMAIN}", OTHER, f"bruno+liste@{DOMAIN}", f"annax@{DOMAIN}"):
            reply = anna.command(f"MAIL FROM:<{sender}>")
            assert said(reply) == (550, "5.7.1", "auth-sender-mismatch"), (sender, reply)
    server.set("security.reject_auth_sender_mismatch", "no")
    with server.login() as anna:
        assert replies_to(anna, L2, L) == [250, 250]


def test_s61_the_from_field_is_bound_too(server):
    with server.login() as anna:
        reply = anna.send(L, [L2], f"From: Bruno <{L2}>\r\nSubject: non sono io\r\n\r\nciao\r\n".encode())
        assert said(reply) == (550, "5.7.1", "auth-header-mismatch")
        assert anna.send(L, [L2], f"From: Anna <{L}>\r\nSubject: sono io\r\n\r\nciao\r\n".encode()).code == 250


# --- S62 -------------------------------------------------------------------------------------------------------------------------------------

def test_s62_the_log_binds_a_message_to_its_log_in(make_server):
    server = make_server(dns=True)
    server.host(server.remote(), "fuori.test")
    with server.login() as anna:
        reply = anna.send(L, [R, L2], b"Subject: traccia\r\n\r\nciao\r\n")
    server.remotes[0].wait(1)
    server.wait_for_mail("bruno")
    event = server.wait_for_event("message-taken")[0]
    assert (event["login"], event["client"], event["sender"]) == (L, STRANGER, L)
    assert event["id"] and event["id"] in reply.text and event["session"]
    server.wait_for_event("message-done", id=event["id"])
    for what in (L, event["id"], event["session"]):
        trace = wait_until(lambda: (t := server.cli("trace", what)) and event["id"] in t.out and t, f"trace {what}")
        assert trace.code == 0 and R in trace.out and L2 in trace.out, trace
    words = server.cli("trace", event["id"], "--language", "en")
    assert words.code == 0


# --- S63, S64, S65 -----------------------------------------------------------------------------------------------------------------------------

def test_s63_a_refused_recipient_does_not_hurt_the_others(make_server):
    server = make_server()
    with server.stranger() as x:
        assert x.command(f"MAIL FROM:<{OTHER}>").code == 250
        assert said(x.command(f"RCPT TO:<{R}>")) == (550, "5.7.1", "relay-not-permitted")
        assert x.command(f"RCPT TO:<{L}>").code == 250
        assert said(x.command(f"RCPT TO:<nessuno@{DOMAIN}>")) == (550, "5.1.1", "recipient-unknown")
        assert x.data(b"Subject: solo per L\r\n\r\n").code == 250
    server.wait_for_mail("anna")
    server.wait_for_empty_queue()


def test_s64_relay_only_for_a_local_sender_even_from_a_trusted_host(make_server):
    server = make_server()
    with server.trusted() as t:
        assert t.command(f"MAIL FROM:<{OTHER}>").code == 250
        assert said(t.command(f"RCPT TO:<{R}>")) == (550, "5.7.1", "relay-sender-not-local")
        assert t.command(f"RCPT TO:<{L}>").code == 250
    server.set("security.relay_only_local_sender", "no")
    with server.trusted() as t:
        assert replies_to(t, OTHER, R, L) == [250, 250, 250]


def test_s65_with_the_guide_s_settings_what_leaves_has_a_proven_local_sender(server):
    """Every client, port, log-in and sender from outside; what policy/policy_proof_test.c walks within."""
    clients = {"X": lambda: server.stranger(), "T": lambda: server.trusted(), "X as L": lambda: server.login("anna"), "T as L": lambda: server.login("anna", TRUSTED)}
    senders = (L, L2, OTHER, "", f"nessuno@{DOMAIN}", f"anna+x@{DOMAIN}")
    may = set()
    for (name, connect), sender in itertools.product(clients.items(), senders):
        with connect() as client:
            if replies_to(client, sender, R)[-2:] == [250, 250]:
                may.add((name, sender))
    own = {L, f"anna+x@{DOMAIN}", ""}  # <> under AUTH: its author is known
    assert {sender for name, sender in may if "as L" in name} == own
    assert not [sender for name, sender in may if name == "X"]
    # the gap that remains: a trusted host may be any of us, and nobody else
    assert {sender for name, sender in may if name == "T"} == {sender for sender in senders if sender.endswith(f"@{DOMAIN}")}


# --- S66 -------------------------------------------------------------------------------------------------------------------------------------

def test_s66_helo_comes_first(make_server):
    server = make_server()
    with server.stranger(hello=False) as x:
        assert said(x.command(f"MAIL FROM:<{OTHER}>"))[:2] == (503, "5.5.1")
        for command, code in (("NOOP", 250), ("RSET", 250), ("HELP", 214)):
            assert x.command(command).code == code
        assert x.command("VRFY anna").code == 503
        x.hello()
        x.start_tls()
        assert said(x.command(f"MAIL FROM:<{OTHER}>"))[:2] == (503, "5.5.1")
        x.hello()
        assert x.command(f"MAIL FROM:<{OTHER}>").code == 250
    with server.stranger(hello=False) as x:
        assert x.command("QUIT").code == 221
    server.set("security.require_helo", "no")
    with server.stranger(hello=False) as x:
        assert x.command(f"MAIL FROM:<{OTHER}>").code == 250
        assert x.command(f"RCPT TO:<{L}>").code == 250


def test_the_password_never_reaches_the_log(server):
    import base64
    with server.login() as anna:
        anna.command("NOOP")
    with server.connect(STRANGER, server.submission_port) as x:
        x.start_tls()
        x.hello()
        assert x.auth_plain(L, "sbagliata sbagliata").code == 535
    log = wait_until(lambda: server.events("login") and (server.folder / "log" / "portiere.log").read_text())
    for secret in (PASSWORD, "sbagliata sbagliata"):
        assert secret not in log and base64.b64encode(f"\0{L}\0{secret}".encode()).decode() not in log
