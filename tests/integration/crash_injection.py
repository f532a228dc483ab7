"""Every write of the life cycle, counted, and a process that dies before or after any one of them.

The seams are the transports: botocore's one call, redis-py's two, pika's one. Darkroom's own code runs as it is.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from botocore.client import BaseClient
from pika.adapters.blocking_connection import BlockingChannel
from redis import Redis
from redis.client import Pipeline

#: What leaves something behind. Reads are passed through uncounted: dying at one is dying before the next write.
AWS_WRITES = frozenset({"PutObject", "DeleteObjects", "Invoke"})
REDIS_READS = frozenset(
    {"GET", "EXISTS", "HGET", "HMGET", "HGETALL", "TIME", "PING", "SUBSCRIBE"}
    | {"ZCARD", "ZCOUNT", "ZRANGE", "ZRANGEBYSCORE", "ZREVRANGEBYLEX", "ZSCORE", "ZRANK"}
)
#: Said again by the client after Redis has forgotten its scripts; changes nothing.
REDIS_HOUSEKEEPING = frozenset({"SCRIPT LOAD", "CLIENT SETINFO"})

BEFORE, AFTER = "before", "after"


class Killed(BaseException):
    """The process is gone: nothing may catch this."""


@dataclass
class Effects:
    """Counts writes from 1. The process that makes write `number` dies `when` it does; 0 kills nobody."""

    number: int = 0
    when: str = BEFORE
    made: list[str] = field(default_factory=list)
    victim: str = ""
    _dead: bool = False

    def make(self, name: str, write: Callable[[], Any]) -> Any:
        """One write, or the death at it."""
        if self._dead:
            raise Killed(f"dead already, at {name}")  # what runs while a dead process unwinds would not have run
        self.made.append(name)
        if len(self.made) != self.number:
            return write()
        self._dead = True
        self.victim = name
        if self.when == AFTER:
            write()
        raise Killed(f"{self.when} {name}")

    def bury(self) -> None:
        """The next process is a new one."""
        self._dead = False


@contextmanager
def watched(effects: Effects, invoke: Callable[[dict[str, Any]], Any]) -> Iterator[None]:
    """Runs everything in this process through `effects`. Starting a function goes to `invoke` instead of to Lambda."""
    call_aws, call_redis = BaseClient._make_api_call, Redis.execute_command
    call_pipeline, publish = Pipeline.execute, BlockingChannel.basic_publish

    def aws(self: Any, operation: str, arguments: dict[str, Any]) -> Any:
        if operation == "Invoke":
            return effects.make(operation, lambda: invoke(arguments))
        if operation not in AWS_WRITES:
            return call_aws(self, operation, arguments)
        what = arguments.get("Key") or f"{len(arguments['Delete']['Objects'])} keys"
        return effects.make(f"{operation} {what}", lambda: call_aws(self, operation, arguments))

    def redis(self: Any, *command: Any, **options: Any) -> Any:
        name = str(command[0]).upper()
        if name in REDIS_READS or name in REDIS_HOUSEKEEPING or not self.__dict__.get("watched", True):
            return call_redis(self, *command, **options)
        return effects.make(f"redis {name}", lambda: call_redis(self, *command, **options))

    def pipeline(self: Any, *args: Any, **options: Any) -> Any:
        names = {str(command[0][0]).upper() for command in self.command_stack}
        if names <= REDIS_READS:
            return call_pipeline(self, *args, **options)
        return effects.make(f"redis {'+'.join(sorted(names))}", lambda: call_pipeline(self, *args, **options))

    def amqp(self: Any, exchange: str, routing_key: str, *args: Any, **options: Any) -> Any:
        send = lambda: publish(self, exchange, routing_key, *args, **options)  # noqa: E731
        return effects.make(f"publish {routing_key}", send)

    with (
        patch.object(BaseClient, "_make_api_call", aws),
        patch.object(Redis, "execute_command", redis),
        patch.object(Pipeline, "execute", pipeline),
        patch.object(BlockingChannel, "basic_publish", amqp),
    ):
        yield
