"""Archives the output of `sam build` without compression, so that deployments and cold starts are fast.

SAM would compress 170 MB at every deployment, and every emulated environment would decompress its part. On one machine
compression has no advantage, so files are stored uncompressed, once per build.
"""

import re
import stat
import zipfile
from pathlib import Path

_LOCATION = re.compile(r"^(\s+(?:CodeUri|ContentUri): )([A-Za-z0-9]+)$", re.MULTILINE)

#: The date of every file. With a fixed one, archives of the same contents are identical, so none is deployed twice.
_DATE = (1980, 1, 1, 0, 0, 0)

PACKED = "packed.yaml"


def pack(build: Path) -> None:
    """Writes an archive of each artifact of the build, and a template that refers to the archives."""
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
