#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A mail server for tests that behaves as badly as it is told.

    smtp_server.py SCRIPT LOG ADDRESS...     one port, free on all the (loopback) addresses

SCRIPT is JSON, read again for each reply: {"ADDRESS": {...}, "*": {...}}, with
    "banner", "ehlo" (lines without codes), "replies": {"MAIL": "250 ok", "RCPT b@x": ..., "RCPT": ..., "DATA": ..., ".": ..., "STARTTLS": ...},
    "certificate", "key" (files, for STARTTLS), "delays": {"RCPT": seconds}.
A reply may be "!close", "!silent", "!half" (closes in the middle of the text; for DATA) or "hex:..." (these octets). Lists give one reply after the other, the last
one repeats. What is not told is answered well.
LOG gets lines "session address what": open, close, tls VERSION, > command, text LENGTH SHA256, with what was said between them.
Prints the port, then "ready".
"""
import asyncio
import hashlib
import json
import socket
import ssl
import sys

GOOD = {"MAIL": "250 2.1.0 ok", "RCPT": "250 2.1.5 ok", "DATA": "354 go", ".": "250 2.0.0 taken", "RSET": "250 ok", "NOOP": "250 ok",
        "QUIT": "221 bye", "STARTTLS": "220 go", "BDAT": "250 ok"}


class Session:
    number = 0
    open = 0
    peak = 0

    def __init__(self, server, reader, writer):
        Session.number += 1
        self.number = Session.number
        self.server, self.reader, self.writer = server, reader, writer
        self.address = writer.get_extra_info("sockname")[0]

    @property
    def script(self):
        with open(self.server.script, encoding="utf-8") as file:
            script = json.load(file)
        return script.get(self.address, script.get("*", {}))

    def log(self, *words):
        print(self.number, self.address, *words, file=self.server.log, flush=True)

    def reply(self, verb, argument=""):
        replies = self.script.get("replies", {})
        for key in (f"{verb} {argument}", verb):
            if key in replies:
                said = replies[key]
                if isinstance(said, list):
                    count = self.server.counts.get((self.address, key), 0)
                    self.server.counts[(self.address, key)] = count + 1
                    said = said[min(count, len(said) - 1)]
                return said
        return GOOD.get(verb, "502 what")

    async def say(self, said, verb=""):
        delay = self.script.get("delays", {}).get(verb, 0)
        if delay:
            await asyncio.sleep(delay)
        if said == "!close":
            raise ConnectionError
        if said == "!silent":
            await asyncio.sleep(3600)
        octets = bytes.fromhex(said[4:]) if said.startswith("hex:") else said.encode() + b"\r\n"
        self.writer.write(octets)
        await self.writer.drain()

    async def hello(self, verb):
        lines = ["mx"] + (self.script.get("ehlo", ["PIPELINING", "SIZE", "8BITMIME", "DSN", "SMTPUTF8"]) if verb == "EHLO" else [])
        custom = self.script.get("replies", {}).get(verb)
        if custom:
            await self.say(custom, verb)
            return
        await self.say("\r\n".join(f"250{'-' if i + 1 < len(lines) else ' '}{line}" for i, line in enumerate(lines)), verb)

    async def start_tls(self):
        await self.say(self.reply("STARTTLS"), "STARTTLS")
        if "certificate" not in self.script:
            await self.say("this is no handshake")
            raise ConnectionError
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.script["certificate"], self.script["key"])
        if "old_tls" in self.script:
            context.set_ciphers("DEFAULT@SECLEVEL=0")
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
        await self.writer.start_tls(context) if hasattr(self.writer, "start_tls") else await self.upgrade(context)
        self.log("tls", self.writer.get_extra_info("ssl_object").version())

    async def upgrade(self, context):
        loop = asyncio.get_running_loop()
        transport, protocol = self.writer.transport, self.writer.transport.get_protocol()
        made = await loop.start_tls(transport, protocol, context, server_side=True)
        self.reader._transport = made
        self.writer = asyncio.StreamWriter(made, protocol, self.reader, loop)
        protocol._stream_writer = self.writer

    async def data(self):
        said = self.reply("DATA")
        await self.say("354 go" if said == "!half" else said, "DATA")
        if said == "!half":
            await self.reader.read(100)
            raise ConnectionError
        if not said.startswith("354"):
            return
        lines = []
        while True:
            line = await self.reader.readline()
            if not line:
                raise ConnectionError
            if line == b".\r\n":
                break
            lines.append(line[1:] if line.startswith(b".") else line)
        text = b"".join(lines)
        self.log("text", len(text), hashlib.sha256(text).hexdigest())
        await self.say(self.reply("."), ".")

    async def run(self):
        Session.open += 1
        Session.peak = max(Session.peak, Session.open)
        self.log("open", Session.open)
        try:
            await self.say(self.script.get("banner", "220 mx ESMTP"), "banner")
            while line := await self.reader.readline():
                words = line.decode("utf-8", "replace").strip()
                self.log(">", words)
                verb = words.split(" ")[0].split(":")[0].upper()
                argument = words[words.find("<") + 1:words.find(">")] if "<" in words else ""
                if verb in ("EHLO", "HELO"):
                    await self.hello(verb)
                elif verb == "STARTTLS" and self.reply("STARTTLS").startswith("220"):
                    await self.start_tls()
                elif verb == "DATA":
                    await self.data()
                else:
                    await self.say(self.reply(verb, argument), verb)
                if verb == "QUIT":
                    break
        except (OSError, asyncio.IncompleteReadError, ValueError):
            pass
        Session.open -= 1
        self.log("close", Session.open)
        self.writer.close()


class Server:
    def __init__(self, script, log):
        self.script, self.log, self.counts = script, open(log, "a", encoding="utf-8"), {}

    async def run(self, addresses):
        sockets = []
        while len(sockets) < len(addresses):
            for made in sockets:
                made.close()
            sockets, port = [], 0
            try:
                for address in addresses:
                    sockets.append(socket.create_server((address, port), backlog=500))
                    port = sockets[0].getsockname()[1]
            except OSError:
                pass

        async def accept(reader, writer):
            await Session(self, reader, writer).run()

        for made in sockets:
            await asyncio.start_server(accept, sock=made, limit=1 << 24)
        print(sockets[0].getsockname()[1])
        print("ready", flush=True)
        await asyncio.Event().wait()


asyncio.run(Server(sys.argv[1], sys.argv[2]).run(sys.argv[3:]))
