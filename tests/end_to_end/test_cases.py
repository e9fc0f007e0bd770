# SPDX-License-Identifier: Apache-2.0
"""Tries each case of cases.py against one running server; below, those that need a server or a world of their own."""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import time

import pytest
from cases import CASES, CLOSED, NOTHING, Text, mail_marked
from portiere import DOMAIN, TRUSTED, Closed, Server, Smtp, free_port, wait_until

LENIENT = free_port()


@pytest.fixture(scope="module")
def world():
    settings = {"delivery.max_message_size": "2M", "advanced.max_recipients_server": "120", "delivery.retry_intervals": "1s"}
    with Server(settings, dns=True, start=False) as server:
        server.settings["service.listen"].append(f"smtp 127.0.0.1:{LENIENT} auth=no lenient=yes")
        server.write_settings()
        server.start()
        server.remote = server.host(server.remote(extensions=("PIPELINING", "8BITMIME", "SIZE 50000000", "ENHANCEDSTATUSCODES", "CHUNKING", "BINARYMIME", "DSN")), "fuori.test")
        server.remote.replies["RCPT"] = lambda _session, argument: "550 5.1.1 nobody" if "nessuno" in argument else "250 2.1.5 ok"
        yield server


def come_in(world, way):
    if way == "login":
        return world.login("anna")
    if way == "friend":
        return world.trusted()
    if way == "mail":
        return world.stranger()
    return world.stranger(port={"smtp": world.smtp_port, "submission": world.submission_port, "lenient": LENIENT}[way], hello=False)


def fits(reply, wanted):
    if isinstance(wanted, set):
        return any(fits(reply, one) for one in wanted)
    return reply.code == wanted if isinstance(wanted, int) else str(reply).startswith(wanted)


def hears(client, wanted, sent):
    if wanted is CLOSED:
        assert client.is_closed(), sent
        return
    if wanted is NOTHING:
        assert not client.is_closed(0.3) and not client.rest, (sent, client.rest)
        return
    for one in wanted if isinstance(wanted, list) else [wanted]:
        reply = client.reply()
        assert fits(reply, one), f"to {sent!r} came {reply}; right is {wanted}"


def talk(world, way, *lines):
    with come_in(world, way) as client:
        assert way not in ("smtp", "lenient", "submission") or len(client.greeting.lines) == 1
        for sent, wanted in zip(lines[::2], lines[1::2], strict=True):
            if isinstance(sent, Text):
                reply = client.data(sent.octets)
                assert fits(reply, wanted), f"to the text came {reply}; right is {wanted}"
                continue
            client.send_octets(sent if isinstance(sent, bytes) else sent.encode() + b"\r\n")
            hears(client, wanted, sent[:200])


@pytest.mark.parametrize("case", [pytest.param(case, id=case.number, marks=[pytest.mark.xfail(reason=case.fails, strict=True)] if case.fails else []) for case in CASES])
def test_case(world, case):
    for way, *lines in case.talks:
        talk(world, way, *lines)
    if case.then:
        case.then(world)
    with world.stranger() as client:
        assert client.command("NOOP").code == 250
