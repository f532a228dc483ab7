"""Looking at films and sounds with ffprobe and ffmpeg as anybody would use them, not through the code under test."""

import json
import re
import statistics
import subprocess
from pathlib import Path
from typing import Any

from PIL import Image

from darkroom.av.ffmpeg import binary


def probed(path: Path) -> dict[str, Any]:
    """ffprobe's whole description: `format`, `streams`, `chapters`."""
    arguments = ["-v", "error", "-of", "json", "-show_format", "-show_streams", "-show_chapters"]
    done = subprocess.run([str(binary("ffprobe")), *arguments, str(path)], check=True, capture_output=True)
    document = json.loads(done.stdout)
    assert isinstance(document, dict)
    return document


def stream(path: Path, kind: str) -> dict[str, Any]:
    """The only stream of a kind."""
    (found,) = [entry for entry in probed(path)["streams"] if entry["codec_type"] == kind]
    assert isinstance(found, dict)
    return found


def kinds(path: Path) -> list[str]:
    """The kind of each stream, in order."""
    return [entry["codec_type"] for entry in probed(path)["streams"]]


def duration_s(path: Path) -> float:
    """Seconds, by the container."""
    return float(probed(path)["format"]["duration"])


def times(path: Path) -> list[float]:
    """When each picture is shown, in seconds."""
    arguments = ["-v", "error", "-of", "json", "-select_streams", "v", "-show_entries", "packet=pts_time"]
    done = subprocess.run([str(binary("ffprobe")), *arguments, str(path)], check=True, capture_output=True)
    return sorted(float(packet["pts_time"]) for packet in json.loads(done.stdout)["packets"])


def decoded(path: Path) -> str:
    """What a player that reads the whole file complains about."""
    arguments = ["-nostdin", "-v", "error", "-i", str(path), "-f", "null", "-"]
    return subprocess.run([str(binary("ffmpeg")), *arguments], check=True, capture_output=True).stderr.decode()


def first_frame_of_av1(path: Path, *, folder: Path) -> Image.Image:
    """The first picture of a film in AV1, which the layer's FFmpeg cannot decode: Pillow can, as an AVIF."""
    target = folder / "frame.avif"
    arguments = ["-nostdin", "-v", "error", "-y", "-i", str(path), "-an", "-c", "copy", "-frames:v", "1", str(target)]
    subprocess.run([str(binary("ffmpeg")), *arguments], check=True)
    with Image.open(target) as image:
        return image.convert("RGB")


def ssim(made: Path, source: Path, filters: str) -> float:
    """Mean SSIM of all pictures of a film with those of its source behind FFmpeg's filters."""
    return _ssim(["-i", str(made)], "null", source, filters, plane="All")


def ssim_of_av1(made: Path, source: Path, filters: str, *, folder: Path) -> float:
    """The same of the brightness of a film in AV1, by all its pictures in RGB as Pillow decodes them."""
    sequence, pictures = folder / "film.avif", folder / "film.rgb"
    copying = ["-nostdin", "-v", "error", "-y", "-i", str(made), "-an", "-c", "copy", str(sequence)]
    subprocess.run([str(binary("ffmpeg")), *copying], check=True)
    with Image.open(sequence) as image, pictures.open("wb") as file:
        size = "x".join(map(str, image.size))
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            file.write(image.convert("RGB").tobytes())
    reading = ["-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", size, "-i", str(pictures)]
    to_film = "scale=out_color_matrix=bt601:out_range=tv:flags=accurate_rnd,format=yuv420p"
    return _ssim(reading, to_film, source, filters, plane="Y")


def _ssim(reading: list[str], to_film: str, source: Path, filters: str, *, plane: str) -> float:
    alike = "settb=1/25,setpts=N,setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"
    graph = f"[0:v]{to_film},{alike}[a];[1:v]{filters},{alike}[b];[a][b]ssim=stats_file=-"
    comparing = ["-lavfi", graph, "-fps_mode", "passthrough", "-f", "null", "-"]
    arguments = ["-nostdin", "-v", "error", *reading, "-i", str(source), *comparing]
    said = subprocess.run([str(binary("ffmpeg")), *arguments], check=True, capture_output=True).stdout
    return statistics.fmean(float(score) for score in re.findall(rf" {plane}:(\d\.\d+)".encode(), said))


def loudness_lufs(path: Path) -> float:
    """Loudness of the whole sound by EBU R128."""
    arguments = ["-nostdin", "-hide_banner", "-i", str(path), "-map", "0:a", "-af", "ebur128", "-f", "null", "-"]
    said = subprocess.run([str(binary("ffmpeg")), *arguments], check=True, capture_output=True).stderr.decode()
    return float(said.rpartition("I:")[2].split()[0])


def frame(path: Path, at_s: float = 0.0, *, folder: Path) -> Image.Image:
    """The picture at a time, decoded from the beginning on."""
    target = folder / "frame.bmp"
    arguments = ["-nostdin", "-v", "error", "-y", "-i", str(path), "-ss", str(at_s), "-frames:v", "1", str(target)]
    subprocess.run([str(binary("ffmpeg")), *arguments], check=True)
    with Image.open(target) as image:
        return image.convert("RGB")


def subtitle_text(path: Path) -> str:
    """The first subtitles as SubRip."""
    arguments = ["-nostdin", "-v", "error", "-i", str(path), "-map", "0:s:0", "-f", "srt", "-"]
    return subprocess.run([str(binary("ffmpeg")), *arguments], check=True, capture_output=True, text=True).stdout


def boxes(path: Path) -> list[str]:
    """The names of an MP4's outermost boxes, in order."""
    content, found, at = path.read_bytes(), [], 0
    while at < len(content):
        found.append(content[at + 4 : at + 8].decode())
        at += int.from_bytes(content[at : at + 4])
    return found
