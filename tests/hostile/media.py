"""Hostile video and audio: scripts that open other files, false lengths, truncated and mutated files."""

import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.hostile.canary import Canary
from tests.support.mp4_boxes import build_box

Clips = Callable[[str], Path]

#: Valid files of every supported container and codec.
VIDEOS = (
    *("video.mp4", "moov_at_end.mp4", "video.mov", "video.3gp", "video.mkv", "video.webm", "video.avi", "video.ts"),
    *("video.m2ts", "video.mpg", "video.flv", "video.wmv", "multitrack.mkv", "cover.mp4"),
)
AUDIO = (
    *("audio.m4a", "audio.aac", "audio.mp3", "audio_without_tag.mp3", "audio.opus", "audio.ogg", "audio.flac"),
    *("audio.wav", "audio.aiff", "cover.mp3"),
)


@dataclass(frozen=True)
class Case:
    """One file. `declared` is the type that it is treated as, as if sniffing had been deceived."""

    kind: str
    name: str
    content: bytes
    declared: str | None = None


# Scripts that point at other files ---------------------------------------------------------------------------------

#: Types that a script is disguised as.
_DISGUISES = (
    "video/mp4",
    "video/x-matroska",
    "video/x-msvideo",
    "video/mp2t",
    "video/x-flv",
    "audio/mpeg",
    "audio/wav",
)

#: The first bytes of files of some of them.
_HEADS = (
    b"\0\0\0\x14ftypisom\0\0\2\0isom",
    b"RIFF\xff\xff\0\0AVI LIST",
    b"\x1a\x45\xdf\xa3",
    b"\x47" + bytes(187),
    b"ID3\x03\0\0\0\0\0\0",
)


def scripts(canary: Canary) -> Iterator[Case]:
    """Each script as it is, after the first bytes of a real video, and declared as a video or audio file."""
    for target in (f"file:{canary.file}", str(canary.file), canary.url, f"subfile,,start,0,end,9999,,:{canary.file}"):
        for script, text in _scripts(target):
            content = text.encode()
            for suffix in ("mp4", "avi", "txt", "ts"):
                yield Case(f"script: {script}", f"video.{suffix}", content)
            for head in _HEADS:
                yield Case(f"script: {script}", "video.mp4", head + b"\n" + content)
    for script, text in _scripts(f"file:{canary.file}"):
        for declared in _DISGUISES:
            yield Case(f"script: {script}", "video.mp4", text.encode(), declared)


def _scripts(target: str) -> Iterator[tuple[str, str]]:
    yield "HLS", f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9.0,\n{target}\n#EXT-X-ENDLIST\n"
    key = f'#EXT-X-KEY:METHOD=AES-128,URI="{target}",IV=0x0\n'
    yield "HLS key", f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n{key}#EXTINF:9.0,\n{target}\n#EXT-X-ENDLIST\n"
    yield "HLS master", f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{target}\n"
    yield "concat", f"ffconcat version 1.0\nfile '{target}'\nduration 9\n"
    yield "concat protocol", f"concat:{target}|{target}"
    yield (
        "DASH",
        (
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet>'
            f'<Representation id="1" mimeType="video/mp4"><BaseURL>{target}</BaseURL></Representation>'
            "</AdaptationSet></Period></MPD>"
        ),
    )
    yield (
        "SDP",
        f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\na=control:{target}\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    )
    yield "filter graph", f"movie={target},nullsink"
    yield "metadata", f";FFMETADATA1\ntitle={target}\n"
    yield "ASX", f'<asx version="3.0"><entry><ref href="{target}"/></entry></asx>'


def gab2(canary: Canary) -> Iterator[Case]:
    """AVI with subtitles that are a playlist: FFmpeg's AVI demuxer probes them for any format it knows."""
    for target in (f"file:{canary.file}", canary.url):
        for script, text in _scripts(target):
            yield Case("gab2", f"{script}.avi", _avi_with_subtitles(text.encode()))


