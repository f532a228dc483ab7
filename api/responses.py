"""Models as JSON responses. They are serialized directly, since FastAPI would validate them a second time."""

from fastapi import Response
from pydantic import BaseModel


def json_response(body: BaseModel, status: int = 200, *, location: str | None = None) -> Response:
    """The model as JSON. `location` is the path of the resource that was created."""
    headers = None if location is None else {"Location": location}
    return Response(body.model_dump_json(), status, headers, "application/json")
