"""Ports in use: detected, with their owner named in the error."""

import dataclasses
import os
import socket
import sys
from collections.abc import Iterator

import pytest

from localstack.errors import StackError
from localstack.services import ports
from localstack.settings import Settings, load


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def settings_with(port: int) -> Settings:
    settings = load({})
    return dataclasses.replace(settings, ports=dataclasses.replace(settings.ports, redis=port))


def test_port_with_a_listener_is_not_free(taken: int) -> None:
    assert not ports.is_free(taken)


def test_closed_port_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    assert ports.is_free(port)


def test_error_names_port_purpose_owner_and_variable(taken: int) -> None:
    with pytest.raises(StackError) as error:
        ports.require_free(settings_with(taken), ["redis"])

    for part in (str(taken), "Redis", f"process {os.getpid()}", "DARKROOM_REDIS_PORT"):
        assert part in str(error.value)


def test_free_ports_raise_no_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    ports.require_free(settings_with(port), ["redis"])


def test_listener_on_all_addresses_is_detected() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:  # noqa: S104
        assert not ports.is_free(server.getsockname()[1])


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_owner_is_found_for_ipv4_and_ipv6(family: socket.AddressFamily) -> None:
    with socket.create_server(("", 0), family=family) as server:
        assert str(os.getpid()) in ports.owner(server.getsockname()[1])


def test_free_port_has_no_owner() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    assert ports.owner(port) == ""
    assert sys.platform != "linux" or ports._listening(port) == set()
