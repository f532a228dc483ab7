"""Boxes of MP4 files that do not exist."""


def build_box(name: bytes, content: bytes = b"", *, length: int | None = None) -> bytes:
    """A box; `length` is the length that it states, header included, where it is not the real one."""
    return (len(content) + 8 if length is None else length).to_bytes(4) + name + content


FTYP = build_box(b"ftyp", b"isom\0\0\0\0")
