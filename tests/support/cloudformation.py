"""A stub of the address to which functions send their responses to CloudFormation."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer


class CloudFormation(HTTPServer):
    """Keeps the responses, and rejects the first `rejections` of them."""

    def __init__(self, rejections: int) -> None:
        super().__init__(("127.0.0.1", 0), _Receiver)
        self.rejections = rejections
        self.attempts = 0
        self.responses: list[dict[str, str]] = []
        self.content_types: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/response?signature=abc"

    def request(self, kind: str) -> dict[str, str]:
        """A request of this type whose response comes here."""
        return {
            "RequestType": kind,
            "ResponseURL": self.url,
            "StackId": "arn:aws:cloudformation:eu-central-1:123456789012:stack/darkroom/1",
            "RequestId": "request-1",
            "LogicalResourceId": "Topology",
        }


class _Receiver(BaseHTTPRequestHandler):
    server: CloudFormation

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.attempts += 1
        if self.server.attempts <= self.server.rejections:
            self.send_response(503)
        else:
            self.server.responses.append(json.loads(body))
            self.server.content_types.append(self.headers["Content-Type"])
            self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_parts: object) -> None:
        pass


@contextmanager
def running_cloudformation(rejections: int = 0) -> Iterator[CloudFormation]:
    """Runs the stub in a thread of this process."""
    with CloudFormation(rejections) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
