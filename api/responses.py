"""Documents as responses. They are written straight from their model: validating them again would tell nothing new."""

from fastapi import Response
from pydantic import BaseModel

#: What is said of a job or a file is true for a moment only.
_HEADERS = {"Cache-Control": "no-store"}


def document(body: BaseModel, status: int = 200, *, location: str | None = None) -> Response:
    """The model as JSON. `location` is where the thing that was made can be asked for."""
    headers = _HEADERS if location is None else _HEADERS | {"Location": location}
    return Response(body.model_dump_json(), status, headers, "application/json")
