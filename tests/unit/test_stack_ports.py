"""Ports in use: found, and explained."""

import dataclasses
import os
import socket
import sys

import pytest

from localstack.failure import StackError
from localstack.services import ports
from localstack.settings import load


@pytest.fixture
def taken():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def settings_with(port: int):
    settings = load({})
    return dataclasses.replace(settings, ports=dataclasses.replace(settings.ports, redis=port))


def test_port_that_somebody_listens_to_is_not_free(taken):
    assert not ports.is_free(taken)


def test_port_that_was_closed_is_free():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    assert ports.is_free(port)


def test_message_says_which_port_what_for_who_has_it_and_how_to_move_it(taken):
    with pytest.raises(StackError) as error:
        ports.require_free(settings_with(taken), ["redis"])

    for part in (str(taken), "Redis", f"process {os.getpid()}", "DARKROOM_REDIS_PORT"):
        assert part in str(error.value)


def test_free_ports_are_passed_without_a_word():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    ports.require_free(settings_with(port), ["redis"])


def test_listener_on_every_address_counts():
    with socket.create_server(("0.0.0.0", 0)) as server:  # noqa: S104
        assert not ports.is_free(server.getsockname()[1])


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_owner_is_found_for_both_kinds_of_address(family):
    with socket.create_server(("", 0), family=family) as server:
        assert str(os.getpid()) in ports.owner(server.getsockname()[1])


def test_nobody_owns_a_free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    assert ports.owner(port) == ""
    assert sys.platform != "linux" or ports._listening(port) == set()
