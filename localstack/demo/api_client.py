"""A client of Darkroom's API that needs nothing but the standard library."""

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from localstack.failure import StackError

#: Seconds beyond a `wait` after which an answer is given up.
PATIENCE_S = 30

Json = dict[str, Any]


class NoAnswerError(StackError):
    """Nothing answers at the address."""


@dataclass(frozen=True)
class Upload:
    """One file to send, in memory."""

    name: str
    media_type: str
    content: bytes


class Client:
    """The API at one address, such as `http://localhost:8000`."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")

    def get(self, path: str, *, wait_s: int = 0, **query: object) -> Json:
        """The JSON document at `path`; `wait_s` lets the API hold its answer that long until a job has ended."""
        parameters = query | ({"wait": wait_s} if wait_s else {})
        suffix = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        return _document(_send(self.address + path + suffix, timeout_s=wait_s + PATIENCE_S))

    def post(self, path: str, body: Json) -> Json:
        """The answer to a JSON document."""
        content = json.dumps(body).encode()
        return _document(_send(self.address + path, content, "application/json"))

    def post_file(self, path: str, file: Upload) -> Json:
        """The answer to a file sent through the API itself."""
        return _document(post_form(self.address + path, {}, file))

    def download(self, path: str) -> bytes:
        """The bytes at `path`, after the redirect to where they lie."""
        return _send(self.address + path)


def post_form(address: str, fields: dict[str, str], file: Upload) -> bytes:
    """Sends a form as browsers do: the fields first, then the file, as S3 wants it."""
    boundary = os.urandom(16).hex()
    parts = [_part(boundary, f'name="{name}"', value.encode()) for name, value in fields.items()]
    disposition = f'name="file"; filename="{file.name}"\r\nContent-Type: {file.media_type}'
    parts.append(_part(boundary, disposition, file.content))
    body = b"".join(parts) + f"--{boundary}--\r\n".encode()
    return _send(address, body, f"multipart/form-data; boundary={boundary}")


def _part(boundary: str, disposition: str, content: bytes) -> bytes:
    return f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode() + content + b"\r\n"


def _send(address: str, content: bytes | None = None, media_type: str = "", timeout_s: float = PATIENCE_S) -> bytes:
    """GETs, or POSTs the content. Raises NoAnswerError or StackError."""
    request = urllib.request.Request(address, content)  # noqa: S310 - the address is the user's or the API's
    if media_type:
        request.add_header("content-type", media_type)
    where = f"{request.get_method()} {address.partition('?')[0]}"
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as response:  # noqa: S310 - as above
            answer: bytes = response.read()
            return answer
    except urllib.error.HTTPError as error:
        raise StackError(f"{where} was refused: {error.code} {_problem(error)}") from error
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise NoAnswerError(f"{where} got no answer: {reason}") from error


def _document(content: bytes) -> Json:
    try:
        document: Json = json.loads(content)
    except ValueError as error:
        raise StackError(f"The answer is no JSON: {content[:200]!r}") from error
    return document


def _problem(error: urllib.error.HTTPError) -> str:
    """The code and the sentence of a problem document, or what came instead."""
    content = error.read(2000)
    try:
        problem = json.loads(content)
        return f"{problem['code']}: {problem['detail']}"
    except (ValueError, KeyError, TypeError):
        return content.decode(errors="replace").strip() or str(error.reason)
