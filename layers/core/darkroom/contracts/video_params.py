"""Parameters of the video operations."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from darkroom.contracts.audio_params import Loudness
from darkroom.contracts.base import Contract
from darkroom.contracts.image_params import FrameFormat, Quality, Side

#: The largest width of a frame among others in one picture, in pixels.
MAX_TILE_PX = 640


class VideoThumbnailParams(Contract):
    """Takes pictures out of a video: its poster frame, several frames, a sprite sheet, or a short moving preview."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"time_s": 2.5, "width": 640},
                {"mode": "best", "width": 1280},
                {"count": 5},
                {"layout": "sprite", "count": 64, "width": 160},
                {"layout": "preview", "time_percent": 30, "format": "webp"},
            ]
        }
    )

    mode: Literal["time", "best"] = Field(
        "time",
        description="time: the frame at time_s or time_percent. best: of nine frames spread over the video the one "
        "that is most like all of them, blank ones left aside; takes no times.",
    )
    time_s: Annotated[float, Field(ge=0)] | None = Field(
        None, description="The frame's exact time in seconds; where a preview begins."
    )
    time_percent: Annotated[float, Field(ge=0, le=100)] | None = Field(
        None,
        description="The frame's time as a percentage of the duration; of a video of four minutes and more, the key "
        "frame at or before it. Default 10, when time_s is not given.",
    )
    times_s: Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=1, max_length=100)] | None = Field(
        None, description="Times of several frames in seconds; each becomes a file, numbered in this order."
    )
    count: Annotated[int, Field(ge=1, le=100)] | None = Field(
        None,
        description="How many frames, evenly over the video: from the middle of the first of so many equal parts to "
        "the middle of the last; key frames where the parts have 24 seconds and more. Each becomes a file, numbered; "
        "with layout 'sprite' they become one (default 25).",
    )
    layout: Literal["frames", "sprite", "preview"] = Field(
        "frames",
        description="frames: each frame is a picture. sprite: one picture of all frames in rows, and a WebVTT file "
        "that says which part of it belongs to which time (#xywh), by the name under which the picture is saved. "
        "preview: a short animation without sound that plays for ever.",
    )
    preview_s: Annotated[float, Field(ge=0.5, le=10)] = Field(3, description="Length of a preview in seconds.")
    preview_fps: Annotated[float, Field(ge=1, le=25)] = Field(10, description="Pictures a second of a preview.")
    width: Side | None = Field(
        None,
        description="Width of a frame in pixels, height follows; never larger than the video. Default: that of the "
        "video; 160 in a sprite sheet, 320 in a preview, where it is at most 640.",
    )
    format: FrameFormat | None = Field(
        None, description="Format of the pictures: jpeg (default), png or webp; of a preview: webp (default) or gif."
    )
    quality: Quality = 80

    @model_validator(mode="after")
    def _choices_suit_each_other(self) -> Self:
        times = [name for name in ("time_s", "time_percent", "times_s", "count") if getattr(self, name) is not None]
        if len(times) > 1:
            raise ValueError(f"give either {' or '.join(times)}")
        if self.mode == "best" and (times or self.layout != "frames"):
            raise ValueError("mode 'best' chooses the time of one frame itself")
        if self.layout == "sprite" and times not in ([], ["count"]):
            raise ValueError(f"a sprite sheet takes count, not {times[0]}")
        if self.layout == "preview" and times in (["times_s"], ["count"]):
            raise ValueError(f"a preview takes one time, not {times[0]}")
        if self.layout != "frames" and (self.width or 0) > MAX_TILE_PX:
            raise ValueError(f"width: at most {MAX_TILE_PX} with layout '{self.layout}'")
        moving = self.layout == "preview"
        if self.format is not None and self.format not in (("webp", "gif") if moving else ("jpeg", "png", "webp")):
            raise ValueError(f"format '{self.format}' is not for layout '{self.layout}'")
        return self


