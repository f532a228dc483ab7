"""What is encoded and how, decided once from the source and the parameters."""

from collections.abc import Sequence
from dataclasses import dataclass

from darkroom.av import loudness
from darkroom.av.probe import Probe, Stream
from darkroom.av.tags import tag_arguments
from darkroom.contracts.video_params import VideoCompressParams
from darkroom.media.geometry import Size
from darkroom.media.task import Task
from functions.video_compress.audio import audio_arguments, choose_audio_kbps
from functions.video_compress.encoders import ENCODERS, Encoder
from functions.video_compress.subtitles import select_subtitles, subtitle_arguments

#: The job's progress, from 0 to 1, at which measuring the loudness ends.
LOUDNESS_END = 0.05


@dataclass(frozen=True)
class CompressionPlan:
    """The source, the parameters, and what was decided from them.

    `size` is the size of the result. `opening` are the FFmpeg arguments that open the source, `other_arguments` those
    for everything in the result but the video: audio, tags and subtitles. `audio` is None for a result without audio.
    """

    found: Probe
    params: VideoCompressParams
    size: Size
    opening: list[str]
    other_arguments: list[str]
    audio: Stream | None
    audio_kbps: int
    subtitles: list[Stream]

    @property
    def encoder(self) -> Encoder:
        """The video encoder."""
        return ENCODERS[self.params.codec]

    @property
    def video(self) -> Stream:
        """The video stream that is encoded."""
        return self.found.video_stream()

    @property
    def duration_s(self) -> float | None:
        """Seconds that the video stream plays, else the whole file; None where neither is known."""
        return self.video.duration_s or self.found.duration_s

    @property
    def encode_start(self) -> float:
        """The job's progress, from 0 to 1, at which encoding starts."""
        return 0.0 if self.params.loudness is None else LOUDNESS_END


def make_plan(
    found: Probe, params: VideoCompressParams, size: Size, opening: Sequence[str], demuxer: str, task: Task
) -> CompressionPlan:
    """Selects the streams of the result; measures the loudness where it is to be changed."""
    container = ENCODERS[params.codec].container
    subtitles = select_subtitles(found, demuxer) if params.subtitles == "keep" else []
    audio = None if params.audio == "none" else found.default_audio_stream()
    audio_kbps = choose_audio_kbps(params, found.duration_s)
    gain_db = None
    if audio is not None and params.loudness is not None:
        gain_db = loudness.measure_gain_db(
            opening, audio, params.loudness, task, duration_s=found.duration_s, span=(0.0, LOUDNESS_END)
        )
    other_arguments = [*tag_arguments(found, audio), *subtitle_arguments(subtitles, container)]
    if audio is not None:
        encoding = audio_arguments(audio, audio_kbps, container=container, mode=params.audio, gain_db=gain_db)
        other_arguments = [*encoding, *other_arguments]
    return CompressionPlan(found, params, size, list(opening), other_arguments, audio, audio_kbps, subtitles)


def fit_size(displayed: Size, max_height: int | None, max_width: int | None = None) -> Size:
    """Returns the size of the result for a displayed size: never larger, and even on both sides, as 4:2:0 requires."""
    height = min(displayed.height, max_height or displayed.height)
    if max_width is not None and displayed.width * height > max_width * displayed.height:
        width = _round_to_even(max_width, min(max_width, displayed.width))
        return Size(width, _round_to_even(displayed.height * width / displayed.width, height))
    height = _round_to_even(height, height)
    width = _round_to_even(
        displayed.width * height / displayed.height, min(displayed.width, max_width or displayed.width)
    )
    return Size(width, height)


def _round_to_even(length_px: float, max_px: int) -> int:
    return max(2, min(round(length_px / 2) * 2, max_px // 2 * 2))
