"""A synchronous AMQP connection on which every request has a deadline.

pika's BlockingConnection waits for an answer without limit: a broker that hangs still acknowledges what it is sent,
since its kernel does, so no time-out of the socket ends the wait. This module runs the loop of pika's asynchronous
connection until the answer or the deadline.

Every failure is BrokerUnavailableError. Its cause is pika's error, TimeoutError at the deadline, or None where the
broker refused a message.
"""

import contextlib
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pika import BasicProperties, SelectConnection, spec
from pika.adapters.select_connection import IOLoop
from pika.adapters.utils.nbio_interface import AbstractIOReference, AbstractStreamProtocol, AbstractStreamTransport
from pika.adapters.utils.selector_ioloop_adapter import SelectorIOServicesAdapter
from pika.channel import Channel
from pika.connection import Parameters
from pika.exceptions import AMQPError

from darkroom.errors import BrokerUnavailableError

#: Seconds for closing a connection, with and without the handshake. Without one, nothing is awaited from the network.
_CLOSE_LIMIT_S = 1.0

#: Passes the answer of the broker on.
Reply = Callable[[Any], None]


@dataclass(frozen=True)
class ReceivedMessage:
    """A message that was taken from a queue. It returns there unless it is acknowledged on the same connection."""

    body: bytes
    properties: BasicProperties
    delivery_tag: int
    connection: "AmqpConnection"


