"""The video and audio operations compared with a baseline, and how much of a large video they read.

    DARKROOM_BIN_DIR=<folder of ffmpeg and ffprobe> PYTHONPATH=layers/core:. python -m tests.bench.video [rounds]

Prints Markdown tables. The operations run as in a warm function, alternating with the baseline: a plain `ffmpeg` or
`ffprobe` command that does the same work. The figures are medians of CPU time, children included. The second table
counts the bytes that are read of a video of 500 MB from a server on loopback, which serves byte ranges.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from darkroom.av.ffmpeg import binary
from darkroom.contracts.audio_params import AudioExtractParams
from darkroom.contracts.video_params import VideoCompressParams, VideoMetadataParams, VideoThumbnailParams
from functions.audio_extract.app import audio_extract
from functions.video_compress.app import video_compress
from functions.video_metadata.app import video_metadata
from functions.video_thumbnail.app import video_thumbnail
from tests.media.make_clips import clip
from tests.support.range_server import serve_file
from tests.support.sources import LocalSource, make_task

ROUNDS = 5
LARGE_BYTES = 500_000_000
DEADLINE_S = 600


class LinkedSource(LocalSource):
    """A large file that the operation reads through a URL."""

    url: str

    def ffmpeg_input(self) -> str:
        return self.url


@dataclass(frozen=True)
class Case:
    """An operation on a video, and its baseline: a program and the arguments around the input."""

    name: str
    operation: Callable[[LocalSource, Path], object]
    program: str
    before: tuple[str, ...]
    after: tuple[str, ...]


def _thumbnail(source: LocalSource, folder: Path) -> object:
    return video_thumbnail(make_task(source, folder, deadline_s=DEADLINE_S), VideoThumbnailParams(time_s=10, width=320))


def _metadata(source: LocalSource, folder: Path) -> object:
    return video_metadata(make_task(source, folder, deadline_s=DEADLINE_S), VideoMetadataParams())


def _compress(source: LocalSource, folder: Path) -> object:
    return video_compress(make_task(source, folder, deadline_s=DEADLINE_S), VideoCompressParams(max_height=360))


def _extract_audio(source: LocalSource, folder: Path) -> object:
    return audio_extract(make_task(source, folder, deadline_s=DEADLINE_S), AudioExtractParams(format="mp3"))


CASES = (
    Case(
        "video_metadata", _metadata, "ffprobe", (), ("-of", "json", "-show_format", "-show_streams", "-show_chapters")
    ),
    Case(
        *("video_thumbnail, 320 px", _thumbnail, "ffmpeg", ("-threads", "1", "-ss", "10")),
        ("-vf", "scale=320:-2", "-frames:v", "1", "-q:v", "4", "baseline.jpg"),
    ),
    Case(
        *("video_compress, 720p to 360p, H.264 veryfast", _compress, "ffmpeg", ()),
        (
            *("-vf", "scale=-2:360", "-c:v", "libx264", "-preset", "veryfast", "-crf", "26"),
            *("-c:a", "aac", "-b:a", "128k", "-movflags", "+faststart", "baseline.mp4"),
        ),
    ),
    Case(
        *("audio_extract, mp3", _extract_audio, "ffmpeg", ()),
        ("-vn", "-c:a", "libmp3lame", "-b:a", "192k", "baseline.mp3"),
    ),
)


def cpu_s() -> float:
    """CPU seconds of this process and its children so far."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def measure_cpu_s(work: Callable[[], object]) -> float:
    """CPU seconds that a call takes."""
    started = cpu_s()
    work()
    return cpu_s() - started


def run_baseline(case: Case, video: Path, folder: Path) -> None:
    """Runs the baseline command."""
    quiet = ["-v", "error", *(["-nostdin", "-y"] if case.program == "ffmpeg" else [])]
    program = str(binary("ffprobe" if case.program == "ffprobe" else "ffmpeg"))
    arguments = [program, *quiet, *case.before, "-i", str(video), *case.after]
    subprocess.run(arguments, check=True, cwd=folder, stdout=subprocess.DEVNULL)


def compare(case: Case, video: Path, folder: Path, rounds: int) -> tuple[float, float]:
    """Median CPU seconds of the operation and of the baseline, alternating, without the first round."""
    pairs = [
        (
            measure_cpu_s(lambda: case.operation(LocalSource(video), folder)),
            measure_cpu_s(lambda: run_baseline(case, video, folder)),
        )
        for _ in range(rounds + 1)
    ][1:]
    darkroom_s, baseline_s = zip(*pairs, strict=True)
    return statistics.median(darkroom_s), statistics.median(baseline_s)


def make_large(video: Path, folder: Path, *arguments: str) -> Path:
    """Repeats the video until it has `LARGE_BYTES`."""
    target, times = folder / "large.mp4", LARGE_BYTES // video.stat().st_size + 1
    loop = ["-nostdin", "-v", "error", "-y", "-stream_loop", str(times), "-i", str(video), "-c", "copy"]
    subprocess.run([str(binary("ffmpeg")), *loop, *arguments, str(target)], check=True)
    return target


def count_reads(case: Case, video: Path, folder: Path) -> tuple[int, int, float]:
    """Bytes and requests that the operation reads from the store, and the seconds it takes."""
    with serve_file(video) as server:
        source = LinkedSource(video)
        source.url = server.url
        started = time.monotonic()
        case.operation(source, folder)
        return server.sent_bytes, len(server.requests), time.monotonic() - started


def main() -> None:
    """Prints the tables."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with tempfile.TemporaryDirectory(prefix="darkroom-bench-") as name:
        folder = Path(name)
        video = clip("bench_20s_720p.mp4", folder)
        print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, medians of {rounds} rounds\n")
        print("| operation | Darkroom, CPU s | baseline, CPU s | ratio |\n|---|---:|---:|---:|")
        for case in CASES:
            ours_s, baseline_s = compare(case, video, folder, rounds)
            print(f"| {case.name} | {ours_s:.3f} | {baseline_s:.3f} | {ours_s / baseline_s:.2f} |", flush=True)
        print("\n| of a video of 500 MB | index | MB read | requests | s |\n|---|---|---:|---:|---:|")
        for place, arguments in (("in front", ("-movflags", "+faststart")), ("at the end", ())):
            source = make_large(video, folder, *arguments)
            for case in CASES[:2]:
                read_bytes, requests, wall_s = count_reads(case, source, folder)
                print(f"| {case.name} | {place} | {read_bytes / 1e6:.2f} | {requests} | {wall_s:.2f} |", flush=True)


if __name__ == "__main__":
    main()
