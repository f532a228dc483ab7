"""The video encoders of the ffmpeg layer: the container each writes, and its settings for quality and speed."""

from collections.abc import Mapping
from dataclasses import dataclass

from darkroom.contracts.video_params import VideoCodec, VideoPreset


@dataclass(frozen=True)
class Container:
    """A file format.

    `audio_encoder` are the arguments of the audio encoder that every player of the format supports, `audio_codecs` the
    codecs that may be copied into it, `subtitle_encoder` the encoder of its text subtitles.
    """

    suffix: str
    media_type: str
    demuxer: str
    muxer: tuple[str, ...]
    audio_encoder: tuple[str, ...]
    audio_codecs: frozenset[str]
    subtitle_encoder: str


MP4 = Container(
    *("mp4", "video/mp4", "mov", ("-movflags", "+faststart", "-f", "mp4"), ("-c:a", "aac")),
    audio_codecs=frozenset({"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"}),
    subtitle_encoder="mov_text",
)
WEBM = Container(
    *("webm", "video/webm", "matroska", ("-cues_to_front", "1", "-f", "webm"), ("-c:a", "libopus")),
    audio_codecs=frozenset({"opus", "vorbis"}),
    subtitle_encoder="webvtt",
)


@dataclass(frozen=True)
class Encoder:
    """A video encoder and its settings.

    `codec` is ffprobe's name of the codec; `default_crf` the constant rate factor where none is requested. `slope_db`
    is the usual loss of SSIM in decibels per step of the CRF: measured 0.5 to 0.6 on the scale to 51, and 0.25 to 0.3
    on the scale to 63. `min_quantizer` is the quantizer below which a difference is invisible: encoding to a bit rate
    or size spends no bits beyond it. `two_passes` is whether the encoder supports a first pass that finds out where
    bits are needed. `decodable` is whether the layer's FFmpeg can decode the result: it cannot decode AV1.
    """

    codec: str
    arguments: tuple[str, ...]
    container: Container
    default_crf: int
    slope_db: float
    min_quantizer: int
    two_passes: bool
    presets: Mapping[VideoPreset, tuple[str, ...]]
    decodable: bool = True


_PRESETS: tuple[VideoPreset, ...] = (
    *("ultrafast", "superfast", "veryfast", "faster"),
    *("fast", "medium", "slow", "slower"),
)
_X26X = {name: ("-preset", name) for name in _PRESETS}
# At a low CRF, the output of the faster levels 11 and 12 cannot be decoded. They would save a tenth of the time.
_SVT_AV1 = {name: ("-preset", str(level)) for name, level in zip(_PRESETS, (10, 10, 10, 9, 8, 7, 6, 4), strict=True)}
# The faster modes do not support two passes.
_VPX = {
    name: ("-deadline", "good", "-cpu-used", str(level), "-row-mt", "1")
    for name, level in zip(_PRESETS, (5, 5, 5, 4, 3, 2, 1, 0), strict=True)
}

#: Apple's players need the tag `hvc1`. Without `log-level`, x265 writes statistics to standard error.
ENCODERS: dict[VideoCodec, Encoder] = {
    "h264": Encoder("h264", ("-c:v", "libx264"), MP4, 26, 0.55, 14, True, _X26X),
    "h265": Encoder(
        "hevc", ("-c:v", "libx265", "-tag:v", "hvc1", "-x265-params", "log-level=error"), MP4, 26, 0.55, 14, True, _X26X
    ),
    "av1": Encoder(
        "av1", ("-c:v", "libsvtav1", "-svtav1-params", "lp=0"), MP4, 38, 0.27, 4, False, _SVT_AV1, decodable=False
    ),
    "vp9": Encoder("vp9", ("-c:v", "libvpx-vp9"), WEBM, 36, 0.27, 10, True, _VPX),
}


def crf_arguments(encoder: Encoder, crf: int | None) -> list[str]:
    """Constant quality; None for the encoder's default. VP9 needs a bit rate of 0 for it."""
    unlimited = ["-b:v", "0"] if encoder.codec == "vp9" else []
    return ["-crf", str(encoder.default_crf if crf is None else crf), *unlimited]


def rate_arguments(encoder: Encoder, bit_rate_bps: int) -> list[str]:
    """An average bit rate, or less where more would make no visible difference."""
    return ["-b:v", str(bit_rate_bps), "-qmin", str(encoder.min_quantizer)]
