"""The root: what the service is and where to go. A page for browsers, JSON for other clients.

Like /docs, it is not in the OpenAPI document, because it only leads to the documentation.
"""

import re
from functools import lru_cache
from html import escape
from string import Template

from fastapi import APIRouter, Request, Response
from pydantic import Field

from api.pages import policy_of, read_page
from api.response_models import ResponseModel
from api.responses import json_response
from darkroom.contracts.operations import Operation

VERSION = "0.1.0"

_SUMMARY = (
    "Darkroom is a service that processes images, video and audio. "
    "You upload a file, start a job such as a thumbnail or a smaller video, and download the result."
)

_PAGE = "landing.html"

router = APIRouter()


class ServiceIndex(ResponseModel):
    """What the service is and where to go."""

    name: str = "Darkroom"
    version: str = VERSION
    summary: str = _SUMMARY
    links: dict[str, str] = Field(description="Paths of the documentation and of the first resources to look at.")


@router.get("/", include_in_schema=False)
async def get_root(request: Request) -> Response:
    """The page if the client prefers HTML to JSON, as browsers do; otherwise JSON."""
    root = request.scope.get("root_path", "")
    if _prefers_html(request.headers.get("accept", "")):
        response = _page_response(root, str(request.base_url).rstrip("/"))
    else:
        paths = {"documentation": "/docs", "openapi": "/openapi.json", "operations": "/operations", "health": "/health"}
        response = json_response(ServiceIndex(links={name: root + path for name, path in paths.items()}))
    response.headers["Vary"] = "Accept"
    return response


def _prefers_html(accept: str) -> bool:
    return _quality(accept, "text/html") > _quality(accept, "application/json")


def _quality(accept: str, media_type: str) -> float:
    """The weight of a media type in an Accept header (RFC 9110, section 12.5.1), 0 if it is not named."""
    for entry in accept.lower().split(","):
        name, *parameters = (part.strip() for part in entry.split(";"))
        if name == media_type:
            weights = [text.removeprefix("q=") for text in parameters if text.startswith("q=")]
            return float(weights[0]) if weights and re.fullmatch(r"[01](\.\d{0,3})?", weights[0]) else 1.0
    return 0.0


def _page_response(root: str, url: str) -> Response:
    html = _page().substitute(root=escape(root), url=escape(url))
    headers = {"Content-Security-Policy": policy_of(_PAGE, img="data:")}
    return Response(html, headers=headers, media_type="text/html; charset=utf-8")


@lru_cache(maxsize=1)
def _page() -> Template:
    """The page, with only the addresses missing."""
    operations = "\n".join(
        f"<dt><code>{operation}</code></dt><dd>{escape(operation.summary)}</dd>" for operation in Operation
    )
    filled = Template(read_page(_PAGE)).safe_substitute(summary=_SUMMARY, version=VERSION, operations=operations)
    return Template(filled)
