"""The audio of the result: copied where possible, else encoded, at a bit rate that leaves room for the video."""

from darkroom.av import loudness
from darkroom.av.probe import Stream
from darkroom.contracts.video_params import VideoCompressParams
from functions.video_compress.encoders import WEBM, Container

#: What every player supports. Surround audio is mixed down to two channels.
_MAX_SAMPLE_RATE_HZ = 48_000
_MAX_CHANNELS = 2

#: With `max_bytes`: the largest share of the bytes for the audio, and the bit rate that it has at least.
_MAX_BYTES_SHARE = 0.25
_MIN_KBPS = 16


def choose_audio_kbps(params: VideoCompressParams, duration_s: float | None) -> int:
    """Returns the requested bit rate, or less where it would take too large a share of `max_bytes`."""
    if params.max_bytes is None or not duration_s:
        return params.audio_bitrate_kbps
    share_kbps = int(params.max_bytes * 8 / duration_s / 1000 * _MAX_BYTES_SHARE)
    return min(params.audio_bitrate_kbps, max(share_kbps, _MIN_KBPS))


def audio_arguments(
    audio: Stream, bit_rate_kbps: int, *, container: Container, mode: str = "auto", gain_db: float | None = None
) -> list[str]:
    """FFmpeg arguments that copy an audio stream, or encode it with gaps filled so that it stays in sync.

    `mode` is the parameter `audio`: auto, copy or encode. A gain always needs an encoding.
    """
    mapping = ["-map", f"0:{audio.index}"]
    copies = mode == "auto" and _is_worth_copying(audio, bit_rate_kbps, container)
    if gain_db is None and (copies or (mode == "copy" and audio.codec in container.audio_codecs)):
        return [*mapping, "-c:a", "copy"]
    filters = ["aresample=async=1:first_pts=0", *(loudness.gain_filters(gain_db) if gain_db is not None else [])]
    encoding = ["-af", ",".join(filters), *container.audio_encoder, "-b:a", f"{bit_rate_kbps}k"]
    if (audio.channels or 0) > _MAX_CHANNELS:
        encoding += ["-ac", str(_MAX_CHANNELS)]
    if (audio.sample_rate_hz or 0) > _MAX_SAMPLE_RATE_HZ or gain_db is not None:
        encoding += ["-ar", str(min(audio.sample_rate_hz or _MAX_SAMPLE_RATE_HZ, _MAX_SAMPLE_RATE_HZ))]
    return [*mapping, *encoding]


def _is_worth_copying(audio: Stream, bit_rate_kbps: int, container: Container) -> bool:
    """Whether every player of the container plays the stream as it is, and its bit rate is low enough."""
    plays = audio.codec == "opus" if container == WEBM else (audio.codec, audio.profile) == ("aac", "LC")
    small = audio.bit_rate_bps is not None and audio.bit_rate_bps <= bit_rate_kbps * 1000
    supported = (audio.channels or 9) <= _MAX_CHANNELS and (audio.sample_rate_hz or 0) <= _MAX_SAMPLE_RATE_HZ
    return plays and small and supported
