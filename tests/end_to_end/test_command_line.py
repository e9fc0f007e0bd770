# SPDX-License-Identifier: Apache-2.0
"""The command line from outside, while no server runs: settings in the file, accounts through the vault that is started for the moment.
PORTIERE_BUILD: the folder with the built programs (build/ when absent)."""

import json
import os
import subprocess

import pytest

BUILD = os.path.abspath(os.environ.get("PORTIERE_BUILD", os.path.join(os.path.dirname(__file__), "..", "..", "build")))
PASSWORD = "quattro gatti sul tetto"


@pytest.fixture
def home(tmp_path):
    (tmp_path / "portiere.conf").write_text("# mine\n[service]\nhostname = mail.casa.test # the name\n")
    return tmp_path


def portiere(home, *words, stdin="", status=0):
    run = subprocess.run([os.path.join(BUILD, "portiere"), *words, "--directory", str(home)], input=stdin, text=True, capture_output=True,
                         timeout=60, env={**os.environ, "LANG": "C", "LC_ALL": "C"})
    assert run.returncode == status, (words, run.returncode, run.stdout, run.stderr)
    return run


def rows(home, *words):
    return json.loads(portiere(home, *words, "--json").stdout)


def left_running():
    names = subprocess.run(["ps", "-e", "-o", "ppid=,comm="], text=True, capture_output=True, check=True).stdout
    return [line for line in names.splitlines() if line.split()[0] == str(os.getpid()) and "portiere" in line]


# --- settings ------------------------------------------------------------------------------------------------------------------------------

def test_a_setting_is_changed_in_the_file_and_its_comments_stay(home):
    portiere(home, "settings", "set", "thread_cache", "5")
    assert portiere(home, "settings", "get", "service.thread_cache").stdout == "5\n"
    text = (home / "portiere.conf").read_text()
    assert text.startswith("# mine\n[service]\nhostname = mail.casa.test # the name\n")
    assert "thread_cache = 5" in text
    assert (home / "portiere.conf").stat().st_mode & 0o007 == 0
    portiere(home, "unset", "thread_cache")
    assert portiere(home, "settings", "get", "thread_cache").stdout == "40\n"


def test_the_product_s_variable_names_work_in_any_case(home):
    portiere(home, "set", "c_SYSTEM_adv_protocols_BACKLOG", "4000")
    assert portiere(home, "settings", "get", "backlog").stdout == "4000\n"
    assert portiere(home, "settings", "get", "C_System_Adv_Protocols_BackLog").stdout == "4000\n"


def test_rows_of_a_table_are_added_and_removed(home):
    portiere(home, "settings", "row-add", "security.trusted", "192.0.2.7", "--comment", "the scanner")
    assert "192.0.2.7" in portiere(home, "settings", "get", "security.trusted").stdout
    assert "127.0.0.1" in (home / "portiere.conf").read_text()
    portiere(home, "settings", "row-remove", "security.trusted", "192.0.2.7")
    assert "192.0.2.7" not in portiere(home, "settings", "get", "security.trusted").stdout


def test_several_values_replace_the_rows_of_a_table(home):
    portiere(home, "set", "service.listen", "smtp 127.0.0.1:2525 auth=no", "submission 127.0.0.1:2587")
    assert portiere(home, "settings", "get", "service.listen").stdout == "smtp 127.0.0.1:2525 auth=no\nsubmission 127.0.0.1:2587\n"


@pytest.mark.parametrize("words, status, said", [
    (("set", "thred_cache", "5"), 2, "did you mean service.thread_cache?"),
    (("set", "thread_cache", "many"), 2, "thread_cache"),
    (("set", "thread_cache", "5000"), 2, "4096"),
    (("set", "session_timeout", "5"), 2, "session_timeout"),
    (("settings", "row-add", "security.trusted", "all of them"), 2, "portiere.conf:"),
    (("settings", "row-add", "thread_cache", "5"), 2, "thread_cache"),
    (("settings", "get", "nothing_like_it"), 2, "no setting"),
    (("settings", "list", "no-section"), 2, "the sections are: service"),
])
def test_what_is_wrong_is_told_and_the_file_stays(home, words, status, said):
    before = (home / "portiere.conf").read_bytes()
    run = portiere(home, *words, status=status)
    assert said in run.stderr and run.stdout == ""
    assert (home / "portiere.conf").read_bytes() == before


