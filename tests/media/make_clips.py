"""Video and audio clips made with the ffmpeg layer from the clip in this folder: all that operations must handle.

`clip(name, folder)` makes one. Run as a program it makes all: `python -m tests.media.make_clips <folder>`.
"""

import shutil
import sys
from pathlib import Path

from tests.media import audio_clips, damaged_clips, video_clips  # noqa: F401 - importing them registers their clips
from tests.media.clip_recipes import ORIGINAL, clip, clip_names

__all__ = ["ORIGINAL", "clip"]


def main() -> None:
    """Makes all clips."""
    folder = Path(sys.argv[1])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in clip_names():
        clip(name, folder)


if __name__ == "__main__":
    main()
