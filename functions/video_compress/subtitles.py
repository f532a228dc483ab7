"""Subtitles of a film, taken along as text in the form that the result's container holds."""

from collections.abc import Sequence

from darkroom.av.probe import Probe, Stream
from functions.video_compress.encoders import Container

#: Subtitles that are text, as ffprobe names them. Those that are pictures (of discs and broadcasts) cannot become text.
_TEXT = frozenset({"ass", "mov_text", "srt", "ssa", "subrip", "text", "webvtt"})

#: Demuxers that hand them out as they are. AVI's looks into them for a file of any format.
_DEMUXERS = frozenset({"matroska", "mov"})


def kept(found: Probe, demuxer: str) -> list[Stream]:
    """Those that can be kept, in their order."""
    texts = [stream for stream in found.streams if stream.kind == "subtitle" and stream.codec in _TEXT]
    return texts if demuxer in _DEMUXERS else []


def arguments(streams: Sequence[Stream], container: Container) -> list[str]:
    """FFmpeg's arguments for them, each with its language and title."""
    writing: list[str] = []
    for number, stream in enumerate(streams):
        writing += ["-map", f"0:{stream.index}"]
        told = {"language": stream.language, "title": stream.tags.get("title")}
        for name, value in told.items():
            writing += [f"-metadata:s:s:{number}", f"{name}={value}"] if value else []
    return [*writing, "-c:s", container.subtitles] if streams else []
