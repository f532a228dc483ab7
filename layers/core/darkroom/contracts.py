"""What the parts say to each other: operations and their parameters, jobs, messages, records, results.

Everything here is a frozen pydantic model that refuses unknown fields and does not coerce: `"300"` is not a width.
"""

import contextlib
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from darkroom.errors import InvalidRequestError

DEFAULT_TENANT = "default"

#: How often a job may fail by itself: its process dies, or has a defect. The last time fails the job.
MAX_ATTEMPTS = 5

#: How often a job is started at most, outages of parts it needs included: with their delays, some two hours or more.
MAX_STARTS = 40


class Operation(StrEnum):
    """The seven operations. The value is the one word for it everywhere: folder, queue, function, metric, log field."""

    RESIZE = "resize"
    THUMBNAIL = "thumbnail"
    WATERMARK = "watermark"
    VIDEO_THUMBNAIL = "video_thumbnail"
    VIDEO_METADATA = "video_metadata"
    VIDEO_COMPRESS = "video_compress"
    AUDIO_EXTRACT = "audio_extract"


class Status(StrEnum):
    """Where a job stands. The last three are terminal: a job that has one of them never changes again."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def terminal(self) -> bool:
        """Whether the job is over."""
        return self in (Status.COMPLETED, Status.FAILED, Status.CANCELED)


class MediaKind(StrEnum):
    """What a file is, by its bytes."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"


