# SPDX-License-Identifier: Apache-2.0
"""T30 to T37, T86 and T87: STARTTLS and implicit TLS, from outside."""
import hashlib
import os
import socket
import ssl
import subprocess

import pytest
from portiere import DOMAIN, STRANGER, Closed, Smtp, client_tls, make_certificate, wait_until

L = f"anna@{DOMAIN}"
pytestmark = pytest.mark.sanitized


def fingerprint(server, name="localhost", port=None):
    with Smtp(port or server.smtp_port) as client:
        client.hello()
        assert client.command("STARTTLS").code == 220
        client.handshake(name=name)
        return hashlib.sha256(client.socket.getpeercert(binary_form=True)).hexdigest()


def still_serves(server):
    with server.stranger() as client:
        return client.command("NOOP").code == 250


def test_t30_text_behind_starttls_in_one_segment_is_never_run(server):
    with server.stranger() as x:
        x.send_octets("STARTTLS\r\nMAIL FROM:<x@altrove.test>\r\n")
        assert x.reply().code == 220
        try:
            x.handshake()
            x.hello()
            reply = x.command(f"RCPT TO:<{L}>")
        except (ssl.SSLError, ConnectionError, Closed):
            return  # hanging up is right too
        assert reply.code == 503, reply
        assert not x.rest


def test_t31_what_was_before_tls_is_forgotten(server):
    with server.stranger() as x:
        assert x.command("MAIL FROM:<x@altrove.test>").code == 250
        assert x.command("STARTTLS").code in (220, 503)
    with server.stranger() as x:
        x.start_tls()
        assert x.command("MAIL FROM:<x@altrove.test>").code == 503
        before = set(x.hello().texts)
        assert not any(text.startswith("STARTTLS") for text in before)
        assert x.command(f"RCPT TO:<{L}>").code == 503
    with server.connect(STRANGER, server.submission_port) as x:
        assert "AUTH" not in x.extensions
        x.start_tls()
        x.hello()
        assert "AUTH" in x.extensions


@pytest.mark.parametrize("how", ["close_notify", "reset", "cut"])
@pytest.mark.parametrize("place", ["BDAT", "DATA", "AUTH"])
def test_t32_a_session_that_breaks_off_under_tls_stores_nothing(server, place, how):
    with server.connect(STRANGER, server.submission_port) as x:
        x.start_tls()
        x.hello()
        if place == "AUTH":
            assert x.command("AUTH LOGIN").code == 334
        else:
            assert x.auth_plain(L).code == 235
            x.envelope(L, [L])
            if place == "DATA":
                assert x.command("DATA").code == 354
                x.send_octets(f"Subject: broken {place} {how}\r\n\r\nhalf a line")
            else:
                x.send_octets(f"BDAT 1000 LAST\r\nSubject: broken {place} {how}\r\n\r\n")
        if how == "reset":
            x.reset()
        elif how == "cut":
            x.close()
        else:
            raw = x.socket.detach()
            plain = socket.socket(fileno=raw)
            plain.sendall(b"\x15\x03\x03\x00\x13" + os.urandom(19) + b"MAIL FROM:<x@y>\r\n.\r\n")  # an alert record, then clear octets
            plain.settimeout(10)
            try:
                while plain.recv(4096):
                    pass
            except ConnectionError:
                pass
            plain.close()
    assert still_serves(server)
    assert not server.queue()
    assert not [octets for octets in server.mail("anna") if b"Subject: broken" in octets]


def test_t32_close_notify_in_data_stores_nothing(server):
    with server.login() as anna:
        anna.envelope(L, [L])
        assert anna.command("DATA").code == 354
        anna.send_octets(b"Subject: broken by a proper close\r\n\r\n")
        plain = anna.socket.unwrap() if hasattr(anna.socket, "unwrap") else anna.socket
        plain.close()
    assert still_serves(server) and not server.queue() and not server.mail("anna")


def test_t33_a_ticket_of_one_listener_opens_no_other(server):
    context = client_tls()
    with Smtp(server.smtp_port) as client:
        client.hello()
        client.start_tls(context)
        client.hello()
        session = client.socket.session
        assert session is not None
    plain = socket.create_connection(("127.0.0.1", server.submissions_port))
    with context.wrap_socket(plain, server_hostname="localhost", session=session) as tls:
        assert not tls.session_reused
        assert tls.recv(1000).startswith(b"220 ")


def test_t34_a_hello_in_single_octets_and_one_that_never_ends_hurt_nobody(server):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_tls().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with server.stranger() as x, server.stranger() as never:
        for client in (x, never):
            assert client.command("STARTTLS").code == 220
        never.send_octets(b"\x16\x03\x01\x02")
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                for octet in outgoing.read():
                    x.send_octets(bytes([octet]))
                got = x.socket.recv(65536)
                assert got
                incoming.write(got)
        for octet in outgoing.read():
            x.send_octets(bytes([octet]))
        tls.write(b"EHLO x\r\n")
        x.send_octets(outgoing.read())
        answer = b""
        while b"\n" not in answer:
            try:
                answer += tls.read(1000)
            except ssl.SSLWantReadError:
                incoming.write(x.socket.recv(65536))
        assert answer.startswith(b"250-")
        assert still_serves(server)


def test_t34_renegotiation_is_off(server):
    """Only openssl s_client asks for it, when it reads a line with R."""
    with subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{server.submissions_port}", "-tls1_2"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as talk:
        said = b""
        while b"220 posta" not in said:
            said += talk.stdout.read1(4096)
        talk.stdin.write(b"R\n")
        talk.stdin.flush()
        while chunk := talk.stdout.read1(4096):
            said += chunk
        talk.wait()
    assert b"RENEGOTIATING" in said and b"no renegotiation" in said.lower(), said
    assert still_serves(server)


