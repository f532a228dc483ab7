"""The stack that chaos is let loose on: a copy of the sources, deployed under a name and on ports of its own.

The copy can be changed before it is built: waiting times can be shortened, so that a short run sees what heals by
waiting, and a guard can be taken out, so that a run is known to be able to fail.
"""

import contextlib
from collections.abc import Mapping
from pathlib import Path

from localstack.services import native
from localstack.services.processes import MARK
from tests.copied_stack import Change, CopiedStack

NAME = "darkroom-chaos"

_DEADLINES = "layers/core/darkroom/services/redis/deadlines.py"
_CLAIM = "layers/core/darkroom/services/redis/scripts/claim_job.lua"
_ACQUIRE = "layers/core/darkroom/services/redis/scripts/acquire_slot.lua"

#: Waiting times, so that what heals after minutes does so after seconds. What is waited for stays the same.
QUICK = (
    Change(_DEADLINES, r"^START_WITHIN_S = 300$", "START_WITHIN_S = 15"),
    Change(_DEADLINES, r"^LEASE_GRACE_S = 15$", "LEASE_GRACE_S = 3"),
    Change("layers/core/darkroom/services/rabbitmq.py", r"^RETRY_DELAYS_S = .*$", "RETRY_DELAYS_S = (1, 2, 5, 10)"),
    Change("functions/sweep/app.py", r"^ACCEPTING_S = 30$", "ACCEPTING_S = 5"),
    Change("functions/sweep/app.py", r"^REPUBLISH_AFTER_S = .*$", "REPUBLISH_AFTER_S = 30"),
    Change("functions/sweep/app.py", r"^OVERLAP_S = .*$", "OVERLAP_S = 600"),
    Change("template.yaml", r"TimeoutS: 120}", "TimeoutS: 40}"),
    Change("template.yaml", r"TimeoutS: 900", "TimeoutS: 60"),
)

#: What keeps a job from result twice: the condition of the write that ends it, and the attempt that a claim must raise.
BREAKS = {
    "fencing": (
        Change("layers/core/darkroom/services/s3.py", r', IfNoneMatch="\*"', ""),
        Change(_CLAIM, r"^if status == 'running' then return \{'leased'\} end$", ""),
        Change(_CLAIM, r"^if TERMINAL\[status\] then$", "if false then"),
        Change(_CLAIM, r"^if attempt <= tonumber\(last_attempt\) then$", "if false then"),
        Change(_ACQUIRE, r"^  if TERMINAL\[status\] then return 'ended' end$", ""),
        Change(_ACQUIRE, r"^  if status == 'running' or .*$", ""),
    ),
    "sweep": (Change("functions/sweep/app.py", r"^    while batch := open_jobs\.due\(.*$", "    while batch := []:"),),
    "tidy": (
        Change("functions/sweep/app.py", r"^    for job_id in open_jobs\.due_for_cleanup.*$", "    for job_id in []:"),
    ),
}


class Deployment(CopiedStack):
    """The stack under test. `quick` shortens delays, `broken` names the guard that is removed."""

    def __init__(self, *, quick: bool, broken: str | None, port: int) -> None:
        self._changes = (QUICK if quick else ()) + (BREAKS[broken] if broken else ())
        super().__init__(NAME, port, self._change, {"DARKROOM_IN_FLIGHT": "2"})

    def _change(self, sources: Path) -> None:
        for change in self._changes:
            change.apply(sources)

    # Its parts ------------------------------------------------------------------------------------------------------

    def service(self, name: str) -> native.Service:
        """How a part of the stack is started."""
        known = [*native.backing(self.settings), *native.own(self.settings), native.emulator(self.settings)]
        return next(service for service in known if service.name == name)

    def pid(self, name: str) -> int | None:
        """The process of a part that runs."""
        record = self.registry.alive(name)
        return record.pid if record else None

    def start(self, name: str) -> None:
        """Starts a part that was killed."""
        service = self.service(name)
        service.prepare()
        self.registry.start(name, service.argv, service.environment, service.directory, service.fingerprint)

    def workers(self, function: str = "") -> dict[int, str]:
        """Processes in which functions run: the id of each and its function, without the stack's name."""
        found = {}
        for pid, environment in _environments():
            name = environment.get("AWS_LAMBDA_FUNCTION_NAME", "")
            if name.startswith(f"{NAME}-") and environment.get(MARK, "").startswith(f"{self.settings.directory}#"):
                word = name.removeprefix(f"{NAME}-")
                if function in ("", word):
                    found[pid] = word
        return found

    def encoders(self) -> list[int]:
        """FFmpeg processes that functions of this stack have started: the program lies where workers unpack layers."""
        found = []
        layers = Path(self.service(native.EMULATOR).environment["TMPDIR"])
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):  # it ended while we looked, or is somebody else's
                program = (entry / "exe").readlink()
                if program.name in ("ffmpeg", "ffprobe") and program.is_relative_to(layers):
                    found.append(int(entry.name))
        return found


def _environments() -> list[tuple[int, Mapping[str, str]]]:
    """Processes whose environment may be read, with it."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            pairs = (entry / "environ").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        found.append((int(entry.name), dict(pair.split("=", 1) for pair in pairs if "=" in pair)))
    return found
