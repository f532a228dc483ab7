"""Uploaded files."""

from fastapi import APIRouter, Response

from api import file_records
from api.openapi import problem_responses
from api.parameters import FileIdInPath
from api.principals import GuardedRoute, ReaderOrLink
from api.response_models import FileDetails
from api.responses import json_response
from darkroom.errors import CacheUnavailableError, FileNotFoundInStoreError, InvalidIdError, StorageUnavailableError

router = APIRouter(tags=["files"], route_class=GuardedRoute)


@router.get(
    "/files/{file_id}",
    response_model=FileDetails,
    summary="Get a file",
    response_description="The file.",
    responses=problem_responses(
        CacheUnavailableError, FileNotFoundInStoreError, InvalidIdError, StorageUnavailableError
    ),
)
async def get_file(file_id: FileIdInPath, principal: ReaderOrLink) -> Response:
    """Returns the status of a file: still awaited, ready with its media type, or rejected with the reason."""
    return json_response(FileDetails(**file_records.find_file_record(principal.tenant, file_id, principal.link_id)))
