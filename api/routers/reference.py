"""The interactive reference at /docs: Swagger UI, which loads everything from this API and from no other host.

Like the root, it is not in the OpenAPI document.
"""

from pathlib import Path
from typing import Any

import fastapi_offline
from fastapi import APIRouter, Response
from fastapi.staticfiles import StaticFiles

from api.pages import policy_of, read_page

_PAGE = "docs.html"

router = APIRouter()


class ReferenceFiles(StaticFiles):
    """The files of Swagger UI. They change with a deployment only."""

    def __init__(self) -> None:
        super().__init__(directory=Path(fastapi_offline.__file__).parent / "static")

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """The file, which browsers keep for a day."""
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "public, max-age=86400"
        return response


@router.get("/docs", include_in_schema=False)
async def get_reference() -> Response:
    """The page. Its addresses are relative, so that it works under any path."""
    policy = policy_of(_PAGE, connect="'self'", img="'self' data:", script="'self'", style="'self'")
    return Response(
        read_page(_PAGE), headers={"Content-Security-Policy": policy}, media_type="text/html; charset=utf-8"
    )
