"""Hangs: a service accepts connections and answers nothing, for longer than any time-out. Then it goes on."""

import os
import signal
import time

from localstack.services import native
from tests.chaos.faults.kinds import API, BROKER, CACHE, EMULATOR, GATEWAY, STORAGE, Context, Kind, kind


class Hangs:
    """Injects hangs into one deployment."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def kinds(self) -> dict[str, Kind]:
        """The kinds of faults, by name."""
        return {
            "RabbitMQ hangs": kind(lambda: self._stop_process(native.BROKER, self._context.hang_time_s()), BROKER),
            "Redis hangs": kind(lambda: self._stop_process(native.CACHE, self._context.hang_time_s()), CACHE),
            "S3 hangs": kind(self._hold_storage, STORAGE),
            "AWS emulator hangs": kind(
                lambda: self._stop_process(native.EMULATOR, self._context.random.uniform(0.5, 5)),
                *(API, EMULATOR, GATEWAY, STORAGE),
            ),
        }

    def _stop_process(self, name: str, seconds: float) -> bool:
        pid = self._context.deployment.pid(name)
        if pid is None:
            return False
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)
        return True

    def _hold_storage(self) -> bool:
        """S3 alone hangs: the emulator, which is also Lambda, runs on. What was held reaches S3 late."""
        storage = self._context.relays.storage
        storage.hold()
        try:
            time.sleep(self._context.hang_time_s())
        finally:
            storage.release()
        return True
