"""What routes take from a request besides their own parameters.

Routes are `async def` although they block: a Lambda environment serves one request at a time, so a thread pool would
cost CPU and give nothing.
"""

from typing import Annotated

from fastapi import Depends, Header, Path, Request

from api import examples
from darkroom import ids

_JobIdText = Annotated[str, Path(description="The job's identifier.", examples=[examples.JOB_ID])]
_FileIdText = Annotated[str, Path(description="The file's identifier.", examples=[examples.FILE_ID])]


async def _job_id(job_id: _JobIdText) -> str:
    return ids.parse_id(job_id)


async def _file_id(file_id: _FileIdText) -> str:
    return ids.parse_id(file_id)


async def _traceparent(
    request: Request,
    traceparent: Annotated[
        str | None, Header(description="W3C trace context to continue: the job's log lines carry its trace id.")
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
        description="Send the same key with a repeated request, and it has its effect once: for at least 24 hours the "
        "same identifiers come back. The same key with another request is refused.",
    ),
]
JobId = Annotated[str, Depends(_job_id)]
FileId = Annotated[str, Depends(_file_id)]
Traceparent = Annotated[str, Depends(_traceparent)]