class Contract(BaseModel):
    """Base of every model here."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)


# Parameters, one model per operation -------------------------------------------------------------------------------

ImageFormat = Literal["jpeg", "png", "webp", "avif", "gif"]
FrameFormat = Literal["jpeg", "png", "webp", "gif"]
Position = Literal["top_left", "top", "top_right", "left", "center", "right", "bottom_left", "bottom", "bottom_right"]
Gravity = Literal[Position, "smart", "entropy"]
Fit = Literal["contain", "inside", "cover", "fill", "pad"]
Metadata = Literal["strip", "copyright", "keep"]
Blend = Literal[
    "normal",
    "multiply",
    "screen",
    "overlay",
    "darken",
    "lighten",
    "color_dodge",
    "color_burn",
    "hard_light",
    "soft_light",
    "difference",
    "exclusion",
]

#: The largest side an image can be asked to have, in pixels: the limit of the JPEG and WebP formats' common ground.
MAX_SIDE_PX = 16_383

#: The largest width of a frame among others in one picture, in pixels.
MAX_TILE_PX = 640

#: The most frames of an animation that are decoded.
MAX_FRAMES = 1000

Side = Annotated[int, Field(ge=1, le=MAX_SIDE_PX)]
FileId = Annotated[str, Field(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")]
Color = Annotated[
    str,
    Field(pattern=r"^(white|black|transparent|#[0-9a-fA-F]{3,4}|#[0-9a-fA-F]{6}|#[0-9a-fA-F]{8})$"),
]
Quality = Annotated[int, Field(ge=1, le=100, description="Encoder quality. Lossless formats ignore it.")]
Format = Annotated[
    Literal[ImageFormat, "auto"] | None,
    Field(
        description="Format of the result. Default: that of the source where it can be written, else JPEG. "
        "Animations stay animated in gif, webp and png; the other formats show their first frame. "
        "Transparent parts become the background's colour in jpeg. "
        "auto looks at the content: webp for animations and for photographs with transparency, png for graphics "
        "(screenshots, drawings, text), avif for photographs of up to 4 megapixels, jpeg for larger ones."
    ),
]
MaxBytes = Annotated[
    Annotated[int, Field(ge=100, le=100_000_000)] | None,
    Field(
        description="The largest size of the result in bytes. `quality` is lowered until it fits, in png and gif the "
        "number of colors; the job fails with `result_too_large` when nothing is small enough."
    ),
]
MaxFrames = Annotated[
    Annotated[int, Field(ge=1, le=MAX_FRAMES)] | None,
    Field(
        description="How many frames of an animation are kept, from the first on; 1 makes a still picture. "
        f"Default: all of them, and an animation of more than {MAX_FRAMES:,} is refused."
    ),
]
Progressive = Annotated[
    bool | None,
    Field(
        description="Whether a jpeg shows coarsely first and then sharper. Default: up to one megapixel, where it is "
        "smaller at no cost. Other formats ignore it."
    ),
]
Background = Annotated[
    Color,
    Field(
        description="Color below transparent parts where the format has no transparency, and around the image with "
        "fit 'pad'. white, black, transparent, or #rgb, #rgba, #rrggbb, #rrggbbaa."
    ),
]
KeptMetadata = Annotated[
    Metadata,
    Field(
        description="strip: nothing is kept. copyright: only the artist and the copyright notice, as EXIF. "
        "keep: EXIF, XMP and, in jpeg, IPTC, without the position, the camera maker's own notes and embedded previews. "
        "The orientation is always applied and reset. gif keeps nothing."
    ),
]
KeptGps = Annotated[
    Literal["strip", "keep"],
    Field(description="keep: with metadata 'keep', the position where the picture was taken stays too."),
]
Profile = Annotated[
    Literal["srgb", "keep"],
    Field(
        description="srgb: colors are converted to sRGB, which every viewer shows right. keep: the picture's own RGB "
        "profile, in jpeg and png also that of a grey one, goes along and its values stay; CMYK is converted all the "
        "same. gif is always sRGB."
    ),
]
GRAVITY = (
    "Which part is kept when something is cut off: a side, a corner, the center, smart (what draws attention: "
    "skin, strong colors, contrast) or entropy (where most detail is)."
)


class FocalPoint(Contract):
    """The point of an image that matters most."""

    x: Annotated[float, Field(ge=0, le=1)] = Field(description="From the left edge (0) to the right (1).")
    y: Annotated[float, Field(ge=0, le=1)] = Field(description="From the top edge (0) to the bottom (1).")


class Region(Contract):
    """A part of the upright image."""

    left: Annotated[float, Field(ge=0)] = Field(0, description="Distance from the left edge.")
    top: Annotated[float, Field(ge=0)] = Field(0, description="Distance from the top edge.")
    width: Annotated[float, Field(gt=0)] = Field(description="Width of the part.")
    height: Annotated[float, Field(gt=0)] = Field(description="Height of the part.")
    unit: Literal["px", "fraction"] = Field(
        "px", description="px: whole pixels. fraction: parts of the image's width and height, 0 to 1."
    )

    @model_validator(mode="after")
    def _numbers_suit_the_unit(self) -> Self:
        sides = (self.left, self.top, self.width, self.height)
        if self.unit == "px" and any(side != round(side) for side in sides):
            raise ValueError("pixels are whole numbers; use unit 'fraction' for parts of the image")
        ends = (self.left + self.width, self.top + self.height)
        if self.unit == "fraction" and max(ends) > 1 + 1e-9:  # sums of fractions are a hair off
            raise ValueError("the region ends outside the image: left + width and top + height are at most 1")
        return self


Focal = Annotated[
    FocalPoint | None,
    Field(
        description="The point to keep as near the middle as possible when something is cut off; instead of gravity."
    ),
]
Crop = Annotated[
    Region | None,
    Field(description="A part of the upright image that is cut out first; everything else is done to that part."),
]


def _check_metadata(metadata: Metadata, gps: str) -> None:
    if gps == "keep" and metadata != "keep":
        raise ValueError("gps 'keep' needs metadata 'keep'")


class ResizeParams(Contract):
    """Scales an image to a width, a height or a box, upright and in sRGB."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"width": 1600, "format": "webp", "quality": 80},
                {
                    "width": 800,
                    "height": 800,
                    "fit": "cover",
                    "gravity": "smart",
                    "format": "auto",
                    "max_bytes": 100000,
                },
            ]
        }
    )

    width: Side | None = Field(None, description="Width in pixels. One of width and height may be left out.")
    height: Side | None = Field(None, description="Height in pixels. One of width and height may be left out.")
    fit: Fit = Field(
        "contain",
        description="contain: whole image inside the box. inside: another name for contain. cover: box filled, "
        "overhang cropped. fill: stretched to the box. pad: whole image inside the box, which is filled up with the "
        "background. cover, fill and pad need both sides.",
    )
    gravity: Gravity = Field(
        "center",
        description=f"{GRAVITY} For fit 'cover'; with fit 'pad' it is where the image lies in the box.",
    )
    focal_point: Focal = None
    crop: Crop = None
    upscale: bool = Field(
        False,
        description="Whether the image may become larger than it is. If not, a box that is larger than the image "
        "shrinks until it fits, its shape kept; with fit 'pad' the box stays and the image keeps its size.",
    )
    format: Format = None
    quality: Quality = 80
    max_bytes: MaxBytes = None
    max_frames: MaxFrames = None
    progressive: Progressive = None
    background: Background = "white"
    metadata: KeptMetadata = "strip"
    gps: KeptGps = "strip"
    profile: Profile = "srgb"

    @model_validator(mode="after")
    def _sides_suit_the_fit(self) -> Self:
        if self.width is None and self.height is None and self.crop is None:
            raise ValueError("give width, height or both, or a region to crop")
        if self.fit not in ("contain", "inside") and (self.width is None or self.height is None):
            raise ValueError(f"fit '{self.fit}' needs both width and height")
        _check_metadata(self.metadata, self.gps)
        return self


