# SPDX-License-Identifier: Apache-2.0
"""Real clients send to it: swaks, msmtp, curl, mutt, Python's smtplib; each with what it is good at."""
import email.message
import os
import shutil
import smtplib
import subprocess

import pytest
from portiere import DOMAIN, PASSWORD, PATIENCE, client_tls, wait_until

L, L2 = f"anna@{DOMAIN}", f"bruno@{DOMAIN}"


def program(name):
    path = shutil.which(name)
    if not path:
        pytest.skip(f"{name} is not installed")
    return path


def run(*command, input="", status=0, **options):
    done = subprocess.run([str(word) for word in command], input=input, capture_output=True, text=True, timeout=2 * PATIENCE, errors="backslashreplace", **options)
    assert status is None or done.returncode == status, (command, done.returncode, done.stdout, done.stderr)
    return done


def arrived(server, subject, user="bruno"):
    return wait_until(lambda: next((octets for octets in server.mail(user) if f"Subject: {subject}\r\n".encode() in octets), None), f"{subject} for {user}")


# --- swaks -----------------------------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("how", ["PLAIN under STARTTLS", "LOGIN under STARTTLS", "PLAIN under TLS"])
def test_swaks_logs_in_and_sends(server, how):
    mechanism, _, way = how.partition(" under ")
    port = server.submission_port if way == "STARTTLS" else server.submissions_port
    run(program("swaks"), "--server", f"127.0.0.1:{port}", "--tls" if way == "STARTTLS" else "--tls-on-connect", "--auth", mechanism, "--auth-user", L,
        "--auth-password", PASSWORD, "--from", L, "--to", L2, "--header", f"Subject: swaks {how}", "--header", f"From: {L}", "--body", "ciao")
    octets = arrived(server, f"swaks {how}")
    assert b"with ESMTPSA" in octets


def test_swaks_as_a_stranger_may_write_to_us_and_not_through_us(server):
    swaks = program("swaks")
    run(swaks, "--server", f"127.0.0.1:{server.smtp_port}", "--local-interface", "127.0.0.2", "--from", "x@altrove.test", "--to", L2, "--header", "Subject: swaks stranger", "--pipeline")
    arrived(server, "swaks stranger")
    done = run(swaks, "--server", f"127.0.0.1:{server.smtp_port}", "--local-interface", "127.0.0.2", "--from", "x@altrove.test", "--to", "r@fuori.test", status=None)
    assert done.returncode == 24 and "550 5.7.1" in done.stdout, done.stdout  # 24: no recipient was taken


# --- msmtp -----------------------------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("mechanism", ["plain", "login"])
def test_msmtp_checks_the_certificate_logs_in_and_sends(server, mechanism, implicit):
    port = server.submissions_port if implicit else server.submission_port
    subject = f"msmtp {mechanism} {implicit}"
    run(program("msmtp"), "--host=127.0.0.1", f"--port={port}", f"--auth={mechanism}", f"--user={L}", f"--passwordeval=echo '{PASSWORD}'", "--tls=on",
        f"--tls-starttls={'off' if implicit else 'on'}", f"--tls-trust-file={server.folder}/tls/cert.pem", f"--from={L}", L2,
        input=f"From: {L}\nTo: {L2}\nSubject: {subject}\n\n.a line with a dot\nciao\n")
    assert b"\r\n\r\n.a line with a dot\r\nciao\r\n" in arrived(server, subject)


def test_msmtp_s_query_of_the_server_works(server):
    done = run(program("msmtp"), "--serverinfo", "--host=127.0.0.1", f"--port={server.submission_port}", "--tls=on", "--tls-starttls=on", f"--tls-trust-file={server.folder}/tls/cert.pem")
    assert "PIPELINING" in done.stdout and "DSN" in done.stdout and "AUTH" in done.stdout, done.stdout


# --- curl ------------------------------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_curl_sends(server, scheme, tmp_path):
    port = server.submission_port if scheme == "smtp" else server.submissions_port
    message = tmp_path / "message"
    message.write_bytes(f"From: {L}\r\nTo: {L2}\r\nSubject: curl {scheme}\r\n\r\n.\r\n..\r\nciao\r\n".encode())
    run(program("curl"), "--silent", "--show-error", f"{scheme}://127.0.0.1:{port}/client.test", "--ssl-reqd", "--cacert", server.folder / "tls" / "cert.pem", "--user", f"{L}:{PASSWORD}",
        "--mail-from", L, "--mail-rcpt", L2, "--upload-file", message)
    assert b"\r\n\r\n.\r\n..\r\nciao\r\n" in arrived(server, f"curl {scheme}")


