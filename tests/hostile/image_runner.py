"""Runs what takes images on hostile files in a process that is watched, limited, and replaced when it dies."""

import json
import os
import resource
import selectors
import subprocess
import sys
import time
import traceback
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[2]

#: The size of the functions that do this work, and how long one file may take them here.
FUNCTION_BYTES = 1769 * 1024 * 1024
TASK_S, HANG_S = 20, 60

#: What is done to each file: operation and parameters. Between them all loaders, savers and ways are used.
WORK: tuple[tuple[str, dict[str, Any]], ...] = (
    ("resize", {"width": 40, "height": 30, "fit": "cover", "gravity": "smart", "format": "webp"}),
    ("resize", {"crop": {"width": 0.5, "height": 0.5, "unit": "fraction"}, "metadata": "keep", "profile": "keep"}),
    ("thumbnail", {"width": 20, "height": 20, "format": "png", "max_bytes": 900, "metadata": "copyright"}),
    ("watermark", {"text": "#", "format": "jpeg"}),
    ("video_metadata", {}),
)


@dataclass(frozen=True)
class Outcome:
    """What came of one file: for each piece of work `made` or an error's code; what it took; what went wrong."""

    codes: tuple[str, ...] = ()
    seconds: float = 0
    peak_bytes: int = 0
    defect: str = ""

    @property
    def summary(self) -> str:
        """What came of the whole picture: `made`, or an error's code."""
        return "DEFECT" if self.defect else self.codes[0]


class Runner:
    """Hands files to a worker process, one at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started = 0
        self._worker: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._end()

    def run(self, name: str, content: bytes) -> Outcome:
        """What comes of a file of this name and content."""
        path = self.folder / name.replace("/", "_").encode()[:200].decode(errors="ignore")
        path.write_bytes(content)
        begun = time.monotonic()
        try:
            answer = self._ask(str(path))
        finally:
            path.unlink()
        if "died" in answer:
            self._end()
            return Outcome(seconds=time.monotonic() - begun, defect=answer["died"])
        defect = answer["defect"]
        if not defect and answer["peak_bytes"] > FUNCTION_BYTES:
            defect = f"took {answer['peak_bytes']:,} bytes of memory"
        return Outcome(tuple(answer["codes"]), time.monotonic() - begun, answer["peak_bytes"], defect=defect)

    def _ask(self, path: str) -> dict[str, Any]:
        worker = self._worker or self._start()
        if worker.stdin is None or worker.stdout is None:
            raise RuntimeError("the worker has pipes")
        try:
            worker.stdin.write(json.dumps(path) + "\n")
            worker.stdin.flush()
        except BrokenPipeError:
            return {"died": f"was dead with {worker.wait()}"}
        with selectors.DefaultSelector() as selector:
            selector.register(worker.stdout, selectors.EVENT_READ)
            if not selector.select(HANG_S):
                return {"died": f"hung for {HANG_S} s"}
        line = worker.stdout.readline()
        if not line:
            return {"died": f"died with {worker.wait()}"}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _start(self) -> subprocess.Popen[str]:
        self.started += 1
        paths = os.pathsep.join([str(ROOT), str(ROOT / "layers" / "core")])
        fonts = str(ROOT / "tests" / "media" / "fonts")
        environment = {**os.environ, "PYTHONPATH": paths, "DARKROOM_FONTS_DIR": fonts}
        argv = [sys.executable, "-m", "tests.hostile.image_runner", str(self.folder)]
        self._worker = subprocess.Popen(
            argv, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self._worker

    def _end(self) -> None:
        if self._worker is None:
            return
        self._worker.kill()
        self._worker.wait()
        for pipe in (self._worker.stdin, self._worker.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):  # what a dead worker did not read
                    pipe.close()
        self._worker = None


def table(outcomes: list[tuple[str, Outcome]]) -> str:
    """Counts by kind and outcome, and the worst time and memory of each kind."""
    kinds = list(dict.fromkeys(kind for kind, _ in outcomes))
    counts = Counter((kind, outcome.summary) for kind, outcome in outcomes)
    names = sorted({name for _, name in counts}, key=lambda name: (name != "made", name))
    lines = [f"| kind | files | {' | '.join(names)} | worst s | worst MB |", "|---" * (len(names) + 4) + "|"]
    for kind in kinds:
        own = [outcome for which, outcome in outcomes if which == kind]
        cells = " | ".join(str(counts[kind, name] or "") for name in names)
        worst_s, worst_mb = max(one.seconds for one in own), max(one.peak_bytes for one in own) / 1e6
        lines.append(f"| {kind} | {len(own)} | {cells} | {worst_s:.1f} | {worst_mb:.0f} |")
    return "\n".join(lines) + "\n"


# The worker --------------------------------------------------------------------------------------------------------


def main(folder: Path) -> None:
    """Works on the files whose paths it reads, until there are no more."""
    from darkroom.contracts.operations import Operation, parse_params
    from darkroom.errors import FileTooLargeError, InvalidRequestError, MediaError
    from functions.resize.app import resize
    from functions.thumbnail.app import thumbnail
    from functions.video_metadata.app import video_metadata
    from functions.watermark.app import watermark
    from tests.sources import make_task

    operations = {"resize": resize, "thumbnail": thumbnail, "watermark": watermark, "video_metadata": video_metadata}
    # More than the function has, because this counts addresses and not memory; the peak is looked at as well.
    limit = 2 * FUNCTION_BYTES
    # Not the most that may be set: what is a film after a change is looked at by FFmpeg, within bounds of its own.
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        codes, defect = [], ""
        for name, raw in WORK:
            try:
                task = make_task(Path(json.loads(line)), folder, deadline_s=TASK_S)
                operations[name](task, parse_params(Operation(name), raw))  # type: ignore[operator]
                codes.append("made")
            except (MediaError, InvalidRequestError, FileTooLargeError) as error:
                codes.append(error.code)
            except BaseException as error:  # noqa: BLE001 - whatever it is, it should not have come out
                defect = f"{name}: {type(error).__name__}: {error}"[:300]
                traceback.print_exc()
        peak = next(row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("VmHWM"))
        answer = {"codes": codes, "defect": defect, "peak_bytes": int(peak.split()[1]) * 1024}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
