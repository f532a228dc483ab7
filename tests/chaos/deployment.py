"""The stack under test. Its sources can differ from the repository's in two ways.

Delays are short, so that a short run covers recovery that takes minutes. A guard can be removed, which proves that the
audit notices its absence.
"""

from pathlib import Path

from localstack.aws import layer_store
from localstack.services import native
from localstack.services.processes import MARK
from localstack.settings import CALLS, ROOT
from tests.support import proc
from tests.support.copied_stack import Change, CopiedStack

NAME = "darkroom-chaos"

_DEADLINES = "layers/core/darkroom/services/redis/deadlines.py"
_CLAIM = "layers/core/darkroom/services/redis/scripts/claim_job.lua"
_ACQUIRE = "layers/core/darkroom/services/redis/scripts/acquire_slots.lua"

#: Shorter delays, time limits and leases.
SHORT_DELAYS = (
    Change(_DEADLINES, r"^START_WITHIN_S = 300$", "START_WITHIN_S = 15"),
    Change(_DEADLINES, r"^LEASE_GRACE_S = 15$", "LEASE_GRACE_S = 3"),
    Change("layers/core/darkroom/services/rabbitmq.py", r"^RETRY_DELAYS_S = .*$", "RETRY_DELAYS_S = (1, 2, 5, 10)"),
    Change("functions/sweep/reconciling.py", r"^ACCEPTING_S = 30$", "ACCEPTING_S = 5"),
    Change("functions/sweep/missed_uploads.py", r"^EVENT_WITHIN_S = 60$", "EVENT_WITHIN_S = 5"),
    Change("functions/sweep/recovery.py", r"^REPUBLISH_AFTER_S = .*$", "REPUBLISH_AFTER_S = 30"),
    Change("template.yaml", r"\bTimeoutS: 120\b", "TimeoutS: 40"),
    Change("template.yaml", r"\bTimeoutS: 900\b", "TimeoutS: 60"),
)

#: The guards that can be removed. "fencing" is the condition on the write of a result and the fencing token of a claim.
GUARDS = {
    "fencing": (
        Change("layers/core/darkroom/services/s3.py", r', IfNoneMatch="\*"', ""),
        Change(_CLAIM, r"^if status == 'running' then return \{'leased'\} end$", ""),
        Change(_CLAIM, r"^if TERMINAL\[status\] then$", "if false then"),
        Change(_CLAIM, r"^if attempt <= tonumber\(last_attempt\) then$", "if false then"),
        Change(_ACQUIRE, r"^    if TERMINAL\[status\] then return 'ended' end$", ""),
        Change(_ACQUIRE, r"^    if status == 'running' or .*$", ""),
    ),
    "sweep": (Change("functions/sweep/recovery.py", r"^        batch = open_jobs\.due\(.*$", "        batch = []"),),
    "cleanup": (Change("functions/sweep/leftovers.py", r"open_jobs\.due_for_cleanup\(CLEANED_AT_ONCE\)", "[]"),),
}


class Deployment(CopiedStack):
    """The stack under test. `quick` shortens delays, `removed_guard` is a key of GUARDS."""

    def __init__(self, *, quick: bool, removed_guard: str | None, port: int) -> None:
        self._changes = (SHORT_DELAYS if quick else ()) + (GUARDS[removed_guard] if removed_guard else ())
        self._calls = ROOT / ".darkroom" / CALLS / f"{NAME}.jsonl"
        environment = {"DARKROOM_IN_FLIGHT": "2", "DARKROOM_RECORD_CALLS": str(self._calls)}
        super().__init__(NAME, port, self._change, environment)

    def up(self) -> None:
        """Starts the stack, with a new recording of its AWS calls."""
        self._calls.unlink(missing_ok=True)
        super().up()

    def _change(self, sources: Path) -> None:
        for change in self._changes:
            change.apply(sources)

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

    def function_processes(self, function: str = "") -> dict[int, str]:
        """Processes that run functions: the function's name, without the stack's, by process id."""
        found = {}
        for pid, environment in proc.environments().items():
            name = environment.get("AWS_LAMBDA_FUNCTION_NAME", "")
            if name.startswith(f"{NAME}-") and environment.get(MARK, "").startswith(f"{self.settings.directory}#"):
                own_name = name.removeprefix(f"{NAME}-")
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
