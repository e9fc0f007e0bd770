# SPDX-License-Identifier: Apache-2.0
"""SIGKILL at random moments to random processes of a server under load: what was answered with 250 is there, whole, at least once; what was not
is whole or absent; nobody hears a 5yz for it, and each start is a clean one.

PORTIERE_KILLS: how many kills (200; 10,000 with --long). PORTIERE_SEED: repeats the order of the kills (not the moments)."""
import collections
import contextlib
import hashlib
import os
import pathlib
import random
import re
import signal
import socket
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "end_to_end"))
sys.dont_write_bytecode = True

import portiere  # noqa: E402
from portiere import DOMAIN, Closed, Server, wait_until  # noqa: E402

KILLS = int(os.environ.get("PORTIERE_KILLS") or (10000 if portiere.LONG else 200))
PAUSE = (0.02, 0.6)  # seconds between two kills
# The supervisor among them also keeps the back-off of the others short: a new one knows of no earlier deaths.
VICTIMS = ["queue"] * 6 + ["front"] * 4 + ["mailbox"] * 5 + ["relay"] * 4 + ["vault"] * 2 + ["ledger"] * 2 + ["verifier", "resolver", "control"] + ["supervisor"] * 3
SIZES = [200] * 12 + [3000] * 12 + [20000] * 6 + [200000] * 2 + [1300000]  # in the window, in parts, in a file of its own
EXPECTED_ALARMS = {"role-restarted"}
MARK = re.compile(rb"^X-Try: (\S+) (\w+)\r?$", re.M)


