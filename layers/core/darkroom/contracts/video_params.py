"""Parameters of the video operations."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from darkroom.contracts.audio_params import Loudness
from darkroom.contracts.base import Params
from darkroom.contracts.image_params import FrameFormat, Quality, Side

#: The largest width of a frame in a storyboard or preview, in pixels.
MAX_TILE_PX = 640


class VideoThumbnailParams(Params):
    """Extracts images from a video: a poster frame, several frames, a storyboard or a short animated preview."""

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
        description="How the frame is chosen. `time`: the frame at `time_s` or `time_percent`. `best`: of nine frames "
        "spread over the video, the one most similar to the others, blank frames excluded; no times can be given.",
    )
    time_s: Annotated[float, Field(ge=0)] | None = Field(
        None,
        description="Exact time of the frame in seconds, or where a preview starts. A time past the end takes the last "
        "frame. Default: `time_percent` applies.",
    )
    time_percent: Annotated[float, Field(ge=0, le=100)] | None = Field(
        None,
        description="Time of the frame, or where a preview starts, as a percentage of the duration. In a video of four "
        "minutes or more the key frame at or before it is taken, which is faster. Default: 10, unless another "
        "parameter chooses the times.",
    )
    times_s: Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=1, max_length=100)] | None = Field(
        None,
        description="Exact times of several frames in seconds. Each becomes an output, numbered in this order. "
        "Default: one frame.",
    )
    count: Annotated[int, Field(ge=1, le=100)] | None = Field(
        None,
        description="Number of frames to take, evenly spaced: the video is divided into this many equal parts, and the "
        "frame in the middle of each is taken, or the key frame before it if the parts last 24 seconds or more. Each "
        "frame becomes a numbered output; with `layout` `sprite` all go into one. Default: 25 with `sprite`, otherwise "
        "one frame.",
    )
    layout: Literal["frames", "sprite", "preview"] = Field(
        "frames",
        description="What is made of the frames. `frames`: an image for each. `sprite`: a storyboard, which is one "
        "image with all frames in rows, and a WebVTT file that maps times to areas of the image (`#xywh`), by the file "
        "name of its output. `preview`: a short animation without audio that loops forever.",
    )
    preview_s: Annotated[float, Field(ge=0.5, le=10)] = Field(3, description="Length of a preview in seconds.")
    preview_fps: Annotated[float, Field(ge=1, le=25)] = Field(
        10, description="Frame rate of a preview in frames per second."
    )
    width: Side | None = Field(
        None,
        description=f"Width of a frame in pixels; the height follows from the aspect ratio. Frames are never enlarged. "
        f"At most {MAX_TILE_PX} in a storyboard or preview. Default: 160 in a storyboard, 320 in a preview, otherwise "
        "the width of the video.",
    )
    format: FrameFormat | None = Field(
        None,
        description="Format of the result. Images: `jpeg` (default), `png` or `webp`. Previews: `webp` (default) or "
        "`gif`.",
    )
    quality: Quality = 80

    @model_validator(mode="after")
    def _check_choices(self) -> Self:
        times = [name for name in ("time_s", "time_percent", "times_s", "count") if getattr(self, name) is not None]
        if len(times) > 1:
            raise ValueError(f"give either {' or '.join(times)}")
        if self.mode == "best" and (times or self.layout != "frames"):
            raise ValueError("mode 'best' chooses the time of one frame itself")
        if self.layout == "sprite" and times not in ([], ["count"]):
            raise ValueError(f"layout 'sprite' takes count, not {times[0]}")
        if self.layout == "preview" and times in (["times_s"], ["count"]):
            raise ValueError(f"layout 'preview' takes one time, not {times[0]}")
        if self.layout != "frames" and (self.width or 0) > MAX_TILE_PX:
            raise ValueError(f"width: at most {MAX_TILE_PX} with layout '{self.layout}'")
        formats = ("webp", "gif") if self.layout == "preview" else ("jpeg", "png", "webp")
        if self.format is not None and self.format not in formats:
            raise ValueError(f"layout '{self.layout}' cannot have format '{self.format}'")
        return self


class VideoMetadataParams(Params):
    """Reads the metadata of a video, audio or image file: container, duration, streams and tags.

    It takes no parameters. An image is reported as one stream of type `image`, with its orientation, color profile,
    transparency and frames, and with tags such as the time it was taken and the camera. For a video, key frames are
    looked for in its first seconds. The position where a file was recorded is never reported.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{}]})


VideoCodec = Literal["h264", "h265", "av1", "vp9"]
VideoPreset = Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower"]

#: The largest constant rate factor of each codec.
MAX_CRF: dict[VideoCodec, int] = {"h264": 51, "h265": 51, "av1": 63, "vp9": 63}


