"""Whether a service is ready, asked in its own language. A probe that fails raises NotReadyError and says why."""

import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable

Probe = Callable[[], None]

#: Seconds for one question.
_PROBE_TIMEOUT_S = 5.0
_PAUSE_S = 0.05

#: What opens an AMQP 0-9-1 connection, and how the broker's answer (Connection.Start) begins: a method frame on
#: channel 0, then after the length class 10 and method 10.
_AMQP_HELLO = b"AMQP\x00\x00\x09\x01"
_AMQP_FRAME = b"\x01\x00\x00"
_AMQP_START = b"\x00\x0a\x00\x0a"


class NotReadyError(Exception):
    """The service does not answer as it should, or not yet."""


def amqp(host: str, port: int) -> None:
    """RabbitMQ opens the handshake, which it does only when it has started completely."""
    answer = _ask(host, port, _AMQP_HELLO, 11)
    if answer[:3] != _AMQP_FRAME or answer[7:11] != _AMQP_START:
        raise NotReadyError(f"it answered {answer!r} to the AMQP handshake")


def redis(host: str, port: int) -> None:
    """Redis answers PING, which it does not while it loads its file."""
    answer = _ask(host, port, b"*1\r\n$4\r\nPING\r\n", 7)
    if answer != b"+PONG\r\n":
        raise NotReadyError(f"it answered {answer!r} to PING")


def tcp(host: str, port: int) -> None:
    """Something listens."""
    _ask(host, port, b"", 0)


def http(url: str) -> None:
    """A GET is answered with a success."""
    # Without the proxies that the environment may name: this stays on the machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=_PROBE_TIMEOUT_S) as answer:
            answer.read()
    except urllib.error.HTTPError as error:
        raise NotReadyError(f"{url} answered {error.code}: {error.read(500).decode(errors='replace')}") from error
    except OSError as error:
        raise NotReadyError(f"{url}: {error}") from error


def wait(probe: Probe, timeout_s: float, check: Callable[[], None]) -> None:
    """Asks until the service is ready. Raises NotReadyError with the last reason when the time is over.

    `check` runs between two questions and raises what ends the waiting early.
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


def _ask(host: str, port: int, question: bytes, size: int) -> bytes:
    answer = b""
    try:
        with socket.create_connection((host, port), timeout=_PROBE_TIMEOUT_S) as connection:
            connection.sendall(question)
            while len(answer) < size:
                piece = connection.recv(size - len(answer))
                if not piece:
                    break
                answer += piece
    except OSError as error:
        raise NotReadyError(f"{host}:{port}: {error}") from error
    return answer