def _avi_with_subtitles(script: bytes) -> bytes:
    title = b"x\0\0\0"
    subtitles = b"GAB2\0" + struct.pack("<HI", 2, len(title)) + title + struct.pack("<HI", 4, len(script)) + script
    video = struct.pack("<4s4sIHHIIIIIIII8x", b"vids", b"MJPG", 0, 0, 0, 0, 1, 25, 0, 1, 0, 0, 0)
    text = struct.pack("<4s4sIHHIIIIIIII8x", b"txts", b"\0\0\0\0", 0, 0, 0, 0, 1, 25, 0, 1, 0, 0, 0)
    form = struct.pack("<IiiHH4sIiiII", 40, 16, 16, 1, 24, b"MJPG", 768, 0, 0, 0, 0)
    main = struct.pack("<14I", 40_000, 0, 0, 0x10, 1, 0, 2, 0, 16, 16, 0, 0, 0, 0)
    streams = _list(b"strl", _riff(b"strh", video) + _riff(b"strf", form))
    streams += _list(b"strl", _riff(b"strh", text) + _riff(b"strf", b""))
    header = _list(b"hdrl", _riff(b"avih", main) + streams)
    content = _list(b"movi", _riff(b"00dc", b"\xff\xd8\xff\xd9") + _riff(b"01tx", subtitles))
    return _riff(b"RIFF", b"AVI " + header + content)


