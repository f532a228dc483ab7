"""The operations: their names, parameters and the kinds of media they accept."""

from enum import StrEnum
from typing import Any

from pydantic import ValidationError

from darkroom.contracts.audio_params import AudioExtractParams
from darkroom.contracts.base import MediaKind, explain
from darkroom.contracts.image_params import ResizeParams, ThumbnailParams, WatermarkParams
from darkroom.contracts.video_params import VideoCompressParams, VideoMetadataParams, VideoThumbnailParams
from darkroom.errors import InvalidRequestError


class Operation(StrEnum):
    """The seven operations. The value is the one word for it everywhere: folder, queue, function, metric, log field."""

    RESIZE = "resize"
    THUMBNAIL = "thumbnail"
    WATERMARK = "watermark"
    VIDEO_THUMBNAIL = "video_thumbnail"
    VIDEO_METADATA = "video_metadata"
    VIDEO_COMPRESS = "video_compress"
    AUDIO_EXTRACT = "audio_extract"


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
