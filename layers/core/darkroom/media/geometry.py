"""Sizes, boxes and places on a picture. Pure arithmetic; every length is in pixels, every size at least 1 x 1."""

from typing import Literal, NamedTuple

from darkroom.contracts.image_params import FocalPoint, Position, Region
from darkroom.errors import InvalidRequestError


class Size(NamedTuple):
    """Width and height."""

    width: int
    height: int

    @property
    def pixels(self) -> int:
        """How many there are."""
        return self.width * self.height

    def scaled(self, factor: float) -> "Size":
        """This size times `factor`, rounded."""
        return Size(max(1, round(self.width * factor)), max(1, round(self.height * factor)))

    def shrunk_into(self, box: "Size") -> "Size":
        """This size, smaller where it does not fit into `box`, its shape kept."""
        factor = min(1.0, box.width / self.width, box.height / self.height)
        size = self.scaled(factor)
        return Size(min(size.width, box.width), min(size.height, box.height))


class Box(NamedTuple):
    """A part of a picture: its left and top edge, and its size."""

    left: int
    top: int
    width: int
    height: int

    @property
    def size(self) -> Size:
        """Without its place."""
        return Size(self.width, self.height)


class Plan(NamedTuple):
    """How to get a result: scale the picture to `scaled`, then make it `crop` large by cutting off or filling up."""

    scaled: Size
    crop: Size


def contain(image: Size, width: int | None, height: int | None, *, upscale: bool) -> Plan:
    """The whole image inside a box of which one side may be open."""
    factors = [] if width is None else [width / image.width]
    if height is not None:
        factors.append(height / image.height)
    factor = min(factors)
    size = image.scaled(factor if upscale else min(factor, 1.0))
    # Rounding must not push a side out of its box.
    size = Size(min(size.width, width or size.width), min(size.height, height or size.height))
    return Plan(size, size)


def cover(image: Size, box: Size, *, upscale: bool) -> Plan:
    """The box filled, the overhang to be cut off. Without `upscale` the box shrinks into the image."""
    box = box if upscale else box.shrunk_into(image)
    size = image.scaled(max(box.width / image.width, box.height / image.height))
    return Plan(Size(max(size.width, box.width), max(size.height, box.height)), box)


def fill(image: Size, box: Size, *, upscale: bool) -> Plan:
    """The image stretched to the box. Without `upscale` the box shrinks into the image."""
    box = box if upscale else box.shrunk_into(image)
    return Plan(box, box)


def pad(image: Size, box: Size, *, upscale: bool) -> Plan:
    """The whole image inside the box, which is to be filled up around it."""
    return Plan(contain(image, *box, upscale=upscale).scaled, box)


def place(canvas: Size, item: Size, position: Position, margin: int) -> tuple[int, int]:
    """Left and top of `item` on `canvas`, so that `margin` lies between it and the edges it is nearest to."""
    column = _part(position, "left", "right")
    row = _part(position, "top", "bottom")
    return (
        _offset(canvas.width - item.width, column, margin),
        _offset(canvas.height - item.height, row, margin),
    )


def around(point: FocalPoint, image: Size, crop: Size) -> tuple[int, int]:
    """Left and top of the part of this size that has the point as near to its middle as the image allows."""
    left = round(point.x * image.width - crop.width / 2)
    top = round(point.y * image.height - crop.height / 2)
    return min(max(left, 0), image.width - crop.width), min(max(top, 0), image.height - crop.height)


def part(region: Region, image: Size) -> Box:
    """A region in pixels of this image. Raises InvalidRequestError when it is not inside."""
    across, down = (image.width, image.height) if region.unit == "fraction" else (1, 1)
    left, top = round(region.left * across), round(region.top * down)
    box = Box(left, top, max(1, round(region.width * across)), max(1, round(region.height * down)))
    if region.unit == "fraction":  # rounding must not push it out
        left, top = min(left, image.width - 1), min(top, image.height - 1)
        box = Box(left, top, min(box.width, image.width - left), min(box.height, image.height - top))
    if box.left + box.width > image.width or box.top + box.height > image.height:
        raise InvalidRequestError(
            f"crop: the region ends at {box.left + box.width:,} x {box.top + box.height:,}, "
            f"but the image has only {image.width:,} x {image.height:,} pixels."
        )
    return box


def source_of(box: Box, scaled: Size, image: Size, *, reach: int) -> Box:
    """The part of `image` of which a part of it is made once it is `scaled`, and `reach` pixels around."""

    def span(start: int, length: int, scaled_side: int, side: int) -> tuple[int, int]:
        first = max(0, start * side // scaled_side - reach)
        return first, min(side, -(-(start + length) * side // scaled_side) + reach) - first

    left, width = span(box.left, box.width, scaled.width, image.width)
    top, height = span(box.top, box.height, scaled.height, image.height)
    return Box(left, top, width, height)


def stored(box: Box, image: Size, orientation: int) -> Box:
    """Where a part of the upright image (of size `image`) lies in the picture as it is stored, turned by EXIF."""
    left, top, width, height = box
    right, bottom = image.width - left - width, image.height - top - height
    places = {
        2: (right, top),
        3: (right, bottom),
        4: (left, bottom),
        5: (top, left),
        6: (top, right),
        7: (bottom, right),
        8: (bottom, left),
    }
    at = places.get(orientation, (left, top))
    return Box(*at, height, width) if orientation in SIDEWAYS else Box(*at, width, height)


#: EXIF orientations that lay a picture on its side.
SIDEWAYS = range(5, 9)


def _part(position: Position, start: str, end: str) -> Literal["start", "middle", "end"]:
    words = position.split("_")
    if start in words:
        return "start"
    return "end" if end in words else "middle"


def _offset(room: int, part: Literal["start", "middle", "end"], margin: int) -> int:
    if part == "middle":
        return room // 2
    return margin if part == "start" else room - margin
