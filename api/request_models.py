"""What clients send. Unknown fields are refused and nothing is coerced, as in every contract."""

from functools import cache
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    Strict,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from api import examples
from darkroom.contracts.base import Contract, Params
from darkroom.contracts.jobs import Priority, is_normal
from darkroom.contracts.operations import Operation

#: Characters of a declared media type, parameters included.
_MEDIA_TYPE_LIMIT = 127

#: Most jobs of one upload, because checking each may take a request to Redis and one to S3. The metadata of an upload
#: holds fewer.
JOBS_LIMIT = 25


class RequestBody(Contract):
    """Base of what clients send. Built at once, since FastAPI needs the schema as soon as a route names the model."""

    model_config = ConfigDict(defer_build=False)


def _parse(raw: Any, info: ValidationInfo) -> Params:
    """The parameters, by the model of the operation named beside them, whose errors become errors of this field."""
    operation: Operation | None = info.data.get("operation")
    return Params() if operation is None else operation.params.model_validate(raw)


class AttachedJobRequest(RequestBody):
    """A job to start as soon as the upload has arrived: an operation and its parameters."""

    operation: Annotated[Operation, Strict(False)] = Field(description="The operation.")
    params: Annotated[SerializeAsAny[Params], BeforeValidator(_parse)] = Field(
        description="Parameters of the operation."
    )
    priority: Priority = Field(
        "normal",
        exclude_if=is_normal,
        description="`batch` for a job that may wait: it starts when no normal job of the same operation is waiting.",
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in_params(cls, raw: Any) -> Any:
        """Without `params` the defaults apply, if every parameter of the operation has one."""
        if isinstance(raw, dict) and "params" not in raw:
            name = raw.get("operation")
            if any(operation == name and not needs_params(operation) for operation in Operation):
                return raw | {"params": {}}
        return raw


class _OnFile(RequestBody):
    file_id: str = Field(description="Identifier of an uploaded file.", examples=[examples.FILE_ID])


class JobRequest(AttachedJobRequest, _OnFile):  # in this order, because pydantic puts the fields of the last base first
    """A job to start on an uploaded file: the file, an operation and its parameters."""


class UploadRequest(RequestBody):
    """A file to upload, and the jobs to start when it has arrived."""

    model_config = ConfigDict(json_schema_extra={"examples": [examples.UPLOAD_REQUEST]})

    name: str = Field(min_length=1, max_length=255, description="File name; results are named after it.")
    media_type: str = Field(
        min_length=3,
        max_length=_MEDIA_TYPE_LIMIT,
        pattern=r"^[\x21-\x7e]+(; ?[\x21-\x7e]+)*$",
        description="Content-Type of the file: an image, video or audio type. The form refuses any other.",
    )
    size_bytes: int | None = Field(
        None,
        ge=1,
        description="Size of the file in bytes. If given, the form refuses a larger file. Default: unknown; the form "
        "accepts files up to the service's limit.",
    )
    jobs: list[AttachedJobRequest] = Field(
        [], max_length=JOBS_LIMIT, description="Jobs to start as soon as the file has arrived."
    )


@cache
def needs_params(operation: Operation) -> bool:
    """Whether a request for the operation must give parameters."""
    try:
        operation.params()
    except ValidationError:
        return True
    return False


def examples_of(operation: Operation) -> list[dict[str, Any]]:
    """Example parameters of an operation."""
    extra = operation.params.model_config.get("json_schema_extra")
    found = extra.get("examples") if isinstance(extra, dict) else None
    return [example for example in found if isinstance(example, dict)] if isinstance(found, list) else []


def job_examples() -> dict[str, dict[str, Any]]:
    """A request for each operation, for the API's documentation."""
    found: dict[str, dict[str, Any]] = {}
    for operation in Operation:
        params = next(iter(examples_of(operation)), {})
        request = {"file_id": examples.FILE_ID, "operation": operation, "params": params}
        found[operation] = {"summary": operation.summary, "value": request}
    return found
