"""The subtitles of a video, kept as text in the format of the result's container."""

from collections.abc import Sequence

from darkroom.av.probe import Probe, Stream
from functions.video_compress.encoders import Container

#: Codecs of text subtitles, as ffprobe names them. Image subtitles of discs and broadcasts cannot be converted to text.
_TEXT_CODECS = frozenset({"ass", "mov_text", "srt", "ssa", "subrip", "text", "webvtt"})

#: Demuxers that return subtitles as they are. AVI's demuxer probes them for any format, which is unsafe.
_SAFE_DEMUXERS = frozenset({"matroska", "mov"})


def select_subtitles(found: Probe, demuxer: str) -> list[Stream]:
    """The subtitle streams that can be kept, in their order."""
    texts = [stream for stream in found.streams if stream.kind == "subtitle" and stream.codec in _TEXT_CODECS]
    return texts if demuxer in _SAFE_DEMUXERS else []


def subtitle_arguments(streams: Sequence[Stream], container: Container) -> list[str]:
    """FFmpeg arguments that keep these streams, each with its language and title."""
    arguments: list[str] = []
    for number, stream in enumerate(streams):
        arguments += ["-map", f"0:{stream.index}"]
        tags = {"language": stream.language, "title": stream.tags.get("title")}
        for name, value in tags.items():
            arguments += [f"-metadata:s:s:{number}", f"{name}={value}"] if value else []
    return [*arguments, "-c:s", container.subtitle_encoder] if streams else []
