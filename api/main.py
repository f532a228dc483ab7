"""The API as one ASGI app, and as the Lambda handler behind API Gateway."""

import asyncio

from fastapi import FastAPI, Response
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from mangum import Mangum
from starlette.exceptions import HTTPException

from api import problems
from api.access import RequestLog
from api.openapi import describe
from api.routers import files, health, jobs, operations, uploads
from darkroom.errors import DarkroomError

_DESCRIPTION = """\
Darkroom works on images, video and sound.

1. **Upload**: `POST /upload` for a small file, `POST /uploads` for a form that sends one of any size to the store.
2. **Ask**: `POST /jobs` with the file, an operation and its parameters, or attach `jobs` to the upload.
3. **Watch**: `GET /jobs/{job_id}?wait=20` answers when the job has ended.
4. **Fetch**: follow `download_url`, or `GET /jobs/{job_id}/download`.

`GET /operations` lists what can be done. Every error is a problem document (RFC 9457) with a stable `code`.
Times are ISO 8601 in UTC; identifiers are UUIDs of version 7.
"""

_TAGS = [
    {"name": "uploads", "description": "Bring files in."},
    {"name": "files", "description": "What a file is."},
    {"name": "jobs", "description": "Work on a file, from the request to the result."},
    {"name": "operations", "description": "What can be done."},
    {"name": "health", "description": "Whether everything answers."},
]

#: Bodies that travel through API Gateway as text; everything else goes as base64.
_TEXT = ["text/", "application/json", "application/javascript", problems.MEDIA_TYPE]


def create_app() -> FastAPI:
    """The app with all its routes. The pages at /docs bring their own scripts: no other host is asked."""
    app: FastAPI = FastAPIOffline(
        docs_url="/docs",
        redoc_url=None,
        static_url="/docs-assets",
        title="Darkroom",
        summary="Media processing: upload, ask, fetch.",
        description=_DESCRIPTION,
        version="0.1.0",
        openapi_tags=_TAGS,
        license_info={"name": "MIT", "identifier": "MIT"},
        generate_unique_id_function=lambda route: route.name,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.add_middleware(RequestLog)
    app.add_exception_handler(DarkroomError, problems.on_darkroom_error)
    app.add_exception_handler(RequestValidationError, problems.on_validation_error)
    app.add_exception_handler(HTTPException, problems.on_http_error)
    for resource in (uploads, files, jobs, operations, health):
        app.include_router(resource.router)
    app.add_api_route("/", _to_documentation, include_in_schema=False)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
    return app


async def _to_documentation() -> Response:
    return Response(status_code=307, headers={"Location": "docs"})


app = create_app()
asyncio.set_event_loop(asyncio.new_event_loop())  # Mangum asks for the current one, which newer Pythons do not make
handler = Mangum(app, lifespan="off", text_mime_types=_TEXT)
