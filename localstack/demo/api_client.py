"""A client of Darkroom's API that needs only the standard library."""

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from localstack.errors import NoResponseError, StackError

#: Seconds until a request times out, in addition to its `wait`.
TIMEOUT_S = 30

Json = dict[str, Any]


@dataclass(frozen=True)
class Upload:
    """One file to send, in memory."""

    name: str
    media_type: str
    content: bytes


class Client:
    """The API at one address, such as `http://localhost:8000`. An API that is open needs no key."""

    def __init__(self, address: str, key: str = "") -> None:
        self.address = address.rstrip("/")
        self._headers = {"authorization": f"Bearer {key}"} if key else {}

    @property
    def has_key(self) -> bool:
        """Whether requests carry an API key."""
        return bool(self._headers)

    def get(self, path: str, *, wait_s: int = 0, **query: object) -> Json:
        """GETs a JSON document. With `wait_s` the API responds when the job has ended, or after that time."""
        parameters = query | ({"wait": wait_s} if wait_s else {})
        suffix = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        return _document(_send(self.address + path + suffix, None, self._headers, wait_s + TIMEOUT_S))

    def post(self, path: str, body: Json) -> Json:
        """POSTs a JSON document; returns the JSON response."""
        content = json.dumps(body).encode()
        return _document(_send(self.address + path, content, self._headers | {"content-type": "application/json"}))

    def post_file(self, path: str, file: Upload) -> Json:
        """POSTs a file through the API; returns the JSON response."""
        return _document(post_form(self.address + path, {}, file, self._headers))

    def download(self, path: str) -> bytes:
        """GETs a file, following redirects."""
        return _send(self.address + path, None, self._headers)


def post_form(address: str, fields: dict[str, str], file: Upload, headers: dict[str, str] | None = None) -> bytes:
    """POSTs a form as browsers do: the fields first, then the file, as S3 requires."""
    boundary = os.urandom(16).hex()
    parts = [_part(boundary, f'name="{name}"', value.encode()) for name, value in fields.items()]
    disposition = f'name="file"; filename="{file.name}"\r\nContent-Type: {file.media_type}'
    parts.append(_part(boundary, disposition, file.content))
    body = b"".join(parts) + f"--{boundary}--\r\n".encode()
    return _send(address, body, (headers or {}) | {"content-type": f"multipart/form-data; boundary={boundary}"})


def _part(boundary: str, disposition: str, content: bytes) -> bytes:
    return f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode() + content + b"\r\n"


def _send(address: str, content: bytes | None, headers: dict[str, str], timeout_s: float = TIMEOUT_S) -> bytes:
    """Sends a GET request, or a POST request with content. Raises NoResponseError or StackError."""
    request = urllib.request.Request(address, content)  # noqa: S310 - the address is the user's or the API's
    for name, value in headers.items():
        # A redirect leads to S3, which would take a key for its own kind of credentials and refuse it.
        add = request.add_unredirected_header if name == "authorization" else request.add_header
        add(name, value)
    target = f"{request.get_method()} {address.partition('?')[0]}"
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as response:  # noqa: S310 - as above
            content_received: bytes = response.read()
            return content_received
    except urllib.error.HTTPError as error:
        raise StackError(f"{target} failed: {error.code} {_problem(error)}") from error
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise NoResponseError(f"{target}: no response: {reason}") from error


def _document(content: bytes) -> Json:
    try:
        document: Json = json.loads(content)
    except ValueError as error:
        raise StackError(f"The response is not JSON: {content[:200]!r}") from error
    return document


def _problem(error: urllib.error.HTTPError) -> str:
    """The code and the detail of a problem document, or the text of another response."""
    content = error.read(2000)
    try:
        problem = json.loads(content)
        return f"{problem['code']}: {problem['detail']}"
    except (ValueError, KeyError, TypeError):
        return content.decode(errors="replace").strip() or str(error.reason)