class ThumbnailParams(Contract):
    """Makes a small picture of exactly the size asked for: scaled to fill the box, the overhang cropped.

    An image smaller than the box is enlarged.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"width": 300, "height": 300, "format": "webp"},
                {"width": 300, "height": 300, "gravity": "smart"},
            ]
        }
    )

    width: Side = Field(300, description="Width in pixels.")
    height: Side = Field(300, description="Height in pixels.")
    gravity: Gravity = Field("center", description=GRAVITY)
    focal_point: Focal = None
    crop: Crop = None
    format: Format = None
    quality: Quality = 80
    max_bytes: MaxBytes = None
    max_frames: MaxFrames = None
    progressive: Progressive = None
    background: Background = "white"
    metadata: KeptMetadata = "strip"
    gps: KeptGps = "strip"
    profile: Profile = "srgb"

    @model_validator(mode="after")
    def _choices_suit_each_other(self) -> Self:
        _check_metadata(self.metadata, self.gps)
        return self


class WatermarkParams(Contract):
    """Lays a text or another uploaded image over an image."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"text": "© Darkroom", "position": "bottom_right", "opacity": 0.6},
                {"text": "PROOF", "tile": True, "rotation": -30, "opacity": 0.3, "scale": 0.2},
            ]
        }
    )

    text: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        None,
        description="The text to draw, up to 200 characters, lines separated by line feeds. Give either text or "
        "image_file_id. Arabic, Armenian, Canadian syllabics, Cyrillic, Georgian, Greek, Hebrew, Lao, Latin, N'Ko, "
        "Ogham and Tifinagh are drawn with DejaVu Sans, also from right to left; other scripts where an operator has "
        "added their fonts.",
    )
    image_file_id: FileId | None = Field(None, description="The file to lay over. Give either text or image_file_id.")
    position: Position = Field("bottom_right", description="Where on the image.")
    opacity: Annotated[float, Field(gt=0, le=1)] = Field(0.5, description="1 is opaque.")
    scale: Annotated[float, Field(ge=0.01, le=1)] = Field(
        0.25,
        description="Width of the watermark, before it is turned, as a part of the image's width; less where it would "
        "not fit.",
    )
    font_size: Annotated[float, Field(ge=4, le=2000)] | None = Field(
        None, description="Size of the letters in pixels, instead of scale; smaller where the text would not fit."
    )
    color: Color = Field("white", description="Color of the letters: white, black, #rgb, #rgba, #rrggbb, #rrggbbaa.")
    outline_color: Color = Field("#000000b4", description="Color of the line around the letters.")
    outline: Annotated[float, Field(ge=0, le=0.25)] = Field(
        0.04, description="Thickness of the line around the letters as a part of the font size; 0 for none."
    )
    rotation: Annotated[float, Field(ge=-180, le=180)] = Field(0, description="Degrees clockwise.")
    tile: bool = Field(
        False, description="Whether the watermark is repeated all over the image; position is the phase."
    )
    tile_gap: Annotated[float, Field(ge=0, le=5)] = Field(
        0.5, description="Gap between tiles, as a part of the watermark's longer side."
    )
    blend: Blend = Field("normal", description="How the watermark's colors mix with the image's.")
    margin: Annotated[int, Field(ge=0, le=4096)] = Field(
        16, description="Distance to the image's edge in pixels, at most a quarter of its shorter side."
    )
    format: Format = None
    quality: Quality = 85
    max_bytes: MaxBytes = None
    max_frames: MaxFrames = None
    progressive: Progressive = None
    background: Background = "white"
    metadata: KeptMetadata = "strip"
    gps: KeptGps = "strip"
    profile: Literal["srgb"] = Field("srgb", description="The result is in sRGB.")

    @model_validator(mode="after")
    def _choices_suit_each_other(self) -> Self:
        if (self.text is None) == (self.image_file_id is None):
            raise ValueError("give either text or image_file_id")
        if self.image_file_id is not None and self.font_size is not None:
            raise ValueError("font_size is for text; an image has scale")
        _check_metadata(self.metadata, self.gps)
        return self


#: What results in a picture, and therefore says how the picture is written.
ImageParams = ResizeParams | ThumbnailParams | WatermarkParams


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
Loudness = Annotated[
    Annotated[float, Field(ge=-40, le=-8)] | None,
    Field(
        description="Loudness of the whole sound by EBU R128 in LUFS, such as -23 for broadcast or -14 for streaming: "
        "one gain for all of it, peaks kept below -1.5 dB. The sound is encoded anew for that. Default: left as it is."
    ),
]

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


Params = (
    ResizeParams
    | ThumbnailParams
    | WatermarkParams
    | VideoThumbnailParams
    | VideoMetadataParams
    | VideoCompressParams
    | AudioExtractParams
)

