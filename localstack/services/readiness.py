"""Readiness probes of services, by their own protocols. A probe raises NotReadyError with the reason."""

import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable

Probe = Callable[[], None]

#: Seconds until one probe fails, and between two probes.
_PROBE_TIMEOUT_S = 5.0
_PAUSE_S = 0.05

#: The header that opens an AMQP 0-9-1 connection, and the start of the broker's response (Connection.Start): a method
#: frame on channel 0, its length, class 10 and method 10.
_AMQP_HEADER = b"AMQP\x00\x00\x09\x01"
_AMQP_FRAME = b"\x01\x00\x00"
_AMQP_START = b"\x00\x0a\x00\x0a"


class NotReadyError(Exception):
    """The service does not respond, or not as expected."""


def amqp(host: str, port: int) -> None:
    """Checks that RabbitMQ starts the AMQP handshake, which it does when it has started completely."""
    response = _exchange(host, port, _AMQP_HEADER, 11)
    if response[:3] != _AMQP_FRAME or response[7:11] != _AMQP_START:
        raise NotReadyError(f"it sent {response!r} in response to the AMQP handshake")


def redis(host: str, port: int) -> None:
    """Checks that Redis answers PING, which it does not while it loads its data."""
    response = _exchange(host, port, b"*1\r\n$4\r\nPING\r\n", 7)
    if response != b"+PONG\r\n":
        raise NotReadyError(f"it sent {response!r} in response to PING")


def tcp(host: str, port: int) -> None:
    """Checks that a process listens on the port."""
    _exchange(host, port, b"", 0)


def http(url: str) -> None:
    """Checks that a GET request succeeds."""
    # Without the proxies of the environment: the address is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=_PROBE_TIMEOUT_S) as response:
            response.read()
    except urllib.error.HTTPError as error:
        raise NotReadyError(f"{url} responded with {error.code}: {error.read(500).decode(errors='replace')}") from error
    except OSError as error:
        raise NotReadyError(f"{url}: {error}") from error


def wait(probe: Probe, timeout_s: float, check: Callable[[], None]) -> None:
    """Waits until the service is ready. Raises NotReadyError with the last reason after `timeout_s`.

    `check` is called between two probes; it ends the waiting by raising an exception.
    """
    until = time.monotonic() + timeout_s
    while True:
        try:
            return probe()
        except NotReadyError:
            check()
            if time.monotonic() >= until:
                raise
        time.sleep(_PAUSE_S)


def _exchange(host: str, port: int, request: bytes, size: int) -> bytes:
    response = b""
    try:
        with socket.create_connection((host, port), timeout=_PROBE_TIMEOUT_S) as connection:
            connection.sendall(request)
            while len(response) < size:
                piece = connection.recv(size - len(response))
                if not piece:
                    break
                response += piece
    except OSError as error:
        raise NotReadyError(f"{host}:{port}: {error}") from error
    return response
