"""A file and a server that must not be accessed, and a record of whether they were."""

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_IN_OPEN = 0x20
_EVENT_BYTES = 4096


@dataclass
class Canary:
    """`file` is a video or image on this disk, `url` the same on a loopback server. FFmpeg can read both."""

    file: Path
    url: str
    calls: list[str] = field(default_factory=list)
    watch: int = -1

    def accesses(self) -> list[str]:
        """Accesses to the file or the URL since the last call."""
        seen, self.calls[:] = list(self.calls), []
        try:
            opened = os.read(self.watch, _EVENT_BYTES)
        except BlockingIOError:
            opened = b""
        return seen + (["the file was opened"] if opened else [])


@contextmanager
def watch_canary(video: Path, folder: Path) -> Iterator[Canary]:
    """Copies the video to a file in `folder` and to a server, and records accesses until the context ends."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"canary{video.suffix}"
    content = video.read_bytes()
    file.write_bytes(content)
    calls: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            calls.append(f"{self.command} {self.path}")
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    watch = _watch_opening(file)
    try:
        yield Canary(file, f"http://127.0.0.1:{server.server_address[1]}/canary{video.suffix}", calls, watch)
    finally:
        os.close(watch)
        server.shutdown()
        thread.join()
        server.server_close()


def _watch_opening(file: Path) -> int:
    """A descriptor that becomes readable when any process opens the file."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = int(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
    if descriptor < 0 or libc.inotify_add_watch(descriptor, os.fsencode(file), _IN_OPEN) < 0:
        raise OSError(ctypes.get_errno(), "the canary cannot be watched")
    return descriptor
