"""The versions of the media engines: from the lock file of the imaging layer, and from FFmpeg itself."""

import re
import subprocess
from pathlib import Path

from localstack.settings import Settings

#: The package whose version is that of the engine, by engine.
_LOCKED = {"libvips": "pyvips-binary", "Pillow": "pillow"}


def versions(settings: Settings) -> dict[str, str]:
    """Versions by engine. Engines that are not built yet are left out."""
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
    output = subprocess.run([str(binary), "-version"], capture_output=True, text=True, timeout=10, check=True).stdout
    match = re.match(r"ffmpeg version (\S+)", output)
    return match.group(1) if match else ""
