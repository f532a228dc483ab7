"""The only reader of the environment.

`settings()` is called at run time, never at import, and reports every variable that is missing or wrong in one error.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import lru_cache
from pathlib import Path

from darkroom.errors import ConfigurationError

MEBIBYTE = 1024 * 1024
PREFIX = "DARKROOM_"


def _setting(meaning: str, default: object = MISSING) -> object:
    if default is MISSING:
        return field(metadata={"meaning": meaning})
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True)
class Settings:
    """One attribute per variable: `bucket` is `DARKROOM_BUCKET`. No default means that it must be set."""

    bucket: str = _setting("name of the one bucket")  # type: ignore[assignment]
    cache_url: str = _setting("Redis, redis:// or rediss://host:port/db, without credentials")  # type: ignore[assignment]
    broker_url: str = _setting("RabbitMQ, amqp:// or amqps://host:port/vhost, without credentials")  # type: ignore[assignment]
    broker_secret_arn: str = _setting("secret that holds the broker's username and password")  # type: ignore[assignment]
    function_prefix: str = _setting("operation functions are called <prefix>-<operation>")  # type: ignore[assignment]
    cache_secret_arn: str = _setting("secret that holds the cache's password; empty for none", "")  # type: ignore[assignment]
    in_flight_image: int = _setting("runs of one image operation at the same time", 50)  # type: ignore[assignment]
    in_flight_video: int = _setting("runs of one video or audio operation at the same time", 20)  # type: ignore[assignment]
    max_waiting: int = _setting("jobs of one operation that may wait before more are refused", 10_000)  # type: ignore[assignment]
    upload_max_bytes: int = _setting("largest file through a presigned upload", 5 * 1024 * MEBIBYTE)  # type: ignore[assignment]
    direct_upload_max_bytes: int = _setting("largest file through the API itself", 4 * MEBIBYTE)  # type: ignore[assignment]
    max_pixels: int = _setting("largest picture that is decoded", 250_000_000)  # type: ignore[assignment]
    max_duration_s: int = _setting("longest recording that is decoded", 6 * 3600)  # type: ignore[assignment]
    retention_days: int = _setting("days that files, results and records are kept", 7)  # type: ignore[assignment]
    link_expiry_s: int = _setting("how long presigned forms and links stay valid", 3600)  # type: ignore[assignment]


def load(environ: Mapping[str, str]) -> Settings:
    """Settings read from `environ`. Raises ConfigurationError, which names every bad variable."""
    values: dict[str, object] = {}
    problems: list[str] = []
    for spec in fields(Settings):
        name = PREFIX + spec.name.upper()
        text = environ.get(name, "")
        kind: Callable[[str], object] = int if spec.type is int else str
        if text:
            try:
                values[spec.name] = kind(text)
            except ValueError:
                problems.append(f"{name} must be a whole number, not '{text}' ({spec.metadata['meaning']})")
        elif spec.default is MISSING:
            problems.append(f"{name} is not set ({spec.metadata['meaning']})")
    if problems:
        raise ConfigurationError("; ".join(problems))
    return Settings(**values)  # type: ignore[arg-type]


@lru_cache(maxsize=1)
def settings() -> Settings:
    """This process's settings."""
    return load(os.environ)


def layer_folders(kind: str) -> list[Path]:
    """Where layers put their files of one kind (`bin`, `fonts`), in the order to look: the first that has it wins.

    `/opt/<kind>` on Lambda, the layers that an emulator unpacks elsewhere (`_LAMBDA_LAYERS_DIRS`), then
    `DARKROOM_<KIND>_DIR`. Folders need not exist.
    """
    layers = [Path(text) for text in os.environ.get("_LAMBDA_LAYERS_DIRS", "").split(os.pathsep) if text]
    folders = [Path("/opt", kind), *(layer / kind for layer in layers)]
    own = os.environ.get(f"{PREFIX}{kind.upper()}_DIR", "")
    return [*folders, Path(own)] if own else folders


def memory_bytes() -> int | None:
    """The memory of the Lambda function that this process serves, None outside Lambda."""
    size_mb = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
    return int(size_mb) * MEBIBYTE if size_mb.isdecimal() else None
