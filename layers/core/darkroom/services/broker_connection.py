"""This process's connection to RabbitMQ: its credentials, its replacement, and what follows from a failure."""

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import pika
from pika.exceptions import AMQPChannelError, AuthenticationError, ProbableAuthenticationError

from darkroom.config import settings
from darkroom.errors import BrokerUnavailableError, SecretsUnavailableError
from darkroom.services import aws
from darkroom.services.amqp import AmqpConnection
from darkroom.timeouts import current_timeouts

#: The broker closes a connection without traffic after two to three times this time. A Lambda environment between two
#: invocations sends nothing, so this keeps few connections of idle environments; the next invocation opens a new one.
HEARTBEAT_S = 10

_Answer = TypeVar("_Answer")


class SharedConnection:
    """The connection of this process. Any thread may use it; one does so at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: AmqpConnection | None = None
        self._skipped_until = 0.0

    def call(self, action: Callable[[AmqpConnection, float], _Answer], *, limit_s: float | None = None) -> _Answer:
        """Calls `action` with the connection and its deadline, by default that of one request.

        A connection that was lost since its last use is replaced once. Raises BrokerUnavailableError, also without an
        attempt for a while after a failure.
        """
        timeouts = current_timeouts()
        deadline = time.monotonic() + (timeouts.broker_s if limit_s is None else limit_s)
        if not self._lock.acquire(timeout=deadline - time.monotonic()):
            raise BrokerUnavailableError("The connection to RabbitMQ was in use for too long.")
        try:
            if time.monotonic() < self._skipped_until:
                raise BrokerUnavailableError("RabbitMQ is skipped for a while, because a request has failed.")
            return self._call(action, deadline)
        except BrokerUnavailableError as error:
            self._drop_failed()
            if _is_connection_failure(error):
                self._skipped_until = time.monotonic() + timeouts.pause_s
            raise
        finally:
            self._lock.release()

    def _call(self, action: Callable[[AmqpConnection, float], _Answer], deadline: float) -> _Answer:
        reused = self._connection
        if reused is not None and not reused.failed and reused.idle_s < 2 * HEARTBEAT_S:
            try:
                return action(reused, deadline)
            except BrokerUnavailableError as error:
                if not reused.failed or isinstance(error.__cause__, (TimeoutError, AMQPChannelError)):
                    raise
        if reused is not None:
            reused.drop()
            self._connection = None
        self._connection = open_connection(deadline)
        return action(self._connection, deadline)

    def _drop_failed(self) -> None:
        if self._connection is not None and self._connection.failed:
            self._connection.drop()
            self._connection = None

    def close(self) -> None:
        """Closes the connection. The next call opens a new one, also after a failure."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection, self._skipped_until = None, 0.0


def _is_connection_failure(error: BrokerUnavailableError) -> bool:
    """Whether the broker could not be reached or did not respond. Otherwise it has refused a request."""
    return error.__cause__ is not None and not isinstance(error.__cause__, AMQPChannelError)


def open_connection(deadline: float) -> AmqpConnection:
    """A new connection. After a refused password the secret is read again once, since it may have been rotated."""
    arn = settings().broker_secret_arn
    account = _account(arn)
    try:
        return AmqpConnection(_parameters(account), deadline)
    except BrokerUnavailableError as error:
        if not isinstance(error.__cause__, (AuthenticationError, ProbableAuthenticationError)):
            raise
        aws.forget_secret(arn)
        renewed = _account(arn)
        if renewed == account:
            raise
    return AmqpConnection(_parameters(renewed), deadline)


def _account(arn: str) -> dict[str, str]:
    try:
        return aws.secret(arn)
    except SecretsUnavailableError as error:
        raise BrokerUnavailableError(error.message) from error


def _parameters(account: dict[str, str]) -> pika.URLParameters:
    config = settings()
    parameters = pika.URLParameters(config.broker_url)
    parameters.credentials = pika.PlainCredentials(account["username"], account["password"])
    parameters.heartbeat = HEARTBEAT_S
    parameters.socket_timeout = current_timeouts().connect_s  # for each address of the host
    parameters.stack_timeout = None  # the deadline is shorter
    parameters.client_properties = {"connection_name": config.function_prefix}
    logging.getLogger("pika").setLevel(logging.CRITICAL)  # its errors are raised as well
    return parameters
