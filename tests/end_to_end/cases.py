# SPDX-License-Identifier: Apache-2.0
"""Public reports from people who run mail servers or talk to them, as one table: number, what is tried, and the right outcome. test_cases.py tries each
against a running server, from outside.

A case is a list of talks. A talk is a way in and, in turn, what is sent and what has to come back:
    way in      smtp, lenient (a listener with lenient=yes), submission: connected and greeted, nothing said yet; mail, friend: port 25 after EHLO, from
                a stranger and from a trusted address; login: submission after STARTTLS, AUTH and EHLO, as anna
    sent        str: one command line; bytes: these octets; Text(octets): DATA and its end, the dots stuffed
    comes back  a code, the beginning of a reply, a set of these (any), a list of these (one reply after the other), CLOSED, NOTHING (silence for a moment)
then: a function (world) that looks at what came of it. world: the Server with .remote, the mail server of fuori.test, and mail_marked() (below).
fails: why the case does not hold yet; the test fails when it does hold."""
import collections

from portiere import DOMAIN, wait_until

CLOSED, NOTHING = object(), object()
Text = collections.namedtuple("Text", "octets")
Case = collections.namedtuple("Case", "number what talks then fails", defaults=((), None, None))
CASES = []


def case(number, what, *talks, then=None, fails=None):
    CASES.append(Case(number, what, talks, then, fails))


def marked(number, body=b"ciao\r\n"):
    """A message that is found again by its number."""
    return Text(b"Subject: %s\r\n\r\n" % number.encode() + body)


def chunk(octets):
    return b"BDAT %d LAST\r\n" % len(octets) + octets


def mail_marked(world, number, user="anna"):
    return [octets for octets in world.mail(user) if b"Subject: %s\r\n" % number.encode() in octets.split(b"\r\n\r\n", 1)[0] + b"\r\n"]


def one_arrives(number, what=b"", user="anna"):
    """Exactly one message of that number, with these octets in it."""
    def look(world):
        wait_until(lambda: mail_marked(world, number, user), f"the message of {number}")
        assert world.stranger().send("x@altrove.test", [f"{user}@{DOMAIN}"], b"Subject: behind-%s\r\n\r\n" % number.encode()).code == 250
        wait_until(lambda: mail_marked(world, f"behind-{number}", user), "the message behind it")
        found = mail_marked(world, number, user)
        assert len(found) == 1 and what in found[0], found
    return look


def none_arrives(number, user="anna"):
    def look(world):
        assert world.stranger().send("x@altrove.test", [f"{user}@{DOMAIN}"], b"Subject: behind-%s\r\n\r\n" % number.encode()).code == 250
        wait_until(lambda: mail_marked(world, f"behind-{number}", user), "the message behind it")
        assert not mail_marked(world, number, user)
    return look


def goes_out(number, what=b"", rcpt=None):
    """The remote server got it once, with these octets, and was asked for this recipient."""
    def look(world):
        def found():
            return [message for message in list(world.remote.messages) if b"Subject: %s\r\n" % number.encode() in message.octets]
        wait_until(found, f"the message of {number} at the remote server")
        message, = found()
        assert what in message.octets, message
        assert rcpt is None or any(line.startswith(rcpt) for line in message.rcpt_lines), message
    return look


# A. Greeting, HELO, session shape ----------------------------------------------------------------------------------------------------------

case("C001", "HELO without a name", ("smtp", "HELO ", "501"), ("smtp", "HELO", "501"), ("lenient", "HELO ", 250, "MAIL FROM:<ups@altrove.test>", 250))
case("C002", "EHLO _", ("submission", "EHLO _", 250))
case("C003", "EHLO with the name of a container", ("submission", "EHLO app_1.stack_net", 250), ("smtp", "EHLO app_1.stack_net", 250))
case("C004", "EHLO with a word without a dot", ("submission", "EHLO 7kO2OrE", 250))
case("C006", "the literal's tag in capitals", ("smtp", "EHLO [IPV6:2a01:4f8::1]", 250), ("submission", "EHLO [IPV6:2a01:4f8::1]", 250))
case("C007", "IPv6 literals with and without a tag", ("submission", "EHLO [2001:db8::1]", 250), ("submission", "EHLO [IPv6:2001:db8::]", 250))
case("C008", "Apple Mail's literal, and a client without a host name", ("submission", "EHLO [IPv6:fe80::1c]", 250), ("smtp", "EHLO [IPv6:fe80::1c]", 250),
     ("lenient", "EHLO ", 250))