def test_check_names_file_line_and_mistake(home):
    assert "is right" in portiere(home, "settings", "check").stdout
    (home / "portiere.conf").write_text("[service]\nhostname = mail.casa.test\nthread_cache = 5 apples\n\nbaklog = 3\n")
    run = portiere(home, "settings", "check", status=1)
    lines = run.stdout.splitlines()
    assert len(lines) == 2 and lines[0].startswith(f"{home}/portiere.conf:3: ") and lines[1].startswith(f"{home}/portiere.conf:5: ")
    run = portiere(home, "settings", "check", "--json", status=1)
    assert [row["line"] for row in json.loads(run.stdout)] == ["3", "5"] and all(row["problem"] for row in json.loads(run.stdout))
    assert "mistakes" in portiere(home, "settings", "list", status=1).stderr
    assert portiere(home, "settings", "check", "/nowhere.conf", status=1).stderr.count("/nowhere.conf") == 1


def test_diff_shows_what_is_not_the_default(home):
    portiere(home, "set", "thread_cache", "7")
    differing = {row["setting"]: (row["value"], row["other"]) for row in rows(home, "settings", "diff")}
    assert differing["service.thread_cache"] == ("7", "40")
    assert "service.backlog" not in differing


def test_explain_tells_value_default_and_the_guide_s_advice(home):
    run = portiere(home, "settings", "explain", "thread_cache")
    assert "40" in run.stdout
    run = portiere(home, "settings", "explain", "thread_cache", "--language", "it")
    assert "Cache dei thread del server" in run.stdout


def test_the_example_is_a_right_file(home):
    example = home / "example.conf"
    example.write_text(portiere(home, "settings", "example").stdout)
    run = subprocess.run([os.path.join(BUILD, "portiere"), "settings", "check", str(example), "--directory", str(home)], capture_output=True, text=True)
    assert run.returncode == 0 or "hostname" in run.stdout  # a machine without a full name has no default for it


# --- accounts ------------------------------------------------------------------------------------------------------------------------------

def test_accounts_without_a_server(home):
    portiere(home, "domain", "add", "casa.test")
    portiere(home, "account", "add", "anna@casa.test", "--password-stdin", "--quota", "1M", stdin=PASSWORD + "\n")
    portiere(home, "account", "add", "badmail@casa.test")
    portiere(home, "alias", "add", "info@casa.test", "anna@casa.test")
    accounts = {row["account"]: row for row in rows(home, "account", "list")}
    assert set(accounts) == {"anna@casa.test", "badmail@casa.test"}
    assert accounts["anna@casa.test"]["quota"] == str(1 << 20)
    assert (accounts["anna@casa.test"]["password"], accounts["badmail@casa.test"]["password"]) == ("yes", "no")
    portiere(home, "account", "disable", "anna@casa.test")
    assert rows(home, "account", "list")[0]["disabled"] == "yes"
    portiere(home, "account", "enable", "anna@casa.test")
    assert [row["alias"] for row in rows(home, "alias", "list")] == ["info@casa.test"]
    assert rows(home, "domain", "list")[0]["domain"] == "casa.test"
    assert "domain" in portiere(home, "domain", "list").stdout
    portiere(home, "alias", "remove", "info@casa.test")
    portiere(home, "account", "remove", "anna@casa.test")
    portiere(home, "account", "remove", "badmail@casa.test")
    portiere(home, "domain", "remove", "casa.test")
    assert rows(home, "domain", "list") == []
    assert left_running() == []


@pytest.mark.parametrize("password, said", [("anna2026", "password_min_length"), ("kurz7x", "password_min_length"), ("annaannaanna", "password_"),
                                            ("passwordpassword", "password_common")])
def test_a_weak_password_is_refused_with_its_reason(home, password, said):
    portiere(home, "domain", "add", "casa.test")
    run = portiere(home, "account", "add", "anna@casa.test", "--password-stdin", stdin=password + "\n", status=1)
    assert said in run.stderr and password not in run.stderr
    assert rows(home, "account", "list") == []


def test_the_password_is_nowhere_on_disk(home):
    portiere(home, "domain", "add", "casa.test")
    portiere(home, "account", "add", "anna@casa.test", "--password-stdin", stdin=PASSWORD + "\n")
    for folder, _, names in os.walk(home):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                assert PASSWORD.encode() not in file.read(), name


@pytest.mark.parametrize("words, status, said", [
    (("account", "add", "anna@nowhere.test"), 1, "nowhere.test"),
    (("account", "add", "anna"), 1, "anna"),
    (("account", "remove", "nobody@casa.test"), 1, "no account nobody@casa.test"),
    (("account", "add", "anna@casa.test", "--quota", "much"), 2, "is no size"),
    (("account", "password", "anna@casa.test", "--password-stdin"), 2, "no password came"),
    (("status",), 3, "does not run"),
    (("stop",), 3, "does not run"),
    (("reload",), 3, "does not run"),
])
def test_a_failure_says_what_and_how_to_mend_it(home, words, status, said):
    portiere(home, "domain", "add", "casa.test")
    assert said in portiere(home, *words, status=status).stderr


