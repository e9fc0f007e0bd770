# SPDX-License-Identifier: Apache-2.0
"""Maildirs: a real Dovecot reads and changes them while mail comes in; what DATA took is what lies there, for every message of the corpora (T46); links are
not followed (T74)."""
import imaplib
import os
import pathlib
import re
import shutil
import subprocess
import time

import pytest
from portiere import CORPORA, DOMAIN, PATIENCE, ROOT, free_port, wait_until

L, L2 = f"anna@{DOMAIN}", f"bruno@{DOMAIN}"
PEERS = ROOT / "build" / "peers"
TRACE = re.compile(rb"\A(?:Received: (?:[^\r\n]|\r\n[ \t])*\r\n)")


# --- Dovecot ---------------------------------------------------------------------------------------------------------------------------------

# Dovecot's programs call each other by their installed names: the unpacked /usr lies over the real one, for them alone.
IN_PLACE = ["unshare", "--mount", "sh", "-c",
            'mount -t overlay overlay -o "lowerdir=$0/usr:/usr" /usr && exec "$@"', PEERS]


def unpacked_dovecot():
    """Debian's Dovecot, unpacked and not installed: mail servers exclude each other and start daemons."""
    if os.getuid() != 0:
        pytest.skip("only root may lay the unpacked Dovecot over /usr and start its users")
    if not (PEERS / "usr" / "sbin" / "dovecot").exists():
        PEERS.mkdir(parents=True, exist_ok=True)
        packages = ["dovecot-core", "dovecot-imapd", "libexttextcat-2.0-0", "libexttextcat-data", "liblua5.3-0", "libapparmor1", "libstemmer0d", "libwrap0"]
        got = subprocess.run(["apt-get", "download", *packages], cwd=PEERS, capture_output=True, text=True, timeout=300)
        if got.returncode:
            pytest.skip(f"Dovecot can't be had: {got.stderr.strip().splitlines()[-1:]}")
        for package in PEERS.glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, PEERS], check=True)
    may = subprocess.run([*IN_PLACE, "true"], capture_output=True, text=True)
    if may.returncode:
        pytest.skip(f"no right to lay the unpacked Dovecot over /usr: {may.stderr.strip()}")