class VideoMetadataParams(Contract):
    """Says what a video, sound or image file is: container, duration, streams, tags; takes no parameters.

    An image is one stream of type image, with its orientation, profile, transparency and frames, and tags that tell
    when it was taken and with which camera. Of a video, key frames are sought in the first seconds. The position where
    a file was recorded is never told.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{}]})


VideoCodec = Literal["h264", "h265", "av1", "vp9"]
VideoPreset = Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower"]

#: The largest constant rate factor of each codec.
MAX_CRF: dict[VideoCodec, int] = {"h264": 51, "h265": 51, "av1": 63, "vp9": 63}


class VideoCompressParams(Contract):
    """Encodes a video anew, smaller, ready to stream: MP4 with its index in front, or WebM for vp9."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"crf": 28, "preset": "veryfast", "max_height": 720},
                {"max_bytes": 8000000, "max_height": 720, "max_fps": 30},
                {"target_ssim": 0.95, "codec": "h265"},
                {"codec": "av1", "audio": "none"},
            ]
        }
    )

    codec: VideoCodec = Field(
        "h264",
        description="Video codec of the result. h264 plays everywhere, h265 and av1 are smaller, vp9 comes as WebM "
        "with Opus sound; the others come as MP4 with AAC sound. av1 is written but cannot be read here: its pictures "
        "are not looked at again, and the result cannot be the source of another job on its pictures.",
    )
    crf: Annotated[int, Field(ge=0, le=63)] | None = Field(
        None,
        description="Constant rate factor: lower is better and larger. 0 to 51 for h264 and h265 (default 26, 18 is "
        "visually lossless), 0 to 63 for av1 (default 38) and vp9 (default 36).",
    )
    bitrate_kbps: Annotated[int, Field(ge=16, le=200_000)] | None = Field(
        None,
        description="Average bit rate of the pictures, instead of crf, by two passes (av1: one, which misses it by "
        "more than half in a video of a few seconds). Less is used where more would not be seen.",
    )
    max_bytes: Annotated[int, Field(ge=1_000, le=10_000_000_000)] | None = Field(
        None,
        description="The largest size of the result in bytes, instead of crf: it is filled with as much quality as "
        "goes in, by two passes (av1: by trying), and never exceeded. Less is used when the source itself is smaller "
        "or needs no more. The sound's bit rate is lowered to a quarter of it. The job fails with `result_too_large` "
        "when nothing is small enough.",
    )
    target_ssim: Annotated[float, Field(ge=0.8, le=0.999)] | None = Field(
        None,
        description="How like the source the pictures are to be, instead of crf: their mean SSIM (1 is the same) with "
        "the source's, scaled and converted as the result is. The largest crf that reaches it is found by encoding "
        "samples up to six times, 20 to 40 seconds of a long video, the whole of one of up to 24; so the whole may be "
        "off by a little. 0.95 to 0.98 is usual. Where no crf reaches it, or time runs short, the best that was tried "
        "is taken. The job's document tells crf and SSIM. For av1 only the brightness is compared. There is no VMAF.",
    )
    preset: VideoPreset = Field(
        "veryfast",
        description="Slower presets make smaller files at the same quality. For av1 and vp9 the three fastest are the "
        "same.",
    )
    max_width: Annotated[int, Field(ge=16, le=7680)] | None = Field(
        None, description="Largest width in pixels as displayed. Never scaled up."
    )
    max_height: Annotated[int, Field(ge=16, le=4320)] | None = Field(
        None, description="Largest height in pixels as displayed. Never scaled up."
    )
    max_fps: Annotated[float, Field(ge=1, le=240)] | None = Field(
        None, description="Most pictures a second. Where the video has more, some are left out."
    )
    audio: Literal["auto", "copy", "encode", "none"] = Field(
        "auto",
        description="auto: the sound is kept unchanged where it is small enough and plays everywhere, else encoded. "
        "copy: unchanged where the file can hold it, else encoded. encode: always encoded. none: left out.",
    )
    audio_bitrate_kbps: Annotated[int, Field(ge=16, le=512)] = Field(
        128, description="Bit rate of the sound where it is encoded."
    )
    loudness: Loudness = None
    subtitles: Literal["drop", "keep"] = Field(
        "drop",
        description="keep: subtitles that are text go along, all languages of them, from MP4, QuickTime, Matroska and "
        "WebM. Those that are pictures are always left out.",
    )

    @model_validator(mode="after")
    def _choices_suit_each_other(self) -> Self:
        ways = ("crf", "bitrate_kbps", "max_bytes", "target_ssim")
        aims = [name for name in ways if getattr(self, name) is not None]
        if len(aims) > 1:
            raise ValueError(f"give either {' or '.join(aims)}")
        if (self.crf or 0) > MAX_CRF[self.codec]:
            raise ValueError(f"crf: at most {MAX_CRF[self.codec]} for {self.codec}")
        if self.loudness is not None and self.audio in ("copy", "none"):
            raise ValueError(f"loudness needs the sound encoded, not audio '{self.audio}'")
        return self
