"""Sizes, boxes and places on a picture. Pure arithmetic; every length is in pixels, every size at least 1 x 1."""

from typing import Literal, NamedTuple

from darkroom.contracts import Position


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


class Plan(NamedTuple):
    """How to get a result: scale the picture to `scaled`, then cut `crop` out of its middle."""

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
    """The box filled, the overhang cut off on both sides alike. Without `upscale` the box shrinks into the image."""
    box = box if upscale else box.shrunk_into(image)
    size = image.scaled(max(box.width / image.width, box.height / image.height))
    return Plan(Size(max(size.width, box.width), max(size.height, box.height)), box)


def fill(image: Size, box: Size, *, upscale: bool) -> Plan:
    """The image stretched to the box. Without `upscale` the box shrinks into the image."""
    box = box if upscale else box.shrunk_into(image)
    return Plan(box, box)


def place(canvas: Size, item: Size, position: Position, margin: int) -> tuple[int, int]:
    """Left and top of `item` on `canvas`, so that `margin` lies between it and the edges it is nearest to."""
    column = _part(position, "left", "right")
    row = _part(position, "top", "bottom")
    return (
        _offset(canvas.width - item.width, column, margin),
        _offset(canvas.height - item.height, row, margin),
    )


def _part(position: Position, start: str, end: str) -> Literal["start", "middle", "end"]:
    words = position.split("_")
    if start in words:
        return "start"
    return "end" if end in words else "middle"


def _offset(room: int, part: Literal["start", "middle", "end"], margin: int) -> int:
    if part == "middle":
        return room // 2
    return margin if part == "start" else room - margin
