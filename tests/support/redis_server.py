"""A Redis server of a test's own, which the test may stop, fill and reconfigure."""

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from typing import Any

import redis

#: Seconds until the server must respond.
_START_TIMEOUT_S = 60.0


class RedisServer:
    """A server on a free port of loopback. It runs while the `with` block does, and leaves no files."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]

    def __enter__(self) -> "RedisServer":
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        assert program, "Redis is not installed"
        self._directory = tempfile.TemporaryDirectory()  # a replica stores the data of its primary there
        self._process = subprocess.Popen(
            [
                *(program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"),
                *("--repl-diskless-sync-delay", "0"),  # a primary waits 5 s for further replicas by default
            ],
            stdout=subprocess.DEVNULL,
            cwd=self._directory.name,
        )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            try:
                self.client().ping()
            except redis.RedisError:
                assert time.monotonic() < deadline, "Redis did not start"
                time.sleep(0.02)
            else:
                return self

    def __exit__(self, *_: object) -> None:
        self.signal(signal.SIGCONT)
        self._process.kill()
        self._process.wait()
        self._directory.cleanup()

    def client(self, password: str | None = None) -> redis.Redis:
        """A connection that does not go through Darkroom's client."""
        return redis.Redis(port=self.port, password=password, decode_responses=True)

    def signal(self, number: int) -> None:
        """Sends a signal to the server: SIGSTOP makes it hang, SIGCONT ends that."""
        self._process.send_signal(number)

    def configure(self, name: str, value: Any, *, password: str | None = None) -> None:
        """Sets a parameter of the running server."""
        self.client(password).config_set(name, value)

    def replicate(self, primary: "RedisServer") -> None:
        """Makes this server a replica, which refuses writes, and waits until it is in sync."""
        client = self.client()
        client.replicaof("127.0.0.1", str(primary.port))
        deadline = time.monotonic() + _START_TIMEOUT_S
        while client.info("replication")["master_link_status"] != "up":
            assert time.monotonic() < deadline, "the replica did not connect"
            time.sleep(0.02)
