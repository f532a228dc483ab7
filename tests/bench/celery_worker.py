"""The baseline that Darkroom is compared with: a service made of Celery, boto3, Pillow and FFmpeg.

The code is short but fast: JPEGs are scaled while they are decoded, FFmpeg seeks before it reads, and audio is copied.
It validates no input, does not recover from crashes and cleans up only through `with`.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from celery import Celery
from PIL import Image, ImageDraw, ImageFont, ImageOps

app = Celery("baseline", broker=os.environ["BASELINE_BROKER_URL"], backend=os.environ["BASELINE_CACHE_URL"])
app.conf.broker_connection_retry_on_startup = True
app.conf.worker_prefetch_multiplier = 1
app.conf.task_default_queue = "baseline"

_BUCKET = os.environ["BASELINE_BUCKET"]
_FFMPEG = Path(os.environ["DARKROOM_BIN_DIR"])
_FONT = Path(__file__).parents[1] / "media" / "fonts" / "DejaVuSans.ttf"

Process = Callable[[Path, Path], None]


@cache
def _s3() -> Any:
    return boto3.client("s3")


def thumbnail(source: Path, target: Path) -> None:
    with Image.open(source) as image:
        image.thumbnail((300, 300))
        ImageOps.exif_transpose(image).save(target, quality=80)


def resize(source: Path, target: Path) -> None:
    with Image.open(source) as image:
        image.thumbnail((1600, 1600))
        ImageOps.exif_transpose(image).save(target, quality=80)


def watermark(source: Path, target: Path) -> None:
    with Image.open(source) as image:
        upright = ImageOps.exif_transpose(image)
        font = ImageFont.truetype(str(_FONT), upright.width // 20)
        position = (upright.width * 0.97, upright.height * 0.97)
        ImageDraw.Draw(upright, "RGBA").text(position, "Darkroom", fill=(255, 255, 255, 128), font=font, anchor="rs")
        upright.save(target, quality=85)


def video_thumbnail(source: Path, target: Path) -> None:
    _run("ffmpeg", "-ss", "10", "-i", source, "-frames:v", "1", "-vf", "scale=640:-2", "-q:v", "4", target)


def video_metadata(source: Path, target: Path) -> None:
    output = _run("ffprobe", "-print_format", "json", "-show_format", "-show_streams", source)
    target.write_text(json.dumps(json.loads(output)))


def video_compress(source: Path, target: Path) -> None:
    encoding = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "26", "-vf", "scale=-2:360")
    _run("ffmpeg", "-i", source, *encoding, "-c:a", "aac", "-b:a", "128k", "-movflags", "+faststart", target)


def audio_extract(source: Path, target: Path) -> None:
    _run("ffmpeg", "-i", source, "-vn", "-c:a", "copy", target)


def _run(program: str, *arguments: str | Path) -> bytes:
    argv = [str(_FFMPEG / program), "-v", "error", *map(str, arguments)]
    return subprocess.run(argv, check=True, capture_output=True, stdin=subprocess.DEVNULL).stdout


#: The function and the file extension of each operation.
_OPERATIONS: dict[str, tuple[Process, str]] = {
    "resize": (resize, "jpg"),
    "thumbnail": (thumbnail, "jpg"),
    "watermark": (watermark, "jpg"),
    "video_thumbnail": (video_thumbnail, "jpg"),
    "video_metadata": (video_metadata, "json"),
    "video_compress": (video_compress, "mp4"),
    "audio_extract": (audio_extract, "m4a"),
}


@app.task(bind=True, name="run")
def run(task: Any, operation: str, key: str) -> str:
    """Runs one operation on one object. Returns the key of the result."""
    process, suffix = _OPERATIONS[operation]
    with tempfile.TemporaryDirectory() as directory:
        source, target = Path(directory, "source" + Path(key).suffix), Path(directory, f"result.{suffix}")
        _s3().download_file(_BUCKET, key, str(source))
        process(source, target)
        result = f"results/{task.request.id}.{suffix}"
        _s3().upload_file(str(target), _BUCKET, result)
        return result
