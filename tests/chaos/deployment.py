"""The stack under test. Its sources differ from the repository's.

Functions connect through relays, and their clock can be shifted. Unless a run is as shipped, delays are short, so that
a short run covers recovery that takes minutes. A guard can be removed, which proves that the audit notices its absence.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from localstack import keys
from localstack.aws import layer_store
from localstack.services import native, readiness
from localstack.services.processes import MARK
from localstack.settings import CALLS, ROOT
from tests.chaos import shifted_clock
from tests.support import proc
from tests.support.copied_stack import Change, CopiedStack

NAME = "darkroom-chaos"
PORT = 23_000

#: The ports of the relays and of the standby of Redis, relative to the port of the API.
RELAY_OFFSETS = {"storage": 576, "functions": 577, "broker": 682, "cache": 389}
_STANDBY_OFFSET = 399
_STANDBY = "redis-standby"

#: Jobs in flight per operation.
IN_FLIGHT = 2

#: Seconds for which a presigned form is valid, and after which its uploads are not looked for, if delays are short.
FORM_LIFE_S = 30
SHIPPED_FORM_LIFE_S = 3600

#: Seconds within which a run claims its job, or its slot expires, if delays are short.
SHORT_START_WITHIN_S = 15

_DEADLINES = "layers/core/darkroom/services/redis/deadlines.py"
_CONFIG = "layers/core/darkroom/config.py"

#: Shorter delays, time limits and leases, and a form that expires during the run.
SHORT_DELAYS = (
    Change(_DEADLINES, r"^START_WITHIN_S = 300$", f"START_WITHIN_S = {SHORT_START_WITHIN_S}"),
    Change(_DEADLINES, r"^LEASE_GRACE_S = 15$", "LEASE_GRACE_S = 3"),
    Change("layers/core/darkroom/services/rabbitmq.py", r"^RETRY_DELAYS_S = .*$", "RETRY_DELAYS_S = (3, 4, 6, 10)"),
    Change("functions/sweep/reconciling.py", r"^ACCEPTING_S = 30$", "ACCEPTING_S = 5"),
    Change("functions/sweep/missed_uploads.py", r"^EVENT_WITHIN_S = 60$", "EVENT_WITHIN_S = 5"),
    Change("functions/sweep/recovery.py", r"^REPUBLISH_AFTER_S = .*$", "REPUBLISH_AFTER_S = 30"),
    Change("template.yaml", r"\bTimeoutS: 120\b", "TimeoutS: 40"),
    Change("template.yaml", r"\bTimeoutS: 900\b", "TimeoutS: 60"),
    Change(_CONFIG, r"(link_expiry_s: .*), 3600\)$", rf"\1, {FORM_LIFE_S})"),
)

#: The longest delay before each attempt but the first, in seconds: short and as shipped.
SHORT_RETRY_DELAYS_S = (3, 4, 6, 10)
SHIPPED_RETRY_DELAYS_S = (2, 10, 60, 300)

#: Videos are read in parts, so that a run can notice that its source was replaced.
READ_IN_PARTS = (
    Change("layers/core/darkroom/jobs/source.py", r"^WHOLE_FILE_BYTES = .*$", "WHOLE_FILE_BYTES = 16 * 1024"),
)


def through_relays(port: int) -> tuple[Change, ...]:
    """The addresses of the relays in place of those of the services, for functions alone."""
    address = {name: f"127.0.0.1:{port + offset}" for name, offset in RELAY_OFFSETS.items()}
    endpoints = "".join(
        rf"\1AWS_ENDPOINT_URL_{service}: http://{address[name]}\n"
        for service, name in (("S3", "storage"), ("LAMBDA", "functions"))
    )
    return (
        Change("template.yaml", r"^( +)(DARKROOM_BUCKET: )", endpoints + r"\1\2"),
        Change("localstack/aws/sam.py", r'("BrokerUrl": ).*,$', rf'\1"amqp://{address["broker"]}/%2F",'),
        Change("localstack/aws/sam.py", r'("CacheUrl": ).*,$', rf'\1"redis://{address["cache"]}/0",'),
    )


#: Imports the clock that can be shifted before anything reads the time.
SHIFTABLE_CLOCK = (Change("layers/core/darkroom/__init__.py", r"\Z", "\nfrom darkroom import shifted_clock\n"),)


class Deployment(CopiedStack):
    """The stack under test. `quick` shortens delays; `mutation` is what removes a guard."""

    def __init__(self, *, quick: bool, mutation: Sequence[Change], port: int = PORT, name: str = NAME) -> None:
        self.quick = quick
        self._changes = (*through_relays(port), *SHIFTABLE_CLOCK, *READ_IN_PARTS)
        self._changes += (SHORT_DELAYS if quick else ()) + tuple(mutation)
        self._calls = ROOT / ".darkroom" / CALLS / f"{name}.jsonl"
        environment = {"DARKROOM_IN_FLIGHT": str(IN_FLIGHT), "DARKROOM_RECORD_CALLS": str(self._calls)}
        super().__init__(name, port, self._change, environment)
        self.relay_ports = {relay: port + offset for relay, offset in RELAY_OFFSETS.items()}
        self.standby_port = port + _STANDBY_OFFSET
        #: What every request to the API carries: an API key if the stack is closed.
        self.headers: dict[str, str] = {}
        self._clock = self.sources.with_name(f"{name}-clock")

    def up(self) -> None:
        """Starts the stack, with a new recording of its AWS calls."""
        self._calls.unlink(missing_ok=True)
        super().up()
        if self.settings.access == "closed":
            self.headers = keys.headers(keys.create(self.settings, "chaos"))

    def calls(self) -> list[dict[str, Any]]:
        """The AWS calls of the stack's functions since it was started."""
        return [json.loads(line) for line in self._calls.read_text().splitlines()]

    @property
    def form_life_s(self) -> int:
        """Seconds for which a presigned form is valid."""
        return FORM_LIFE_S if self.quick else SHIPPED_FORM_LIFE_S

    @property
    def start_within_s(self) -> int:
        """Seconds within which a run claims its job, or its slot expires."""
        from darkroom.services.redis import deadlines

        return SHORT_START_WITHIN_S if self.quick else deadlines.START_WITHIN_S

    @property
    def retry_delays_s(self) -> tuple[int, ...]:
        """The longest delay before each attempt but the first. Jitter shortens each by up to half."""
        return SHORT_RETRY_DELAYS_S if self.quick else SHIPPED_RETRY_DELAYS_S

    def _change(self, sources: Path) -> None:
        for change in self._changes:
            change.apply(sources)
        clock = Path(shifted_clock.__file__).read_text().replace("CLOCK_FILE", str(self._clock))
        (sources / "layers" / "core" / "darkroom" / "shifted_clock.py").write_text(clock)
        self.shift_clock(0)

    def shift_clock(self, seconds: int) -> None:
        """Shifts the clock of every function."""
        draft = self._clock.with_suffix(".new")
        draft.write_text(str(seconds))
        draft.replace(self._clock)

    def service(self, name: str) -> native.Service:
        """How a service of the stack is started."""
        known = [
            *native.backing_services(self.settings),
            *native.own_services(self.settings),
            native.emulator(self.settings),
        ]
        return next(service for service in known if service.name == name)

    def pid(self, name: str) -> int | None:
        """The process of a service, or None when it does not run."""
        record = self.registry.alive(name)
        return record.pid if record else None

    def start(self, name: str) -> None:
        """Starts a service that was killed."""
        service = self.service(name)
        service.prepare()
        self.registry.start(name, service.argv, service.environment, service.directory, service.fingerprint)

    def control_broker(self, *command: str) -> None:
        """Runs a command of rabbitmqctl on the broker."""
        program = shutil.which("rabbitmqctl", path=str(Path(native.find_broker()).parent))
        assert program
        environment = {**os.environ, **self.service(native.BROKER).environment}
        argv = [program, "--node", environment["RABBITMQ_NODENAME"], *command]
        subprocess.run(argv, env=environment, check=True, capture_output=True, timeout=60)

    def start_standby(self) -> None:
        """Starts a second, empty Redis."""
        cache = self.service(native.CACHE)
        argv = [*cache.argv, "--port", str(self.standby_port), "--appendonly", "no"]
        home = self.settings.directory / _STANDBY
        shutil.rmtree(home, ignore_errors=True)
        self.registry.start(_STANDBY, argv, cache.environment, home, cache.fingerprint)
        readiness.wait(partial(readiness.redis, "127.0.0.1", self.standby_port), 30, lambda: None)

    def stop_standby(self) -> None:
        """Stops the second Redis."""
        self.registry.stop([_STANDBY])

    def function_processes(self, function: str = "") -> dict[int, str]:
        """Processes that run functions: the function's name, without the stack's, by process id."""
        found = {}
        for pid, environment in proc.environments().items():
            name = environment.get("AWS_LAMBDA_FUNCTION_NAME", "")
            mark = environment.get(MARK, "")
            if name.startswith(f"{self.name}-") and mark.startswith(f"{self.settings.directory}#"):
                own_name = name.removeprefix(f"{self.name}-")
                if function in ("", own_name):
                    found[pid] = own_name
        return found

    def ffmpeg_processes(self) -> list[int]:
        """FFmpeg processes of this stack's functions, known by the directory of the layers of this stack's sources."""
        layers = layer_store.directory(self.settings)
        return [
            pid
            for pid, program in proc.executables().items()
            if program.name in ("ffmpeg", "ffprobe") and program.is_relative_to(layers)
        ]
