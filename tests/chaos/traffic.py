"""Every request of the clients to the API: its response and how long it took."""

import re
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

#: Seconds within which the API responds, beside the time that `?wait=` asks for.
RESPONSE_LIMIT_S = 10.0

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
_WAIT = re.compile(r"[?&]wait=([0-9.]+)")


@dataclass(frozen=True)
class Exchange:
    """One request. `started` is `time.time()`. `status` is 0 when the connection failed."""

    started: float
    seconds: float
    route: str
    status: int
    code: str
    retry_after: bool
    wait_s: float

    @property
    def ended(self) -> float:
        """When the response was complete."""
        return self.started + self.seconds

    @property
    def problem(self) -> str:
        """What is wrong with the response, or an empty text. Only 503 with Retry-After reports an outage."""
        if self.status >= 500 and not (self.status == 503 and self.retry_after):
            return f"{self.route} returned {self.status} {self.code}"
        return f"{self.route} took {self.seconds:.1f} s and returned {self.status}" if self.is_slow else ""

    @property
    def is_slow(self) -> bool:
        """Whether the response took longer than the API may take."""
        return bool(self.status) and self.seconds > RESPONSE_LIMIT_S + self.wait_s


class Traffic:
    """The requests of all clients."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._exchanges: list[Exchange] = []

    def add(self, exchange: Exchange) -> None:
        """Adds a request."""
        with self._lock:
            self._exchanges.append(exchange)

    def exchanges(self) -> list[Exchange]:
        """All requests so far."""
        with self._lock:
            return list(self._exchanges)

    def summary(self) -> list[str]:
        """One line per route: the number of requests by status, and the slowest responses."""
        by_route: dict[str, list[Exchange]] = defaultdict(list)
        for exchange in self.exchanges():
            by_route[exchange.route].append(exchange)
        lines = []
        for route, exchanges in sorted(by_route.items()):
            statuses = Counter(exchange.status or "no response" for exchange in exchanges)
            times = sorted(exchange.seconds - min(exchange.wait_s, exchange.seconds) for exchange in exchanges)
            counts = ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items(), key=str))
            lines.append(
                f"{route:24} median {_quantile(times, 0.5):5.2f} s, 99 % {_quantile(times, 0.99):5.2f} s, "
                f"longest {times[-1]:5.2f} s; {counts}"
            )
        return lines


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class RecordedClient(httpx.Client):
    """A client of the API whose requests are recorded."""

    def __init__(self, traffic: Traffic, base_url: str, headers: dict[str, str]) -> None:
        super().__init__(base_url=base_url, headers=headers, timeout=40)
        self._traffic = traffic

    def request(self, method: str, url: Any, **options: Any) -> httpx.Response:
        """Sends a request and records it."""
        started, began = time.time(), time.monotonic()
        status, code, retry_after = 0, "", False
        try:
            response = super().request(method, url, **options)
            status, retry_after = response.status_code, "retry-after" in response.headers
            code = _code(response) if status >= 400 else ""
            return response
        finally:
            text = str(url)
            wait = _WAIT.search(text)
            route = f"{method} {_ID.sub('{id}', text.partition('?')[0])}"
            seconds = time.monotonic() - began
            self._traffic.add(
                Exchange(started, seconds, route, status, code, retry_after, float(wait[1]) if wait else 0.0)
            )


def _code(response: httpx.Response) -> str:
    try:
        return str(response.json().get("code", response.text[:80]))
    except (ValueError, AttributeError):
        return response.text[:80]