PARAMS: dict[Operation, type[Params]] = {
    Operation.RESIZE: ResizeParams,
    Operation.THUMBNAIL: ThumbnailParams,
    Operation.WATERMARK: WatermarkParams,
    Operation.VIDEO_THUMBNAIL: VideoThumbnailParams,
    Operation.VIDEO_METADATA: VideoMetadataParams,
    Operation.VIDEO_COMPRESS: VideoCompressParams,
    Operation.AUDIO_EXTRACT: AudioExtractParams,
}

#: The kinds of media each operation works on.
ACCEPTS: dict[Operation, frozenset[MediaKind]] = {
    Operation.RESIZE: frozenset({MediaKind.IMAGE}),
    Operation.THUMBNAIL: frozenset({MediaKind.IMAGE}),
    Operation.WATERMARK: frozenset({MediaKind.IMAGE}),
    Operation.VIDEO_THUMBNAIL: frozenset({MediaKind.VIDEO}),
    Operation.VIDEO_METADATA: frozenset(MediaKind),
    Operation.VIDEO_COMPRESS: frozenset({MediaKind.VIDEO}),
    Operation.AUDIO_EXTRACT: frozenset({MediaKind.VIDEO, MediaKind.AUDIO}),
}


def parse_params(operation: Operation, raw: Any) -> Params:
    """`raw` as the operation's parameters. Raises InvalidRequestError, which names every field that is wrong."""
    try:
        return PARAMS[operation].model_validate(raw)
    except ValidationError as error:
        raise InvalidRequestError(f"{operation}: {explain(error)}") from error


def spelled_out(params: Params) -> dict[str, Any]:
    """Parameters as a job keeps them: with their defaults, so that a later default does not change an old job."""
    return params.model_dump(mode="json", exclude_none=True)


def explain(error: ValidationError) -> str:
    """One sentence per field that failed validation."""
    parts = []
    for detail in error.errors(include_url=False, include_input=False):
        where = ".".join(str(step) for step in detail["loc"])
        what = detail["msg"].removeprefix("Value error, ")
        parts.append(f"{where}: {what}" if where else what)
    return "; ".join(parts) + "."


# A job and its end -------------------------------------------------------------------------------------------------


class FileSource(Contract):
    """The job works on an uploaded file."""

    type: Literal["file"] = "file"
    file_id: str


class Job(Contract):
    """What was accepted: the ledger's `job.json`. Never changes."""

    job_id: str
    tenant: str = DEFAULT_TENANT
    operation: Operation
    params: dict[str, Any]
    source: FileSource
    created_at: str
    traceparent: str
    retry_of: str | None = None


class Output(Contract):
    """One object that a job made."""

    name: str = Field(description="File name to save it under.")
    key: str = Field(description="Where it lies in the bucket.")
    media_type: str
    size_bytes: int
    sha256: str = Field(description="SHA-256 of the bytes, in hexadecimal.")
    width_px: int | None = None
    height_px: int | None = None
    duration_s: float | None = None


class Failure(Contract):
    """Why a job, or one attempt at it, failed."""

    code: str = Field(description="Stable, for programs.")
    message: str = Field(description="A sentence for people.")


class Ending(Contract):
    """How a job ended: the ledger's `result.json`, written once. Whoever writes it decides the job's end."""

    job_id: str
    status: Status
    attempt: int
    run: str = Field(description="Random id of the run that ended the job; its outputs lie under it.")
    started_at: str | None = None
    uploaded_at: str | None = None
    finished_at: str
    outputs: list[Output] = []
    document: dict[str, Any] | None = Field(
        None,
        description="The result itself, where it is data and not media; of video_compress with target_ssim what was "
        "chosen (crf) and measured (ssim).",
    )
    error: Failure | None = None


class Message(Contract):
    """What travels through the broker. State lives in the record, so a duplicate is harmless."""

    job_id: str
    tenant: str
    operation: Operation
    attempt: int = Field(ge=1, description="The attempt this message is to start, counted from 1.")


class UploadedJob(Contract):
    """A job that came with an upload and starts when the upload lands. Travels in the object's own metadata.

    There is little room there, so parameters that have their defaults are left out.
    """

    job_id: str
    operation: Operation
    params: dict[str, Any]

    def on(self, file_id: str, *, tenant: str, traceparent: str) -> Job:
        """The job itself, once it is known on which file."""
        params = self.params
        with contextlib.suppress(InvalidRequestError):  # they were valid; should they be so no more, the run says it
            params = spelled_out(parse_params(self.operation, params))
        return Job(
            job_id=self.job_id,
            tenant=tenant,
            operation=self.operation,
            params=params,
            source=FileSource(file_id=file_id),
            created_at=utc_now(),
            traceparent=traceparent,
        )


def milliseconds(timestamp: str) -> int:
    """A time as `utc_now` writes it in milliseconds since 1970."""
    return round(datetime.fromisoformat(timestamp).timestamp() * 1000)


def utc_now() -> str:
    """The present as ISO 8601 in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
