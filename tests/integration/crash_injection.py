"""Counts every write of this process to S3, Lambda, Redis and RabbitMQ, and can kill the process before or after one.

The counting wraps the client libraries: botocore's API call, redis-py's commands and pipelines, pika's publish.
Darkroom's own code runs unchanged.
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

#: Only writes count, since a crash at a read equals a crash before the next write.
AWS_WRITES = frozenset({"PutObject", "DeleteObjects", "Invoke"})
REDIS_READS = frozenset(
    {"GET", "EXISTS", "HGET", "HMGET", "HGETALL", "TIME", "PING", "SUBSCRIBE"}
    | {"ZCARD", "ZCOUNT", "ZRANGE", "ZRANGEBYSCORE", "ZREVRANGEBYLEX", "ZSCORE", "ZRANK"}
)
#: Sent by the client library itself, for example after Redis has lost its scripts. Changes no data.
REDIS_HOUSEKEEPING = frozenset({"SCRIPT LOAD", "CLIENT SETINFO"})

BEFORE, AFTER = "before", "after"


class ProcessKilled(BaseException):
    """Ends a process as SIGKILL would: no handler catches it."""


@dataclass
class CrashInjector:
    """Counts writes from 1. The process that makes write `crash_at` is killed `when` it does; 0 kills none.

    `writes` names the writes so far, `crashed_at` the one at which a process was killed.
    """

    crash_at: int = 0
    when: str = BEFORE
    writes: list[str] = field(default_factory=list)
    crashed_at: str = ""
    _killed: bool = False

    def write(self, name: str, send: Callable[[], Any]) -> Any:
        """Makes one write, or raises ProcessKilled."""
        if self._killed:
            raise ProcessKilled(f"killed already, at {name}")  # cleanup code would not run in a killed process
        self.writes.append(name)
        if len(self.writes) != self.crash_at:
            return send()
        self._killed = True
        self.crashed_at = name
        if self.when == AFTER:
            send()
        raise ProcessKilled(f"{self.when} {name}")

    def start_process(self) -> None:
        """Begins a new process, which can write again."""
        self._killed = False


@contextmanager
def intercept_writes(crashes: CrashInjector, invoke: Callable[[dict[str, Any]], Any]) -> Iterator[None]:
    """Passes every write in this process to `crashes`. Lambda's Invoke calls `invoke` with its arguments instead."""
    call_aws: Any = BaseClient._make_api_call
    call_redis: Any = Redis.execute_command
    call_pipeline: Any = Pipeline.execute
    publish: Any = BlockingChannel.basic_publish

    def aws(self: Any, operation: str, arguments: dict[str, Any]) -> Any:
        if operation == "Invoke":
            return crashes.write(operation, lambda: invoke(arguments))
        if operation not in AWS_WRITES:
            return call_aws(self, operation, arguments)
        target = arguments.get("Key") or f"{len(arguments['Delete']['Objects'])} keys"
        return crashes.write(f"{operation} {target}", lambda: call_aws(self, operation, arguments))

    def redis(self: Any, *command: Any, **options: Any) -> Any:
        name = str(command[0]).upper()
        if name in REDIS_READS or name in REDIS_HOUSEKEEPING:
            return call_redis(self, *command, **options)
        return crashes.write(f"redis {name}", lambda: call_redis(self, *command, **options))

    def pipeline(self: Any, *args: Any, **options: Any) -> Any:
        names = {str(command[0][0]).upper() for command in self.command_stack}
        if names <= REDIS_READS:
            return call_pipeline(self, *args, **options)
        return crashes.write(f"redis {'+'.join(sorted(names))}", lambda: call_pipeline(self, *args, **options))

    def amqp(self: Any, exchange: str, routing_key: str, *args: Any, **options: Any) -> Any:
        return crashes.write(f"publish {routing_key}", lambda: publish(self, exchange, routing_key, *args, **options))

    with (
        patch.object(BaseClient, "_make_api_call", aws),
        patch.object(Redis, "execute_command", redis),
        patch.object(Pipeline, "execute", pipeline),
        patch.object(BlockingChannel, "basic_publish", amqp),
    ):
        yield
