"""Runs the image operations on hostile files in a worker process with limits, which is replaced if it crashes."""

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

#: The memory of resize and thumbnail, within which every operation on every file must stay.
FUNCTION_BYTES = 1769 * 1024 * 1024

#: Seconds: the deadline of one operation, and until a worker that does not respond counts as hung.
TASK_S, HANG_S = 20, 60

#: Operations and parameters for each file. Together they use all loaders and savers.
OPERATIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("resize", {"width": 40, "height": 30, "fit": "cover", "gravity": "smart", "format": "webp"}),
    ("resize", {"crop": {"width": 0.5, "height": 0.5, "unit": "fraction"}, "metadata": "keep", "profile": "keep"}),
    ("thumbnail", {"width": 20, "height": 20, "format": "png", "max_bytes": 900, "metadata": "copyright"}),
    ("watermark", {"text": "#", "format": "jpeg"}),
    ("video_metadata", {}),
)


@dataclass(frozen=True)
class Outcome:
    """The outcome for one file: for each operation `made` or an error code; time and memory; a defect, if any."""

    codes: tuple[str, ...] = ()
    seconds: float = 0
    peak_bytes: int = 0
    defect: str = ""

    @property
    def summary(self) -> str:
        """The outcome of the first operation, on the whole image: `made`, or an error code."""
        return "DEFECT" if self.defect else self.codes[0]


class Runner:
    """Sends files to a worker process, one at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started = 0
        self._worker: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._end()

    def run(self, name: str, content: bytes) -> Outcome:
        """The outcome for a file with this name and content."""
        path = self.folder / name.replace("/", "_").encode()[:200].decode(errors="ignore")
        path.write_bytes(content)
        started_s = time.monotonic()
        try:
            response = self._request(str(path))
        finally:
            path.unlink()
        if "crash" in response:
            self._end()
            return Outcome(seconds=time.monotonic() - started_s, defect=response["crash"])
        defect = response["defect"]
        if not defect and response["peak_bytes"] > FUNCTION_BYTES:
            defect = f"used {response['peak_bytes']:,} bytes of memory"
        return Outcome(tuple(response["codes"]), time.monotonic() - started_s, response["peak_bytes"], defect=defect)

    def _request(self, path: str) -> dict[str, Any]:
        worker = self._worker or self._start()
        if worker.stdin is None or worker.stdout is None:
            raise RuntimeError("the worker was started without pipes")
        try:
            worker.stdin.write(json.dumps(path) + "\n")
            worker.stdin.flush()
        except BrokenPipeError:
            return {"crash": f"had exited with {worker.wait()}"}
        with selectors.DefaultSelector() as selector:
            selector.register(worker.stdout, selectors.EVENT_READ)
            if not selector.select(HANG_S):
                return {"crash": f"hung for {HANG_S} s"}
        line = worker.stdout.readline()
        if not line:
            return {"crash": f"exited with {worker.wait()}"}
        response: dict[str, Any] = json.loads(line)
        return response

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
                with suppress(BrokenPipeError):  # closing flushes what the worker has not read
                    pipe.close()
        self._worker = None


def table(outcomes: list[tuple[str, Outcome]]) -> str:
    """A table of the counts by kind and outcome, with the longest time and the largest memory of each kind."""
    kinds = list(dict.fromkeys(kind for kind, _ in outcomes))
    counts = Counter((kind, outcome.summary) for kind, outcome in outcomes)
    names = sorted({name for _, name in counts}, key=lambda name: (name != "made", name))
    lines = [f"| kind | files | {' | '.join(names)} | max s | max MB |", "|---" * (len(names) + 4) + "|"]
    for kind in kinds:
        own = [outcome for which, outcome in outcomes if which == kind]
        cells = " | ".join(str(counts[kind, name] or "") for name in names)
        max_s, max_mb = max(one.seconds for one in own), max(one.peak_bytes for one in own) / 1e6
        lines.append(f"| {kind} | {len(own)} | {cells} | {max_s:.1f} | {max_mb:.0f} |")
    return "\n".join(lines) + "\n"


# The worker ----------------------------------------------------------------------------------------------------------


def main(folder: Path) -> None:
    """Processes the files whose paths it reads from standard input, until it ends."""
    from darkroom.contracts.operations import Operation, parse_params
    from darkroom.errors import FileTooLargeError, InvalidRequestError, MediaError
    from functions.resize.app import resize
    from functions.thumbnail.app import thumbnail
    from functions.video_metadata.app import video_metadata
    from functions.watermark.app import watermark
    from tests.support.sources import make_task

    operations = {"resize": resize, "thumbnail": thumbnail, "watermark": watermark, "video_metadata": video_metadata}
    # More than the function has, because this limits address space and not memory; the peak is checked as well.
    limit = 2 * FUNCTION_BYTES
    # Only the soft limit: a mutated file may be detected as video, and then FFmpeg runs with limits of its own.
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin:
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        codes, defect = [], ""
        for name, raw in OPERATIONS:
            try:
                task = make_task(Path(json.loads(line)), folder, deadline_s=TASK_S)
                operations[name](task, parse_params(Operation(name), raw))  # type: ignore[operator]
                codes.append("made")
            except (MediaError, InvalidRequestError, FileTooLargeError) as error:
                codes.append(error.code)
            except BaseException as error:  # noqa: BLE001 - no other error may leave an operation
                defect = f"{name}: {type(error).__name__}: {error}"[:300]
                traceback.print_exc()
        peak = next(row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("VmHWM"))
        response = {"codes": codes, "defect": defect, "peak_bytes": int(peak.split()[1]) * 1024}
        sys.stdout.write(json.dumps(response) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
