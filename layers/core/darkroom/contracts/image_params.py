"""Parameters of the image operations."""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from darkroom.contracts.base import Contract, FileId, Params

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

#: The largest width or height that can be requested, in pixels: the limit of WebP.
MAX_SIDE_PX = 16_383

#: The most frames of an animation that are decoded.
MAX_FRAMES = 1000

Side = Annotated[int, Field(ge=1, le=MAX_SIDE_PX)]
Color = Annotated[
    str,
    Field(pattern=r"^(white|black|transparent|#[0-9a-fA-F]{3,4}|#[0-9a-fA-F]{6}|#[0-9a-fA-F]{8})$"),
]
Quality = Annotated[
    int,
    Field(
        ge=1,
        le=100,
        description="Encoder quality: higher is better and larger. `png` and `gif` are not affected by it.",
    ),
]

_COLOR_FORMS = "`white`, `black`, `transparent`, `#rgb`, `#rgba`, `#rrggbb` or `#rrggbbaa`"


class FocalPoint(Contract):
    """The most important point of an image, as fractions of its width and height."""

    x: Annotated[float, Field(ge=0, le=1)] = Field(
        description="Distance from the left edge as a fraction of the width."
    )
    y: Annotated[float, Field(ge=0, le=1)] = Field(
        description="Distance from the top edge as a fraction of the height."
    )


class Region(Contract):
    """A rectangle in the upright image."""

    left: Annotated[float, Field(ge=0)] = Field(0, description="Distance from the left edge, in `unit`.")
    top: Annotated[float, Field(ge=0)] = Field(0, description="Distance from the top edge, in `unit`.")
    width: Annotated[float, Field(gt=0)] = Field(description="Width of the region, in `unit`.")
    height: Annotated[float, Field(gt=0)] = Field(description="Height of the region, in `unit`.")
    unit: Literal["px", "fraction"] = Field(
        "px",
        description="Unit of the other four numbers. `px`: whole pixels. `fraction`: fractions of the width and height "
        "of the image, 0 to 1.",
    )

    @model_validator(mode="after")
    def _check_unit(self) -> Self:
        sides = (self.left, self.top, self.width, self.height)
        if self.unit == "px" and any(side != round(side) for side in sides):
            raise ValueError("pixels are whole numbers; use unit 'fraction' for fractions of the image")
        ends = (self.left + self.width, self.top + self.height)
        if self.unit == "fraction" and max(ends) > 1 + 1e-9:  # sums of fractions are inexact
            raise ValueError("the region ends outside the image: left + width and top + height must be at most 1")
        return self


FocalPointParam = Annotated[
    FocalPoint | None,
    Field(
        description="The point to keep as close to the center as possible when part of the image is cropped away. Used "
        "instead of `gravity`. Default: none."
    ),
]
CropParam = Annotated[
    Region | None,
    Field(
        description="Region of the upright image to cut out first; all other parameters apply to this region. Default: "
        "the whole image."
    ),
]

_GRAVITY = (
    "a side, a corner, `center`, `smart` (the part that draws attention: skin, strong colors, contrast) or `entropy` "
    "(the part with the most detail)"
)


