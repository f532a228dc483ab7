"""A web server on loopback that serves one file with byte ranges, as S3 does, and counts what it sends."""

import mmap
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_CHUNK_BYTES = 64 * 1024


@dataclass
class ServedFile:
    """The URL of the file, the ranges that were requested, and the bytes that were sent."""

    url: str = ""
    requests: list[str] = field(default_factory=list)
    sent_bytes: int = 0
    etag: str = '"etag"'
    flowing: threading.Event = field(default_factory=threading.Event)


@contextmanager
def serve_file(
    path: Path,
    *,
    requests_per_connection: int | None = None,
    ends_at: int | None = None,
    status: int | None = None,
    status_of_every: int = 1,
    status_after: int = 0,
    stalls_at: int | None = None,
    replaced_at: int | None = None,
) -> Iterator[ServedFile]:
    """Serves a file, like S3 with an ETag that `If-Match` is compared with.

    A connection is closed without notice after `requests_per_connection`; a transfer is cut off at the byte `ends_at`
    of the file; `status` is the HTTP error for all requests after the
    first `status_after`, or for each `status_of_every`th of them. From the byte `stalls_at` on nothing is sent until
    `flowing` is set. Once the byte `replaced_at` was sent the file has another ETag.
    """
    record = ServedFile()
    if stalls_at is None:
        record.flowing.set()
    with path.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        count = 0

        def do_GET(self) -> None:
            self.count += 1
            wanted = self.headers.get("Range", "")
            record.requests.append(wanted)
            number = len(record.requests)
            if status and number > status_after and number % status_of_every == 0:
                self.send_error(status)
                return
            if self.headers.get("If-Match", record.etag) != record.etag:
                self.send_error(412, "Precondition Failed")
                return
            found = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted)
            start = int(found[1]) if found else 0
            if start >= len(content):
                self.send_error(416)
                return
            end = min(int(found[2]) + 1 if found and found[2] else len(content), len(content))
            self.send_response(206 if found else 200)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(end - start))
            if found:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(content)}")
            self.end_headers()
            self._send(start, min(end, ends_at or end))
            cut_off = ends_at is not None and end > ends_at
            self.close_connection |= cut_off or (
                requests_per_connection is not None and self.count >= requests_per_connection
            )

        def _send(self, start: int, end: int) -> None:
            try:
                for at in range(start, end, _CHUNK_BYTES):
                    if stalls_at is not None and at + _CHUNK_BYTES > stalls_at:
                        record.flowing.wait()
                    if replaced_at is not None and at + _CHUNK_BYTES > replaced_at:
                        record.etag = '"another"'
                    record.sent_bytes += self.wfile.write(content[at : min(at + _CHUNK_BYTES, end)])
            except ConnectionError:
                self.close_connection = True  # the reader needs no more

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Ignores readers that close the connection early because they need no more."""

    server = Server(("127.0.0.1", 0), Handler)
    record.url = f"http://127.0.0.1:{server.server_address[1]}/file?X-Amz-Signature=secret"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield record
    finally:
        record.flowing.set()
        server.shutdown()
        thread.join()
        server.server_close()
        content.close()
