# SPDX-License-Identifier: Apache-2.0
"""What front must bear: clients that say much at once, and settings that change under a session."""
import ssl

import pytest
from portiere import make_certificate, wait_until

pytestmark = pytest.mark.sanitized


def test_front_what_the_machine_refuses_is_told_ten_times_and_counted(make_server):
    server = make_server({"service.max_bad_commands": 100})
    with server.stranger() as client:
        for _ in range(15):
            assert client.command("XYZZY").code == 500
        assert client.command("RCPT TO:<anna@casa.test>").code == 503
    told = server.wait_for_event("refused", 10, rule="command-unknown")
    assert len(told) == 10 and {event["client"] for event in told} == {"127.0.0.2"}
    counted = dict(cause.split("=") for cause in server.status("front")["refusals"].split())
    assert counted["command-unknown"] == "15"
    assert len(server.events("refused", rule="command-unknown")) == 10


@pytest.mark.parametrize("tls", [False, True])
def test_front_messages_in_one_piece_are_answered_to_the_last(server, tls):
    """The octets behind a commit are in the socket already: nothing more comes that would make the server look again."""
    before = len(server.mail("bruno"))
    octets = b"Subject: pezzo\r\n\r\n" + (b"x" * 76 + b"\r\n") * 900
    with server.login() if tls else server.trusted() as client:
        client.send_octets((b"MAIL FROM:<anna@casa.test>\r\nRCPT TO:<bruno@casa.test>\r\nBDAT %d LAST\r\n" % len(octets) + octets) * 4 + b"NOOP\r\n")
        for _ in range(4):
            assert [reply.code for reply in client.replies(3)] == [250, 250, 250]
        assert client.reply().code == 250
    server.wait_for_mail("bruno", before + 4)


def test_front_a_session_outlives_two_certificates_and_its_settings(make_server):
    server = make_server()
    with server.trusted() as old, server.login() as encrypted:
        for title in ("uno", "due", "tre"):
            before = server.status("front")["settings"]
            make_certificate(server.folder / "tls")
            written = (server.folder / "tls" / "cert.pem").read_text()
            wait_until(lambda: ssl.get_server_certificate(("127.0.0.1", server.submissions_port)) == written, "front has the new certificate")
            server.set("security.server_title", title)
            wait_until(lambda: server.status("front")["settings"] != before, "front has the new settings")
        assert old.send("a@altrove.test", ["anna@casa.test"]).code == 250
        assert encrypted.send("anna@casa.test", ["bruno@casa.test"]).code == 250
    server.wait_for_mail("bruno")


def test_front_recipients_of_any_length_reach_the_queue(make_server):
    """More than one packet between front and queue bears."""
    server = make_server(dns=True)
    remote = server.remote()
    server.host(remote, "fuori.test")
    names = [f"u{number:04}@fuori.test" for number in range(1500)]
    with server.trusted() as client:
        assert client.command("MAIL FROM:<anna@casa.test>").code == 250
        client.send_octets("".join(f"RCPT TO:<{name}> ORCPT=rfc822;{'o' * 400}{name}\r\n" for name in names))
        assert {reply.code for reply in client.replies(len(names))} == {250}
        assert client.data(b"Subject: tanti\r\n\r\nciao\r\n").code == 250
    wait_until(lambda: sum(len(message.recipients) for message in remote.messages) == len(names), "all of them were relayed", 120)
    assert {recipient for message in remote.messages for recipient in message.recipients} == set(names)
