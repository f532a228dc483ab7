"""Uploaded files."""

from fastapi import APIRouter, Response

from api import lookup
from api.deps import FileId
from api.documents import FileDocument
from api.problems import responses
from darkroom.errors import CacheUnavailableError, FileNotFoundInStoreError, InvalidIdError, StorageUnavailableError

router = APIRouter(tags=["files"])


@router.get(
    "/files/{file_id}",
    response_model=FileDocument,
    summary="Ask for a file",
    responses=responses(CacheUnavailableError, FileNotFoundInStoreError, InvalidIdError, StorageUnavailableError),
)
async def get_file(file_id: FileId) -> Response:
    """Says what an uploaded file is, that it is still awaited, or why it was rejected."""
    document = FileDocument(**lookup.file_record(file_id))
    return Response(document.model_dump_json(), media_type="application/json")