def test_t35_clear_text_on_a_tls_port_and_tls_on_a_clear_port(server):
    plain = socket.create_connection(("127.0.0.1", server.submissions_port), timeout=20)
    plain.sendall(b"EHLO x\r\n")
    got = b""
    try:
        while chunk := plain.recv(1000):
            got += chunk
    except ConnectionError:
        pass
    assert b"250" not in got and b"220" not in got
    for port in (server.smtp_port, server.submission_port):
        with Smtp(port, STRANGER) as client:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = client_tls().wrap_bio(incoming, outgoing)
            with pytest.raises(ssl.SSLWantReadError):
                tls.do_handshake()
            client.send_octets(outgoing.read())
            assert client.is_closed()
            assert client.rest == b"" or client.rest.split(b" ")[0] in (b"421", b"500"), client.rest
    assert still_serves(server)


@pytest.mark.parametrize("name", [b"posta.casa.test", b"a" * 300, b"x\0y.test", b"name\\", b"\xff\xfe.test", b"", None])
def test_t36_any_server_name_gets_the_default_certificate_or_an_alert(server, name):
    """A ClientHello by hand: Python sends only good names."""
    body = b"\x03\x03" + os.urandom(32) + b"\0" + b"\x00\x04\xc0\x2b\xc0\x2c" + b"\x01\x00"
    extensions = b"\x00\x0a\x00\x04\x00\x02\x00\x17" + b"\x00\x0b\x00\x02\x01\x00" + b"\x00\x0d\x00\x06\x00\x04\x04\x03\x08\x04"
    if name is not None:
        entry = b"\0" + len(name).to_bytes(2, "big") + name
        extensions += b"\x00\x00" + (len(entry) + 2).to_bytes(2, "big") + len(entry).to_bytes(2, "big") + entry
    body += len(extensions).to_bytes(2, "big") + extensions
    hello = b"\x01" + len(body).to_bytes(3, "big") + body
    with Smtp(server.smtp_port, STRANGER) as client:
        client.hello()
        assert client.command("STARTTLS").code == 220
        client.send_octets(b"\x16\x03\x01" + len(hello).to_bytes(2, "big") + hello)
        got = client.socket.recv(5)
        assert got == b"" or got[0] in (0x15, 0x16), got
        if name in (b"posta.casa.test", None):
            assert got[0] == 0x16
    assert still_serves(server)


def test_t37_starttls_with_an_argument_and_twice(server):
    with server.stranger() as x:
        assert x.command("STARTTLS now").code == 501
        x.start_tls()
        assert x.command("STARTTLS").code in (503, 554)
        x.hello()
        assert "STARTTLS" not in x.extensions
        assert x.command("STARTTLS").code in (503, 554)
        assert x.command("NOOP").code == 250


def test_t37_without_a_key_it_is_not_offered(make_server):
    server = make_server(start=False)
    os.unlink(server.folder / "tls" / "key.pem")
    server.start()
    with server.stranger() as x:
        assert "STARTTLS" not in x.extensions
        assert x.command("STARTTLS").code in (454, 502)
        assert x.send("x@altrove.test", [L]).code == 250
    server.wait_for_mail("anna")
    # it comes back without a restart
    make_certificate(server.folder / "tls")
    wait_until(lambda: "STARTTLS" in server.stranger().extensions, "STARTTLS offered")
    assert server.login().command("NOOP").code == 250


def test_t86_a_new_certificate_is_taken_without_dropping_a_session(make_server):
    server = make_server()
    before = fingerprint(server)
    with server.login() as open_session:
        make_certificate(server.folder / "tls", days="60")
        after = wait_until(lambda: (now := fingerprint(server)) != before and now, "the new certificate")
        assert open_session.send(L, [L]).code == 250
        # a broken one changes nothing
        (server.folder / "tls" / "cert.pem").write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
        server.cli("reload")
        wait_until(lambda: [event for event in server.events() if event["level"] in ("alarm", "warning") and "certificate" in event["event"]], "an alarm")
        assert fingerprint(server) == after
        assert open_session.command("NOOP").code == 250
    assert len(server.wait_for_mail("anna")) == 1


def test_t86_names_have_their_own_certificates(make_server):
    server = make_server(start=False)
    make_certificate(server.folder / "tls", "altra.casa.test", ("altra.pem", "altra.key"))
    server.settings["tls.certificates"] = ["posta.casa.test cert.pem key.pem", "altra.casa.test altra.pem altra.key"]
    server.write_settings()
    server.start()
    first, second = fingerprint(server, "posta.casa.test"), fingerprint(server, "altra.casa.test")
    assert first != second
    assert fingerprint(server, "ignota.test") in (first, second)


def test_t87_an_expired_certificate_is_served_and_told_loudly(make_server):
    server = make_server(start=False)
    make_certificate(server.folder / "tls", ends="20240101000000Z")
    server.start()
    with server.login() as anna:
        assert anna.send(L, [L]).code == 250
    server.wait_for_mail("anna")
    audit = server.cli("audit")
    assert audit.code == 5 and [row for row in audit.rows if "certificate" in str(row) and row.get("severity") not in ("ok", "info", None)], audit


@pytest.mark.parametrize("least, refused", [("1.2", ssl.TLSVersion.TLSv1_1), ("1.3", ssl.TLSVersion.TLSv1_2)])
def test_t87_the_floor_of_versions_is_a_setting(make_server, least, refused):
    server = make_server({"tls.min_version": least})
    context = client_tls()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = refused
    with server.stranger() as x:
        assert x.command("STARTTLS").code == 220
        with pytest.raises((ssl.SSLError, ConnectionError)):
            x.handshake(context)
    with server.stranger() as x:
        x.start_tls()
        assert x.socket.version() == "TLSv1.3"
