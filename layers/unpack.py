"""Extracts single files from the only wheel in a directory: `unpack.py DIRECTORY REGEX=TARGET ...`.

Each regular expression must match exactly one member.
"""

import re
import shutil
import sys
import zipfile
from pathlib import Path


def unpack(directory: Path, wanted: dict[str, Path]) -> None:
    """Writes the member that each pattern matches to its target. Raises SystemExit unless exactly one matches."""
    (wheel,) = directory.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        for pattern, target in wanted.items():
            matches = [name for name in archive.namelist() if re.fullmatch(pattern, name)]
            if len(matches) != 1:
                raise SystemExit(f"{wheel.name}: '{pattern}' matches {len(matches)} files, expected one")
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(matches[0]) as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy)


if __name__ == "__main__":
    pairs = (argument.split("=", 1) for argument in sys.argv[2:])
    unpack(Path(sys.argv[1]), {pattern: Path(target) for pattern, target in pairs})
