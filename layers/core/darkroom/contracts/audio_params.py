"""Parameters of the audio operations."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from darkroom.contracts.base import Contract

Loudness = Annotated[
    Annotated[float, Field(ge=-40, le=-8)] | None,
    Field(
        description="Loudness of the whole sound by EBU R128 in LUFS, such as -23 for broadcast or -14 for streaming: "
        "one gain for all of it, peaks kept below -1.5 dB. The sound is encoded anew for that. Default: left as it is."
    ),
]
TrackNumber = Annotated[int, Field(ge=1, le=99)]
Language = Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]


class AudioExtractParams(Contract):
    """Takes the sound out of a video, or turns a sound file into another format; on request with its waveform."""

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

    format: Literal["mp3", "aac", "m4a", "opus", "flac", "wav"] = Field("m4a", description="Format of the result.")
    bitrate_kbps: Annotated[int, Field(ge=16, le=512)] | None = Field(
        None,
        description="Bit rate. When it is left out, nothing about the sound is to be changed and it already has the "
        "right codec, it is copied unchanged. flac and wav ignore it.",
    )
    track: TrackNumber | Language | None = Field(
        None,
        description="Which sound: its number, counted from 1, or its language as the file names it (video_metadata "
        "tells), such as eng. Default: the one that players take.",
    )
    start_s: Annotated[float, Field(ge=0)] | None = Field(
        None, description="Where to begin, in seconds. A copied sound is cut between packets, at most 0.1 s away."
    )
    duration_s: Annotated[float, Field(ge=0.1)] | None = Field(
        None, description="How many seconds to take. Default: to the end."
    )
    fade_in_s: Annotated[float, Field(gt=0, le=60)] | None = Field(None, description="Seconds in which it swells.")
    fade_out_s: Annotated[float, Field(gt=0, le=60)] | None = Field(None, description="Seconds in which it dies away.")
    loudness: Loudness = None
    mono: bool = Field(False, description="Whether all channels are mixed into one.")
    waveform: Annotated[list[Literal["json", "png", "svg"]], Field(min_length=1, max_length=3)] | None = Field(
        None,
        description="Adds the outline of the result as further outputs named waveform. json: lowest and highest level "
        "of each step in turn, from -128 to 127, in version 2 of the format that peaks.js and others read. png and "
        "svg: a picture of it.",
    )
    waveform_points: Annotated[int, Field(ge=100, le=10_000)] = Field(
        1000, description="Most steps of the outline, and the width of the png in pixels."
    )

    @model_validator(mode="after")
    def _waveforms_differ(self) -> Self:
        if self.waveform is not None and len(set(self.waveform)) < len(self.waveform):
            raise ValueError("waveform: each form once")
        return self
