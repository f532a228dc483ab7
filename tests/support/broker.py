"""The tests' own connection to the broker of the settings, apart from the one that the code under test uses."""

from contextlib import suppress
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPConnectionError, AMQPError, ChannelWrongStateError

from darkroom.config import settings
from darkroom.services import aws


def open_connection() -> pika.BlockingConnection:
    """A new connection. The caller closes it."""
    config = settings()
    parameters = pika.URLParameters(config.broker_url)
    account = aws.secret(config.broker_secret_arn)
    parameters.credentials = pika.PlainCredentials(account["username"], account["password"])
    parameters.heartbeat = 0  # it may be idle during a long test
    return pika.BlockingConnection(parameters)


#: The channel for each URL of a broker.
_channels: dict[str, BlockingChannel] = {}


def on_channel(method: str, *arguments: Any, **options: Any) -> Any:
    """Calls a method of a channel in confirm mode, on a new connection where the broker has closed the last one."""
    try:
        return getattr(_channel(), method)(*arguments, **options)
    except (AMQPConnectionError, ChannelWrongStateError):
        close_connections()
        return getattr(_channel(), method)(*arguments, **options)
    except AMQPError:
        close_connections()
        raise


def _channel() -> BlockingChannel:
    url = settings().broker_url
    if url not in _channels:
        _channels[url] = open_connection().channel()
        _channels[url].confirm_delivery()
    return _channels[url]


def close_connections() -> None:
    """Closes the connections that `on_channel` has opened."""
    for channel in _channels.values():
        with suppress(AMQPError):
            channel.connection.close()
    _channels.clear()
