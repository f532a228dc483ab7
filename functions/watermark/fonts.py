"""The fonts in the layers, and which characters they contain.

DejaVu Sans is part of the imaging layer; any other font in a layer's `fonts` folder is used for the characters that it
lacks.
"""

import struct
import unicodedata
from functools import lru_cache
from pathlib import Path

from darkroom.config import layer_folders
from darkroom.errors import ConfigurationError

#: The default font.
FONT_NAME = "DejaVu Sans"
_FONT_FILE = "DejaVuSans.ttf"

_SUFFIXES = (".ttf", ".otf", ".ttc", ".otc")

#: One more than the largest code point of Unicode; limits the ranges that a damaged font declares.
_MAX_CODE_POINTS = 0x110000


@lru_cache(maxsize=1)
def font_files() -> tuple[Path, ...]:
    """DejaVu Sans, then every other font in the layers. Raises ConfigurationError if DejaVu Sans is missing."""
    folders = layer_folders("fonts")
    default = next((folder / _FONT_FILE for folder in folders if (folder / _FONT_FILE).is_file()), None)
    if default is None:
        raise ConfigurationError(f"The font {_FONT_FILE} is in none of these folders: {', '.join(map(str, folders))}.")
    others = sorted(file for folder in folders if folder.is_dir() for file in folder.iterdir())
    return (default, *(file for file in others if file.suffix.lower() in _SUFFIXES and file.name != _FONT_FILE))


def missing_characters(text: str) -> list[str]:
    """The distinct characters of `text` that no font contains."""
    return [character for character in dict.fromkeys(text) if not _is_drawable(character)]


def _is_drawable(character: str) -> bool:
    category = unicodedata.category(character)
    if character.isspace() or category == "Cf" or "\ufe00" <= character <= "\ufe0f":
        return True  # layout controls have no glyph
    if category == "Cc":
        return False  # even if a font contains it: the text would end at NUL
    return any(ord(character) in _characters(file) for file in font_files())


@lru_cache(maxsize=64)
def _characters(file: Path) -> frozenset[int]:
    """The code points in the character maps of a font file; of a collection, those of its first font."""
    font = file.read_bytes()
    start = int.from_bytes(font[12:16]) if font[:4] == b"ttcf" else 0
    tables = int.from_bytes(font[start + 4 : start + 6])
    records = (font[at : at + 16] for at in range(start + 12, start + 12 + 16 * tables, 16))
    at = next((int.from_bytes(record[8:12]) for record in records if record[:4] == b"cmap"), None)
    if at is None:
        return frozenset()
    found: set[int] = set()
    for number in range(int.from_bytes(font[at + 2 : at + 4])):
        platform, _, offset = struct.unpack_from(">HHI", font, at + 4 + 8 * number)
        if platform in (0, 3):
            found |= _mapped_code_points(font, at + offset)
    return frozenset(found)


def _mapped_code_points(font: bytes, at: int) -> set[int]:
    """The code points of one subtable in format 4 or 12, the two for Unicode."""
    table_format = int.from_bytes(font[at : at + 2])
    if table_format == 4:
        count = int.from_bytes(font[at + 6 : at + 8]) // 2
        ends = struct.unpack_from(f">{count}H", font, at + 14)
        starts = struct.unpack_from(f">{count}H", font, at + 16 + 2 * count)
        pairs = list(zip(starts, ends, strict=True))
    elif table_format == 12:
        groups = int.from_bytes(font[at + 12 : at + 16])
        pairs = [struct.unpack_from(">II", font, at + 16 + 12 * group) for group in range(groups)]
    else:
        return set()
    return {code for start, end in pairs for code in range(start, min(end, _MAX_CODE_POINTS) + 1)} - {0xFFFF}
