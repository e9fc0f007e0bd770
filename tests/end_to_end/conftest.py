# SPDX-License-Identifier: Apache-2.0
"""Fixtures: `server` is one server for all tests of a file (they must leave it as they found it); `make_server(settings, dns=True, ...)` makes one for
the test alone; `world` is one with a name server and the remote domain fuori.test. See portiere.py."""
import contextlib
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
sys.dont_write_bytecode = True

import portiere  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "sanitized: also run against the programs built with ASan and UBSan")


@pytest.fixture(scope="session", autouse=True)
def prepared():
    yield
    portiere.forget_prepared()


@pytest.fixture(scope="module")
def server():
    with portiere.Server(dns=True) as made:
        yield made


@pytest.fixture
def make_server():
    made = []

    def make(settings=None, **options):
        made.append(portiere.Server(settings, **options))
        return made[-1]
    with contextlib.ExitStack() as stack:  # each is stopped, whatever happened to the others
        stack.callback(lambda: [stack.callback(one.destroy) for one in made])
        yield make


@pytest.fixture
def world(make_server):
    """A server with the remote domain fuori.test, whose MX is server.remotes[0]."""
    made = make_server(dns=True)
    made.host(made.remote(), "fuori.test")
    return made
