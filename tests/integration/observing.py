"""Requests of a tenant with what they take and return, and everything that is stored about another one."""

import re
from dataclasses import dataclass
from typing import Any

from darkroom import config
from darkroom.services import aws
from tests.support.gateway import Reply, call
from tests.support.redis_content import content_of
from tests.support.redis_server import RedisServer

#: Makes the responses to equal requests equal.
_TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass(frozen=True)
class Observed:
    """A response, and how many requests to S3 and commands of Redis it took."""

    reply: Reply
    storage: int
    cache: int

    def without(self, *texts: str) -> "Observed":
        """The same with a placeholder in place of these texts."""

        def blank(text: str) -> str:
            for number, part in enumerate(texts):
                text = text.replace(part, f"<{number}>")
            return text

        headers = {name: blank(value) for name, value in self.reply.headers.items()}
        body = blank(self.reply.body.decode(errors="replace")).encode()
        return Observed(Reply(self.reply.status, headers, body), self.storage, self.cache)


class Watch:
    """Sends requests and observes what they take. Nobody else may use this Redis."""

    def __init__(self, server: RedisServer) -> None:
        self._cache = server.client()
        self._storage = 0
        aws.client("s3").meta.events.register("before-send.s3", self._count)

    def _count(self, **_: Any) -> None:
        self._storage += 1

    def _commands(self) -> int:
        return int(self._cache.info("stats")["total_commands_processed"])

    def send(self, method: str, target: str, *, headers: dict[str, str] | None = None, **more: Any) -> Observed:
        """Sends a request, as `call` does."""
        storage, cache = self._storage, self._commands()
        reply = call(method, target, headers={"traceparent": _TRACE} | (headers or {}), **more)
        return Observed(reply, self._storage - storage, self._commands() - cache - 1)  # without the count itself


def stored_of(tenant: str, server: RedisServer) -> dict[str, Any]:
    """What S3 and Redis have of a tenant: objects with ETag and time, keys and members with content."""
    names = re.compile(rf"(?<![a-z0-9-]){re.escape(tenant)}(?![a-z0-9-])")
    pages = aws.client("s3").get_paginator("list_objects_v2").paginate(Bucket=config.settings().bucket)
    objects = [entry for page in pages for entry in page.get("Contents", [])]
    found: dict[str, Any] = {
        f"s3 {entry['Key']}": (entry["ETag"], entry["LastModified"]) for entry in objects if names.search(entry["Key"])
    }
    cache = server.client()
    for key in sorted(cache.scan_iter()):
        for name, value in content_of(cache, key):
            if names.search(f"{key} {name}"):
                found[f"redis {key} {name}"] = value
    return found
