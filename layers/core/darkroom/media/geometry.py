"""Sizes, boxes and positions on an image. Pure arithmetic: lengths are in pixels, and a size is at least 1 x 1."""

from typing import Literal, NamedTuple

from darkroom.contracts.image_params import FocalPoint, Position, Region
from darkroom.errors import InvalidRequestError

#: EXIF orientations that swap width and height.
SIDEWAYS_ORIENTATIONS = range(5, 9)


class Size(NamedTuple):
    """Width and height."""

    width: int
    height: int

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return self.width * self.height

    def scale(self, factor: float) -> "Size":
        """This size times `factor`, rounded."""
        return Size(max(1, round(self.width * factor)), max(1, round(self.height * factor)))

    def shrink_into(self, box: "Size") -> "Size":
        """This size, reduced with its aspect ratio if it does not fit into `box`."""
        factor = min(1.0, box.width / self.width, box.height / self.height)
        size = self.scale(factor)
        return Size(min(size.width, box.width), min(size.height, box.height))


class Box(NamedTuple):
    """A rectangle in an image: its left and top edge, and its size."""

    left: int
    top: int
    width: int
    height: int

    @property
    def size(self) -> Size:
        """Its width and height."""
        return Size(self.width, self.height)


class ResizePlan(NamedTuple):
    """Two steps: scale the image to `scaled_size`, then crop or pad it to `result_size`."""

    scaled_size: Size
    result_size: Size


def plan_contain(image: Size, width: int | None, height: int | None, *, upscale: bool) -> ResizePlan:
    """The whole image inside a box. One of `width` and `height` may be None."""
    factors = [] if width is None else [width / image.width]
    if height is not None:
        factors.append(height / image.height)
    factor = min(factors)
    size = image.scale(factor if upscale else min(factor, 1.0))
    # Rounding must not make a side larger than its box.
    size = Size(min(size.width, width or size.width), min(size.height, height or size.height))
    return ResizePlan(size, size)


def plan_cover(image: Size, box: Size, *, upscale: bool) -> ResizePlan:
    """The box filled and the overhang cropped. Without `upscale` the box shrinks to fit into the image."""
    box = box if upscale else box.shrink_into(image)
    size = image.scale(max(box.width / image.width, box.height / image.height))
    return ResizePlan(Size(max(size.width, box.width), max(size.height, box.height)), box)


def plan_fill(image: Size, box: Size, *, upscale: bool) -> ResizePlan:
    """The image stretched to the box. Without `upscale` the box shrinks to fit into the image."""
    box = box if upscale else box.shrink_into(image)
    return ResizePlan(box, box)


def plan_pad(image: Size, box: Size, *, upscale: bool) -> ResizePlan:
    """The whole image inside the box, and the rest of the box padded."""
    return ResizePlan(plan_contain(image, *box, upscale=upscale).scaled_size, box)


def align(canvas: Size, item: Size, position: Position, margin: int) -> tuple[int, int]:
    """Left and top of `item` on `canvas`; `margin` is its distance to the edges that `position` names."""
    column = _alignment(position, "left", "right")
    row = _alignment(position, "top", "bottom")
    return (
        _offset(canvas.width - item.width, column, margin),
        _offset(canvas.height - item.height, row, margin),
    )


def center_on(point: FocalPoint, image: Size, crop: Size) -> tuple[int, int]:
    """Left and top of a crop of this size with `point` as near to its center as the image allows."""
    left = round(point.x * image.width - crop.width / 2)
    top = round(point.y * image.height - crop.height / 2)
    return min(max(left, 0), image.width - crop.width), min(max(top, 0), image.height - crop.height)


def resolve_region(region: Region, image: Size) -> Box:
    """A region in pixels of this image. Raises InvalidRequestError if it extends beyond the image."""
    across, down = (image.width, image.height) if region.unit == "fraction" else (1, 1)
    left, top = round(region.left * across), round(region.top * down)
    box = Box(left, top, max(1, round(region.width * across)), max(1, round(region.height * down)))
    if region.unit == "fraction":  # rounding must not move it beyond the edges
        left, top = min(left, image.width - 1), min(top, image.height - 1)
        box = Box(left, top, min(box.width, image.width - left), min(box.height, image.height - top))
    if box.left + box.width > image.width or box.top + box.height > image.height:
        raise InvalidRequestError(
            f"crop: the region ends at {box.left + box.width:,} x {box.top + box.height:,}, "
            f"but the image has only {image.width:,} x {image.height:,} pixels."
        )
    return box


def source_box(box: Box, scaled: Size, image: Size, *, margin: int) -> Box:
    """The part of `image` that determines `box` after scaling to `scaled`, and `margin` pixels around it."""

    def span(start: int, length: int, scaled_side: int, side: int) -> tuple[int, int]:
        first = max(0, start * side // scaled_side - margin)
        return first, min(side, -(-(start + length) * side // scaled_side) + margin) - first

    left, width = span(box.left, box.width, scaled.width, image.width)
    top, height = span(box.top, box.height, scaled.height, image.height)
    return Box(left, top, width, height)


def stored_box(box: Box, image: Size, orientation: int) -> Box:
    """Where `box` of the upright image (of size `image`) lies in the stored image, before EXIF orientation."""
    left, top, width, height = box
    right, bottom = image.width - left - width, image.height - top - height
    corners = {
        2: (right, top),
        3: (right, bottom),
        4: (left, bottom),
        5: (top, left),
        6: (top, right),
        7: (bottom, right),
        8: (bottom, left),
    }
    corner = corners.get(orientation, (left, top))
    return Box(*corner, height, width) if orientation in SIDEWAYS_ORIENTATIONS else Box(*corner, width, height)


def _alignment(position: Position, start: str, end: str) -> Literal["start", "middle", "end"]:
    words = position.split("_")
    if start in words:
        return "start"
    return "end" if end in words else "middle"


def _offset(room: int, alignment: Literal["start", "middle", "end"], margin: int) -> int:
    if alignment == "middle":
        return room // 2
    return margin if alignment == "start" else room - margin