case("C009", "a literal without its tag is judged at EHLO, or never", ("smtp", "EHLO [2001:7c0::19]", 250, "MAIL FROM:<x@altrove.test>", 250,
                                                                     f"RCPT TO:<anna@{DOMAIN}>", 250))
case("C010", "names of one's own machine", *(("submission", f"EHLO {name}", 250) for name in ("127.0.0.1", "localhost", "localhost.localdomain", "[127.0.0.1]")))
case("C011", "a second EHLO resets", ("smtp", "EHLO a.test", 250, "MAIL FROM:<x@altrove.test>", 250, "EHLO a.test", 250, f"RCPT TO:<anna@{DOMAIN}>", 503,
                                      "MAIL FROM:<x@altrove.test>", 250))
case("C013", "RSET before EHLO", ("smtp", "RSET", 250, "EHLO a.test", 250))
case("C018", "our banner is one line", ("smtp", b"", [], "QUIT", "221"))
case("C022", "a browser", ("smtp", b"POST / HTTP/1.1\r\nHost: x\r\n\r\nEHLO x\r\nMAIL FROM:<x@altrove.test>\r\n", {421, 500}, b"", CLOSED),
     ("submission", b"POST / HTTP/1.1\r\nHost: x\r\n\r\nEHLO x\r\nMAIL FROM:<x@altrove.test>\r\n", {421, 500}, b"", CLOSED))

# B. Commands and addresses -----------------------------------------------------------------------------------------------------------------

case("C026", "a blank behind FROM: and TO:", ("mail", "MAIL FROM: <x@altrove.test>", "501 5.5.2"),
     ("login", f"MAIL FROM: <anna@{DOMAIN}>", 250, f"RCPT TO: <bruno@{DOMAIN}>", 250),
     ("lenient", "EHLO a.test", 250, "MAIL FROM: <x@altrove.test>", 250, f"RCPT TO: <anna@{DOMAIN}>", 250))
case("C027", "an address typed without brackets", ("mail", "MAIL FROM: craig@example.com", "501 5.5.2 Syntax: MAIL FROM:<address>"))
case("C028", "bad syntax in MAIL is 501", *(("mail", line, 501, "NOOP", 250) for line in ("MAIL FRM:<a@b.test>", "MAIL FROM <a@b.test>", "MAIL FROM:<a b@c.test>",
                                                                                         "MAIL FROM:<a@b.test", "MAIL", "MAIL FROM:")))
case("C029", "a quoted local part is one address", ("mail", "MAIL FROM:<x@altrove.test>", 250, f'RCPT TO:<"odd user"@{DOMAIN}>', "550 5.1.1"))
case("C030", "brackets and parameters inside quotes stay there",
     ("friend", f"MAIL FROM:<anna@{DOMAIN}>", 250, 'RCPT TO:<"foo@psres.net> ORCPT=admin@admin.com"@fuori.test>', 250, marked("C030"), 250),
     then=goes_out("C030", rcpt='RCPT TO:<"foo@psres.net> ORCPT=admin@admin.com"@fuori.test>'))
case("C032", "quoted and Greek recipients", ("mail", "MAIL FROM:<x@altrove.test>", 250, f'RCPT TO:<"anna"@{DOMAIN}>', 250, f"RCPT TO:<πέτρος@{DOMAIN}>", "553 5.6.7",
                                             "RSET", 250, "MAIL FROM:<x@altrove.test> SMTPUTF8", 250, f"RCPT TO:<πέτρος@{DOMAIN}>", "550 5.1.1"))