def test_curl_with_a_wrong_password_is_refused(server, tmp_path):
    message = tmp_path / "message"
    message.write_bytes(b"Subject: no\r\n\r\n")
    done = run(program("curl"), "--silent", "--show-error", f"smtp://127.0.0.1:{server.submission_port}", "--ssl-reqd", "--insecure", "--user", f"{L}:sbagliata", "--mail-from", L,
               "--mail-rcpt", L2, "--upload-file", message, status=None)
    assert done.returncode == 67, done  # login denied


# --- mutt ------------------------------------------------------------------------------------------------------------------------------------

def test_mutt_sends_an_attachment(server, tmp_path):
    mutt = program("mutt")
    (tmp_path / "muttrc").write_text(f'set smtp_url="smtp://127.0.0.1:{server.submission_port}"\nset smtp_pass="{PASSWORD}"\nset ssl_force_tls=yes\nset ssl_starttls=yes\n'
                                     f'set smtp_authenticators="plain"\nset my_user="{L}"\nset from="{L}"\nset realname="Anna"\nset record=""\nset ssl_verify_host=no\nset copy=no\n'
                                     f'set certificate_file="{server.folder}/tls/cert.pem"\nset ssl_ca_certificates_file="{server.folder}/tls/cert.pem"\n'
                                     f'set smtp_url="smtp://{L.replace("@", "%40")}@127.0.0.1:{server.submission_port}"\n')
    (tmp_path / "dati.bin").write_bytes(bytes(range(256)) * 40)
    run(mutt, "-F", tmp_path / "muttrc", "-s", "mutt con allegato", "-a", tmp_path / "dati.bin", "--", L2, input="ciao\n",
        env={**os.environ, "HOME": str(tmp_path), "TERM": "dumb"})
    octets = arrived(server, "mutt con allegato")
    parts = [part for part in email.message_from_bytes(octets).walk() if part.get_filename() == "dati.bin"]
    assert parts and parts[0].get_payload(decode=True) == bytes(range(256)) * 40


# --- Python ----------------------------------------------------------------------------------------------------------------------------------

def test_smtplib_sends_utf8_and_reads_every_reply(make_server):
    server = make_server()
    message = email.message.EmailMessage()
    message["From"], message["To"], message["Subject"] = f"Anna Perù <{L}>", L2, "smtplib"
    message.set_content("perché no?\n" * 1000)
    with server.smtplib() as client:
        assert client.has_extn("smtputf8") and client.has_extn("8bitmime")
        assert client.noop()[0] == 250 and client.rset()[0] == 250 and client.help().startswith(b"2.0.0")
        assert client.verify("anna")[0] == 252
        client.send_message(message)
        with pytest.raises(smtplib.SMTPSenderRefused):
            client.sendmail(L2, [L], "Subject: not me\r\n\r\n")
        refused = client.sendmail(L, [L2, f"nessuno@{DOMAIN}"], "Subject: one of two\r\n\r\n")
        assert list(refused) == [f"nessuno@{DOMAIN}"] and refused[f"nessuno@{DOMAIN}"][0] == 550
    assert b"perch" in arrived(server, "smtplib")
    arrived(server, "one of two")
    with smtplib.SMTP_SSL("127.0.0.1", server.submissions_port, context=client_tls(), timeout=PATIENCE) as client:
        with pytest.raises(smtplib.SMTPAuthenticationError) as wrong:
            client.login(L, "sbagliata")
        assert wrong.value.smtp_code == 535


def test_a_program_that_only_knows_helo_sends_too(server):
    """A printer, a UPS: HELO, no extensions, one octet at a time."""
    with server.stranger(hello=False) as printer:
        for octet in b"HELO ups\r\n":
            printer.send_octets(bytes([octet]))
        assert printer.reply().code == 250
        assert printer.command("MAIL FROM:<x@altrove.test>").code == 250
        assert printer.command(f"RCPT TO:<{L2}>").code == 250
        assert printer.data(b"Subject: printer\r\n\r\nout of paper\r\n").code == 250
        assert printer.command("QUIT").code == 221
    arrived(server, "printer")
