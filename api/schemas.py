"""What clients send. Unknown fields are refused and nothing is coerced, as everywhere in the contracts."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from api import examples
from darkroom.contracts.audio_params import AudioExtractParams
from darkroom.contracts.base import Contract
from darkroom.contracts.image_params import ResizeParams, ThumbnailParams, WatermarkParams
from darkroom.contracts.operations import PARAMS, Operation
from darkroom.contracts.video_params import VideoCompressParams, VideoMetadataParams, VideoThumbnailParams

#: Characters of a declared media type, parameters included.
_MEDIA_TYPE_LIMIT = 127

#: Jobs that are looked at, each of which may take a request to Redis and to S3: more than ever fit into an upload.
_JOBS_LIMIT = 25


class Request(Contract):
    """Base of what clients send: built at once, since FastAPI asks for it as soon as a route names it."""

    model_config = ConfigDict(defer_build=False)


class ResizeWork(Request):
    """An image in another size."""

    operation: Literal["resize"]
    params: ResizeParams


class ThumbnailWork(Request):
    """A small picture of exact size."""

    operation: Literal["thumbnail"]
    params: ThumbnailParams = ThumbnailParams()


class WatermarkWork(Request):
    """A text or an image laid over an image."""

    operation: Literal["watermark"]
    params: WatermarkParams


class VideoThumbnailWork(Request):
    """Pictures of a video: one frame, several, or a moving preview."""

    operation: Literal["video_thumbnail"]
    params: VideoThumbnailParams = VideoThumbnailParams()


class VideoMetadataWork(Request):
    """What a video, sound or image file is."""

    operation: Literal["video_metadata"]
    params: VideoMetadataParams = VideoMetadataParams()


class VideoCompressWork(Request):
    """A smaller video."""

    operation: Literal["video_compress"]
    params: VideoCompressParams = VideoCompressParams()


class AudioExtractWork(Request):
    """The sound of a video, or a sound file in another format."""

    operation: Literal["audio_extract"]
    params: AudioExtractParams = AudioExtractParams()


AnyWork = (
    ResizeWork
    | ThumbnailWork
    | WatermarkWork
    | VideoThumbnailWork
    | VideoMetadataWork
    | VideoCompressWork
    | AudioExtractWork
)


class OnFile(Request):
    """Names the file to work on."""

    file_id: str = Field(description="The file, as an upload returned it.", examples=[examples.FILE_ID])


class ResizeRequest(ResizeWork, OnFile):
    """Scale an image to a width, a height or a box."""


class ThumbnailRequest(ThumbnailWork, OnFile):
    """Make a small picture of exact size."""


class WatermarkRequest(WatermarkWork, OnFile):
    """Lay a text or an image over an image."""


class VideoThumbnailRequest(VideoThumbnailWork, OnFile):
    """Take pictures out of a video: one frame, several, or a moving preview."""


class VideoMetadataRequest(VideoMetadataWork, OnFile):
    """Say what a video, sound or image file is."""


class VideoCompressRequest(VideoCompressWork, OnFile):
    """Encode a video anew, smaller."""


class AudioExtractRequest(AudioExtractWork, OnFile):
    """Take the sound out of a video, or turn a sound file into another format."""


JobRequest = (
    ResizeRequest
    | ThumbnailRequest
    | WatermarkRequest
    | VideoThumbnailRequest
    | VideoMetadataRequest
    | VideoCompressRequest
    | AudioExtractRequest
)


class UploadRequest(Request):
    """A file that is about to be uploaded, and what shall happen to it then."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.UPLOAD_REQUEST]})

    name: str = Field(min_length=1, max_length=255, description="File name; results are named after it.")
    media_type: str = Field(
        min_length=3,
        max_length=_MEDIA_TYPE_LIMIT,
        pattern=r"^[\x21-\x7e]+(; ?[\x21-\x7e]+)*$",
        description="The Content-Type that the form will send: an image, video or audio type.",
    )
    size_bytes: int | None = Field(
        None, ge=1, description="Size of the file. When it is given, the form takes nothing larger."
    )
    jobs: list[Annotated[AnyWork, Field(discriminator="operation")]] = Field(
        [], max_length=_JOBS_LIMIT, description="Jobs that start by themselves when the upload lands."
    )


def examples_of(operation: Operation) -> list[dict[str, Any]]:
    """Example parameters of an operation."""
    extra = PARAMS[operation].model_config.get("json_schema_extra")
    found = extra.get("examples") if isinstance(extra, dict) else None
    return [example for example in found if isinstance(example, dict)] if isinstance(found, list) else []


def job_examples() -> dict[str, dict[str, Any]]:
    """One request per operation, for the documentation."""
    return {
        operation: {
            "summary": operation,
            "value": {"file_id": examples.FILE_ID, "operation": operation, "params": examples_of(operation)[0]},
        }
        for operation in Operation
    }
