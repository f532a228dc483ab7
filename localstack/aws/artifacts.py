"""Packs what `sam build` made, so that a deployment and the cold starts after it are quick.

SAM would compress 170 MB at every deployment, and every emulated environment would inflate its share. On one machine
nothing is gained by that: files are stored as they are, once per build. The contents are those that ship.
"""

import re
import stat
import zipfile
from pathlib import Path

_LOCATION = re.compile(r"^(\s+(?:CodeUri|ContentUri): )([A-Za-z0-9]+)$", re.MULTILINE)

#: The same for every file, so that the same contents make the same archive and nothing is deployed for nothing.
_DATE = (1980, 1, 1, 0, 0, 0)

PACKED = "packed.yaml"


def pack(build: Path) -> None:
    """Writes an archive beside each artifact of the build, and a template that names the archives."""
    template = (build / "template.yaml").read_text()
    for name in sorted({match[2] for match in _LOCATION.finditer(template)}):
        _archive(build / name, build / f"{name}.zip")
    (build / PACKED).write_text(_LOCATION.sub(r"\1\2.zip", template))


def _archive(directory: Path, target: Path) -> None:
    draft = target.with_suffix(".draft")
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(path for path in directory.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(str(path.relative_to(directory)), _DATE)
            entry.external_attr = (stat.S_IFREG | stat.S_IMODE(path.stat().st_mode)) << 16
            archive.writestr(entry, path.read_bytes())
    draft.replace(target)