class Load:
    """Clients that send until told to stop, and remember what they were told."""

    def __init__(self, server):
        self.server = server
        self.lock = threading.Lock()
        self.tried, self.taken = {}, {}  # name -> recipients; taken: answered with 250
        self.told, self.wrong = collections.Counter(), []
        self.is_over = threading.Event()
        ways = [("port 25", self.from_outside), ("port 25, trusted", self.from_trusted), ("submission", self.logged_in)]
        self.threads = [threading.Thread(target=self.run, args=(f"{number}{way[0]}", way, number), daemon=True) for number in range(2) for way in ways]
        for thread in self.threads:
            thread.start()

    def end(self):
        self.is_over.set()
        for thread in self.threads:
            thread.join(portiere.PATIENCE)
            assert not thread.is_alive(), "a client waits for an answer that does not come"

    # ways to send: (client, sender, who may receive)
    def from_outside(self):
        return self.server.stranger(), "chi@altrove.test", ["anna", "bruno"]

    def from_trusted(self):
        return self.server.trusted(), f"anna@{DOMAIN}", ["anna", "bruno", "fuori"]

    def logged_in(self):
        return self.server.login("bruno"), f"bruno@{DOMAIN}", ["anna", "bruno", "fuori"]

    def run(self, prefix, way, number):
        choice = random.Random(f"{prefix}{number}")
        count = 0
        while not self.is_over.is_set():
            try:
                client, sender, receivers = way[1]()
            except (OSError, Closed, AssertionError) as why:  # nobody listens, 421, 454: come again
                self.refuse(way[0], why)
                time.sleep(0.05)
                continue
            with client:
                for _ in range(choice.randint(1, 40)):
                    if self.is_over.is_set():
                        break
                    count += 1
                    recipients = choice.sample(receivers, choice.randint(1, len(receivers)))
                    if not self.send(client, sender, recipients, f"{prefix.replace(' ', '').replace(',', '')}.{count}", choice):
                        break
                    time.sleep(choice.random() * 0.03)

    def refuse(self, way, why):
        with self.lock:
            self.told[type(why).__name__ if not isinstance(why, AssertionError) else str(why)[:40]] += 1
            if re.search(r"\b5\d\d[ -]5\.", str(why)):
                self.wrong.append(f"{way}: {why}")

    def send(self, client, sender, recipients, name, choice):
        """True: the session goes on."""
        addresses = {who: f"{who}@{DOMAIN}" if who != "fuori" else f"{name}@fuori.test" for who in recipients}
        body = b"".join(b"%d %s\r\n" % (i, b"x" * 500 + b"." * (i % 70)) for i in range(choice.choice(SIZES) // 540 + 1))
        octets = b"Subject: prova\r\nX-Try: %s %s\r\n\r\n" % (name.encode(), hashlib.sha256(body).hexdigest().encode()) + body
        commands = [f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{address}>" for address in addresses.values())]
        try:
            client.send_octets("".join(command + "\r\n" for command in commands))
            replies = client.replies(len(commands))
            reply = next((reply for reply in replies if reply.code != 250), None) or client.command("DATA")
            if reply.code == 354:
                with self.lock:
                    self.tried[name] = list(addresses.values())
                reply = client.text(octets)
                if reply.code == 250:
                    with self.lock:
                        self.taken[name] = list(addresses.values())
                    return True
        except (OSError, Closed) as why:
            self.refuse(name, why)
            return False
        with self.lock:
            self.told[f"{reply.code} {reply.enhanced}"] += 1
            if reply.code >= 500:
                self.wrong.append(f"{name}: {reply}")
        return False


def lasting_ports(count):
    """Free ports outside the range that clients get theirs from: while the server is down none of its own clients may sit on one."""
    first_of_clients = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = []
    for port in random.sample(range(first_of_clients // 2, first_of_clients), 200):
        with contextlib.suppress(OSError), socket.socket() as s:
            s.bind(("127.0.0.1", port))
            ports.append(port)
    return ports[:count]


def kill_at_random(server, choice, kills):
    """Kills one process after the other, and starts the server again when it was the supervisor."""
    done = collections.Counter()
    while sum(done.values()) < kills:
        time.sleep(choice.uniform(*PAUSE))
        victim = choice.choice(VICTIMS)
        if victim == "supervisor":
            children = [pid for _, pid in server.processes()]
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
            wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in children), "the roles end with their supervisor")
            server.start()
        else:
            alive = [pid for role, pid in server.processes() if role == victim]
            if not alive:  # it waits for its back-off
                continue
            os.kill(choice.choice(alive), signal.SIGKILL)
        done[victim] += 1
    return done


def copies_of(server, remote):
    """{(name, recipient): [octets, ...]} of all that arrived, and what arrived that nobody sent."""
    found, strange = collections.defaultdict(list), []
    arrived = [(f"{user}@{DOMAIN}", octets) for user in ("anna", "bruno", "badmail") for octets in server.mail(user)]
    arrived += [(recipient, message.octets) for message in remote.messages for recipient in message.recipients]
    for recipient, octets in arrived:
        mark = MARK.search(octets)
        if mark and hashlib.sha256(octets.split(b"\r\n\r\n" if b"\r\n\r\n" in octets else b"\n\n", 1)[1].replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")).hexdigest().encode() == mark[2]:
            found[mark[1].decode(), recipient].append(octets)
        else:
            strange.append((recipient, len(octets), octets[:100], octets[-50:]))
    return found, strange


def queue_id_of(octets):
    found = re.search(rb"\bid (\S+?)[;\s]", octets)
    return found[1].decode() if found else "?"


def test_sigkill_at_random_moments_loses_nothing_acknowledged():
    seed = os.environ.get("PORTIERE_SEED") or str(time.time_ns())
    choice = random.Random(seed)
    settings = {"service.max_incoming_per_host": "none", "delivery.retry_intervals": "1s", "delivery.undelivered_after": "2d"}
    with Server(settings, dns=True, start=False) as server:
        server.smtp_port, server.submission_port, server.submissions_port = lasting_ports(3)
        server.settings["service.listen"] = [f"smtp 127.0.0.1:{server.smtp_port} auth=no", f"submission 127.0.0.1:{server.submission_port}",
                                             f"submissions 127.0.0.1:{server.submissions_port}"]
        server.write_settings()
        server.start()
        remote = server.host(server.remote(), "fuori.test")
        load = Load(server)
        began = time.monotonic()
        done = kill_at_random(server, choice, KILLS)
        load.end()
        lasted = time.monotonic() - began
        server.wait_roles()
        late = server.queue()
        server.wait_for_empty_queue(4 * portiere.PATIENCE)
        emptied = time.monotonic() - began - lasted
        if emptied > portiere.PATIENCE:
            print(f"what waited: {late[:10]}; last events: {[event for event in server.events() if event.get('id') in [row['id'] for row in late]][-10:]}")
        found, strange = copies_of(server, remote)
        print(f"seed {seed}: {sum(done.values())} kills in {lasted:.0f} s {dict(done)}, the queue empty {emptied:.0f} s later; {len(load.tried)} messages begun, {len(load.taken)} acknowledged; told {dict(load.told)}")

        wanted = {(name, recipient) for name, recipients in load.taken.items() for recipient in recipients}
        lost = sorted(wanted - set(found))
        assert not lost, f"{len(lost)} of {len(wanted)} acknowledged copies are lost: {lost[:10]}"
        assert not strange, f"{len(strange)} messages are not whole, or nobody's: {strange[:3]}"
        assert not set(found) - {(name, recipient) for name, recipients in load.tried.items() for recipient in recipients}
        assert not load.wrong, f"a permanent refusal for our own trouble: {load.wrong[:5]}"
        assert len(load.taken) > KILLS, "hardly anything was sent: this proves nothing"

        unasked = [name for name in {name for name, _ in found} if name not in load.taken]
        doubles = {key: [queue_id_of(octets) for octets in copies] for key, copies in found.items() if len(copies) > 1}
        causes = collections.Counter(("killed between delivery and its record" if len(set(ids)) == 1 else "taken twice", len(ids)) for ids in doubles.values())
        print(f"{len(unasked)} arrived whose 250 was lost; doubles: {len(doubles)} of {len(found)}")
        for (cause, copies), count in sorted(causes.items()):
            print(f"  {count} times {copies} copies: {cause}")
        assert all(len(set(ids)) == 1 for ids in doubles.values()), "no client sent anything twice"
        local = [key for key in doubles if key[1].endswith(f"@{DOMAIN}")]
        assert not local, f"the Maildir's names are made so that a repeat is seen: {local[:5]}"
        alarms = collections.Counter(event["event"] for event in server.events(level="alarm"))
        print(f"alarms {dict(alarms)}")
        assert set(alarms) <= EXPECTED_ALARMS, [event for event in server.events(level="alarm") if event["event"] not in EXPECTED_ALARMS][:5]
        assert server.stop() == 0