class ImageParams(Params):
    """Parameters of every operation that results in an image: how the image is written."""

    format: Literal[ImageFormat, "auto"] | None = Field(
        None,
        description="Format of the result. Default: the format of the source if it can be written, otherwise `jpeg`. "
        "`gif`, `webp` and `png` keep animations; `jpeg` and `avif` show the first frame. `jpeg` has no transparency "
        "and uses `background` instead. `auto` chooses by content: `webp` for animations and for photos with "
        "transparency, `png` for graphics (screenshots, drawings, text), `avif` for photos of up to 4 megapixels, "
        "`jpeg` for larger photos.",
    )
    quality: Quality = 80
    max_bytes: Annotated[int, Field(ge=100, le=100_000_000)] | None = Field(
        None,
        description="Largest size of the result in bytes. `quality`, or in `png` and `gif` the number of colors, is "
        "lowered until the result fits. If nothing fits, the job fails with `result_too_large`. Default: no limit.",
    )
    max_frames: Annotated[int, Field(ge=1, le=MAX_FRAMES)] | None = Field(
        None,
        description="Number of frames of an animation to keep, counted from the first; 1 makes a still image. Default: "
        f"all frames; an animation with more than {MAX_FRAMES:,} is then refused.",
    )
    progressive: bool | None = Field(
        None,
        description="Whether a `jpeg` is progressive: it shows coarsely at first and sharpens as it loads. Other "
        "formats ignore this, and so does an image of more than 100 megapixels. Default: true up to one megapixel, "
        "where it makes the file smaller, otherwise false.",
    )
    background: Color = Field(
        "white",
        description="Color behind transparent areas if the format has no transparency, and around the image with `fit` "
        f"`pad`: {_COLOR_FORMS}.",
    )
    metadata: Metadata = Field(
        "strip",
        description="Metadata to keep. `strip`: none. `copyright`: artist and copyright notice, as EXIF. `keep`: EXIF, "
        "XMP and, in `jpeg`, IPTC, without the GPS position, maker notes and embedded previews. The orientation is "
        "always applied to the pixels and reset. `gif` holds no metadata.",
    )
    gps: Literal["strip", "keep"] = Field(
        "strip",
        description="Whether the GPS position where the image was taken is kept. `keep` needs `metadata` `keep`.",
    )
    profile: Literal["srgb", "keep"] = Field(
        "srgb",
        description="Color profile of the result. `srgb`: colors are converted to sRGB, which every viewer displays "
        "correctly. `keep`: an RGB profile of the source stays embedded and its values unchanged, in `jpeg` and `png` "
        "also a gray one; CMYK is still converted to sRGB. `gif` is always sRGB.",
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Moves these parameters behind an operation's own in schemas and jobs; pydantic lists inherited ones first."""
        super().__pydantic_init_subclass__(**kwargs)
        for name in ImageParams.model_fields:
            cls.model_fields[name] = cls.model_fields.pop(name)

    @model_validator(mode="after")
    def _check_gps(self) -> Self:
        if self.gps == "keep" and self.metadata != "keep":
            raise ValueError("gps 'keep' needs metadata 'keep'")
        return self


class ResizeParams(ImageParams):
    """Scales an image to a width, a height or a box, or crops a region of it."""

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

    width: Side | None = Field(
        None,
        description="Width of the box in pixels. Default: follows from `height` and the aspect ratio. Give `width`, "
        "`height` or both, unless `crop` is given.",
    )
    height: Side | None = Field(
        None,
        description="Height of the box in pixels. Default: follows from `width` and the aspect ratio. Give `width`, "
        "`height` or both, unless `crop` is given.",
    )
    fit: Fit = Field(
        "contain",
        description="How the image fits the box. `contain`: the whole image inside the box, aspect ratio kept. "
        "`inside`: another name for `contain`. `cover`: the box is filled and the excess cropped. `fill`: stretched "
        "to the box. `pad`: the whole image inside the box, the rest filled with `background`. `cover`, `fill` and "
        "`pad` need both `width` and `height`.",
    )
    gravity: Gravity = Field(
        "center",
        description=f"With `fit` `cover`, the part of the image to keep: {_GRAVITY}. With `fit` `pad`, where the image "
        "lies in the box.",
    )
    focal_point: FocalPointParam = None
    crop: CropParam = None
    upscale: bool = Field(
        False,
        description="Whether the image may be enlarged. If not, a box larger than the image shrinks to fit it, with "
        "the same aspect ratio; with `fit` `pad` the box keeps its size and the image keeps its own.",
    )

    @model_validator(mode="after")
    def _check_sides(self) -> Self:
        if self.width is None and self.height is None and self.crop is None:
            raise ValueError("give width, height or both, or a region to crop")
        if self.fit not in ("contain", "inside") and (self.width is None or self.height is None):
            raise ValueError(f"fit '{self.fit}' needs both width and height")
        return self


class ThumbnailParams(ImageParams):
    """Makes a thumbnail of an exact size, cropping what does not fit.

    The image is scaled to fill the box. An image smaller than the box is enlarged.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"width": 300, "height": 300, "format": "webp"},
                {"width": 300, "height": 300, "gravity": "smart"},
            ]
        }
    )

    width: Side = Field(300, description="Width of the thumbnail in pixels.")
    height: Side = Field(300, description="Height of the thumbnail in pixels.")
    gravity: Gravity = Field("center", description=f"The part of the image to keep: {_GRAVITY}.")
    focal_point: FocalPointParam = None
    crop: CropParam = None


class WatermarkParams(ImageParams):
    """Places a text or another uploaded image over an image."""

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
        description="Text to draw, up to 200 characters; line feeds start new lines. Give either `text` or "
        "`image_file_id`. Supported scripts: Arabic, Armenian, Canadian syllabics, Cyrillic, Georgian, Greek, Hebrew, "
        "Lao, Latin, N'Ko, Ogham and Tifinagh, in DejaVu Sans; others if the operator of the service has added fonts.",
    )
    image_file_id: FileId | None = Field(
        None,
        description="The `file_id` of an uploaded image to place over this one. Give either `text` or `image_file_id`.",
    )
    position: Position = Field("bottom_right", description="Where the watermark is placed.")
    opacity: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="Opacity of the watermark: 1 is opaque, values near 0 are almost invisible."
    )
    scale: Annotated[float, Field(ge=0.01, le=1)] = Field(
        0.25,
        description="Width of the watermark as a fraction of the image's width, before `rotation`. Reduced if the "
        "watermark would not fit.",
    )
    font_size: Annotated[float, Field(ge=4, le=2000)] | None = Field(
        None,
        description="Font size of `text` in pixels, used instead of `scale`. Reduced if the text would not fit. "
        "Default: the size follows from `scale`.",
    )
    color: Color = Field("white", description=f"Color of the text: {_COLOR_FORMS}.")
    outline_color: Color = Field("#000000b4", description=f"Color of the outline around the text: {_COLOR_FORMS}.")
    outline: Annotated[float, Field(ge=0, le=0.25)] = Field(
        0.04, description="Width of the outline around the text as a fraction of the font size; 0 for no outline."
    )
    rotation: Annotated[float, Field(ge=-180, le=180)] = Field(
        0, description="Clockwise rotation of the watermark in degrees."
    )
    tile: bool = Field(
        False,
        description="Whether the watermark is repeated over the whole image; `position` then places one of the tiles.",
    )
    tile_gap: Annotated[float, Field(ge=0, le=5)] = Field(
        0.5, description="With `tile`, the gap between tiles as a fraction of the watermark's longer side."
    )
    blend: Blend = Field(
        "normal", description="Blend mode: how the colors of the watermark combine with those of the image."
    )
    margin: Annotated[int, Field(ge=0, le=4096)] = Field(
        16,
        description="Distance from the edges of the image in pixels; at most a quarter of the image's shorter side is "
        "used.",
    )
    quality: Quality = 85
    profile: Literal["srgb"] = Field("srgb", description="Color profile of the result: always sRGB.")

    @model_validator(mode="after")
    def _check_overlay(self) -> Self:
        if (self.text is None) == (self.image_file_id is None):
            raise ValueError("give either text or image_file_id")
        if self.image_file_id is not None and self.font_size is not None:
            raise ValueError("font_size is for text; an image has scale")
        return self
