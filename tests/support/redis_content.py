"""What is stored in Redis."""

from typing import Any

import redis


def content_of(client: redis.Redis, key: str) -> list[tuple[Any, Any]]:
    """The members or fields of a key, each with what belongs to it. The client decodes what it reads."""
    match str(client.type(key)):
        case "string":
            return [("", client.get(key))]
        case "hash":
            return sorted(client.hgetall(key).items())
        case "zset":
            pairs: Any = client.zrange(key, 0, -1, withscores=True)
            return list(pairs)
        case "set":
            return [(member, None) for member in sorted(client.smembers(key))]
        case "list":
            return [(item, number) for number, item in enumerate(client.lrange(key, 0, -1))]
        case kind:
            raise AssertionError(f"{key} is a {kind}: nobody has said how to read it")
