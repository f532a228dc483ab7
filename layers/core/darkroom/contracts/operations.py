"""The registry of operations. One entry defines an operation; its queue, limits and API schema are derived from it."""

from enum import StrEnum
from typing import Any, Self

from pydantic import ValidationError

from darkroom.contracts.audio_params import AudioExtractParams
from darkroom.contracts.base import MediaKind, Params, validation_message
from darkroom.contracts.image_params import ResizeParams, ThumbnailParams, WatermarkParams
from darkroom.contracts.video_params import VideoCompressParams, VideoMetadataParams, VideoThumbnailParams
from darkroom.errors import InvalidRequestError


class Concurrency(StrEnum):
    """Which setting limits how many runs of an operation are in flight. The value is its name in `config.Settings`."""

    IMAGE = "in_flight_image"
    VIDEO = "in_flight_video"


class Operation(StrEnum):
    """What a job does to its file."""

    # One entry per operation: its name, its parameters, the kinds of media it accepts, its class of concurrency.
    # The name is the one word for the operation everywhere: folder, queue, function, metric, log field.

    RESIZE = "resize", ResizeParams, {MediaKind.IMAGE}, Concurrency.IMAGE
    THUMBNAIL = "thumbnail", ThumbnailParams, {MediaKind.IMAGE}, Concurrency.IMAGE
    WATERMARK = "watermark", WatermarkParams, {MediaKind.IMAGE}, Concurrency.IMAGE
    VIDEO_THUMBNAIL = "video_thumbnail", VideoThumbnailParams, {MediaKind.VIDEO}, Concurrency.VIDEO
    VIDEO_METADATA = "video_metadata", VideoMetadataParams, set(MediaKind), Concurrency.VIDEO
    VIDEO_COMPRESS = "video_compress", VideoCompressParams, {MediaKind.VIDEO}, Concurrency.VIDEO
    AUDIO_EXTRACT = "audio_extract", AudioExtractParams, {MediaKind.VIDEO, MediaKind.AUDIO}, Concurrency.VIDEO

    params: type[Params]
    accepts: frozenset[MediaKind]
    concurrency: Concurrency

    def __new__(cls, name: str, params: type[Params], accepts: set[MediaKind], concurrency: Concurrency) -> Self:
        """Makes an entry from its four parts."""
        operation = str.__new__(cls, name)
        operation._value_ = name
        operation.params = params
        operation.accepts = frozenset(accepts)
        operation.concurrency = concurrency
        return operation

    def __init__(self, _name: str, *_entry: object) -> None:
        """Does nothing. Type checkers read this signature for the lookup of an entry, `Operation("resize")`."""

    @property
    def summary(self) -> str:
        """What the operation does, in one sentence: the first line of its parameters' docstring."""
        return (self.params.__doc__ or "").partition("\n")[0]


def parse_params(operation: Operation, raw: Any) -> Params:
    """`raw` as the operation's parameters. Raises InvalidRequestError, which names every field that is wrong."""
    try:
        return operation.params.model_validate(raw)
    except ValidationError as error:
        raise InvalidRequestError(f"{operation}: {validation_message(error)}") from error


def with_defaults(params: Params) -> dict[str, Any]:
    """Parameters as a job stores them: with their defaults, so that a later default does not change an old job."""
    return params.model_dump(mode="json", exclude_none=True)
