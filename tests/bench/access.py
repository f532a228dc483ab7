"""What credentials cost a client: `POST /jobs` to an open stack, and to a closed one with an API key and with a token.

    python -m tests.bench.access           # starts two stacks of its own; about three minutes

The requests alternate, so that the machine's other load meets all of them alike. Both stacks have no event source
mapping while they are measured: the jobs stay queued and take no processor time. The gateway has each authorizer's
answer in its cache, except for the first request every 45 s.
"""

import argparse
import contextlib
import json
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import urllib3

from localstack import keys
from localstack.services import native
from tests.support.copied_stack import CopiedStack
from tests.support.issuer import AUDIENCE, LocalIssuer, local_issuer

#: Measured requests of each kind, and requests before the measurement.
REQUESTS = 300
WARM_UP_REQUESTS = 30

_OPEN_PORT, _CLOSED_PORT = 24_000, 26_000
_PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 64


@contextmanager
def _stack(name: str, port: int, auth: str, issuer: LocalIssuer) -> Iterator[CopiedStack]:
    trusted = {"DARKROOM_JWT_ISSUER": issuer.url, "DARKROOM_JWT_AUDIENCE": AUDIENCE}
    stack = CopiedStack(name, port, lambda _sources: None, {"DARKROOM_AUTH": auth, **trusted})
    stack.down()
    try:
        stack.up()
        yield stack
    finally:
        stack.down()


class _Client:
    """Starts jobs on one file, over one connection."""

    def __init__(self, url: str, credential: str = "") -> None:
        self._url = url
        headers = {"Authorization": f"Bearer {credential}"} if credential else {}
        self._pool = urllib3.PoolManager(1, headers=headers, retries=False, timeout=40)
        upload = self._pool.request("POST", f"{url}/upload", fields={"file": ("a.png", _PNG, "image/png")})
        assert upload.status == 201, upload.data
        self._body = {"file_id": json.loads(upload.data)["file_id"], "operation": "resize", "params": {"width": 10}}

    def start_job(self) -> float:
        """The time of one request, in milliseconds."""
        started = time.perf_counter()
        response = self._pool.request("POST", f"{self._url}/jobs", json=self._body)
        elapsed_ms = (time.perf_counter() - started) * 1000
        assert response.status == 202, response.data
        return elapsed_ms


def _measure(clients: dict[str, _Client], requests: int) -> list[str]:
    """The rows of the table: median, 95th percentile, and the difference between the medians and the first one."""
    times_ms: dict[str, list[float]] = {name: [] for name in clients}
    for number in range(WARM_UP_REQUESTS + requests):
        for name, client in clients.items():
            elapsed_ms = client.start_job()
            if number >= WARM_UP_REQUESTS:
                times_ms[name].append(elapsed_ms)
    medians = {name: statistics.median(found) for name, found in times_ms.items()}
    first = next(iter(medians.values()))
    return [
        f"| {name} | {medians[name]:.1f} | {statistics.quantiles(found, n=20)[-1]:.1f} | {medians[name] - first:+.1f} |"
        for name, found in times_ms.items()
    ]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.access", description=__doc__)
    parser.add_argument("--requests", type=int, default=REQUESTS, help="of each kind (default: %(default)s)")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        issuer = stack.enter_context(local_issuer())
        issuer.publish()
        opened = stack.enter_context(_stack("darkroom-bench-open", _OPEN_PORT, "off", issuer))
        closed = stack.enter_context(_stack("darkroom-bench-closed", _CLOSED_PORT, "required", issuer))
        for each in (opened, closed):
            each.registry.stop([native.MAPPING])
        token = issuer.token(tenant=keys.TENANT, scope="darkroom:read darkroom:write")
        clients = {
            "open": _Client(opened.settings.api_url),
            "API key": _Client(closed.settings.api_url, keys.create(closed.settings, Path(__file__).stem)),
            "token, RS256": _Client(closed.settings.api_url, token),
        }
        rows = _measure(clients, arguments.requests)
    print("| credentials | median, ms | 95th percentile, ms | more than open, ms |\n|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
