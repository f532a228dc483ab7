"""Crashes a process before or after any one of its writes to S3, Redis, RabbitMQ or Lambda.

The transports are patched: one method of botocore, two of redis-py, the one that publishes to RabbitMQ, and the one
with which dispatch sends its requests to Lambda. All other code is unchanged.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from botocore.client import BaseClient
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import NoScriptError

from darkroom.services.amqp import AmqpConnection
from functions.dispatch.invoker import Invoker

#: Reads are not counted: a crash at a read is a crash before the next write.
AWS_WRITES = frozenset({"PutObject", "DeleteObjects", "Invoke"})
REDIS_READS = frozenset(
    {"GET", "EXISTS", "HGET", "HMGET", "HGETALL", "MGET", "TIME", "PING", "SUBSCRIBE"}
    | {"ZCARD", "ZCOUNT", "ZRANGE", "ZRANGEBYSCORE", "ZREVRANGEBYLEX", "ZSCORE", "ZRANK", "SRANDMEMBER"}
)
#: Sent by the client itself; changes no data.
REDIS_HOUSEKEEPING = frozenset({"SCRIPT LOAD", "CLIENT SETINFO"})

BEFORE, AFTER = "before", "after"


class ProcessCrash(BaseException):
    """The process has crashed. No handler of Darkroom catches it."""


@dataclass
class CrashInjector:
    """Counts writes from 1, and crashes the process `when` it makes write `number`; with 0 it never does.

    `writes` are the names of all writes, `crashed_write` is the one at which the process crashed.
    """

    number: int = 0
    when: str = BEFORE
    writes: list[str] = field(default_factory=list)
    crashed_write: str = ""
    _crashed: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def write(self, name: str, action: Callable[[], Any]) -> Any:
        """Makes one write, or crashes at it."""
        with self._lock:
            if self._crashed:
                raise ProcessCrash(f"crashed before, at {name}")  # clean-up code of a crashed process does not run
            self.writes.append(name)
            self._crashed = len(self.writes) == self.number
            crashes = self._crashed
        if not crashes:
            return action()
        self.crashed_write = name
        if self.when == AFTER:
            action()
        raise ProcessCrash(f"{self.when} {name}")

    def start_process(self) -> None:
        """The next writes are those of a new process."""
        self._crashed = False


@contextmanager
def inject_crashes(injector: CrashInjector, invoke: Callable[[dict[str, Any]], Any]) -> Iterator[None]:
    """Sends every write of this process through the injector. `invoke` replaces the invocation of a function."""
    call_aws: Any = BaseClient._make_api_call
    call_redis: Any = Redis.execute_command
    call_pipeline: Any = Pipeline.execute
    publish: Any = AmqpConnection.publish

    def dispatched(_self: Any, function: str, payload: bytes, _remaining_s: float) -> Any:
        injector.write("Invoke", lambda: invoke({"FunctionName": function, "Payload": payload}))
        return SimpleNamespace(status=HTTPStatus.ACCEPTED)

    def aws(self: Any, operation: str, arguments: dict[str, Any]) -> Any:
        if operation == "Invoke":
            return injector.write(operation, lambda: invoke(arguments))
        if operation not in AWS_WRITES:
            return call_aws(self, operation, arguments)
        objects = arguments.get("Key") or f"{len(arguments['Delete']['Objects'])} keys"
        return injector.write(f"{operation} {objects}", lambda: call_aws(self, operation, arguments))

    def redis(self: Any, *command: Any, **options: Any) -> Any:
        name = str(command[0]).upper()
        if name in REDIS_READS or name in REDIS_HOUSEKEEPING:
            return call_redis(self, *command, **options)
        if name == "EVALSHA" and not call_redis(self, "SCRIPT EXISTS", command[1])[0]:
            raise NoScriptError  # changes nothing: the client loads the script and sends the command again
        return injector.write(f"redis {name}", lambda: call_redis(self, *command, **options))

    def pipeline(self: Any, *args: Any, **options: Any) -> Any:
        names = {str(command[0][0]).upper() for command in self.command_stack}
        if names <= REDIS_READS:
            return call_pipeline(self, *args, **options)
        return injector.write(f"redis {'+'.join(sorted(names))}", lambda: call_pipeline(self, *args, **options))

    def amqp(self: Any, exchange: str, routing_key: str, *args: Any, **options: Any) -> Any:
        return injector.write(f"publish {routing_key}", lambda: publish(self, exchange, routing_key, *args, **options))

    with (
        patch.object(BaseClient, "_make_api_call", aws),
        patch.object(Redis, "execute_command", redis),
        patch.object(Pipeline, "execute", pipeline),
        patch.object(AmqpConnection, "publish", amqp),
        patch.object(Invoker, "_send", dispatched),
    ):
        yield
