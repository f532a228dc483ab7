"""A stack of its own, deployed from a changed copy of the sources.

Used by chaos, which shortens delays or removes a guard, and by tests that need sources other than the repository's.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from localstack.services.processes import Registry
from localstack.settings import ACCOUNT, REGION, ROOT, Settings, load

#: What a stack is deployed from.
SOURCES = ("api", "functions", "layers", "localstack", "template.yaml", "samconfig.toml", "LICENSE")

#: The ports of a stack, relative to the port of its API.
_PORT_OFFSETS = {"API": 0, "EMULATOR": 566, "AMQP": 672, "REDIS": 379}


@dataclass(frozen=True)
class Change:
    """A replacement for every match of a pattern in one file. `path` is relative to the sources."""

    path: str
    pattern: str
    replacement: str

    def apply(self, sources: Path) -> None:
        """Edits the file. Raises ValueError when nothing matches: the source has changed and so must the pattern."""
        file = sources / self.path
        text, count = re.subn(self.pattern, self.replacement, file.read_text(), flags=re.MULTILINE)
        if not count:
            raise ValueError(f"nothing in {self.path} matches {self.pattern}")
        file.write_text(text)


class CopiedStack:
    """A stack deployed from a copy of the sources in `.darkroom/<name>-sources`.

    `edit` changes the copy before it is built. `environment` adds settings of localstack/settings.py.
    """

    def __init__(
        self,
        name: str,
        api_port: int,
        edit: Callable[[Path], None],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.sources = ROOT / ".darkroom" / f"{name}-sources"
        self.bucket = f"{name}-{ACCOUNT}-{REGION}"
        self._edit = edit
        self._environment = {
            "DARKROOM_STACK": name,
            "DARKROOM_RUNNER": "native",
            "DARKROOM_AUTH": os.environ.get("DARKROOM_AUTH", ""),
            **{f"DARKROOM_{port}_PORT": str(api_port + offset) for port, offset in _PORT_OFFSETS.items()},
            **(environment or {}),
        }
        self.settings: Settings = replace(load(self._environment), root=self.sources)
        self.registry = Registry(self.settings.directory)

    def up(self) -> None:
        """Copies, edits, builds, deploys and starts. Raises RuntimeError with the output of a failed step."""
        self._copy()
        self._run("up")

    def down(self) -> None:
        """Stops every process of the stack and deletes its data. The copy stays: the next build is faster."""
        if self.sources.exists():
            self._run("down")

    def _copy(self) -> None:
        fresh = self.sources.with_name(f"{self.sources.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        ignored = shutil.ignore_patterns("__pycache__", ".*_cache")
        for name in SOURCES:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, fresh / name, ignore=ignored)
            else:
                shutil.copy2(source, fresh / name)
        self._edit(fresh)
        (self.sources / ".darkroom").mkdir(parents=True, exist_ok=True)
        for name in SOURCES:
            old = self.sources / name
            if old.is_dir():
                shutil.rmtree(old)
            (fresh / name).replace(old)
        fresh.rmdir()
        tools = self.sources / ".darkroom" / "tools"
        if not tools.is_symlink():
            tools.symlink_to(ROOT / ".darkroom" / "tools")

    def _run(self, command: str) -> None:
        argv = [sys.executable, "-m", "localstack.stack", command]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("DARKROOM_")}
        environment = inherited | self._environment
        done = subprocess.run(argv, cwd=self.sources, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"stack {command} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
