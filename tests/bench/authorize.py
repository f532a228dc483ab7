"""Time of the authorizer per credential, in a warm environment: what API Gateway waits for once in 45 seconds.

    python -m tests.bench.authorize        # needs no services

The handler runs in this process. S3 is a stand-in in a process of its own that answers from memory, so its share is the
least that it can be: on AWS, each check waits for one round trip to S3 more, since its documents are read in parallel.
The issuer of the tokens is on loopback, and its keys are known before the measurement.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support.issuer import AUDIENCE, LocalIssuer, local_issuer

#: Measured calls per credential, and calls before the measurement.
CALLS = 500
WARM_UP_CALLS = 50

#: The signature algorithms of the measured tokens.
ALGORITHMS = ("RS256", "ES256", "EdDSA")

_BUCKET = "a-bucket"


class _Objects(BaseHTTPRequestHandler):
    """S3's answer to a GET of one of the objects, over a connection that stays open."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    objects: dict[str, bytes]

    def do_GET(self) -> None:
        key = urlsplit(self.path).path.removeprefix(f"/{_BUCKET}/")
        content = self.objects.get(key, b"<Error><Code>NoSuchKey</Code></Error>")
        head = [
            f"HTTP/1.1 {200 if key in self.objects else 404} .",
            'ETag: "etag"',
            f"Content-Length: {len(content)}",
        ]
        self.wfile.write("\r\n".join([*head, "", ""]).encode() + content)

    def log_message(self, *_: object) -> None:
        pass


def _serve(objects: dict[str, bytes], ready: Connection) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Objects,), {"objects": objects}))
    ready.send(server.server_address[1])
    server.serve_forever()


@contextmanager
def _storage(objects: dict[str, bytes]) -> Iterator[str]:
    """Serves objects from another process. Yields the address."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(objects, theirs), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


def _documents() -> tuple[str, dict[str, bytes]]:
    """A key of the tenant acme, and what is stored about both."""
    from darkroom.contracts.tenants import Quotas, Scope, Tenant, TenantStatus
    from darkroom.tenants import api_keys, records
    from darkroom.timestamps import utc_now

    issued = api_keys.create_key("acme", "live", name="a", scopes=[Scope.READ, Scope.WRITE], now_s=time.time())
    tenant = Tenant(name="acme", status=TenantStatus.ACTIVE, created_at=utc_now())
    return issued.text, {
        records.api_key_key("acme", issued.key.key_id): issued.key.model_dump_json().encode(),
        records.tenant_key("acme"): tenant.model_dump_json().encode(),
        records.DEFAULT_QUOTAS_KEY: Quotas(queued_jobs=100).model_dump_json(exclude_unset=True).encode(),
    }


def _event(token: str) -> dict[str, Any]:
    return {"version": "2.0", "type": "REQUEST", "headers": {"authorization": f"Bearer {token}"}}


def _measure(name: str, token: str, calls: int, *, denied: str | None = None) -> str:
    """A row: the median and the 95th percentile of the time, and the processor time of this process."""
    from functions.authorize.app import handler

    event, times_ms = _event(token), []
    for _ in range(WARM_UP_CALLS):
        answer = handler(event, None)["context"]
    assert answer.get("denied") == denied, json.dumps(answer)
    cpu_s = time.process_time()
    for _ in range(calls):
        started = time.perf_counter()
        handler(event, None)
        times_ms.append((time.perf_counter() - started) * 1000)
    cpu_ms = (time.process_time() - cpu_s) * 1000 / calls
    p95 = statistics.quantiles(times_ms, n=20)[-1]
    return f"| {name} | {statistics.median(times_ms):.2f} | {p95:.2f} | {cpu_ms:.2f} |"


def _rows(issuer: LocalIssuer, key: str, calls: int) -> Iterator[str]:
    yield _measure("API key", key, calls)
    for algorithm in ALGORITHMS:
        yield _measure(f"token, {algorithm}", issuer.token(algorithm, kid=algorithm), calls)
    yield _measure("malformed key", key[:-1], calls, denied="credentials_invalid")
    forged = issuer.token(kid="RS256", name="another")
    yield _measure("token with a wrong signature", forged, calls, denied="credentials_invalid")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.authorize", description=__doc__)
    parser.add_argument("--calls", type=int, default=CALLS, help="measured calls per credential (default: %(default)s)")
    arguments = parser.parse_args()
    key, objects = _documents()
    with _storage(objects) as storage, local_issuer() as issuer:
        for algorithm in ALGORITHMS:
            issuer.publish(algorithm, algorithm)
        os.environ |= {
            "AWS_ENDPOINT_URL": storage,
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "a",
            "DARKROOM_BUCKET": _BUCKET,
            "DARKROOM_KEY_ENVIRONMENT": "live",
            "DARKROOM_JWT_ISSUER": issuer.url,
            "DARKROOM_JWT_AUDIENCE": AUDIENCE,
        }
        with Path(os.devnull).open("w") as log, redirect_stdout(log):
            rows = list(_rows(issuer, key, arguments.calls))
    print(f"\nOne check in a warm environment, milliseconds, {arguments.calls} calls each.\n")
    print("| credential | median | 95th percentile | processor time |\n|---|---:|---:|---:|", *rows, sep="\n")


if __name__ == "__main__":
    main()
