"""A TCP relay, with which tests cut, stall and count connections."""

import contextlib
import socket
import ssl
import threading


class Relay:
    """Forwards connections at `port` to a service until `cut` closes them.

    While it is stalled it accepts connections and bytes, as the kernel of a stopped process does, and forwards nothing.
    With `tls` it ends TLS, so that the service need not.
    """

    def __init__(self, host: str, port: int, *, tls: ssl.SSLContext | None = None, listen_at: int = 0) -> None:
        self._target = (host, port)
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", listen_at))
        self.port = self._listener.getsockname()[1]
        self.accepted = self.ended = 0
        self._open: list[socket.socket] = []
        self._flowing = threading.Event()
        self._flowing.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.accepted += 1
                self._open.append(client)
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            self._flowing.wait()
            if self._tls is not None:
                client = self._tls.wrap_socket(client, server_side=True)
                self._open.append(client)
            server = socket.create_connection(self._target)
            self._open.append(server)
            threading.Thread(target=self._forward, args=(client, server), daemon=True).start()
            self._forward(server, client)
            self.ended += 1

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                self._flowing.wait()
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)

    def stall(self) -> None:
        self._flowing.clear()

    def resume(self) -> None:
        self._flowing.set()

    def retarget(self, host: str, port: int) -> None:
        """Forwards new connections to another service, as a name that resolves to another host does."""
        self._target = (host, port)

    def cut(self) -> None:
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self._open.clear()

    def close(self) -> None:
        self._listener.close()
        self.resume()
        self.cut()
