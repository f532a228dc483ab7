"""The fonts that layers bring, and which characters they have.

DejaVu Sans comes with the imaging layer; whatever else lies in a layer's `fonts` folder is used for the characters that
it lacks.
"""

import struct
import unicodedata
from functools import lru_cache
from pathlib import Path

from darkroom.config import layer_folders
from darkroom.errors import ConfigurationError

#: The face that texts are set in.
FACE = "DejaVu Sans"
_FACE_FILE = "DejaVuSans.ttf"

_SUFFIXES = (".ttf", ".otf", ".ttc", ".otc")

#: Largest number of characters that one font file is believed to have, and of bytes that its table of them takes.
_MOST_CHARACTERS = 0x110000


@lru_cache(maxsize=1)
def font_files() -> tuple[Path, ...]:
    """DejaVu Sans, then every other font of the layers. Raises ConfigurationError when DejaVu Sans is missing."""
    folders = layer_folders("fonts")
    face = next((folder / _FACE_FILE for folder in folders if (folder / _FACE_FILE).is_file()), None)
    if face is None:
        raise ConfigurationError(f"The font {_FACE_FILE} is in none of these folders: {', '.join(map(str, folders))}.")
    others = sorted(file for folder in folders if folder.is_dir() for file in folder.iterdir())
    return (face, *(file for file in others if file.suffix.lower() in _SUFFIXES and file.name != _FACE_FILE))


def undrawable(text: str) -> list[str]:
    """The characters of `text`, each once, that no font has a shape for."""
    return [character for character in dict.fromkeys(text) if not _drawable(character)]


def _drawable(character: str) -> bool:
    category = unicodedata.category(character)
    if character.isspace() or category == "Cf" or "\ufe00" <= character <= "\ufe0f":
        return True  # marks that steer the layout have no shape
    if category == "Cc":
        return False  # whatever the font says: a text would end at NUL
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
            found |= _mapped(font, at + offset)
    return frozenset(found)


def _mapped(font: bytes, at: int) -> set[int]:
    """The code points of one subtable, of the two forms in which fonts map Unicode."""
    form = int.from_bytes(font[at : at + 2])
    if form == 4:
        count = int.from_bytes(font[at + 6 : at + 8]) // 2
        ends = struct.unpack_from(f">{count}H", font, at + 14)
        starts = struct.unpack_from(f">{count}H", font, at + 16 + 2 * count)
        pairs = list(zip(starts, ends, strict=True))
    elif form == 12:
        groups = int.from_bytes(font[at + 12 : at + 16])
        pairs = [struct.unpack_from(">II", font, at + 16 + 12 * group) for group in range(groups)]
    else:
        return set()
    return {code for start, end in pairs for code in range(start, min(end, _MOST_CHARACTERS) + 1)} - {0xFFFF}
