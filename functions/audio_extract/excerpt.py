"""The part of an audio stream that is extracted, on the clock of a player."""

from dataclasses import dataclass, replace

from darkroom.av.probe import Probe, Stream
from darkroom.contracts.audio_params import AudioExtractParams
from darkroom.errors import CorruptMediaError, InvalidRequestError


@dataclass(frozen=True)
class Excerpt:
    """The part of an audio stream that is extracted, in seconds.

    `requested_s` is the requested duration, None up to the end. `expected_s` is the duration that the result should
    have, None where it is unknown.
    """

    start_s: float
    requested_s: float | None
    expected_s: float | None

    @classmethod
    def choose(cls, found: Probe, audio: Stream, params: AudioExtractParams) -> "Excerpt":
        """Applies the parameters to an audio stream.

        Raises InvalidRequestError when no audio lies in the part, and CorruptMediaError when a fade-out needs a
        duration that the file does not state.
        """
        delay_s = max((audio.start_s or 0.0) - (found.start_s or 0.0), 0.0)
        start_s, end_s = params.start_s or 0.0, delay_s + audio.duration_s if audio.duration_s else found.duration_s
        if end_s is not None and start_s >= end_s:
            raise InvalidRequestError(f"The audio is {end_s:.1f} seconds long; start_s is {start_s:.1f}.")
        # The time before audio that starts later than the video is not part of the result.
        before_s = max(delay_s - start_s, 0.0)
        if params.duration_s is not None and params.duration_s <= before_s:
            raise InvalidRequestError(f"The audio starts at {delay_s:.1f} seconds, after the requested part.")
        wanted_s = None if params.duration_s is None else params.duration_s - before_s
        available_s = None if end_s is None else end_s - start_s - before_s
        known_s = [duration_s for duration_s in (wanted_s, available_s) if duration_s is not None]
        if params.fade_out_s is not None and not known_s:
            raise CorruptMediaError("The file does not state its duration, so its end cannot be faded out.")
        return cls(start_s, params.duration_s, min(known_s, default=None))

    @property
    def seek_arguments(self) -> list[str]:
        """FFmpeg arguments before the input."""
        if self.requested_s is None:
            return ["-ss", f"{self.start_s:g}"] if self.start_s else []
        # Without -ss, FFmpeg would count the duration from where the audio starts.
        return ["-ss", f"{self.start_s:g}", "-t", f"{self.requested_s:g}"]

    def apply_duration(self, audio: Stream) -> Stream:
        """The audio stream with the duration that this part of it has."""
        return replace(audio, duration_s=self.expected_s) if self.seek_arguments and audio.duration_s else audio
