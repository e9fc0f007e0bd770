# SPDX-License-Identifier: Apache-2.0
"""T97: each role tries what it must not do, and is denied; status tells what is enforced."""
import os
import pathlib

import pytest
from portiere import DOMAIN, ROLES, wait_until

pytestmark = pytest.mark.sanitized


@pytest.fixture(scope="module")
def proved():
    from portiere import Server
    with Server(hooks=True, dns=True) as server:
        outcome = server.cli("hook", "all", "sandbox")
        assert outcome.code == 0, outcome
        wait_until(lambda: {event["role"] for event in proofs(server, "proved")} >= set(ROLES), "every role has tried")
        yield server


def proofs(server, what):
    """Events of the log; the ledger, which writes it, says its own on standard error."""
    events = server.events(f"sandbox-{what}")
    for line in server.output().splitlines():
        if line.startswith("portiere: sandbox-tried what="):
            events.append({"event": "sandbox-tried", "role": "ledger", "what": line.partition("what=")[2]})
        if line.startswith("portiere: sandbox-proved role=ledger all-denied="):
            events.append({"event": "sandbox-proved", "role": "ledger", "all-denied": line.rpartition("=")[2]})
    return [event for event in events if event["event"] == f"sandbox-{what}"]


@pytest.mark.parametrize("role", ROLES)
def test_t97_what_a_role_must_not_do_is_denied(proved, role):
    tried = [event["what"] for event in proofs(proved, "tried") if event["role"] == role]
    assert len(tried) >= 7 and all(what.endswith(": denied") for what in tried), tried
    verdicts = [event["all-denied"] for event in proofs(proved, "proved") if event["role"] == role]
    assert verdicts and set(verdicts) == {"yes"}


@pytest.mark.parametrize("role", ROLES)
def test_each_role_is_locked_as_status_says(proved, role):
    row = next(row for row in proved.cli("status").rows if row.get("child") == role)
    assert row["seccomp"] == "yes" and int(row["landlock"]) >= 1, row
    state = pathlib.Path(f"/proc/{proved.pid(role)}/status").read_text()
    assert "NoNewPrivs:\t1" in state and "Seccomp:\t2" in state


@pytest.mark.skipif(os.getuid() != 0, reason="run by an ordinary user all roles share him")
def test_each_role_has_a_user_of_its_own_when_root_starts_it(proved):
    users = {}
    for role, pid in proved.processes():
        users.setdefault(pathlib.Path(f"/proc/{pid}/status").read_text().split("Uid:")[1].split()[0], set()).add(role)
    assert "0" not in users, users
    assert all(len(roles) == 1 for roles in users.values()), users


def test_a_proved_server_still_works(proved):
    assert proved.stranger().send("x@altrove.test", [f"anna@{DOMAIN}"]).code == 250
    proved.wait_for_mail("anna")


def test_hooks_are_closed_without_the_test_s_word(server):
    outcome = server.cli("hook", "front", "sandbox")
    assert outcome.code != 0 and not server.events("sandbox-tried")
