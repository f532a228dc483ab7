"""Whether an MP4 is all there, by the lengths that its outermost boxes state."""

from pathlib import Path

from darkroom.errors import CorruptMediaError

_HEADER_BYTES = 16
_TO_THE_END, _LONG = 0, 1

#: Part of the media that may be missing at the end: some recorders state a little too much.
_MISSING_PART = 0.01


def check_uncut(path: Path) -> None:
    """Raises CorruptMediaError when the media in an MP4 or QuickTime file should be longer than the file is.

    FFmpeg reads such a file up to where it ends and sees nothing wrong with that.
    """
    end, at = path.stat().st_size, 0
    with path.open("rb") as file:
        while at < end:
            file.seek(at)
            header = file.read(_HEADER_BYTES)
            length, kind = int.from_bytes(header[:4]), header[4:8]
            if length == _LONG:
                length = int.from_bytes(header[8:16])
            if kind == b"mdat" and at + length - end > length * _MISSING_PART:
                raise CorruptMediaError(
                    f"The file is cut short: it holds {end - at:,} of {length:,} bytes of pictures and sound."
                )
            if length < 8:  # the last box, or nothing that we understand
                return
            at += length
