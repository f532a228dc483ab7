"""Which engines do the work, and in which versions: from the locks of the layers, and from FFmpeg itself."""

import re
import subprocess
from pathlib import Path

from localstack.settings import Settings

#: The engines and the packages whose versions are theirs.
_LOCKED = {"libvips": "pyvips-binary", "Pillow": "pillow"}


def versions(settings: Settings) -> dict[str, str]:
    """Versions by engine, as far as they can be known."""
    lock = (settings.root / "layers" / "imaging" / "requirements.txt").read_text()
    found = {engine: _pin(lock, package) for engine, package in _LOCKED.items()}
    found["FFmpeg"] = _ffmpeg(settings.build / "FfmpegLayer" / "bin" / "ffmpeg")
    return {engine: version for engine, version in found.items() if version}


def _pin(lock: str, package: str) -> str:
    match = re.search(rf"^{re.escape(package)}==(\S+)", lock, re.MULTILINE)
    return match.group(1) if match else ""


def _ffmpeg(binary: Path) -> str:
    if not binary.exists():
        return ""
    told = subprocess.run([str(binary), "-version"], capture_output=True, text=True, timeout=10, check=True).stdout
    match = re.match(r"ffmpeg version (\S+)", told)
    return match.group(1) if match else ""