def _riff(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _list(name: bytes, content: bytes) -> bytes:
    return _riff(b"LIST", name + content)


# MP4 ---------------------------------------------------------------------------------------------------------------

_FTYP = _HEADS[0]
_TO_DREF = (b"moov", b"trak", b"mdia", b"minf", b"dinf")


def references(video: bytes, canary: Canary) -> Iterator[Case]:
    """QuickTime that states that its frames are in another file. `video` has its index at the end."""
    for kind, entry in (("alis", _alias(canary.file)), ("url ", f"file://{canary.file}\0".encode())):
        reference = build_box(kind.encode(), b"\0\0\0\0" + entry)
        table = build_box(b"dref", b"\0\0\0\0\0\0\0\1" + reference)
        for suffix in ("mov", "mp4"):
            yield Case("external reference", f"video.{suffix}", _replace_boxes(video, _TO_DREF, b"dref", table))
    address = build_box(b"url ", b"\0\0\0\0" + canary.url.encode() + b"\0")
    yield Case(
        "external reference",
        "video.mov",
        _replace_boxes(video, _TO_DREF, b"dref", build_box(b"dref", b"\0\0\0\0\0\0\0\1" + address)),
    )


def _alias(path: Path) -> bytes:
    """A Macintosh alias record with an absolute path."""
    name = path.name.encode()[:63]
    location = str(path).encode()
    head = bytes(6) + struct.pack(">HH", 0, 2) + b"\x01x".ljust(28, b"\0") + bytes(12)
    head += bytes([len(name)]) + name.ljust(63, b"\0") + bytes(16) + struct.pack(">hh", -1, -1) + bytes(16)
    return (
        head + struct.pack(">HH", 2, len(location)) + location + b"\0" * (len(location) % 2) + struct.pack(">hH", -1, 0)
    )


def _replace_boxes(content: bytes, path: tuple[bytes, ...], name: bytes, new: bytes) -> bytes:
    """`content` with every box `name` at the end of a path of nested boxes replaced."""
    made, at = b"", 0
    while at < len(content):
        length = int.from_bytes(content[at : at + 4])
        kind, inside = content[at + 4 : at + 8], content[at + 8 : at + length]
        if path and kind == path[0]:
            made += build_box(kind, _replace_boxes(inside, path[1:], name, new))
        elif not path and kind == name:
            made += new
        else:
            made += content[at : at + length]
        at += length
    return made


def false_boxes(video: bytes) -> Iterator[Case]:
    """Boxes with wrong lengths and counts, in excessive numbers, or nested excessively."""
    nested = b""
    for _ in range(5_000):
        nested = build_box(b"moov", nested)
    yield Case("box", "nested.mp4", _FTYP + nested)
    yield Case("box", "thousands.mp4", _FTYP + build_box(b"moov", build_box(b"trak", b"") * 20_000))
    yield Case("box", "itself.mp4", _FTYP + build_box(b"moov", build_box(b"trak", b"", length=0)) * 2)
    yield Case("box", "empty.mp4", _FTYP + build_box(b"moov", b"\0" * 64, length=8) * 1_000)
    for length in (0, 2, 7, 9, 0x7FFFFFFF, 0xFFFFFFFF):
        yield Case("box", f"{length}.mp4", _FTYP + build_box(b"moov", b"\0" * 64, length=length))
    for long in (0, 1, 15, 1 << 62, (1 << 64) - 1):
        yield Case("box", f"long{long}.mp4", _FTYP + build_box(b"moov", struct.pack(">Q", long) + b"\0" * 64, length=1))
    for name in (
        b"stsz",
        b"stts",
        b"stsc",
        b"stco",
        b"ctts",
        b"stss",
        b"elst",
        b"mvhd",
        b"tkhd",
        b"mdhd",
        b"stsd",
        b"avcC",
    ):
        for value in (0, 0x7FFFFFFF, 0xFFFFFFFF):
            damaged = bytearray(video)
            at = damaged.find(name)
            if at >= 0:
                damaged[at + 8 : at + 16] = struct.pack(">II", value, value)
                yield Case("box", f"{name.decode()}.mp4", bytes(damaged))


# Matroska ----------------------------------------------------------------------------------------------------------

_EBML = bytes.fromhex(
    "1a45dfa3a3 4286810142f7810142f2810442f381084282886d6174726f736b61 4287810442858102".replace(" ", "")
)
_SEGMENT, _ATTACHMENTS, _TAGS, _CLUSTER, _TRACKS = (
    *(bytes.fromhex(code) for code in ("18538067", "1941a469", "1254c367", "1f43b675", "1654ae6b")),
)


def false_matroska(video: bytes) -> Iterator[Case]:
    """Attachments, sizes and nesting that no real file has. `video` is a valid file."""
    for size in (b"\x01" + b"\xff" * 7, b"\x01" + b"\xff" * 6 + b"\xfe", b"\x08\xff\xff\xff\xff", b"\xff"):
        for element in (_ATTACHMENTS, _TAGS, _CLUSTER, _TRACKS):
            yield Case("matroska", "size.mkv", _EBML + _SEGMENT + b"\x01" + b"\xff" * 7 + element + size + bytes(64))
    yield Case("matroska", "nested.mkv", _EBML + (_SEGMENT + b"\x01" + b"\xff" * 7) * 5_000)
    yield Case("matroska", "tags.mkv", _EBML + _SEGMENT + b"\x01" + b"\xff" * 7 + (_TAGS + b"\x80") * 50_000)
    payload = b"\x46\x5c\x10\x20\0\0" + bytes(2_000_000)
    attached = b"\x61\xa7\x10\x20\0\x0a" + b"\x46\x6e\x81x" + payload
    yield Case("matroska", "attached.mkv", video + _ATTACHMENTS + b"\x10\x20\0\x10" + attached)
    for at in range(40, 400, 12):
        damaged = bytearray(video)
        damaged[at : at + 8] = b"\x01" + b"\xff" * 7
        yield Case("matroska", "sizes.mkv", bytes(damaged))


# Damage ------------------------------------------------------------------------------------------------------------


def truncations(name: str, content: bytes) -> Iterator[Case]:
    """A valid file cut off after every tenth of its length."""
    for tenth in range(10):
        yield Case("truncation", name, content[: len(content) * tenth // 10])


def mutations(clips: Clips, count: int, seed: int) -> Iterator[Case]:
    """Valid files with bytes changed, repeated, zeroed or removed; the same ones for the same seed."""
    chance = random.Random(seed)
    for _ in range(count):
        name = chance.choice(VIDEOS + AUDIO)
        content = bytearray(clips(name).read_bytes())
        for _ in range(chance.choice((1, 1, 8, 64))):
            _mutate(content, chance)
        yield Case("mutation", name, bytes(content))


def _mutate(content: bytearray, chance: random.Random) -> None:
    reach = len(content) if chance.random() < 0.5 else min(len(content), 3_000)
    at = chance.randrange(reach)
    kind = chance.randrange(5)
    if kind == 0:
        content[at] = chance.randrange(256)
    elif kind == 1:
        content[at] = chance.choice((0, 1, 127, 128, 255))
    elif kind == 2:
        content[at : at + 4] = chance.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"))
    elif kind == 3:
        start = chance.randrange(len(content))
        content[at:at] = content[start : start + chance.choice((4, 100, 3_000))]
    else:
        del content[at : at + chance.choice((1, 8, 500))]
        content.extend(b"\0" * (not content))
