"""The API as one ASGI app, and as the Lambda handler behind API Gateway."""

import asyncio
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from mangum import Mangum
from starlette.exceptions import HTTPException

from api import denials, problems
from api.openapi import openapi_document
from api.preflight import Preflight
from api.rate_limits import RateLimitHeaders
from api.request_log import RequestLog
from api.routers import (
    files,
    health,
    jobs,
    keys,
    operations,
    reference,
    root,
    tenants,
    upload_links,
    uploads,
    usage,
)
from api.security_headers import SecurityHeaders
from darkroom.errors import AccessError, DarkroomError
from darkroom.timeouts import INTERACTIVE, use_timeouts

_DESCRIPTION = """\
Darkroom processes images, video and audio in four steps.

1. **Upload** a file: `POST /upload` for up to 4 MiB, or `POST /uploads` for a form that uploads a larger file directly
   to the object store.
2. **Start a job**: `POST /jobs` with the file, an operation and its parameters. Jobs can also be attached to
   `POST /uploads`; they start when the file has arrived.
3. **Wait**: `GET /jobs/{job_id}?wait=20` responds as soon as the job has ended.
4. **Download**: follow `download_url`, or use `GET /jobs/{job_id}/download`.

`GET /operations` describes the operations. Errors are problem documents (RFC 9457) with a stable `code`. Times are
ISO 8601 in UTC. Identifiers are UUIDs of version 7.

A tenant may have quotas. `GET /usage` shows them, and the headers `RateLimit-Policy` and `RateLimit` what is left. A
request that exceeds one gets 429 with `Retry-After`, or 413 if time does not help.
"""

_TAGS = [
    {"name": "uploads", "description": "Upload files."},
    {"name": "files", "description": "Look up files."},
    {"name": "jobs", "description": "Start jobs, watch them and download their outputs."},
    {"name": "operations", "description": "Look up the operations and their parameters."},
    {"name": "upload links", "description": "Let people without an API key upload files."},
    {"name": "usage", "description": "Look up quotas and how much of them is used."},
    {"name": "tenants", "description": "Manage tenants and their quotas. For admins."},
    {"name": "keys", "description": "Manage the API keys of a tenant. For admins."},
    {"name": "health", "description": "Check the health of the service."},
]

#: Bodies that travel through API Gateway as text; everything else goes as base64.
_TEXT = ["text/", "application/json", "application/javascript", problems.MEDIA_TYPE]


def create_app() -> FastAPI:
    """The app with all its routes."""
    app = FastAPI(
        openapi_url=None,  # the router `reference` has it
        docs_url=None,
        redoc_url=None,
        title="Darkroom",
        summary="Processing of images, video and audio: upload a file, start a job, download the result.",
        description=_DESCRIPTION,
        version=root.VERSION,
        openapi_tags=_TAGS,
        license_info={"name": "MIT", "identifier": "MIT"},
        generate_unique_id_function=lambda route: route.name,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.add_middleware(Preflight)
    app.add_middleware(RequestLog)
    app.add_middleware(RateLimitHeaders)
    app.add_middleware(SecurityHeaders)  # around the log, which responds to unhandled exceptions
    app.add_exception_handler(AccessError, denials.on_access_error)
    app.add_exception_handler(DarkroomError, problems.on_darkroom_error)
    app.add_exception_handler(RequestValidationError, problems.on_validation_error)
    app.add_exception_handler(HTTPException, problems.on_http_error)
    for resource in (root, reference, uploads, files, jobs, operations, upload_links, usage, tenants, keys, health):
        app.include_router(resource.router)
    app.mount("/docs-assets", reference.ReferenceFiles())
    app.openapi = lambda: openapi_document(app)  # type: ignore[method-assign]
    return app


app = create_app()
asyncio.set_event_loop(asyncio.new_event_loop())  # Mangum uses the current one, which newer Pythons do not create
_mangum = Mangum(app, lifespan="off", text_mime_types=_TEXT)


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handles one request from API Gateway. The limits are set before the first one makes a client."""
    use_timeouts(INTERACTIVE)
    response: dict[str, Any] = _mangum(event, context)
    return response
