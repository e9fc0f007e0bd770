# SPDX-License-Identifier: Apache-2.0
"""The harness of the tests from outside: a real server in a folder of its own, and the world around it, on loopback only.

    with Server(settings={"service.max_incoming": 2}, dns=True) as server:     # or the fixtures of conftest.py
        with server.stranger() as x:                                           # 127.0.0.2: X of docs; server.trusted() is T, 127.0.0.1
            assert x.command("MAIL FROM:<a@altrove.test>").code == 503
        with server.login("anna") as anna:                                     # 587, STARTTLS, AUTH PLAIN
            assert anna.send("anna@casa.test", ["bruno@casa.test"], b"Subject: ciao\\r\\n\\r\\nciao\\r\\n").code == 250
        message = server.wait_for_mail("bruno")[0]                             # octets of the Maildir's file
        server.cli("queue", "list").rows                                       # every command; .code, .out, .err, .rows (JSON)
        server.events("refused")                                               # lines of the log as dicts
        server.kill("front")                                                   # SIGKILL to a role

    The accounts anna, bruno and badmail of casa.test exist (password PASSWORD). dns=True gives the server the name server `server.dns`, whose
    zone is a dict: server.dns.zone[("fuori.test", "MX")] = ["10 mx.fuori.test."]; server.dns.queries lists what was asked.

    remote = server.remote()         a mail server out there, on 127.0.0.N, all on one port (delivery.port); server.host(remote, "fuori.test")
                                     makes it the MX of a domain
    remote.replies["RCPT"] = ["450 4.2.0 later", "250 ok"]    one after the other, the last one stays; also a function(session, argument) -> reply;
                                     CLOSE hangs up, SILENT never answers. Stages: CONNECT EHLO HELO STARTTLS MAIL RCPT DATA DOT RSET QUIT AUTH
    remote.messages                  [Message(sender, recipients, octets, tls, ...)] of what was taken with 250
    remote.wait(2)                   waits until two messages came; remote.peak: sessions at once

Nothing here sleeps for a fixed time to wait for something: wait_until asks again. All processes are ended by their ids."""
import collections
import contextlib
import json
import os
import pathlib
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import tempfile
import threading
import time

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("PORTIERE_BUILD") or ROOT / "build").resolve()
CORPORA = pathlib.Path(os.environ.get("PORTIERE_CORPORA") or ROOT.parent / "shared" / "corpora")
SANITIZED = bool(os.environ.get("PORTIERE_SANITIZED"))
LONG = bool(os.environ.get("PORTIERE_LONG"))
PATIENCE = 60 if SANITIZED else 30  # the longest wait for something that has to come
PASSWORD = "quattro gatti sul tetto"
DOMAIN = "casa.test"
TRUSTED, STRANGER = "127.0.0.1", "127.0.0.2"
CLOSE, SILENT = object(), object()
ROLES = ("ledger", "verifier", "vault", "mailbox", "resolver", "relay", "queue", "control", "front")


def wait_until(condition, what="", timeout=None):
    """The first true value of condition(); TimeoutError when none comes."""
    end = time.monotonic() + (timeout or PATIENCE)
    pause = 0.005
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"{what or condition} did not happen within {timeout or PATIENCE} s")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)


def free_port(address="127.0.0.1"):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((address, 0))
        return s.getsockname()[1]


def make_certificate(folder, name="posta.casa.test", stem=("cert.pem", "key.pem"), days="30", ends=None):
    """A self-made P-256 certificate, for some days or until a moment (YYYYMMDDHHMMSSZ); an existing one is replaced by rename, as a careful
    administrator does."""
    folder.mkdir(exist_ok=True)
    new = [folder / (file + ".new") for file in stem]
    request = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
               "-addext", f"subjectAltName=DNS:{name},DNS:localhost,IP:127.0.0.1", "-keyout", new[1]]
    if ends:  # only `openssl ca` makes one that has ended
        with tempfile.TemporaryDirectory() as work:
            work = pathlib.Path(work)
            (work / "index").touch()
            (work / "ca.conf").write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={work}/index\nnew_certs_dir={work}\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n")
            subprocess.run([*request, "-out", work / "request"], check=True, capture_output=True, stdin=subprocess.DEVNULL)
            subprocess.run(["openssl", "ca", "-selfsign", "-batch", "-notext", "-config", work / "ca.conf", "-keyfile", new[1], "-startdate", "20200101000000Z",
                            "-enddate", ends, "-in", work / "request", "-out", new[0]], check=True, capture_output=True, stdin=subprocess.DEVNULL)
    else:
        subprocess.run([*request, "-x509", "-days", days, "-out", new[0]], check=True, capture_output=True, stdin=subprocess.DEVNULL)
    for file, final in zip(reversed(new), reversed(stem)):  # the key first: the certificate's change is what is noticed last
        os.rename(file, folder / final)


