"""Inspects video and audio files with ffprobe and ffmpeg directly, not through the code under test."""

import json
import re
import statistics
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from darkroom.av.ffmpeg import binary

#: The fixture `clips`: the path of the clip with this name, which is made once per session.
Clips = Callable[[str], Path]

#: Clips that hold the same video as `video.mp4`, one for each other container.
OTHER_CONTAINERS = [f"video.{suffix}" for suffix in ("mov", "mkv", "webm", "avi", "ts", "m2ts", "mpg", "flv", "wmv")]


def ffprobe(path: Path) -> dict[str, Any]:
    """ffprobe's description: `format`, `streams`, `chapters`."""
    arguments = ["-v", "error", "-of", "json", "-show_format", "-show_streams", "-show_chapters"]
    done = subprocess.run([str(binary("ffprobe")), *arguments, str(path)], check=True, capture_output=True)
    document = json.loads(done.stdout)
    assert isinstance(document, dict)
    return document


def only_stream(path: Path, kind: str) -> dict[str, Any]:
    """The only stream of a kind."""
    (found,) = [entry for entry in ffprobe(path)["streams"] if entry["codec_type"] == kind]
    assert isinstance(found, dict)
    return found


def stream_kinds(path: Path) -> list[str]:
    """The kind of each stream, in order."""
    return [entry["codec_type"] for entry in ffprobe(path)["streams"]]


def duration_s(path: Path) -> float:
    """Seconds, by the container."""
    return float(ffprobe(path)["format"]["duration"])


def frame_times_s(path: Path) -> list[float]:
    """The display time of each frame in seconds."""
    arguments = ["-v", "error", "-of", "json", "-select_streams", "v", "-show_entries", "packet=pts_time"]
    done = subprocess.run([str(binary("ffprobe")), *arguments, str(path)], check=True, capture_output=True)
    return sorted(float(packet["pts_time"]) for packet in json.loads(done.stdout)["packets"])


def decode_errors(path: Path) -> str:
    """FFmpeg's error messages while it decodes the whole file."""
    arguments = ["-nostdin", "-v", "error", "-i", str(path), "-f", "null", "-"]
    return subprocess.run([str(binary("ffmpeg")), *arguments], check=True, capture_output=True).stderr.decode()


def first_av1_frame(path: Path, *, folder: Path) -> Image.Image:
    """The first frame of an AV1 video. The layer's FFmpeg cannot decode AV1, but Pillow can, as an AVIF."""
    target = folder / "frame.avif"
    arguments = ["-nostdin", "-v", "error", "-y", "-i", str(path), "-an", "-c", "copy", "-frames:v", "1", str(target)]
    subprocess.run([str(binary("ffmpeg")), *arguments], check=True)
    with Image.open(target) as image:
        return image.convert("RGB")


def mean_ssim(made: Path, source: Path, filters: str) -> float:
    """Mean SSIM of all frames of a video with those of its source after FFmpeg's filters."""
    return _mean_ssim(["-i", str(made)], "null", source, filters, plane="All")


def mean_av1_ssim(made: Path, source: Path, filters: str, *, folder: Path) -> float:
    """The same for the brightness of an AV1 video, from all its frames in RGB as Pillow decodes them."""
    sequence, frames = folder / "video.avif", folder / "video.rgb"
    copying = ["-nostdin", "-v", "error", "-y", "-i", str(made), "-an", "-c", "copy", str(sequence)]
    subprocess.run([str(binary("ffmpeg")), *copying], check=True)
    with Image.open(sequence) as image, frames.open("wb") as file:
        size = "x".join(map(str, image.size))
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            file.write(image.convert("RGB").tobytes())
    opening = ["-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", size, "-i", str(frames)]
    to_yuv = "scale=out_color_matrix=bt601:out_range=tv:flags=accurate_rnd,format=yuv420p"
    return _mean_ssim(opening, to_yuv, source, filters, plane="Y")


def _mean_ssim(opening: list[str], made_filters: str, source: Path, source_filters: str, *, plane: str) -> float:
    align = "settb=1/25,setpts=N,setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"
    graph = f"[0:v]{made_filters},{align}[a];[1:v]{source_filters},{align}[b];[a][b]ssim=stats_file=-"
    comparing = ["-lavfi", graph, "-fps_mode", "passthrough", "-f", "null", "-"]
    arguments = ["-nostdin", "-v", "error", *opening, "-i", str(source), *comparing]
    output = subprocess.run([str(binary("ffmpeg")), *arguments], check=True, capture_output=True).stdout
    return statistics.fmean(float(score) for score in re.findall(rf" {plane}:(\d\.\d+)".encode(), output))


def loudness_lufs(path: Path) -> float:
    """Integrated loudness of the whole audio by EBU R128."""
    arguments = ["-nostdin", "-hide_banner", "-i", str(path), "-map", "0:a", "-af", "ebur128", "-f", "null", "-"]
    stderr = subprocess.run([str(binary("ffmpeg")), *arguments], check=True, capture_output=True).stderr.decode()
    return float(stderr.rpartition("I:")[2].split()[0])


def frame_at(path: Path, at_s: float = 0.0, *, folder: Path) -> Image.Image:
    """The frame at a time, decoded from the start of the file."""
    target = folder / "frame.bmp"
    arguments = ["-nostdin", "-v", "error", "-y", "-i", str(path), "-ss", str(at_s), "-frames:v", "1", str(target)]
    subprocess.run([str(binary("ffmpeg")), *arguments], check=True)
    with Image.open(target) as image:
        return image.convert("RGB")


def subtitle_text(path: Path) -> str:
    """The first subtitles as SubRip."""
    arguments = ["-nostdin", "-v", "error", "-i", str(path), "-map", "0:s:0", "-f", "srt", "-"]
    return subprocess.run([str(binary("ffmpeg")), *arguments], check=True, capture_output=True, text=True).stdout


def box_names(path: Path) -> list[str]:
    """The names of an MP4's outermost boxes, in order."""
    content, found, at = path.read_bytes(), [], 0
    while at < len(content):
        found.append(content[at + 4 : at + 8].decode())
        at += int.from_bytes(content[at : at + 4])
    return found