@pytest.fixture(scope="module")
def dovecot(server):
    unpacked_dovecot()
    work = server.folder / "dovecot"
    work.mkdir()
    owner = os.stat(server.folder / "mail").st_uid, os.stat(server.folder / "mail").st_gid
    port = free_port()
    (work / "users").write_text(f"anna:{{PLAIN}}x:{owner[0]}:{owner[1]}::{server.maildir('anna')}::\n")
    (work / "dovecot.conf").write_text(f"""
protocols = imap
base_dir = {work}/run
state_dir = {work}/state
log_path = {work}/log
ssl = no
disable_plaintext_auth = no
default_login_user = nobody
default_internal_user = nobody
default_internal_group = nogroup
first_valid_uid = 0
last_valid_uid = 0
first_valid_gid = 0
default_vsz_limit = 0
mail_location = maildir:{server.maildir('anna')}
service anvil {{
  chroot =
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    address = 127.0.0.1
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
passdb {{
  driver = passwd-file
  args = {work}/users
}}
userdb {{
  driver = passwd-file
  args = {work}/users
}}
""")
    process = subprocess.Popen([*IN_PLACE, "dovecot", "-F", "-c", work / "dovecot.conf"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               start_new_session=True)

    def connect():
        if process.poll() is not None:
            log = (work / "log").read_text() if (work / "log").exists() else ""
            pytest.skip(f"the unpacked Dovecot does not start here: {process.stdout.read().decode()} {log}")
        try:
            imap = imaplib.IMAP4("127.0.0.1", port, timeout=20)
            imap.login("anna", "x")
            return imap
        except (OSError, imaplib.IMAP4.error):
            return None
    try:
        try:
            wait_until(connect, "Dovecot answers")
        except TimeoutError:
            pytest.fail(f"Dovecot: {(work / 'log').read_text() if (work / 'log').exists() else 'no log'}")
        yield connect
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def send(server, subject, body=b"ciao\r\n"):
    with server.trusted() as t:
        assert t.send("x@altrove.test", [L], f"Subject: {subject}\r\n\r\n".encode() + body).code == 250


def test_dovecot_reads_what_we_deliver_octet_for_octet(server, dovecot):
    body = bytes(range(1, 256)).replace(b"\r", b"").replace(b"\n", b"") + b"\r\n"
    send(server, "per Dovecot", body)
    server.wait_for_mail("anna")
    imap = dovecot()
    imap.select("INBOX")
    wait_until(lambda: imap.noop() and imap.search(None, "SUBJECT", '"per Dovecot"')[1][0], "Dovecot sees it")
    number = imap.search(None, "SUBJECT", '"per Dovecot"')[1][0].split()[0]
    octets = imap.fetch(number, "(BODY.PEEK[])")[1][0][1]
    assert octets == next(octets for octets in server.mail("anna") if b"per Dovecot" in octets)
    assert octets.endswith(b"\r\n\r\n" + body)
    imap.logout()


def test_dovecot_changes_the_folder_while_mail_comes_in(server, dovecot):
    """It reads, flags and removes (new to cur, cur renamed, unlinked) while we deliver; every message is seen once."""
    imap = dovecot()
    imap.select("INBOX")
    seen, count = set(), 60
    for i in range(count):
        send(server, f"insieme {i}")
        if i % 7 == 0:
            imap.noop()
            for number in imap.search(None, "UNSEEN", "SUBJECT", '"insieme"')[1][0].split():
                header = imap.fetch(number, "(BODY[HEADER.FIELDS (SUBJECT)])")[1][0][1].decode()
                seen.add(header.split("insieme ")[1].strip())
                imap.store(number, "+FLAGS", "\\Seen" if int(number) % 2 else "\\Deleted")
            imap.expunge()

    def all_seen():
        imap.noop()
        for number in imap.search(None, "UNSEEN", "SUBJECT", '"insieme"')[1][0].split():
            header = imap.fetch(number, "(BODY[HEADER.FIELDS (SUBJECT)])")[1][0][1].decode()
            name = header.split("insieme ")[1].strip()
            assert name not in seen
            seen.add(name)
        return len(seen) == count
    wait_until(all_seen, f"all of {count}")
    imap.append("INBOX", "", imaplib.Time2Internaldate(time.time()), b"Subject: by Dovecot itself\r\n\r\nciao\r\n")
    send(server, "afterwards")
    wait_until(lambda: any(b"afterwards" in octets for octets in server.mail("anna")))
    server.wait_for_empty_queue()
    imap.logout()


# --- the octets ------------------------------------------------------------------------------------------------------------------------------

def corpus_messages():
    for folder in ("mime", "dsn", "arf", "smtputf8"):
        for path in sorted((CORPORA / folder).rglob("*")):
            if path.is_file() and path.suffix in (".eml", ".msg", ".txt") and "LICENSE" not in path.name:
                yield path


def to_crlf(octets):
    return re.sub(rb"\r?\n|\r", b"\r\n", octets)


def test_t46_every_message_of_the_corpora_arrives_octet_for_octet(make_server):
    paths = list(corpus_messages())
    if not paths:
        pytest.skip(f"the corpora are not at {CORPORA}: set PORTIERE_CORPORA")
    server = make_server({"advanced.max_hops": "1000"})
    taken, refused = {}, []
    with server.trusted() as t:
        for path in paths:
            octets = to_crlf(path.read_bytes())
            if not octets.endswith(b"\r\n"):
                octets += b"\r\n"
            wants_utf8 = " SMTPUTF8 BODY=8BITMIME" if path.parts[-2] == "smtputf8" else ""
            assert t.command(f"MAIL FROM:<x@altrove.test>{wants_utf8}").code == 250
            assert t.command(f"RCPT TO:<{L}>").code == 250
            reply = t.data(octets)
            if reply.code == 250:
                taken[re.search(r"id (\w+)", reply.text)[1]] = (path, octets)
            else:
                refused.append((path.name, str(reply)))
                assert b"\0" in octets, refused[-1]  # a NUL is the one thing that no message may hold
    assert len(taken) > 300
    server.wait_for_mail("anna", len(taken), timeout=120)
    found = set()
    for stored in server.mail("anna"):
        number = re.search(rb"id (\w+)", stored)[1].decode()
        path, octets = taken[number]
        rest = TRACE.sub(b"", stored)
        if not octets.lower().startswith(b"return-path:") and b"\nreturn-path:" not in octets.lower():
            assert rest == octets, path
        else:  # a forged Return-Path goes
            assert rest.endswith(octets[octets.find(b"\r\n\r\n"):]), path
        found.add(number)
    assert found == set(taken)


# --- T74 -------------------------------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("part", ["new", "tmp", "."])
def test_t74_a_link_in_the_way_is_not_followed(make_server, part, tmp_path):
    server = make_server({"delivery.retry_intervals": "1s"})
    send(server, "the first")
    server.wait_for_mail("anna")
    box = server.maildir("anna")
    target = tmp_path / "elsewhere"
    shutil.copytree(box, target) if part == "." else target.mkdir()
    for path in [target, *target.rglob("*")]:
        os.chmod(path, 0o777)
    place = box if part == "." else box / part
    kept = pathlib.Path(f"{place}.kept")
    os.rename(place, kept)
    os.symlink(target, place)
    before = sorted(path.name for path in target.rglob("*"))
    send(server, "the second")
    event = server.wait_for_event("recipient-deferred")[0]
    assert event["recipient"] == L and "4." in event["reply"], event
    assert sorted(path.name for path in target.rglob("*")) == before
    os.unlink(place)
    os.rename(kept, place)
    wait_until(lambda: any(b"the second" in octets for octets in server.mail("anna")), "delivered once the link is gone")


def test_c143_a_maildir_that_can_not_be_written_defers(make_server):
    server = make_server({"delivery.retry_intervals": "1s"})
    send(server, "the first")
    server.wait_for_mail("anna")
    new = server.maildir("anna") / "new"
    owner = os.stat(new)
    os.chmod(new, 0o500)
    if os.getuid() == 0:
        os.chown(new, 0, 0)
    send(server, "the second")
    event = server.wait_for_event("recipient-deferred")[0]
    assert event["reply"].startswith("4") or " 4." in event["reply"], event
    if os.getuid() == 0:
        os.chown(new, owner.st_uid, owner.st_gid)
    os.chmod(new, 0o700)
    wait_until(lambda: any(b"the second" in octets for octets in server.mail("anna")), "delivered")
