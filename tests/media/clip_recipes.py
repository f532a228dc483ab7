"""The registry of clips that tests are run on, and the ways to make one. Each clip is made on first use."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from darkroom.av.ffmpeg import binary

MEDIA = Path(__file__).parent

#: 5.3 seconds of 1280x720 with 5.1 audio, its index at the end.
ORIGINAL = MEDIA / "bigbuckbunny.mp4"
PHOTOGRAPH = MEDIA / "rocket.jpg"

H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
INDEX_IN_FRONT = ("-movflags", "+faststart")

#: Writes the clip to the first path; the second is the folder of all clips.
Recipe = Callable[[Path, Path], None]
_RECIPES: dict[str, Recipe] = {}


def clip(name: str, folder: Path) -> Path:
    """The file `name` in `folder`, made on first use together with the clips it is made from."""
    target = folder / name
    if not target.exists():
        _RECIPES[name](target, folder)
    return target


def clip_names() -> list[str]:
    """Every registered clip."""
    return list(_RECIPES)


def recipe(name: str) -> Callable[[Recipe], Recipe]:
    """Registers a function that makes the clip `name`."""

    def register(function: Recipe) -> Recipe:
        _RECIPES[name] = function
        return function

    return register


def run_ffmpeg(*arguments: str | Path) -> None:
    """Runs the layer's ffmpeg; raises CalledProcessError when it fails."""
    subprocess.run([str(binary("ffmpeg")), "-nostdin", "-v", "error", "-y", *map(str, arguments)], check=True)


def convert(name: str, *arguments: str, before: tuple[str, ...] = ()) -> None:
    """Registers a clip that FFmpeg converts from video.mp4."""

    @recipe(name)
    def make(target: Path, folder: Path) -> None:
        run_ffmpeg(*before, "-i", clip("video.mp4", folder), *arguments, target)


def generate_video(name: str, source: str, *arguments: str) -> None:
    """Registers a clip of frames that an FFmpeg filter generates."""

    @recipe(name)
    def make(target: Path, _folder: Path) -> None:
        run_ffmpeg("-f", "lavfi", "-i", source, *arguments, target)


def generate_audio(name: str, source: str) -> None:
    """Registers a clip of two seconds of audio that an FFmpeg filter generates."""

    @recipe(name)
    def make(target: Path, _folder: Path) -> None:
        run_ffmpeg("-f", "lavfi", "-i", source, "-t", "2", "-ar", "48000", "-ac", "2", "-c:a", "pcm_s16le", target)


def truncate(name: str, whole: str, fraction: float) -> None:
    """Registers a clip that is the beginning of another clip."""

    @recipe(name)
    def make(target: Path, folder: Path) -> None:
        content = clip(whole, folder).read_bytes()
        target.write_bytes(content[: int(len(content) * fraction)])