class VideoCompressParams(Params):
    """Re-encodes a video to a smaller file that is ready to stream.

    The result is MP4 with its index in front, or WebM for `vp9`.
    """

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
        description="Video codec of the result. `h264` plays everywhere; `h265` and `av1` make smaller files. These "
        "three come as MP4 with AAC audio, `vp9` as WebM with Opus audio. `av1` can be written but not decoded here: "
        "its frames are not checked after encoding, and operations that decode frames cannot use the result.",
    )
    crf: Annotated[int, Field(ge=0, le=63)] | None = Field(
        None,
        description="Constant rate factor: lower is better and larger. 0 to 51 for `h264` and `h265` (18 is visually "
        "lossless), 0 to 63 for `av1` and `vp9`. Default: 26 for `h264` and `h265`, 38 for `av1`, 36 for `vp9`, unless "
        "`bitrate_kbps`, `max_bytes` or `target_ssim` is given.",
    )
    bitrate_kbps: Annotated[int, Field(ge=16, le=200_000)] | None = Field(
        None,
        description="Average bit rate of the video stream in kbit/s, used instead of `crf`, in two passes. `av1` is "
        "encoded in one, which can miss it by more than half in a video of a few seconds. Where more bits would make "
        "no visible difference, fewer are used. Default: none.",
    )
    max_bytes: Annotated[int, Field(ge=1_000, le=10_000_000_000)] | None = Field(
        None,
        description="Largest size of the result in bytes, used instead of `crf`: the best quality that fits is found "
        "and the size never exceeded, in two passes (`av1`: by trial encodes). The result is not made larger than the "
        "source needs. Audio is limited to a quarter of the size. If nothing fits, the job fails with "
        "`result_too_large`. Default: no limit.",
    )
    target_ssim: Annotated[float, Field(ge=0.8, le=0.999)] | None = Field(
        None,
        description="Target quality, used instead of `crf`: the mean SSIM between the result and the source, scaled "
        "and converted in the same way (1 is identical; 0.95 to 0.98 is usual). The largest `crf` that reaches it is "
        "found by encoding samples up to six times: all of a video of up to 24 seconds, 20 to 40 seconds of a longer "
        "one, so the SSIM of the whole can differ slightly. If no `crf` reaches it, or time runs short, the best one "
        "tried is used. The job's `document` reports the `crf` and the SSIM. For `av1` only brightness is compared. "
        "Default: none.",
    )
    preset: VideoPreset = Field(
        "veryfast",
        description="Speed of the encoder. Slower presets make smaller files of the same quality. For `av1` and `vp9` "
        "the three fastest are the same.",
    )
    max_width: Annotated[int, Field(ge=16, le=7680)] | None = Field(
        None,
        description="Largest width of the result in pixels, as displayed. The video is never enlarged. Default: the "
        "width of the source.",
    )
    max_height: Annotated[int, Field(ge=16, le=4320)] | None = Field(
        None,
        description="Largest height of the result in pixels, as displayed. The video is never enlarged. Default: the "
        "height of the source.",
    )
    max_fps: Annotated[float, Field(ge=1, le=240)] | None = Field(
        None,
        description="Highest frame rate in frames per second; frames beyond it are dropped. Default: the frame rate of "
        "the source.",
    )
    audio: Literal["auto", "copy", "encode", "none"] = Field(
        "auto",
        description="What happens to the audio. `auto`: copied if it is small enough and plays everywhere, otherwise "
        "re-encoded. `copy`: copied if the container allows it, otherwise re-encoded. `encode`: always re-encoded. "
        "`none`: removed.",
    )
    audio_bitrate_kbps: Annotated[int, Field(ge=16, le=512)] = Field(
        128, description="Bit rate of the audio in kbit/s if it is re-encoded."
    )
    loudness: Loudness = None
    subtitles: Literal["drop", "keep"] = Field(
        "drop",
        description="What happens to subtitles. `keep`: text subtitles are kept in all their languages, from MP4, "
        "QuickTime, Matroska and WebM sources; image subtitles are always removed. `drop`: all are removed.",
    )

    @model_validator(mode="after")
    def _check_choices(self) -> Self:
        goals = ("crf", "bitrate_kbps", "max_bytes", "target_ssim")
        given = [name for name in goals if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"give either {' or '.join(given)}")
        if (self.crf or 0) > MAX_CRF[self.codec]:
            raise ValueError(f"crf: at most {MAX_CRF[self.codec]} for {self.codec}")
        if self.loudness is not None and self.audio in ("copy", "none"):
            raise ValueError(f"loudness needs the audio re-encoded, not audio '{self.audio}'")
        return self
