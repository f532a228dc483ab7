"""The stack that chaos is let loose on: a copy of the sources, deployed under a name and on ports of its own.

The copy can be changed before it is built: waiting times can be shortened, so that a short run sees what heals by
waiting, and a guard can be taken out, so that a run is known to be able to fail.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from localstack.services import native
from localstack.services.processes import MARK, Registry
from localstack.settings import ROOT, Settings, load

#: What is deployed from. The rest of the repository does not count.
SOURCES = ("api", "functions", "layers", "localstack", "template.yaml", "samconfig.toml", "LICENSE")

STACK = "darkroom-chaos"
#: Where its parts listen, counted from the port of the API.
PORTS = {"API": 0, "EMULATOR": 566, "AMQP": 672, "REDIS": 379}


@dataclass(frozen=True)
class Change:
    """A line of the sources, by pattern, and what takes its place."""

    path: str
    pattern: str
    replacement: str


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


class Deployment:
    """One stack, from a copy of the sources."""

    def __init__(self, *, quick: bool, broken: str | None, port: int) -> None:
        self.copy = ROOT / ".darkroom" / "chaos-copy"
        self._changes = (QUICK if quick else ()) + (BREAKS[broken] if broken else ())
        environment = {f"DARKROOM_{name}_PORT": str(port + offset) for name, offset in PORTS.items()}
        environment |= {"DARKROOM_STACK": STACK, "DARKROOM_RUNNER": "native", "DARKROOM_IN_FLIGHT": "2"}
        self._environment = environment
        self.settings: Settings = replace(load(environment), root=self.copy)
        self.registry = Registry(self.settings.directory)
        self.bucket = f"{STACK}-000000000000-us-east-1"

    def up(self) -> None:
        """Copies, changes, builds, deploys and starts. Raises CalledProcessError with what the stack printed."""
        self._make_copy()
        self._stack("up")

    def down(self) -> None:
        """Ends everything that was started."""
        if self.copy.exists():
            self._stack("down")

    def _make_copy(self) -> None:
        fresh = self.copy.with_name("chaos-copy.new")
        shutil.rmtree(fresh, ignore_errors=True)
        ignored = shutil.ignore_patterns("__pycache__", ".*_cache")
        for name in SOURCES:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, fresh / name, ignore=ignored)
            else:
                shutil.copy2(source, fresh / name)
        for change in self._changes:
            change_file(fresh / change.path, change)
        (self.copy / ".darkroom").mkdir(parents=True, exist_ok=True)
        for name in SOURCES:
            old = self.copy / name
            if old.is_dir():
                shutil.rmtree(old)
            (fresh / name).replace(old)
        fresh.rmdir()
        tools = self.copy / ".darkroom" / "tools"
        if not tools.is_symlink():
            tools.symlink_to(ROOT / ".darkroom" / "tools")

    def _stack(self, command: str) -> None:
        argv = [sys.executable, "-m", "localstack.stack", command]
        others = {name: value for name, value in os.environ.items() if not name.startswith("DARKROOM_")}
        environment = others | self._environment
        answer = subprocess.run(argv, cwd=self.copy, env=environment, capture_output=True, text=True, check=False)
        if answer.returncode:
            raise RuntimeError(f"stack {command} failed:\n{answer.stdout[-3000:]}\n{answer.stderr[-3000:]}")

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
            if name.startswith(f"{STACK}-") and environment.get(MARK, "").startswith(f"{self.settings.directory}#"):
                word = name.removeprefix(f"{STACK}-")
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


def change_file(path: Path, change: Change) -> None:
    """Changes every match. Raises ValueError when there is none, since the run would not be what it says it is."""
    text, count = re.subn(change.pattern, change.replacement, path.read_text(), flags=re.MULTILINE)
    if not count:
        raise ValueError(f"nothing in {change.path} matches {change.pattern}")
    path.write_text(text)


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
