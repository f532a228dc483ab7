"""Parameters that several routes share: identifiers in the path, headers.

Routes are `async def` although they block: a Lambda environment serves one request at a time, so a thread pool would
cost CPU and gain nothing.
"""

from typing import Annotated

from fastapi import Depends, Header, Path, Request

from api import examples
from darkroom import ids

_JobIdText = Annotated[str, Path(description="Identifier of the job.", examples=[examples.JOB_ID])]
_FileIdText = Annotated[str, Path(description="Identifier of the file.", examples=[examples.FILE_ID])]


async def _job_id(job_id: _JobIdText) -> str:
    return ids.parse_id(job_id)


async def _file_id(file_id: _FileIdText) -> str:
    return ids.parse_id(file_id)


async def _traceparent(
    request: Request,
    traceparent: Annotated[
        str | None,
        Header(
            description="W3C trace context to continue. The log lines of this request carry its trace id, and so do "
            "those of the job that the request starts. Default: a new trace."
        ),
    ] = None,
) -> str:
    del traceparent  # declared for the documentation; the request log has read it already
    return str(request.state.traceparent)


IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="Any unique text. A repeated request with the same key takes effect once and returns the same "
        "identifiers, for at least 24 hours. The same key with a different request is refused. Use it to retry safely.",
    ),
]
JobIdInPath = Annotated[str, Depends(_job_id)]
FileIdInPath = Annotated[str, Depends(_file_id)]
Traceparent = Annotated[str, Depends(_traceparent)]
TenantInPath = Annotated[str, Path(description="Name of the tenant.", examples=["acme"])]
KeyIdInPath = Annotated[str, Path(description="Identifier of the key.", examples=[examples.KEY_ID])]
