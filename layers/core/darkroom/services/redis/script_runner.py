"""Runs the Lua scripts in `scripts/`. Each is one change of state, which Redis executes atomically.

A script may start with a line of flags for Redis, as in `#!lua flags=allow-oom`: such a script runs although the memory
of Redis is full. The first line after it may include shared parts, as in `-- include: now, free_slot`. The files with
these names in `scripts/shared/` precede the script, in that order; they include nothing themselves.

A script is read when it is first used. Redis stores it then, and each call names it by its hash (EVALSHA).
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from darkroom.services.redis.client import map_redis_errors, redis_client

SCRIPTS = Path(__file__).with_name("scripts")
_FLAGS = "#!"
_INCLUDE = "-- include: "

Argument = str | int | float


def run_script(name: str, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
    """What `scripts/<name>.lua` returns. Raises CacheUnavailableError."""
    with map_redis_errors():
        return _registered(name)(keys=keys, args=arguments, client=redis_client())


def read_script(name: str) -> str:
    """The whole text of a script, with what it includes."""
    text, flags = _read(f"{name}.lua"), ""
    if text.startswith(_FLAGS):  # Redis reads them from the first line only
        flags, _, text = text.partition("\n")
    first_line = text.partition("\n")[0]
    included = first_line.removeprefix(_INCLUDE).split(", ") if first_line.startswith(_INCLUDE) else []
    return "\n".join([*([flags] if flags else []), *(_read(f"shared/{part}.lua") for part in included), text])


def _read(path: str) -> str:
    return (SCRIPTS / path).read_text(encoding="utf-8")


@cache
def _registered(name: str) -> Any:
    return redis_client().register_script(read_script(name))
