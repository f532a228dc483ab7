"""A web server on loopback that hands out one file by ranges, as S3 does, and counts what it sent."""

import mmap
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_PIECE_BYTES = 64 * 1024


@dataclass
class Served:
    """Where the file can be read, and what was read of it."""

    url: str = ""
    requests: list[str] = field(default_factory=list)
    sent_bytes: int = 0


@contextmanager
def served(
    path: Path, *, answers: int | None = None, ends_at: int | None = None, status: int | None = None
) -> Iterator[Served]:
    """Serves a file. After `answers` requests a connection is closed without a word; a transfer breaks off at the byte
    `ends_at` of the file; `status` refuses all requests."""
    record = Served()
    with path.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        count = 0

        def do_GET(self) -> None:
            self.count += 1
            wanted = self.headers.get("Range", "")
            record.requests.append(wanted)
            if status:
                self.send_error(status)
                return
            found = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted)
            start = int(found[1]) if found else 0
            end = min(int(found[2]) + 1 if found and found[2] else len(content), len(content))
            self.send_response(206 if found else 200)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(end - start))
            if found:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(content)}")
            self.end_headers()
            self._send(start, min(end, ends_at or end))
            broken_off = ends_at is not None and end > ends_at
            self.close_connection |= broken_off or (answers is not None and self.count >= answers)

        def _send(self, start: int, end: int) -> None:
            try:
                for at in range(start, end, _PIECE_BYTES):
                    record.sent_bytes += self.wfile.write(content[at : min(at + _PIECE_BYTES, end)])
            except ConnectionError:
                self.close_connection = True  # the reader has seen enough

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A reader hangs up in the middle when it has seen enough."""

    server = Server(("127.0.0.1", 0), Handler)
    record.url = f"http://127.0.0.1:{server.server_address[1]}/file?X-Amz-Signature=secret"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield record
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        content.close()
