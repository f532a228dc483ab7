"""The video encoders of the ffmpeg layer: which file each writes, and what quality and speed mean to it."""

from collections.abc import Mapping
from dataclasses import dataclass

from darkroom.contracts.video_params import VideoCodec, VideoPreset


@dataclass(frozen=True)
class Container:
    """A kind of file. `sound` is the encoder of the sound that every player of it takes, `holds` what it can hold,
    `subtitles` the encoder of its subtitles."""

    suffix: str
    media_type: str
    demuxer: str
    muxer: tuple[str, ...]
    sound: tuple[str, ...]
    holds: frozenset[str]
    subtitles: str


MP4 = Container(
    *("mp4", "video/mp4", "mov", ("-movflags", "+faststart", "-f", "mp4"), ("-c:a", "aac")),
    holds=frozenset({"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"}),
    subtitles="mov_text",
)
WEBM = Container(
    *("webm", "video/webm", "matroska", ("-cues_to_front", "1", "-f", "webm"), ("-c:a", "libopus")),
    holds=frozenset({"opus", "vorbis"}),
    subtitles="webvtt",
)


@dataclass(frozen=True)
class Encoder:
    """`codec` is how ffprobe names what it makes; `crf` the constant rate factor where none is asked.

    `slope_db` is by how many decibels SSIM falls with each step of the factor: on films, 0.50 to 0.60, and 0.25 to 0.30
    on the longer scale. `finest` is the quantizer below which nobody sees a difference: with a size to reach, no bits
    are spent beyond it. `two_passes` is whether a first pass over the film tells it where the bits are needed,
    `decodes` whether the layer's FFmpeg can look at what was made: it writes AV1 and cannot read it.
    """

    codec: str
    arguments: tuple[str, ...]
    container: Container
    crf: int
    slope_db: float
    finest: int
    two_passes: bool
    presets: Mapping[VideoPreset, tuple[str, ...]]
    decodes: bool = True


_NAMES: tuple[VideoPreset, ...] = (
    *("ultrafast", "superfast", "veryfast", "faster"),
    *("fast", "medium", "slow", "slower"),
)
_X26X = {name: ("-preset", name) for name in _NAMES}
# With a low factor, what its faster levels 11 and 12 write cannot be decoded; they would save a tenth of the time.
_SVT_AV1 = {name: ("-preset", str(level)) for name, level in zip(_NAMES, (10, 10, 10, 9, 8, 7, 6, 4), strict=True)}
# Its fastest modes cannot look at the film twice.
_VPX = {
    name: ("-deadline", "good", "-cpu-used", str(level), "-row-mt", "1")
    for name, level in zip(_NAMES, (5, 5, 5, 4, 3, 2, 1, 0), strict=True)
}

#: Apple's players want the tag `hvc1`; x265 writes its statistics among the errors unless told not to.
ENCODERS: dict[VideoCodec, Encoder] = {
    "h264": Encoder("h264", ("-c:v", "libx264"), MP4, 26, 0.55, 14, True, _X26X),
    "h265": Encoder(
        "hevc", ("-c:v", "libx265", "-tag:v", "hvc1", "-x265-params", "log-level=error"), MP4, 26, 0.55, 14, True, _X26X
    ),
    "av1": Encoder(
        "av1", ("-c:v", "libsvtav1", "-svtav1-params", "lp=0"), MP4, 38, 0.27, 4, False, _SVT_AV1, decodes=False
    ),
    "vp9": Encoder("vp9", ("-c:v", "libvpx-vp9"), WEBM, 36, 0.27, 10, True, _VPX),
}


def quality_arguments(encoder: Encoder, crf: int | None) -> list[str]:
    """Constant quality; VP9 calls for a bit rate of 0 with that."""
    free = ["-b:v", "0"] if encoder.codec == "vp9" else []
    return ["-crf", str(encoder.crf if crf is None else crf), *free]


def rate_arguments(encoder: Encoder, bit_rate_bps: int) -> list[str]:
    """An average bit rate, with quality that no eye misses as the ceiling."""
    return ["-b:v", str(bit_rate_bps), "-qmin", str(encoder.finest)]
