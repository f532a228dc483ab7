"""The audio formats of the results: container, encoder, channel layouts and bit rates."""

from dataclasses import dataclass


@dataclass(frozen=True)
class AudioFormat:
    """How a format is written.

    `codecs` can be copied into it. `layouts` are the channel layouts that the encoder supports, up to `max_channels`;
    any other is converted to the nearest. `kbps_per_channel` are the default and the largest bit rate, None for
    lossless formats. `high_depth_encoder` are the encoder's arguments for more than 16 bits per sample.
    """

    suffix: str
    media_type: str
    demuxer: str
    muxer: tuple[str, ...]
    codecs: frozenset[str]
    encoder: tuple[str, ...]
    layouts: str | None = None
    max_channels: int = 8
    kbps_per_channel: tuple[int, int] | None = None
    high_depth_encoder: tuple[str, ...] = ()


_MP3_LAYOUTS = "mono|stereo"
_AAC_LAYOUTS = "mono|stereo|3.0|4.0|5.0|5.1|7.1"
_XIPH_LAYOUTS = "mono|stereo|3.0|quad|5.0|5.1|6.1|7.1"
_AAC = frozenset({"aac"})
_WAV_CODECS = frozenset({"pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le"})

AUDIO_FORMATS: dict[str, AudioFormat] = {
    "mp3": AudioFormat(
        *("mp3", "audio/mpeg", "mp3", ("-f", "mp3"), frozenset({"mp3"})),
        encoder=("-c:a", "libmp3lame"),
        layouts=_MP3_LAYOUTS,
        max_channels=2,
        kbps_per_channel=(96, 320),
    ),
    "aac": AudioFormat(
        *("aac", "audio/aac", "aac", ("-f", "adts"), _AAC),
        encoder=("-c:a", "aac"),
        layouts=_AAC_LAYOUTS,
        kbps_per_channel=(80, 512),
    ),
    "m4a": AudioFormat(
        *("m4a", "audio/mp4", "mov", ("-movflags", "+faststart", "-f", "ipod"), _AAC),
        encoder=("-c:a", "aac"),
        layouts=_AAC_LAYOUTS,
        kbps_per_channel=(80, 512),
    ),
    "opus": AudioFormat(
        *("opus", "audio/ogg", "ogg", ("-f", "opus"), frozenset({"opus"})),
        encoder=("-c:a", "libopus"),
        layouts=_XIPH_LAYOUTS,
        kbps_per_channel=(64, 256),
    ),
    "flac": AudioFormat(
        *("flac", "audio/flac", "flac", ("-f", "flac"), frozenset({"flac"})),
        encoder=("-c:a", "flac", "-sample_fmt", "s16"),
        layouts=_XIPH_LAYOUTS,
        high_depth_encoder=("-c:a", "flac", "-sample_fmt", "s32"),
    ),
    "wav": AudioFormat(
        *("wav", "audio/wav", "wav", ("-rf64", "auto", "-f", "wav"), _WAV_CODECS),
        encoder=("-c:a", "pcm_s16le"),
        high_depth_encoder=("-c:a", "pcm_s24le"),
    ),
}
