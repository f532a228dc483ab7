"""The settings of a deployment. The only module that reads the environment.

`settings()` is called at run time, never at import. One error lists every variable that is missing or invalid.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from darkroom.errors import ConfigurationError

MEBIBYTE = 1024 * 1024
ENVIRONMENT_PREFIX = "DARKROOM_"


def _setting(meaning: str, default: Any = MISSING) -> Any:
    return field(default=default, metadata={"meaning": meaning})


class Access(StrEnum):
    """Who may use the API: `closed`, those with an API key or a token; `open`, everybody who can reach it."""

    CLOSED = "closed"
    OPEN = "open"


@dataclass(frozen=True)
class StorageSettings:
    """What every function has that uses S3. One attribute per variable: `bucket` is `DARKROOM_BUCKET`."""

    bucket: str = _setting("name of the S3 bucket")


@dataclass(frozen=True)
class AuthorizerSettings(StorageSettings):
    """What the function `authorize` has, which uses neither Redis nor RabbitMQ."""

    key_environment: str = _setting("name of the deployment in its API keys", "live")
    jwt_issuer: str = _setting("address of the OIDC issuer whose tokens are accepted; empty when there is none", "")
    jwt_audience: str = _setting("audience that tokens must have; several are separated by commas", "")
    jwt_tenant_claim: str = _setting("claim of a token that names the tenant", "tenant")
    jwt_default_scopes: str = _setting("scopes of a token that has none, separated by commas", "")


@dataclass(frozen=True)
class Settings(StorageSettings):
    """What the API and the functions around the operations have. A variable without a default is required."""

    cache_url: str = _setting("Redis: redis:// or rediss://host:port/db, without credentials")
    broker_url: str = _setting("RabbitMQ: amqp:// or amqps://host:port/vhost, without credentials")
    broker_secret_arn: str = _setting("ARN of the secret with RabbitMQ's username and password")
    function_prefix: str = _setting("prefix of the operations' function names, <prefix>-<operation>")
    cache_secret_arn: str = _setting("ARN of the secret with Redis' password; empty when there is none", "")
    in_flight_image: int = _setting("most runs of one image operation at the same time", 50)
    in_flight_video: int = _setting("most runs of one video or audio operation at the same time", 20)
    max_waiting: int = _setting("most queued jobs of one operation; above, new jobs are rejected", 10_000)
    upload_max_bytes: int = _setting("largest file for a presigned upload, in bytes", 5 * 1024 * MEBIBYTE)
    direct_upload_max_bytes: int = _setting("largest file for an upload through the API, in bytes", 4 * MEBIBYTE)
    max_pixels: int = _setting("largest image or video frame that is decoded, in pixels", 250_000_000)
    max_duration_s: int = _setting("longest video or audio that is decoded, in seconds", 6 * 3600)
    retention_days: int = _setting("days for which files, results and records are kept", 7)
    cache_ended_s: int = _setting("seconds for which Redis keeps ended jobs and file records", 86_400)
    link_expiry_s: int = _setting("seconds for which presigned forms and links are valid", 3600)
    access: Access = _setting("who may use the API: closed, or open to everybody", Access.CLOSED)  # noqa: RUF009
    key_environment: str = _setting("name of the deployment in its API keys", "live")

    @property
    def is_open(self) -> bool:
        """Whether everybody may use the API, without credentials."""
        return self.access is Access.OPEN


#: How the text of a variable becomes a value of each type, and what it must be.
_FORMATS: dict[Any, tuple[Callable[[str], object], str]] = {
    str: (str, "text"),
    int: (int, "a whole number"),
    Access: (Access, "closed or open"),
}

_Kind = TypeVar("_Kind", bound=StorageSettings)


def load(environ: Mapping[str, str], kind: type[_Kind]) -> _Kind:
    """The settings in `environ`. Raises ConfigurationError, which lists every variable that is missing or invalid."""
    values: dict[str, object] = {}
    problems: list[str] = []
    for spec in fields(kind):
        name = ENVIRONMENT_PREFIX + spec.name.upper()
        text = environ.get(name, "")
        parse, expected = _FORMATS[spec.type]
        if text:
            try:
                values[spec.name] = parse(text)
            except ValueError:
                problems.append(f"{name} must be {expected}, not '{text}' ({spec.metadata['meaning']})")
        elif spec.default is MISSING:
            problems.append(f"{name} is not set ({spec.metadata['meaning']})")
    if problems:
        raise ConfigurationError("; ".join(problems))
    return kind(**values)  # type: ignore[arg-type]


@lru_cache(maxsize=1)
def settings() -> Settings:
    """This process's settings, if it is the API or a function that uses Redis and RabbitMQ."""
    return load(os.environ, Settings)


def authorizer_settings() -> AuthorizerSettings:
    """This process's settings, if it is the authorizer."""
    return load(os.environ, AuthorizerSettings)


def bucket() -> str:
    """Name of the S3 bucket, in every function."""
    return load(os.environ, StorageSettings).bucket


def has_own_endpoint(service: str) -> bool:
    """Whether the environment names an endpoint for `service` (such as `s3`) instead of AWS' own, as emulators do."""
    return any(os.environ.get(name) for name in (f"AWS_ENDPOINT_URL_{service.upper()}", "AWS_ENDPOINT_URL"))


def layer_folders(kind: str) -> list[Path]:
    """Folders where layers may have their files of one kind (`bin`, `fonts`), in order of precedence.

    `/opt/<kind>` on Lambda, then the layers that an emulator unpacks elsewhere (`_LAMBDA_LAYERS_DIRS`), then
    `DARKROOM_<KIND>_DIR`. They need not exist.
    """
    layers = [Path(text) for text in os.environ.get("_LAMBDA_LAYERS_DIRS", "").split(os.pathsep) if text]
    folders = [Path("/opt", kind), *(layer / kind for layer in layers)]
    configured = os.environ.get(f"{ENVIRONMENT_PREFIX}{kind.upper()}_DIR", "")
    return [*folders, Path(configured)] if configured else folders


def memory_bytes() -> int | None:
    """The memory of the Lambda function that runs this process, or None outside Lambda."""
    size_mb = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
    return int(size_mb) * MEBIBYTE if size_mb.isdecimal() else None