case("C033", "what checkers for open relays try", ("mail", "MAIL FROM:<x@altrove.test>", 250, 'RCPT TO:<"relaytest%mailradar.com">', {501, 550, 553},
                                                  "RCPT TO:<user@x@>", {501, 550, 553}, f"RCPT TO:<user%mailradar.com@{DOMAIN}>", {550, 553},
                                                  f"RCPT TO:<@{DOMAIN}:user@mailradar.com>", {550, 553}, f'RCPT TO:<"user@mailradar.com"@{DOMAIN}>', {550, 553},
                                                  "RCPT TO:<user@mailradar.com>", "550 5.7.1"))
case("C034", "Postmaster without a domain", ("mail", "MAIL FROM:<x@altrove.test>", 250, "RCPT TO:<Postmaster>", 250, "RCPT TO:<POSTMASTER>", 250,
                                             f"RCPT TO:<postmaster@{DOMAIN}>", 250))


def one_box(world):
    one_arrives("C036", b"for <AnnA@casa.test>")(world)
    boxes = {path.name for path in (world.folder / "mail" / DOMAIN).iterdir()}
    assert not [box for box in boxes if box != box.lower()], boxes


case("C036", "a local part in capitals is the same box; its case is kept", ("mail", "MAIL FROM:<x@altrove.test>", 250, f"RCPT TO:<AnnA@{DOMAIN}>", 250, marked("C036"), 250),
     then=one_box)
case("C036-out", "the case of a remote local part is kept", ("friend", f"MAIL FROM:<anna@{DOMAIN}>", 250, "RCPT TO:<AlexCustos@fuori.test>", 250, marked("C036-out"), 250),
     then=goes_out("C036-out", rcpt="RCPT TO:<AlexCustos@fuori.test>"))
case("C037", "the null sender", ("mail", "MAIL FROM:<>", 250, f"RCPT TO:<anna@{DOMAIN}>", 250))
case("C038", "BODY without SIZE", ("mail", "MAIL FROM:<x@altrove.test> BODY=8BITMIME", 250))
case("C039", "over the limit without having said so", ("mail", "MAIL FROM:<x@altrove.test>", 250, f"RCPT TO:<anna@{DOMAIN}>", 250,
                                                     marked("C039", b"0123456789abcdef\r\n" * 130000), "552 5.3.4", "NOOP", 250),
     then=none_arrives("C039"))
case("C040", "Outlook's MAIL", ("login", f"MAIL FROM:<anna@{DOMAIN}> SIZE=13343 AUTH=<>", 250), ("mail", "MAIL FROM:<x@altrove.test> SIZE=13343 AUTH=<>", 250))


def original_recipient(world):
    def report():
        return [octets for octets in world.mail("anna") if b"Content-Type: multipart/report" in octets and b"C042" in octets]
    wait_until(report, "the report")
    assert b"Original-Recipient: rfc822;root\r\n" in report()[0], report()


case("C042", "ORCPT without a domain comes back in the report",
     ("friend", f"MAIL FROM:<anna@{DOMAIN}> RET=HDRS ENVID=C042", 250, "RCPT TO:<nessuno@fuori.test> ORCPT=rfc822;root NOTIFY=FAILURE", 250, marked("C042"), 250),
     then=original_recipient)
case("C044", "RET is taken where DSN is offered", ("mail", "MAIL FROM:<x@altrove.test> RET=HDRS", 250))
case("C045", "NOTIFY with other words", ("mail", "MAIL FROM:<x@altrove.test>", 250, f"RCPT TO:<anna@{DOMAIN}> NOTIFY=SOMETIMES", "501 5.5.4",
                                         f"RCPT TO:<anna@{DOMAIN}> NOTIFY=NEVER,FAILURE", "501 5.5.4", f"RCPT TO:<anna@{DOMAIN}> NOTIFY=", "501 5.5.4"))
case("C046", "NOOP hello", ("mail", "NOOP hello", 250))
case("C047", "an IPv6 literal as domain", ("mail", "MAIL FROM:<x@altrove.test>", 250, "RCPT TO:<root@[IPv6:2001:db8::25]>", "550"))
case("C048", "our own address as domain, from a stranger", ("mail", "MAIL FROM:<x@altrove.test>", 250, "RCPT TO:<max@[127.0.0.1]>", 550))
case("C049", "one recipient too many is 452", ("friend", f"MAIL FROM:<anna@{DOMAIN}>", 250,
                                              b"".join(b"RCPT TO:<r%d@fuori.test>\r\n" % i for i in range(122)), [250] * 120 + ["452 4.5.3"] * 2,
                                              marked("C049"), 250),
     then=lambda world: wait_until(lambda: sum(len(m.recipients) for m in list(world.remote.messages) if b"Subject: C049\r\n" in m.octets) == 120, "120 copies"))
