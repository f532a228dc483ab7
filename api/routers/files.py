"""Uploaded files."""

from fastapi import APIRouter, Response

from api import lookup
from api.deps import FileId
from api.documents import FileDocument
from api.openapi import problems
from api.responses import document
from darkroom.errors import CacheUnavailableError, FileNotFoundInStoreError, InvalidIdError, StorageUnavailableError

router = APIRouter(tags=["files"])


@router.get(
    "/files/{file_id}",
    response_model=FileDocument,
    summary="Ask for a file",
    response_description="What is known of the file.",
    responses=problems(CacheUnavailableError, FileNotFoundInStoreError, InvalidIdError, StorageUnavailableError),
)
async def get_file(file_id: FileId) -> Response:
    """Says what an uploaded file is, that it is still awaited, or why it was rejected."""
    return document(FileDocument(**lookup.file_record(file_id)))
