"""The reference: the OpenAPI document, and Swagger UI at /docs, which loads everything from this API.

Like the root, they are not in the document. They are public unless the deployment asks for credentials there, too.
"""

from pathlib import Path
from typing import Any

import fastapi_offline
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles

from api.pages import policy_of, read_page
from api.principals import refuse_denied

_PAGE = "docs.html"

router = APIRouter(include_in_schema=False, dependencies=[Depends(refuse_denied)])


class ReferenceFiles(StaticFiles):
    """The files of Swagger UI. They change with a deployment only."""

    def __init__(self) -> None:
        super().__init__(directory=Path(fastapi_offline.__file__).parent / "static")

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """The file, which browsers keep for a day."""
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "public, max-age=86400"
        return response


@router.get("/openapi.json")
async def get_openapi(request: Request) -> Response:
    """The OpenAPI document, with the path under which the API is, if it is not the root."""
    root = request.scope.get("root_path", "").rstrip("/")
    return JSONResponse(request.app.openapi() | ({"servers": [{"url": root}]} if root else {}))


@router.get("/docs")
async def get_reference() -> Response:
    """The page. Its addresses are relative, so that it works under any path."""
    policy = policy_of(_PAGE, connect="'self'", img="'self' data:", script="'self'", style="'self'")
    return Response(
        read_page(_PAGE), headers={"Content-Security-Policy": policy}, media_type="text/html; charset=utf-8"
    )
