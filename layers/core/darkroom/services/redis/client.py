"""The connection to Redis, made on first use, its time limits, and the mapping of its errors."""

import contextlib
import time
from collections.abc import Iterator
from functools import lru_cache
from weakref import WeakKeyDictionary

import redis
from redis.backoff import ExponentialBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import (
    AuthenticationError,
    ConnectionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    TimeoutError,
)
from redis.retry import Retry

from darkroom.config import settings
from darkroom.errors import CacheFullError, CacheUnavailableError, SecretsUnavailableError
from darkroom.services import aws
from darkroom.timeouts import current_timeouts

#: Retries of a command, each on a new connection, and of every connection.
_RETRIES = 1

#: Failures after which the command is repeated on a new connection. A replica that was the primary before a failover
#: refuses writes; a new connection resolves the name again and reaches the new primary.
_RECONNECT_AFTER: tuple[type[Exception], ...] = (ConnectionError, ReadOnlyError)

#: The time on this process's clock until which Redis counts as unavailable, by client.
_paused_until_s: WeakKeyDictionary[redis.Redis, float] = WeakKeyDictionary()


class _SecretPassword(CredentialProvider):
    """The password in a secret, read when a connection is made."""

    def get_credentials(self) -> tuple[str]:
        return (aws.secret(settings().cache_secret_arn)["password"],)

    def authenticate(self, connection: redis.Connection) -> None:
        """Sets up a connection. When the password is wrong, it may have changed: the retry reads the secret again."""
        try:
            connection.on_connect()  # type: ignore[no-untyped-call]
        except AuthenticationError:
            aws.forget_secret(settings().cache_secret_arn)
            raise
        except SecretsUnavailableError:
            # redis-py disconnects after its own errors only.
            connection.disconnect()  # type: ignore[no-untyped-call]
            raise


@lru_cache(maxsize=1)
def redis_client() -> redis.Redis:
    """This process's client."""
    config, limits = settings(), current_timeouts()
    password = _SecretPassword() if config.cache_secret_arn else None
    # A response that is overdue is not awaited twice where a caller waits.
    retried = _RECONNECT_AFTER if limits.pause_s else (*_RECONNECT_AFTER, TimeoutError)
    return redis.Redis.from_url(
        config.cache_url,
        credential_provider=password,
        redis_connect_func=password.authenticate if password else None,
        decode_responses=True,
        socket_timeout=limits.cache_s,
        socket_connect_timeout=limits.connect_s,
        socket_keepalive=True,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), _RETRIES, retried),
    )


@contextlib.contextmanager
def map_redis_errors() -> Iterator[None]:
    """Raises CacheUnavailableError in place of redis-py's errors, and at once during the pause after a failure."""
    client = redis_client()
    if time.monotonic() < _paused_until_s.get(client, 0):
        raise CacheUnavailableError("The status cache did not respond a moment ago.")
    with _map_errors(client):
        yield


@contextlib.contextmanager
def _map_errors(client: redis.Redis) -> Iterator[None]:
    try:
        yield
    except OutOfMemoryError as error:
        raise CacheFullError(f"The status cache is full: {error}") from error
    except (RedisError, SecretsUnavailableError) as error:
        if isinstance(error, ConnectionError | TimeoutError | SecretsUnavailableError):
            _paused_until_s[client] = time.monotonic() + current_timeouts().pause_s
        raise CacheUnavailableError(f"The status cache is unavailable: {error}") from error


def ping_redis() -> None:
    """Raises CacheUnavailableError unless Redis responds. Tries even during the pause after a failure, and ends it."""
    client = redis_client()
    with _map_errors(client):
        client.ping()
    _paused_until_s.pop(client, None)


def now_ms() -> int:
    """The time on Redis' clock, in milliseconds since 1970."""
    with map_redis_errors():
        seconds, micros = redis_client().time()
    return int(seconds * 1000 + micros // 1000)
