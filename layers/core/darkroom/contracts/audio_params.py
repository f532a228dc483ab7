"""Parameters of the audio operations."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from darkroom.contracts.base import Params

Loudness = Annotated[
    Annotated[float, Field(ge=-40, le=-8)] | None,
    Field(
        description="Target loudness of the whole audio in LUFS (EBU R128), such as -23 for broadcast or -14 for "
        "streaming. One gain is applied throughout, with peaks kept below -1.5 dB; the audio is re-encoded. Default: "
        "loudness unchanged."
    ),
]
TrackNumber = Annotated[int, Field(ge=1, le=99)]
Language = Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]


class AudioExtractParams(Params):
    """Extracts the audio of a video, or converts an audio file; optionally also its waveform."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"format": "m4a"},
                {"format": "mp3", "bitrate_kbps": 192},
                {"track": "eng", "start_s": 60, "duration_s": 30, "fade_in_s": 1, "fade_out_s": 2, "loudness": -16},
                {"format": "opus", "mono": True, "waveform": ["json", "png"]},
            ]
        }
    )

    format: Literal["mp3", "aac", "m4a", "opus", "flac", "wav"] = Field(
        "m4a",
        description="Format of the result. `m4a` (AAC) and `mp3` play almost everywhere, `opus` is the smallest at the "
        "same quality, `flac` and `wav` are lossless.",
    )
    bitrate_kbps: Annotated[int, Field(ge=16, le=512)] | None = Field(
        None,
        description="Bit rate in kbit/s. `flac` and `wav` ignore it. Default: audio that already has the right codec "
        "and is not changed otherwise is copied without re-encoding; other audio gets, per channel, 96 (`mp3`), 80 "
        "(`aac`, `m4a`) or 64 (`opus`).",
    )
    track: TrackNumber | Language | None = Field(
        None,
        description="Audio track to take: its number, counted from 1, or its language as tagged in the file, such as "
        "`eng`; `video_metadata` lists both. Default: the track that players choose.",
    )
    start_s: Annotated[float, Field(ge=0)] | None = Field(
        None,
        description="Where to start, in seconds. Audio that is copied is cut at the nearest packet, at most 0.1 s "
        "away. Default: the beginning.",
    )
    duration_s: Annotated[float, Field(ge=0.1)] | None = Field(
        None, description="Length to take, in seconds. Default: to the end."
    )
    fade_in_s: Annotated[float, Field(gt=0, le=60)] | None = Field(
        None, description="Length of the fade-in, in seconds. Default: no fade-in."
    )
    fade_out_s: Annotated[float, Field(gt=0, le=60)] | None = Field(
        None, description="Length of the fade-out, in seconds. Default: no fade-out."
    )
    loudness: Loudness = None
    mono: bool = Field(False, description="Whether all channels are mixed down to one.")
    waveform: Annotated[list[Literal["json", "png", "svg"]], Field(min_length=1, max_length=3)] | None = Field(
        None,
        description="Formats in which the waveform of the result is added, each as a further output. "
        "`json`: the minimum and maximum level of each step, -128 to 127, in version 2 of the format that peaks.js and "
        "other players read. `png`, `svg`: an image of it. Default: no waveform.",
    )
    waveform_points: Annotated[int, Field(ge=100, le=10_000)] = Field(
        1000, description="Largest number of steps in the waveform; also the width of its `png` in pixels."
    )

    @model_validator(mode="after")
    def _check_waveform(self) -> Self:
        if self.waveform is not None and len(set(self.waveform)) < len(self.waveform):
            raise ValueError("waveform: give each format once")
        return self