class AmqpConnection:
    """A connection with one channel, which is in confirm mode. Deadlines are on the clock of `time.monotonic()`.

    Once a request has failed other than by a refusal, the connection is of no further use: `failed` is then true.
    """

    def __init__(self, parameters: Parameters, deadline: float) -> None:
        self._io = _IOServices(IOLoop())
        self._failure: BaseException | None = None
        self._answer: Any = None
        self._returned = False
        self._used_at = time.monotonic()
        self._connection = SelectConnection(
            parameters,
            on_open_callback=lambda _connection: self._reply(None),
            on_open_error_callback=lambda _connection, error: self._fail(error),
            on_close_callback=lambda _connection, error: self._fail(error),
            custom_ioloop=self._io,
        )
        try:
            self._run(lambda: None, deadline)
            self._run(lambda: self._connection.channel(on_open_callback=self._reply), deadline, self._use_channel)
            self.request(lambda channel, reply: channel.confirm_delivery(self._on_confirm, callback=reply), deadline)
        except BaseException:
            self.drop()
            raise

    def _use_channel(self, channel: Channel) -> None:
        self._channel = channel
        channel.add_on_close_callback(lambda _channel, error: self._fail(error))
        channel.add_on_return_callback(self._on_return)
        channel.add_callback(lambda _frame: self._reply(None), [spec.Basic.GetEmpty], one_shot=False)

    @property
    def failed(self) -> bool:
        """Whether the connection can no longer be used."""
        return self._failure is not None

    @property
    def idle_s(self) -> float:
        """Seconds since the last request."""
        return time.monotonic() - self._used_at

    def request(self, send: Callable[[Channel, Reply], object], deadline: float) -> Any:
        """Sends one request and returns its answer. `send` passes its second argument to pika as the callback."""
        return self._run(lambda: send(self._channel, self._reply), deadline)

    def publish(
        self, exchange: str, routing_key: str, body: bytes, properties: BasicProperties, deadline: float
    ) -> None:
        """Publishes a message. Returns when the broker has confirmed it, and raises when it has no queue for it."""
        self._returned = False
        confirm = self.request(
            lambda channel, _: channel.basic_publish(exchange, routing_key, body, properties, mandatory=True), deadline
        )
        if self._returned:
            raise BrokerUnavailableError(f"RabbitMQ has no queue for '{routing_key}' of exchange '{exchange}'.")
        if not isinstance(confirm, spec.Basic.Ack):
            raise BrokerUnavailableError(f"RabbitMQ did not store a message for '{routing_key}'.")

    def get(self, queue: str, deadline: float) -> ReceivedMessage | None:
        """Takes one message from a queue; None when the queue is empty."""

        def send(channel: Channel, reply: Reply) -> None:
            channel.basic_get(
                queue,
                lambda _channel, method, properties, body: reply(
                    ReceivedMessage(body, properties, method.delivery_tag, self)
                ),
            )

        received: ReceivedMessage | None = self.request(send, deadline)
        return received

    def acknowledge(self, message: ReceivedMessage, deadline: float) -> None:
        """Removes a message from its queue."""

        def send(channel: Channel, reply: Reply) -> None:
            channel.basic_ack(message.delivery_tag)
            channel.basic_qos(callback=reply)  # an acknowledgement has no answer; this one comes after it

        self.request(send, deadline)

    def close(self) -> None:
        """Closes the connection, with the handshake if the broker takes part in it."""
        if self._connection.is_open:
            with contextlib.suppress(BrokerUnavailableError, AMQPError):
                self._connection.close()
                self._run(lambda: None, time.monotonic() + _CLOSE_LIMIT_S)
        self.drop()

    def drop(self) -> None:
        """Closes the socket at once. Nothing is awaited from the broker."""
        self._failure = self._failure or ConnectionAbortedError("The connection was dropped.")
        if not self._connection.is_closed:
            if not self._io.shut_down():
                self._connection.close()  # there is no socket yet, so this ends the attempt to connect
            loop = self._io.loop
            loop.call_later(_CLOSE_LIMIT_S, loop.stop)
            loop.start()  # until pika reports that the connection is closed
        self._io.close()

    def _run(self, send: Callable[[], object], deadline: float, use: Callable[[Any], None] | None = None) -> Any:
        """Runs the loop from `send` until the answer, which `use` gets first, or the deadline."""
        loop = self._io.loop
        timer = loop.call_later(max(deadline - time.monotonic(), 0), self._time_out)
        try:
            if self._failure is None:
                send()
                loop.start()
        except (AMQPError, OSError) as error:
            self._failure = self._failure or error
        except BaseException as error:
            self._failure = self._failure or error  # an answer that is still to come would be taken for the next one
            raise
        loop.remove_timeout(timer)
        if self._failure is not None:
            raise BrokerUnavailableError(f"The RabbitMQ request failed: {self._failure!r}") from self._failure
        if use is not None:
            use(self._answer)
        self._used_at = time.monotonic()
        return self._answer

    def _reply(self, answer: Any) -> None:
        self._answer = answer
        self._io.loop.stop()

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self._io.loop.stop()

    def _time_out(self) -> None:
        self._fail(TimeoutError("RabbitMQ did not respond in time."))

    def _on_confirm(self, frame: Any) -> None:
        self._reply(frame.method)

    def _on_return(self, *_message: object) -> None:
        self._returned = True  # the confirm follows


class _IOServices(SelectorIOServicesAdapter):  # type: ignore[misc]  # untyped in pika
    """pika's I/O services, which can also end a connection without a handshake."""

    def __init__(self, loop: IOLoop) -> None:
        super().__init__(loop)
        self.loop = loop
        self._socket: socket.socket | None = None

    def create_streaming_connection(
        self,
        protocol_factory: Callable[[], AbstractStreamProtocol],
        sock: socket.socket,
        on_done: Callable[[tuple[AbstractStreamTransport, AbstractStreamProtocol] | BaseException], None],
        ssl_context: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
    ) -> AbstractIOReference:
        """Sets up TCP or TLS on a connected socket, of which it keeps a duplicate."""
        self._close_socket()
        self._socket = sock.dup()
        return super().create_streaming_connection(protocol_factory, sock, on_done, ssl_context, server_hostname)

    def shut_down(self) -> bool:
        """Ends the connection for pika as well, as if it had been lost. Returns False when there is none."""
        if self._socket is None:
            return False
        with contextlib.suppress(OSError):  # the broker may have closed it
            self._socket.shutdown(socket.SHUT_RDWR)
        return True

    def close(self) -> None:
        """Frees the loop and the socket."""
        self.loop.close()
        self._close_socket()

    def _close_socket(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