def test_a_broken_store_is_told_and_not_taken_for_an_empty_one(home):
    """T75, T82"""
    portiere(home, "domain", "add", "casa.test")
    portiere(home, "account", "add", "anna@casa.test")
    store = home / "vault" / "accounts.db"
    store.write_bytes(b"\0" * 5000 + store.read_bytes()[5000:])
    for words in (("account", "list"), ("domain", "list"), ("account", "add", "bruno@casa.test"),
                  ("explain", "--client", "192.0.2.1", "--from", "x@fuori.test", "--to", "anna@casa.test")):
        run = subprocess.run([os.path.join(BUILD, "portiere"), *words, "--directory", str(home)], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
        if words[0] == "explain":
            assert "451" in run.stdout or run.returncode == 1, run
        else:
            assert run.returncode == 1 and run.stderr and "anna@casa.test" not in run.stdout, run


# --- why -----------------------------------------------------------------------------------------------------------------------------------

def explained(home, *words):
    return rows(home, "explain", *words)


def test_explain_judges_without_a_server(home):
    portiere(home, "domain", "add", "casa.test")
    portiere(home, "account", "add", "anna@casa.test", "--password-stdin", stdin=PASSWORD + "\n")
    portiere(home, "account", "add", "bruno@casa.test")
    stranger = ("--client", "192.0.2.1", "--from", "x@fuori.test")
    assert explained(home, *stranger, "--to", "y@fuori2.test")["rule"] == "relay-not-permitted"
    assert explained(home, *stranger, "--to", "anna@casa.test")["rule"] == "local-delivery"
    assert explained(home, *stranger, "--to", "nobody@casa.test")["rule"] == "recipient-unknown"
    assert explained(home, *stranger, "--to", "postmaster@casa.test")["rule"] == "postmaster"
    assert explained(home, "--client", "192.0.2.1", "--from", "anna@casa.test", "--to", "y@fuori.test")["reply"].startswith("550 5.7.1")
    login = ("--client", "192.0.2.1", "--port", "submission", "--tls", "--login", "anna@casa.test", "--to", "y@fuori.test")
    assert explained(home, *login, "--from", "anna@casa.test")["rule"] == "relay"
    assert explained(home, *login, "--from", "bruno@casa.test")["reply"].startswith("550 5.7.1")
    assert explained(home, "--client", "192.0.2.1", "--port", "587", "--from", "anna@casa.test", "--to", "y@fuori.test")["rule"].startswith("tls-required")


def test_every_code_of_a_refusal_is_explained_in_both_languages(home):
    for code in ("relay-not-permitted", "sender-not-authorised", "recipient-unknown", "tls-required", "[mail-loop]"):
        english = portiere(home, "explain", code).stdout
        assert english and english != portiere(home, "explain", code, "--language", "it").stdout
    assert "no reply carries" in portiere(home, "explain", "no-such-code", status=1).stderr


@pytest.mark.parametrize("words, said", [
    ((), "explain what?"), (("--client", "here"), "no address of a client"), (("--from", "a b"), "no mail address"), (("--port", "pop3"), "--port takes"),
])
def test_a_question_that_makes_no_sense_is_told_so(home, words, said):
    assert said in portiere(home, "explain", *words, status=2).stderr


# --- audit ---------------------------------------------------------------------------------------------------------------------------------

def test_the_audit_finds_what_is_not_as_the_guide_wants(home):
    portiere(home, "set", "thread_cache", "5")
    portiere(home, "settings", "row-add", "security.trusted", "10.0.0.0/8")
    run = portiere(home, "audit", "--json", status=5)
    findings = json.loads(run.stdout)
    assert all(set(row) == {"check", "severity", "evidence", "remedy"} for row in findings)
    assert any("service.thread_cache" in row["evidence"] and "service.thread_cache 40" in row["remedy"] for row in findings)
    assert any(row["check"] == "trusted" and row["severity"] == "high" and "10.0.0.0/8" in row["evidence"] for row in findings)
    portiere(home, "unset", "thread_cache")
    portiere(home, "settings", "row-remove", "security.trusted", "10.0.0.0/8")
    run = subprocess.run([os.path.join(BUILD, "portiere"), "audit", "--json", "--directory", str(home)], capture_output=True, text=True)
    assert not any("thread_cache" in row["evidence"] or row["check"] == "trusted" for row in json.loads(run.stdout))


def test_a_folder_with_a_very_long_path_works(tmp_path):
    home = tmp_path
    for _ in range(4):
        home = home / ("long" * 15)
    home.mkdir(parents=True)
    (home / "portiere.conf").write_text("[service]\nhostname = mail.casa.test\n")
    portiere(home, "domain", "add", "casa.test")
    assert "does not run" in portiere(home, "status", status=3).stderr