case("C050", "two recipients, and a hundred", ("mail", "MAIL FROM:<x@altrove.test>", 250, f"RCPT TO:<anna@{DOMAIN}>", 250, f"RCPT TO:<bruno@{DOMAIN}>", 250, marked("C050"), 250),
     ("friend", f"MAIL FROM:<anna@{DOMAIN}>", 250, b"".join(b"RCPT TO:<r%d@fuori.test>\r\n" % i for i in range(100)), [250] * 100, "DATA", 354, b".\r\n", {250, 554}),
     then=one_arrives("C050", user="bruno"))

# C. Message text on the wire ---------------------------------------------------------------------------------------------------------------

TO_ANNA = ("MAIL FROM:<x@altrove.test>", 250, f"RCPT TO:<anna@{DOMAIN}>", 250, "DATA", 354)
SMUGGLED = b"MAIL FROM:<evil@altrove.test>\r\nRCPT TO:<anna@casa.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n"

FALSE_ENDS = (b"\n.\r\n", b"\r\r\n.\r\r\n", b"\r\n.\n", b"\r\n.\r", b"\n.\n", b"\r.\r", b"\r.\r\n")

case("C051", "lines that end with LF alone", ("mail", *TO_ANNA, b"Subject: C051\n\nuno\ndue\n.\ntre\r\n.\r\n", "550 5.6.11", "NOOP", 250),
     ("lenient", "EHLO a.test", 250, *TO_ANNA, b"Subject: C051\n\nuno\ndue\n.\ntre\r\n.\r\n", 250), then=one_arrives("C051", b"\r\n\r\nuno\r\ndue\r\n"))
case("C052", "lines that end with CR CR LF", ("mail", *TO_ANNA, b"Subject: C052\r\r\n\r\r\nuno\r\r\n.\r\r\ndue\r\r\n\r\n.\r\n", "550 5.6.11", "NOOP", 250),
     then=none_arrives("C052"))
case("C054", "what looks like the end of the text", *(("mail", *TO_ANNA, b"Subject: C054\r\n\r\nx" + end + SMUGGLED, ["550 5.6.11"], "NOOP", 250)
                                                     for end in FALSE_ENDS),
     *(("lenient", "EHLO a.test", 250, *TO_ANNA, b"Subject: C054\r\n\r\nx" + end + SMUGGLED, [250], "NOOP", 250)
       for end in FALSE_ENDS),
     then=lambda world: (none_arrives("smuggled")(world), wait_until(lambda: len(mail_marked(world, "C054")) == 7, "the seven of the lenient listener")))
case("C055", "a stuffed dot is taken away once", ("mail", *TO_ANNA, b"Subject: C055\r\n\r\n..test\r\n...\r\n.\r\n", 250), then=one_arrives("C055", b"\r\n\r\n.test\r\n..\r\n"))
case("C055-first", "also when it is the first octet", ("mail", *TO_ANNA, b"..test\r\nSubject: C055-first\r\n\r\n.\r\n", {250, 554}))
DOTS = b"".join(b"x" + b"." * (4000 + i) + b"\r\n" for i in range(40))  # a dot at every place of any buffer, never at a line's beginning
case("C056", "a dot in mid-line is never doubled", ("friend", f"MAIL FROM:<anna@{DOMAIN}>", 250, "RCPT TO:<r@fuori.test>", 250, marked("C056", DOTS), 250),
     then=goes_out("C056", b"\r\n\r\n" + DOTS))
case("C057", "a client that does not stuff", ("mail", *TO_ANNA, b"Subject: C057\r\n\r\nx\r\n.\r\n" + b"non sono un comando\r\n" * 30, [250, {500, 503}], b"", CLOSED),
     then=one_arrives("C057", b"\r\n\r\nx\r\n"))
