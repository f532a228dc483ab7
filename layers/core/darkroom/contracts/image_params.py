"""Parameters of the image operations."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from darkroom.contracts.base import Contract, FileId

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

#: The most frames of an animation that are decoded.
MAX_FRAMES = 1000

Side = Annotated[int, Field(ge=1, le=MAX_SIDE_PX)]
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
