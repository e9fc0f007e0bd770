#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A name server for tests, on loopback, UDP and TCP.

    dns_server.py zone FILE       one server; FILE has lines "name TYPE data", several alike make a set; "name TYPE !SERVFAIL" (or
                                  !REFUSED, !NXDOMAIN, !SILENT) misbehaves; TYPE * is any. What is not there is NXDOMAIN, or no
                                  data when the name has other records. The file is read again for each question.
    dns_server.py vectors FILE    one server a vector of hostile-answers.json, which sends the vector's octets.

Prints one line a server: port, and for vectors the id, the type and the name of its question; then "ready".
"""
import json
import selectors
import socket
import struct
import sys

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset


class Zone:
    def __init__(self, path):
        self.path = path

    def rows(self):
        with open(self.path, encoding="utf-8") as file:
            for line in file:
                words = line.split(None, 2)
                if len(words) == 3 and not line.startswith("#"):
                    yield words[0].lower().rstrip("."), words[1].upper(), words[2].strip()

    def answer(self, query, over_tcp):
        message = dns.message.from_wire(query)
        question = message.question[0]
        reply = dns.message.make_response(message)
        reply.flags |= dns.flags.RA
        kind = dns.rdatatype.to_text(question.rdtype)
        name = question.name
        rows = list(self.rows())
        for _ in range(10):
            text = name.to_text().lower().rstrip(".")
            mine = [row for row in rows if row[0] == text]
            bad = [data for _, wanted, data in mine if wanted in (kind, "*") and data.startswith("!")]
            if bad and bad[0] == "!SILENT":
                return None
            if bad:
                reply.set_rcode(dns.rcode.from_text(bad[0][1:]))
                break
            found = [data for _, wanted, data in mine if wanted == kind]
            if found:
                reply.answer.append(dns.rrset.from_text_list(name, 1, "IN", kind, found))
                break
            alias = [data for _, wanted, data in mine if wanted == "CNAME"]
            if not alias:
                if not mine:
                    reply.set_rcode(dns.rcode.NXDOMAIN)
                break
            reply.answer.append(dns.rrset.from_text_list(name, 1, "IN", "CNAME", alias))
            name = dns.name.from_text(alias[0])
        if reply.rcode() != 0 or not reply.answer:
            reply.authority.append(dns.rrset.from_text(dns.name.root, 1, "IN", "SOA", "ns. root. 1 60 60 60 1"))
        return reply.to_wire(max_size=65535 if over_tcp else 1232)


class Vector:
    KEEPS_ITS_ID = {"wrong-id", "wrong-question", "qdcount-0", "short-5-bytes"}

    def __init__(self, vector):
        self.name = vector["id"]
        self.wire = bytes.fromhex(vector["wire_hex"])

    def question(self):
        if self.name == "wrong-question":
            return 15, "example.com"
        try:
            end = 12
            while self.wire[end]:
                end += 1 + self.wire[end]
            labels = dns.name.from_wire(self.wire, 12)[0]
            return struct.unpack("!H", self.wire[end + 1:end + 3])[0], labels.to_text().rstrip(".")
        except (IndexError, dns.exception.DNSException, struct.error):
            return 15, "example.com"

    def answer(self, query, over_tcp):
        wire = self.wire
        if self.name not in self.KEEPS_ITS_ID:
            wire = query[:2] + wire[2:]
            kind = query[12:]
            end = kind.index(b"\0") + 5
            mine = wire[12:].index(b"\0") + 5
            if end == mine and kind[:end].lower() == wire[12:12 + mine].lower():
                wire = wire[:12] + kind[:end] + wire[12 + mine:]
        elif self.name != "wrong-id" and len(wire) > 2:
            wire = query[:2] + wire[2:]
        if self.name == "truncated-flag" and over_tcp:
            message = dns.message.make_response(dns.message.from_wire(query))
            name = message.question[0].name
            message.answer.append(dns.rrset.from_text(name, 300, "IN", "MX", "10 mx.example.com."))
            return message.to_wire()
        return wire


class Server:
    def __init__(self, source, selector):
        self.source, self.selector = source, selector
        while True:
            self.tcp = socket.create_server(("127.0.0.1", 0))
            self.port = self.tcp.getsockname()[1]
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                self.udp.bind(("127.0.0.1", self.port))
                break
            except OSError:
                self.tcp.close()
                self.udp.close()
        selector.register(self.udp, selectors.EVENT_READ, self.datagram)
        selector.register(self.tcp, selectors.EVENT_READ, self.connection)

    def datagram(self, _):
        query, client = self.udp.recvfrom(65535)
        wire = self.source.answer(query, False)
        if wire:
            if len(wire) > 1232 and isinstance(self.source, Vector):
                flags = struct.unpack("!H", wire[2:4])[0] | 0x200
                wire = wire[:2] + struct.pack("!HHHHH", flags, 1, 0, 0, 0) + query[12:12 + query[12:].index(b"\0") + 5]
            self.udp.sendto(wire, client)

    def connection(self, _):
        made, _ = self.tcp.accept()
        made.settimeout(2)
        self.selector.register(made, selectors.EVENT_READ, self.stream)

    def stream(self, made):
        try:
            head = made.recv(2, socket.MSG_WAITALL)
            if len(head) == 2:
                wire = self.source.answer(made.recv(struct.unpack("!H", head)[0], socket.MSG_WAITALL), True)
                if wire:
                    made.sendall(struct.pack("!H", len(wire)) + wire)
                return
        except OSError:
            pass
        self.selector.unregister(made)
        made.close()


def main():
    selector = selectors.DefaultSelector()
    if sys.argv[1] == "zone":
        print(Server(Zone(sys.argv[2]), selector).port)
    else:
        with open(sys.argv[2], encoding="utf-8") as file:
            for vector in json.load(file)["vectors"]:
                source = Vector(vector)
                kind, name = source.question()
                print(Server(source, selector).port, vector["id"], kind, name)
    print("ready", flush=True)
    while True:
        for key, _ in selector.select():
            key.data(key.fileobj)


if __name__ == "__main__":
    main()