case("C058", "dots at the edges of a text that goes out",
     ("friend", f"MAIL FROM:<anna@{DOMAIN}>", 250, "RCPT TO:<r@fuori.test>", 250, chunk(b"Subject: C058\r\n\r\n.a\r\n..\r\n."), 250),
     then=goes_out("C058", b"\r\n\r\n.a\r\n..\r\n.\r\n"))
LONG_LINES = b"a" * 1210 + b"\r\n" + b"b" * 8000 + b"\r\n"
case("C059", "lines of 1,210 and 8,000 octets", ("mail", *TO_ANNA, b"Subject: C059\r\n\r\n" + LONG_LINES + b".\r\n", 250),
     ("friend", f"MAIL FROM:<anna@{DOMAIN}>", 250, "RCPT TO:<r@fuori.test>", 250, marked("C059", LONG_LINES), 250),
     then=lambda world: (one_arrives("C059", b"\r\n\r\n" + LONG_LINES)(world), goes_out("C059", LONG_LINES)(world)))
LONG_FIELD = b"X-Long: " + b"lungo " * 400 + b"fine\r\n"
case("C060", "a header line of 2,400 octets stays one field", ("mail", *TO_ANNA, b"Subject: C060\r\n" + LONG_FIELD + b"X-Next: y\r\n\r\nx\r\n.\r\n", 250),
     then=one_arrives("C060", LONG_FIELD + b"X-Next: y\r\n\r\nx\r\n"))
case("C061", "NUL in the text", ("mail", *TO_ANNA, b"Subject: C061\r\n\r\nprima\0dopo\r\n.\r\n", "554 5.6.0", "NOOP", 250), then=none_arrives("C061"))
case("C062", "an empty text", ("mail", *TO_ANNA, b".\r\n", {250, 554}), ("mail", *TO_ANNA, b"\r\n.\r\n", {250, 554}))
case("C063", "a header without a blank line", ("mail", *TO_ANNA, b"Subject: C063\r\nX-Last: qui\r\n.\r\n", 250), then=one_arrives("C063", b"X-Last: qui\r\n"))
case("C065", "a text without a header, that begins with a blank", ("mail", *TO_ANNA, b" comincia con uno spazio\r\nSubject: C065\r\n.\r\n", {250, 554}, "NOOP", 250),
     then=lambda world: wait_until(lambda: [octets for octets in world.mail("anna") if b"comincia con uno spazio\r\nSubject: C065\r\n" in octets], "the message"))
case("C066", "BDAT before MAIL", ("mail", b"BDAT 9 LAST\r\nMAIL FROM", 503, "NOOP", 250, "MAIL FROM:<x@altrove.test>", 250))
case("C069", "dots in BDAT are the text's own", ("mail", *TO_ANNA[:4], chunk(b"Subject: C069\r\n\r\n..x\r\n.\r\ny\r\n"), 250),
     then=one_arrives("C069", b"\r\n\r\n..x\r\n.\r\ny\r\n"))


case("C069-out", "and we do not stuff in BDAT", ("friend", f"MAIL FROM:<anna@{DOMAIN}> BODY=BINARYMIME", 250, "RCPT TO:<r@fuori.test>", 250,
                                                chunk(b"Subject: C069-out\r\n\r\n..x\r\n.\r\n\0y\r\n"), 250), then=goes_out("C069-out", b"\r\n\r\n..x\r\n.\r\n\0y\r\n"))

# H. Pipelining and scripts -----------------------------------------------------------------------------------------------------------------

case("C152", "a script through nc", ("smtp", b"HELO x\r\nMAIL FROM:<>\r\nRCPTO\r\nQUIT\r\n", [250, 250, 500, 221], b"", CLOSED))
case("C155", "MAIL and RCPT in one packet", ("mail", b"MAIL FROM:<x@altrove.test>\r\nRCPT TO:<anna@casa.test>\r\n", [250, 250]))
case("C157", "DATA pipelined behind refused recipients",
     ("mail", b"MAIL FROM:<x@altrove.test>\r\nRCPT TO:<nessuno@casa.test>\r\nRCPT TO:<y@altrove.test>\r\nDATA\r\n", [250, "550 5.1.1", "550 5.7.1", {503, 554}], "NOOP", 250))
