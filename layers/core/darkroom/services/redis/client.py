"""The connection to Redis, made on first use, and the mapping of its errors."""

import contextlib
from collections.abc import Iterator
from functools import lru_cache

import redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from darkroom.config import settings
from darkroom.errors import CacheUnavailableError, SecretsUnavailableError
from darkroom.services import aws

#: Seconds that a response may take. A blocking command must time out earlier.
SOCKET_TIMEOUT_S = 5

#: Seconds that a connection may take. When Redis' machine is gone, the API must see several commands fail within 29 s.
_CONNECT_TIMEOUT_S = 2

#: Retries of a command, each on a new connection, and of every connection.
_RETRIES = 1


@lru_cache(maxsize=1)
def redis_client() -> redis.Redis:
    """This process's client."""
    config = settings()
    password = aws.secret(config.cache_secret_arn)["password"] if config.cache_secret_arn else None
    return redis.Redis.from_url(
        config.cache_url,
        password=password,
        decode_responses=True,
        socket_timeout=SOCKET_TIMEOUT_S,
        socket_connect_timeout=_CONNECT_TIMEOUT_S,
        socket_keepalive=True,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), _RETRIES),
    )


@contextlib.contextmanager
def map_redis_errors() -> Iterator[None]:
    """Raises CacheUnavailableError in place of redis-py's errors, and when the password of Redis cannot be read."""
    try:
        yield
    except (RedisError, SecretsUnavailableError) as error:
        raise CacheUnavailableError(f"The status cache is unavailable: {error}") from error


def ping_redis() -> None:
    """Raises CacheUnavailableError unless Redis responds."""
    with map_redis_errors():
        redis_client().ping()


def now_ms() -> int:
    """The time on Redis' clock, in milliseconds since 1970."""
    with map_redis_errors():
        seconds, micros = redis_client().time()
    return int(seconds * 1000 + micros // 1000)