def client_tls():
    """A client that takes any certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


# --- a client ------------------------------------------------------------------------------------------------------------------------------

class Reply:
    def __init__(self, lines):
        self.lines = lines
        self.code = int(lines[-1][:3])
        self.texts = [line[4:] for line in lines]
        self.text = "\n".join(self.texts)
        word = self.texts[-1].split(" ", 1)[0]
        self.enhanced = word if word.count(".") == 2 and word.replace(".", "").isdigit() else ""
        last = self.texts[-1]
        self.explain = last[last.rfind("[") + 1:-1] if last.endswith("]") else ""

    def __repr__(self):
        return "\\n".join(self.lines)


class Closed(Exception):
    """The server hung up where a reply was awaited."""


class Smtp:
    """A client that sends exactly the octets it is told to."""

    def __init__(self, port, source=TRUSTED, implicit_tls=False, greeted=True, timeout=None, address="127.0.0.1"):
        self.timeout = timeout or PATIENCE
        self.socket = socket.create_connection((address, port), timeout=self.timeout, source_address=(source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""
        if implicit_tls:
            self.socket = client_tls().wrap_socket(self.socket, server_hostname="localhost")
        self.greeting = self.reply() if greeted else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Ends the connection with a TCP reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def send_octets(self, octets):
        self.socket.sendall(octets if isinstance(octets, bytes) else octets.encode())

    def line(self):
        while b"\n" not in self.rest:
            try:
                got = self.socket.recv(65536)
            except (ConnectionError, ssl.SSLError) as error:
                if isinstance(error, ssl.SSLError) and "timed out" in str(error):
                    raise
                got = b""
            if not got:
                raise Closed(f"the server closed; left: {self.rest!r}")
            self.rest += got
        line, self.rest = self.rest.split(b"\n", 1)
        assert line.endswith(b"\r"), f"a reply line without CRLF: {line!r}"
        return line[:-1].decode("utf-8", "backslashreplace")

    def reply(self):
        lines = [self.line()]
        while lines[-1][3:4] == "-":
            lines.append(self.line())
        assert all(line[:3] == lines[0][:3] for line in lines), lines
        return Reply(lines)

    def replies(self, count):
        return [self.reply() for _ in range(count)]

    def command(self, words):
        self.send_octets(words.encode() + b"\r\n" if isinstance(words, str) else words + b"\r\n")
        return self.reply()

    def is_closed(self, timeout=None):
        """True when the server hangs up (what it still says is kept in .rest)."""
        self.socket.settimeout(timeout or self.timeout)
        try:
            while True:
                got = self.socket.recv(65536)
                if not got:
                    return True
                self.rest += got
        except (ConnectionError, ssl.SSLError):
            return True
        except TimeoutError:
            return False
        finally:
            with contextlib.suppress(OSError):
                self.socket.settimeout(self.timeout)

    def hello(self, name="client.altrove.test"):
        reply = self.command(f"EHLO {name}")
        assert reply.code == 250, reply
        self.extensions = {text.split(" ", 1)[0].upper(): text.split(" ", 1)[1] if " " in text else "" for text in reply.texts[1:]}
        return reply

    def start_tls(self, context=None):
        reply = self.command("STARTTLS")
        assert reply.code == 220, reply
        self.handshake(context)

    def handshake(self, context=None, name="localhost"):
        self.socket = (context or client_tls()).wrap_socket(self.socket, server_hostname=name)

    def auth_plain(self, user, password=PASSWORD):
        import base64
        return self.command("AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()).decode())

    def envelope(self, sender, recipients):
        """MAIL and RCPTs, all of which must be taken."""
        for command in [f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{recipient}>" for recipient in recipients)]:
            reply = self.command(command)
            assert reply.code == 250, (command, reply)

    def data(self, octets):
        reply = self.command("DATA")
        assert reply.code == 354, reply
        return self.text(octets)

    def text(self, octets):
        stuffed = (b"\r\n" + octets).replace(b"\r\n.", b"\r\n..")[2:]
        self.send_octets(stuffed + (b"" if stuffed.endswith(b"\r\n") or not stuffed else b"\r\n") + b".\r\n")
        return self.reply()

    def send(self, sender, recipients, octets=b"Subject: prova\r\n\r\nciao\r\n"):
        self.envelope(sender, recipients)
        return self.data(octets)

    def quit(self):
        reply = self.command("QUIT")
        self.close()
        return reply


# --- a name server -------------------------------------------------------------------------------------------------------------------------

class Dns:
    """UDP and TCP on one port of 127.0.0.1. zone: {(name, type): [texts]} or {(name, type): "SERVFAIL" | "SILENT" | ...}."""

    def __init__(self):
        self.zone = {}
        self.queries = []
        for _ in range(50):
            self.tcp = socket.create_server(("127.0.0.1", 0), backlog=64)
            self.port = self.tcp.getsockname()[1]
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            with contextlib.suppress(OSError):
                self.udp.bind(("127.0.0.1", self.port))
                break
            self.tcp.close()
            self.udp.close()
        self.is_open = True
        threading.Thread(target=self._serve_udp, daemon=True).start()
        threading.Thread(target=self._serve_tcp, daemon=True).start()

    def asked(self, name, kind=None):
        return sum(1 for query in self.queries if query[0] == name and kind in (None, query[1]))

    def close(self):
        self.is_open = False
        with contextlib.suppress(OSError):
            self.tcp.shutdown(socket.SHUT_RDWR)
        self.tcp.close()
        with contextlib.suppress(OSError):
            self.udp.shutdown(socket.SHUT_RDWR)
        self.udp.close()

    def answer(self, octets):
        question = dns.message.from_wire(octets)
        asked = question.question[0]
        name, kind = asked.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(asked.rdtype)
        self.queries.append((name, kind))
        response = dns.message.make_response(question, recursion_available=True)
        for _ in range(16):
            data = self.zone.get((name, kind), self.zone.get((name, "*")))
            if isinstance(data, str):
                if data == "SILENT":
                    return None
                response.set_rcode(dns.rcode.from_text(data))
                break
            if data:
                response.answer.append(dns.rrset.from_text(name + ".", 60, "IN", kind, *data))
                break
            alias = self.zone.get((name, "CNAME"))
            if not alias:
                if not any(owner == name for owner, _ in self.zone):
                    response.set_rcode(dns.rcode.NXDOMAIN)
                break
            response.answer.append(dns.rrset.from_text(name + ".", 60, "IN", "CNAME", *alias))
            name = alias[0].rstrip(".").lower()
        return response.to_wire(max_size=65535)

    def _serve_udp(self):
        while self.is_open:
            try:
                octets, client = self.udp.recvfrom(4096)
                if not octets:
                    continue
                wire = self.answer(octets)
                if wire:
                    self.udp.sendto(wire, client)
            except OSError:
                return
            except Exception as error:  # a question that dnspython does not read
                print("dns:", error)

    def _serve_tcp(self):
        while self.is_open:
            try:
                client, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._serve_one, args=(client,), daemon=True).start()

    def _serve_one(self, client):
        with client, contextlib.suppress(OSError):
            client.settimeout(10)
            while True:
                size = client.recv(2, socket.MSG_WAITALL)
                if len(size) < 2:
                    return
                wire = self.answer(client.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL))
                if wire:
                    client.sendall(len(wire).to_bytes(2, "big") + wire)


# --- a mail server out there ---------------------------------------------------------------------------------------------------------------

Message = collections.namedtuple("Message", "sender recipients octets tls time mail_line rcpt_lines hello")
DEFAULT_REPLIES = {
    "CONNECT": "220 mx.fuori.test ESMTP", "HELO": "250 mx.fuori.test", "STARTTLS": "220 go on", "MAIL": "250 2.1.0 ok", "RCPT": "250 2.1.5 ok",
    "DATA": "354 go on", "DOT": "250 2.0.0 taken", "BDAT": "250 2.0.0 ok", "RSET": "250 2.0.0 ok", "NOOP": "250 2.0.0 ok", "QUIT": "221 2.0.0 bye",
    "AUTH": "235 2.7.0 ok"}


class RemoteSession:
    def __init__(self, remote, connection, client):
        self.remote, self.socket, self.client = remote, connection, client
        self.file = connection.makefile("rb")
        self.began = time.monotonic()
        self.tls = False
        self.hello = ""
        self.commands = []
        self.begin_transaction()

    def begin_transaction(self):
        self.sender, self.mail_line, self.rcpt_lines, self.recipients, self.octets = None, "", [], [], b""

    def say(self, stage, argument=""):
        """The code that was sent, or None when the session is over."""
        reply = self.remote.reply_for(stage, self, argument)
        if reply is SILENT:
            self.file.read()  # until the other end hangs up
            return None
        if reply is CLOSE:
            return None
        octets = reply if isinstance(reply, bytes) else (reply + "\r\n").encode()
        self.socket.sendall(octets)
        return int(octets[:3]) if octets[:3].isdigit() else 0

    def run(self):
        if self.say("CONNECT") is None:
            return
        while True:
            line = self.file.readline(1 << 20)
            if not line:
                return
            words = line.decode("utf-8", "backslashreplace").rstrip("\r\n")
            self.commands.append(words)
            verb = words.split(" ", 1)[0].upper()
            if not self.take(verb, words):
                return

    def take(self, verb, words):
        argument = words[len(verb):].strip()
        if verb in ("EHLO", "HELO"):
            self.hello = argument
            self.begin_transaction()
            return self.say(verb, argument) is not None
        if verb == "STARTTLS":
            return self.start_tls()
        if verb == "DATA":
            return self.take_data()
        if verb == "BDAT":
            size = int(argument.split()[0])
            self.octets += self.file.read(size)
            return self.end_of_text("DOT" if argument.upper().endswith("LAST") else "BDAT", argument.upper().endswith("LAST"))
        code = self.say(verb, argument)
        if code is None or verb == "QUIT":
            return False
        if verb == "MAIL" and code // 100 == 2:
            self.begin_transaction()
            self.sender, self.mail_line = argument[argument.find("<") + 1:argument.rfind(">")], words
        if verb == "RCPT" and code // 100 == 2:
            self.recipients.append(argument[argument.find("<") + 1:argument.rfind(">")])
            self.rcpt_lines.append(words)
        if verb == "RSET":
            self.begin_transaction()
        return True

    def start_tls(self):
        code = self.say("STARTTLS")
        if code is None or code != 220:
            return code is not None
        self.file.close()
        self.socket = self.remote.tls_context.wrap_socket(self.socket, server_side=True)
        self.file = self.socket.makefile("rb")
        self.tls = True
        return True

    def take_data(self):
        code = self.say("DATA")
        if code is None or code != 354:
            return code is not None
        lines = []
        while True:
            line = self.file.readline(1 << 20)
            if not line:
                return False
            if line == b".\r\n":
                self.octets = b"".join(lines)
                return self.end_of_text("DOT", True)
            lines.append(line[1:] if line.startswith(b".") else line)

    def end_of_text(self, stage, is_last):
        code = self.say(stage)
        if code is not None and is_last and code // 100 == 2:
            self.remote.take(Message(self.sender, list(self.recipients), self.octets, self.tls, time.monotonic(), self.mail_line, list(self.rcpt_lines), self.hello))
        if is_last:
            self.begin_transaction()
        return code is not None


class Remote:
    """A scripted SMTP server; each session has a thread of its own."""

    def __init__(self, address, port, tls_folder=None, extensions=("PIPELINING", "8BITMIME", "SIZE 50000000", "ENHANCEDSTATUSCODES", "SMTPUTF8")):
        self.address, self.port = address, port
        self.replies = {}
        self.extensions = list(extensions)
        self.tls_context = None
        if tls_folder:
            self.tls_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls_context.load_cert_chain(tls_folder / "cert.pem", tls_folder / "key.pem")
        self.messages, self.sessions, self.problems = [], [], []
        self.now = self.peak = 0
        self.lock = threading.Lock()
        self.listener = None
        self.open()

    def open(self):
        self.listener = socket.create_server((self.address, self.port), backlog=256)
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def close(self):
        """Nobody is there any more; sessions go on."""
        if self.listener:
            with contextlib.suppress(OSError):
                self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
            self.listener = None

    def reply_for(self, stage, session, argument):
        scripted = self.replies.get(stage)
        if callable(scripted):
            scripted = scripted(session, argument)
        elif isinstance(scripted, list):
            with self.lock:
                scripted = scripted.pop(0) if len(scripted) > 1 else scripted[0]
        if scripted is not None:
            return scripted
        if stage == "EHLO":
            lines = ["mx.fuori.test", *self.extensions, *(["STARTTLS"] if self.tls_context and not session.tls else [])]
            return "\r\n".join(f"250{'-' if line is not lines[-1] else ' '}{line}" for line in lines)
        return DEFAULT_REPLIES.get(stage, "500 5.5.1 what?")

    def take(self, message):
        with self.lock:
            self.messages.append(message)

    def wait(self, count, timeout=None):
        wait_until(lambda: len(self.messages) >= count, f"{count} messages at {self.address} (there are {len(self.messages)})", timeout)
        return list(self.messages)

    def _accept(self, listener):
        while True:
            try:
                connection, client = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection, client), daemon=True).start()

    def _serve(self, connection, client):
        session = RemoteSession(self, connection, client)
        with self.lock:
            self.sessions.append(session)
            self.now += 1
            self.peak = max(self.peak, self.now)
        try:
            session.run()
        except (OSError, ValueError) as error:
            self.problems.append(repr(error))
        finally:
            with self.lock:
                self.now -= 1
            session.ended = time.monotonic()
            with contextlib.suppress(OSError):
                session.file.close()
                session.socket.shutdown(socket.SHUT_RDWR)
            session.socket.close()


# --- the server ----------------------------------------------------------------------------------------------------------------------------

class Outcome:
    def __init__(self, words, done):
        self.words, self.code, self.out, self.err = words, done.returncode, done.stdout, done.stderr

    @property
    def rows(self):
        value = json.loads(self.out)
        return value if isinstance(value, list) else [value]

    def __repr__(self):
        return f"portiere {' '.join(self.words)}: {self.code}\n{self.out}{self.err}"


def program_environment(**more):
    sanitizers = {"ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:disable_coredump=1", "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:abort_on_error=1"}
    return {**os.environ, "LANG": "C", "LC_ALL": "C", **(sanitizers if SANITIZED else {}), **more}


def run_portiere(folder, *words, input="", timeout=None, environment=None):
    done = subprocess.run([*(["setarch", "-R"] if SANITIZED else []), BUILD / "portiere", *words, "--directory", folder], input=input, text=True, errors="backslashreplace",
                          capture_output=True, timeout=timeout or 2 * PATIENCE, env=program_environment(**(environment or {})))
    return Outcome(words, done)


_prepared = None


def prepared_folder():
    """A folder with domain, accounts and certificate, made once for all servers of this run."""
    global _prepared
    if not _prepared:
        folder = pathlib.Path(tempfile.mkdtemp(prefix="portiere-prepared-"))
        make_certificate(folder / "tls")
        (folder / "portiere.conf").write_text(f"[service]\nhostname = posta.{DOMAIN}\nprimary_domain = {DOMAIN}\n")
        for words, secret in ((("domain", "add", DOMAIN), ""), *(((("account", "add", f"{user}@{DOMAIN}", "--password-stdin")), PASSWORD + "\n")
                                                                  for user in ("anna", "bruno", "badmail"))):
            outcome = run_portiere(folder, *words, input=secret)
            assert outcome.code == 0, outcome
        shutil.rmtree(folder / "log", ignore_errors=True)
        _prepared = folder
    return _prepared


def forget_prepared():
    global _prepared
    if _prepared:
        shutil.rmtree(_prepared, ignore_errors=True)
        _prepared = None


class Server:
    """settings: {"section.key": value}; a list is the rows of a table. start=False: made, not started."""

    def __init__(self, settings=None, dns=False, start=True, hooks=False, environment=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="portiere-test-"))
        subprocess.run(["cp", "-a", f"{prepared_folder()}/.", self.folder], check=True)
        os.chmod(self.folder, 0o755)
        self.smtp_port, self.submission_port, self.submissions_port, self.remote_port = (free_port() for _ in range(4))
        self.dns = Dns() if dns else None
        self.remotes = []
        self.environment = {**({"PORTIERE_TEST_HOOKS": "1"} if hooks else {}), **(environment or {})}
        self.settings = {
            "service.hostname": f"posta.{DOMAIN}", "service.primary_domain": DOMAIN,
            "service.listen": [f"smtp 127.0.0.1:{self.smtp_port} auth=no", f"submission 127.0.0.1:{self.submission_port}", f"submissions 127.0.0.1:{self.submissions_port}"],
            "log.target": "file", "log.format": "json",
            "delivery.port": self.remote_port, "delivery.never_connect": ["192.0.2.0/24"],  # remote servers of tests are on loopback
            **({"service.resolver": [f"127.0.0.1@{self.dns.port}"]} if self.dns else {}),
            **(settings or {})}
        self.write_settings()
        self.process = None
        self.said = self.folder / "said"
        self._event_file, self._event_offset, self._events = None, 0, []
        if start:
            self.start()

    # a server as a context
    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.destroy()

    def write_settings(self):
        """Writes portiere.conf out of self.settings."""
        sections, tables = collections.defaultdict(list), []
        for key, value in self.settings.items():
            section, name = key.split(".", 1)
            if isinstance(value, (list, tuple)):
                tables.append(f"[table {key}]\n" + "".join(f"{row}\n" for row in value))
            else:
                sections[section].append(f"{name} = {value}\n")
        text = "\n".join([*(f"[{section}]\n" + "".join(lines) for section, lines in sections.items()), *tables])
        new = self.folder / "portiere.conf.new"
        new.write_text(text)
        os.rename(new, self.folder / "portiere.conf")

    def start(self, wait=True):
        with open(self.said, "ab") as said:
            offset = said.tell()
            self.process = subprocess.Popen([*(["setarch", "-R"] if SANITIZED else []), BUILD / "portiere", "serve", "--directory", self.folder], stdin=subprocess.DEVNULL,
                                            stdout=said, stderr=said, start_new_session=True, env=program_environment(**self.environment))
        if wait:
            self.wait_ready(offset)
        return self

    def wait_ready(self, offset=0):
        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}: {self.output()}")
            return b" is ready:" in self.said.read_bytes()[offset:]
        try:
            wait_until(ready, "the server is ready")
        except TimeoutError as error:
            raise AssertionError(f"{error}: {self.output()}") from None

    def output(self):
        return self.said.read_text(errors="backslashreplace")

    def stop(self, timeout=None):
        """SIGTERM, as a service manager does; the exit status."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout or 2 * PATIENCE)
        return self.process.returncode if self.process else 0

    def restart(self):
        self.stop()
        return self.start()

    def destroy(self):
        left = []
        try:
            if self.process and self.process.poll() is None:
                left = self.processes()
                try:
                    self.stop()
                except subprocess.TimeoutExpired:
                    for pid in [self.process.pid, *(pid for _, pid in left)]:
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
                    self.process.wait()
                    raise
        finally:
            for remote in self.remotes:
                remote.close()
            if self.dns:
                self.dns.close()
            said = self.output() if self.said.exists() else ""
            shutil.rmtree(self.folder, ignore_errors=True)
        assert "Sanitizer" not in said and "runtime error:" not in said, said

    # processes
    def processes(self):
        """[(role, process id)] of the server's children; verifiers are several."""
        children = []
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            children += (task / "children").read_text().split()
        found = []
        for pid in children:
            with contextlib.suppress(OSError):
                name = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode().rpartition("/")[2]
                found.append((name.removeprefix("portiere-"), int(pid)))
        return found

    def pid(self, role):
        return next((pid for name, pid in self.processes() if name == role), None)

    def kill(self, role, number=signal.SIGKILL):
        pid = self.pid(role)
        assert pid, f"no {role} runs"
        os.kill(pid, number)
        wait_until(lambda: not os.path.exists(f"/proc/{pid}") or pid not in [p for _, p in self.processes()], f"{role} is gone")
        return pid

    def wait_roles(self, roles=ROLES):
        """Waits until each role runs and says it is ready."""
        def all_ready():
            outcome = self.cli("status", "--json")
            return outcome.code == 0 and {row.get("child") for row in outcome.rows if row.get("state") == "ready"} >= set(roles)
        wait_until(all_ready, f"{roles} ready")

    # the command line
    def cli(self, *words, input="", timeout=None):
        if words[0] in ("queue", "status", "audit", "events", "trace") and "--json" not in words and not (words[0] == "queue" and words[1] in ("export",)):
            words = (*words, "--json")
        return run_portiere(self.folder, *map(str, words), input=input, timeout=timeout)

    def set(self, key, *values):
        outcome = self.cli("settings", "set", key, *map(str, values))
        assert outcome.code == 0, outcome
        self.settings[key] = list(values) if len(values) > 1 or isinstance(self.settings.get(key), list) else values[0]
        self.wait_for_settings()

    def wait_for_settings(self):
        """Waits until every role has the newest snapshot: they get it side by side."""
        def all_have_it():
            rows = [row for row in self.cli("status").rows if row.get("settings")]
            newest = max(int(row["settings"]) for row in rows)
            return all(int(row["settings"]) == newest for row in rows)
        wait_until(all_have_it, "all roles have the settings")

    def status(self, role):
        """The row of one role: {"threads_idle": "3", ...}."""
        outcome = self.cli("status")
        assert outcome.code == 0, outcome
        return next(row for row in outcome.rows if row.get("role") == role)

    def add_account(self, name, password=PASSWORD):
        outcome = self.cli("account", "add", f"{name}@{DOMAIN}", "--password-stdin", input=password + "\n")
        assert outcome.code == 0, outcome

    # clients
    def connect(self, source=TRUSTED, port=None, hello=True, **options):
        client = Smtp(port or self.smtp_port, source, **options)
        if hello and client.greeting:
            assert client.greeting.code == 220, client.greeting
            client.hello()
        return client

    def stranger(self, **options):
        return self.connect(STRANGER, **options)

    def trusted(self, **options):
        return self.connect(TRUSTED, **options)

    def login(self, user="anna", source=STRANGER, password=PASSWORD):
        client = self.connect(source, self.submission_port)
        client.start_tls()
        client.hello()
        reply = client.auth_plain(f"{user}@{DOMAIN}", password)
        assert reply.code == 235, reply
        return client

    def smtplib(self, user="anna", port=None):
        client = smtplib.SMTP("127.0.0.1", port or self.submission_port, timeout=PATIENCE)
        client.starttls(context=client_tls())
        if user:
            client.login(f"{user}@{DOMAIN}", PASSWORD)
        return client

    # what came of it
    def maildir(self, user, domain=DOMAIN):
        return self.folder / "mail" / domain / user

    def mail_files(self, user, domain=DOMAIN):
        return [path for part in ("new", "cur") for path in (self.maildir(user, domain) / part).glob("*")]

    def mail(self, user, domain=DOMAIN):
        """The messages of a mailbox, oldest first."""
        found = []
        for path in self.mail_files(user, domain):
            with contextlib.suppress(FileNotFoundError):  # a reader moved it to cur meanwhile: the next call finds it there
                found.append((path.stat().st_mtime_ns, path.name, path.read_bytes()))
        return [octets for _, _, octets in sorted(found)]

    def wait_for_mail(self, user, count=1, timeout=None):
        wait_until(lambda: len(self.mail_files(user)) >= count, f"{count} messages for {user}", timeout)
        return self.mail(user)

    def queue(self):
        outcome = self.cli("queue", "list")
        assert outcome.code == 0, outcome
        return outcome.rows

    def wait_for_empty_queue(self, timeout=None):
        wait_until(lambda: not self.queue(), "the queue is empty", timeout)

    def events(self, name=None, **fields):
        """Events of the log, oldest first; of that name and with those fields."""
        path = self.folder / "log" / "portiere.log"
        if path.exists():
            with open(path, "rb") as file:
                file.seek(self._event_offset)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    self._event_offset += len(line)
                    try:
                        event = json.loads(line)
                    except ValueError:
                        if line.endswith(b"}\n"):
                            raise  # whole, and no JSON: that is our fault
                        continue  # the ledger was killed in the middle of it
                    self._events.append({**event.pop("fields"), **event})
        return [event for event in self._events if name in (None, event.get("event")) and all(str(event.get(key)) == str(value) for key, value in fields.items())]

    def wait_for_event(self, name, count=1, timeout=None, **fields):
        return wait_until(lambda: (found := self.events(name, **fields)) and len(found) >= count and found, f"{count} events {name} {fields}", timeout)

    # the world
    def remote(self, tls=False, **options):
        """A mail server out there, on an address of its own."""
        folder = None
        if tls:
            folder = self.folder / "remote-tls"
            if not folder.exists():
                make_certificate(folder, "mx.fuori.test")
        remote = Remote(f"127.0.1.{len(self.remotes) + 1}", self.remote_port, folder, **options)
        self.remotes.append(remote)
        return remote

    def host(self, remote, domain, preference=10):
        """Makes a remote an MX of a domain."""
        name = f"mx{remote.address.rpartition('.')[2]}.{domain}"
        self.dns.zone.setdefault((domain, "MX"), []).append(f"{preference} {name}.")
        self.dns.zone[(name, "A")] = [remote.address]
        return remote
