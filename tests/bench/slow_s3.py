"""A stand-in for S3 on loopback that responds as slowly as S3: 100 ms for a page of a listing, 20 ms for the rest.

It knows as many ended jobs as wanted, whose keys and records are computed when they are asked for, so that code which
reads the whole ledger can be measured as well. It counts the requests.
"""

import json
import multiprocessing
import re
import time
from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID
from xml.sax.saxutils import escape

import httpx

#: Seconds that a page of a listing, a batch of deletions and any other request take.
PAGE_S = 0.1
DELETE_S = 0.1
REQUEST_S = 0.02

#: Keys on a page.
PAGE_KEYS = 1000

_TIMESTAMP_SHIFT = 80
_VERSION_BITS = 0x7 << 76 | 0x2 << 62


class EndedJobs:
    """Ended jobs, evenly spread over the milliseconds from `first_ms` to `last_ms`: two objects each in the ledger."""

    def __init__(self, count: int, first_ms: int, last_ms: int) -> None:
        self._count, self._first_ms, self._span_ms = count, first_ms, last_ms - first_ms

    def job_id(self, number: int) -> str:
        """The id of a job, counted from 0."""
        at_ms = self._first_ms + number * self._span_ms // self._count
        return str(UUID(int=at_ms << _TIMESTAMP_SHIFT | _VERSION_BITS | number % 2**48))

    def keys_after(self, key: str) -> Iterator[str]:
        """The keys in the ledger after this one, in order."""
        low, high = 0, self._count
        while low < high:
            middle = (low + high) // 2
            if f"ledger/default/{self.job_id(middle)}/result.json" <= key:
                low = middle + 1
            else:
                high = middle
        for number in range(low, self._count):
            for name in ("job.json", "result.json"):
                found = f"ledger/default/{self.job_id(number)}/{name}"
                if found > key:
                    yield found


class _Objects:
    """The objects: those that were written, and the ledger of the ended jobs."""

    def __init__(self, ended: EndedJobs) -> None:
        self._ended = ended
        self._written: dict[str, tuple[bytes, float]] = {}
        self._order: list[str] = []
        self.requests = Counter[str]()

    def put(self, key: str, content: bytes, written_s: float) -> None:
        if key not in self._written:
            insort(self._order, key)
        self._written[key] = (content, written_s)

    def get(self, key: str) -> tuple[bytes, float] | None:
        return self._written.get(key)

    def delete(self, keys: list[str]) -> None:
        for key in keys:
            self._written.pop(key, None)
        self._order = sorted(self._written)

    def page(self, prefix: str, after: str) -> list[str]:
        written = islice(self._order, bisect_right(self._order, max(after, prefix[:-1])), None)
        found = list(islice((key for key in written if key.startswith(prefix)), PAGE_KEYS))
        if prefix.startswith("ledger/"):
            found = sorted([*found, *islice(self._ended.keys_after(after), PAGE_KEYS)])[:PAGE_KEYS]
        return found

    def written_s(self, key: str) -> float:
        return self._written[key][1] if key in self._written else 0.0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    objects: _Objects

    def log_message(self, *_arguments: Any) -> None:
        """Writes nothing."""

    def do_GET(self) -> None:
        key, query = self._target()
        if key.startswith("_requests"):
            self._respond(200, json.dumps(self.objects.requests).encode())
            self.objects.requests.clear()
        elif "list-type" in query:
            self._count("LIST", PAGE_S)
            self._list(query)
        else:
            self._count("GET", REQUEST_S)
            found = self.objects.get(key)
            missing = b"<Error><Code>NoSuchKey</Code></Error>"
            self._respond(404, missing) if found is None else self._respond(200, found[0])

    def do_HEAD(self) -> None:
        self._count("HEAD", REQUEST_S)
        self._respond(404 if self.objects.get(self._target()[0]) is None else 200, b"")

    def do_PUT(self) -> None:
        self._count("PUT", REQUEST_S)
        key, content = self._target()[0], self._body()
        if self.headers.get("If-None-Match") and self.objects.get(key) is not None:
            self._respond(412, b"<Error><Code>PreconditionFailed</Code></Error>")
            return
        self.objects.put(key, content, time.time())
        self._respond(200, b"")

    def do_POST(self) -> None:
        key, _ = self._target()
        body = self._body().decode()
        if key.startswith("_objects"):
            for name, (content, age_s) in json.loads(body).items():
                self.objects.put(name, content.encode(), time.time() - age_s)
            self._respond(200, b"")
        else:
            self._count("DELETE", DELETE_S)
            self.objects.delete(re.findall(r"<Key>([^<]*)</Key>", body))
            self._respond(200, b"<DeleteResult/>")

    def _target(self) -> tuple[str, dict[str, list[str]]]:
        parts = urlsplit(self.path)
        return unquote(parts.path).lstrip("/").partition("/")[2], parse_qs(parts.query, keep_blank_values=True)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _count(self, kind: str, seconds: float) -> None:
        self.objects.requests[kind] += 1
        time.sleep(seconds)

    def _list(self, query: Mapping[str, list[str]]) -> None:
        after = query.get("continuation-token", query.get("start-after", [""]))[0]
        keys = self.objects.page(query["prefix"][0], after)
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>{_iso(self.objects.written_s(key))}</LastModified></Contents>"
            for key in keys
        )
        more = len(keys) == PAGE_KEYS
        token = f"<NextContinuationToken>{escape(keys[-1])}</NextContinuationToken>" if more else ""
        text = f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}{entries}</ListBucketResult>"
        self._respond(200, text.encode())

    def _respond(self, status: int, content: bytes) -> None:
        self.send_response_only(status)
        self.send_header("Date", formatdate(usegmt=True))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else content)


def _iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(seconds))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def _serve(ended: EndedJobs, connection: Connection) -> None:
    handler = type("Handler", (_Handler,), {"objects": _Objects(ended), "wbufsize": -1})
    server = _Server(("127.0.0.1", 0), handler)
    connection.send(server.server_address[1])
    server.serve_forever()


class SlowS3:
    """The stand-in as the benchmark controls it, without delays."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def add(self, objects: Mapping[str, str], *, age_s: float = 3600) -> None:
        """Writes objects that have a certain age."""
        body = json.dumps({key: (content, age_s) for key, content in objects.items()}).encode()
        httpx.post(f"{self.url}/bucket/_objects", content=body, timeout=60).raise_for_status()

    def take_requests(self) -> Counter[str]:
        """The number of requests of each kind since the last call."""
        return Counter(httpx.get(f"{self.url}/bucket/_requests").json())


@contextmanager
def slow_s3(ended: EndedJobs) -> Iterator[SlowS3]:
    """Runs the stand-in in a process of its own, so that its work is not counted."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_serve, args=(ended, theirs), daemon=True)
    process.start()
    try:
        yield SlowS3(ours.recv())
    finally:
        process.terminate()
        process.join()
