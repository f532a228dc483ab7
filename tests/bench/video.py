"""The video and sound operations against the bare command, and how much of a large video is read.

    DARKROOM_BIN_DIR=<folder of ffmpeg and ffprobe> PYTHONPATH=layers/core:. python -m tests.bench.video [rounds]

Prints a Markdown table. The operations run as they do in a warm function, by turns with a plain `ffmpeg` or `ffprobe`
that does the same work; the figures are medians of processor time, children included. The reading is that of 500 MB
behind a server on loopback which hands out ranges and counts bytes.
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
from tests.ranges import served
from tests.sources import LocalSource, make_task

ROUNDS = 5
LARGE_BYTES = 500_000_000
DEADLINE_S = 600


class Linked(LocalSource):
    """A large file, of which the operation gets a link."""

    url: str

    def ffmpeg_input(self) -> str:
        return self.url


@dataclass(frozen=True)
class Case:
    """An operation on a film, and the command that does the same: its program and arguments around the input."""

    name: str
    ours: Callable[[LocalSource, Path], object]
    program: str
    before: tuple[str, ...]
    after: tuple[str, ...]


def _thumbnail(source: LocalSource, folder: Path) -> object:
    return video_thumbnail(make_task(source, folder, deadline_s=DEADLINE_S), VideoThumbnailParams(time_s=10, width=320))


def _metadata(source: LocalSource, folder: Path) -> object:
    return video_metadata(make_task(source, folder, deadline_s=DEADLINE_S), VideoMetadataParams())


def _compress(source: LocalSource, folder: Path) -> object:
    return video_compress(make_task(source, folder, deadline_s=DEADLINE_S), VideoCompressParams(max_height=360))


def _sound(source: LocalSource, folder: Path) -> object:
    return audio_extract(make_task(source, folder, deadline_s=DEADLINE_S), AudioExtractParams(format="mp3"))


CASES = (
    Case(
        "video_metadata", _metadata, "ffprobe", (), ("-of", "json", "-show_format", "-show_streams", "-show_chapters")
    ),
    Case(
        *("video_thumbnail, 320 px", _thumbnail, "ffmpeg", ("-threads", "1", "-ss", "10")),
        ("-vf", "scale=320:-2", "-frames:v", "1", "-q:v", "4", "bare.jpg"),
    ),
    Case(
        *("video_compress, 720p to 360p, H.264 veryfast", _compress, "ffmpeg", ()),
        (
            *("-vf", "scale=-2:360", "-c:v", "libx264", "-preset", "veryfast", "-crf", "26"),
            *("-c:a", "aac", "-b:a", "128k", "-movflags", "+faststart", "bare.mp4"),
        ),
    ),
    Case("audio_extract, mp3", _sound, "ffmpeg", (), ("-vn", "-c:a", "libmp3lame", "-b:a", "192k", "bare.mp3")),
)


def processor_s() -> float:
    """Processor time of this process and its children so far."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def taken_s(work: Callable[[], object]) -> float:
    """Processor time that it takes."""
    begun = processor_s()
    work()
    return processor_s() - begun


def bare(case: Case, film: Path, folder: Path) -> None:
    """The command, as anybody would write it."""
    quiet = ["-v", "error", *(["-nostdin", "-y"] if case.program == "ffmpeg" else [])]
    program = str(binary("ffprobe" if case.program == "ffprobe" else "ffmpeg"))
    arguments = [program, *quiet, *case.before, "-i", str(film), *case.after]
    subprocess.run(arguments, check=True, cwd=folder, stdout=subprocess.DEVNULL)


def compared(case: Case, film: Path, folder: Path, rounds: int) -> tuple[float, float]:
    """Medians of ours and of the bare command, in seconds, taken by turns after one round that does not count."""
    pairs = [
        (taken_s(lambda: case.ours(LocalSource(film), folder)), taken_s(lambda: bare(case, film, folder)))
        for _ in range(rounds + 1)
    ][1:]
    ours, theirs = zip(*pairs, strict=True)
    return statistics.median(ours), statistics.median(theirs)


def large(film: Path, folder: Path, *arguments: str) -> Path:
    """The film over and over until it is large."""
    target, times = folder / "large.mp4", LARGE_BYTES // film.stat().st_size + 1
    loop = ["-nostdin", "-v", "error", "-y", "-stream_loop", str(times), "-i", str(film), "-c", "copy"]
    subprocess.run([str(binary("ffmpeg")), *loop, *arguments, str(target)], check=True)
    return target


def bytes_read(case: Case, film: Path, folder: Path) -> tuple[int, int, float]:
    """Bytes and requests that the operation costs the store, and seconds it takes."""
    with served(film) as server:
        source = Linked(film)
        source.url = server.url
        begun = time.monotonic()
        case.ours(source, folder)
        return server.sent_bytes, len(server.requests), time.monotonic() - begun


def main() -> None:
    """Prints the tables."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with tempfile.TemporaryDirectory(prefix="darkroom-bench-") as name:
        folder = Path(name)
        film = clip("bench_20s_720p.mp4", folder)
        print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}, medians of {rounds} rounds\n")
        print("| operation | Darkroom, CPU s | bare command, CPU s | ratio |\n|---|---:|---:|---:|")
        for case in CASES:
            ours, theirs = compared(case, film, folder, rounds)
            print(f"| {case.name} | {ours:.3f} | {theirs:.3f} | {ours / theirs:.2f} |", flush=True)
        print("\n| of a video of 500 MB | index | MB read | requests | s |\n|---|---|---:|---:|---:|")
        for place, arguments in (("in front", ("-movflags", "+faststart")), ("at the end", ())):
            source = large(film, folder, *arguments)
            for case in CASES[:2]:
                read, requests, wall_s = bytes_read(case, source, folder)
                print(f"| {case.name} | {place} | {read / 1e6:.2f} | {requests} | {wall_s:.2f} |", flush=True)


if __name__ == "__main__":
    main()
