"""The file that a run works on, as an operation sees it: read whole, from disk or through a presigned link."""

import shutil
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO

from darkroom.config import settings
from darkroom.errors import FileNotFoundInStoreError, SourceReplacedError
from darkroom.jobs import uploads
from darkroom.media.sniff import HEAD_BYTES
from darkroom.media.task import Source
from darkroom.media.types import MediaType
from darkroom.services import s3

#: Files up to this size are fetched whole even where parts would do: one request instead of several.
WHOLE_FILE_BYTES = 8 * 1024 * 1024

_COPY_BYTES = 1024 * 1024


@dataclass
class StoredSource(Source):
    """A file in the bucket, fetched with one request: the head identifies it, the same response carries the rest.

    The stream is closed with `stack`; a copy on disk lies in `directory`.
    """

    tenant: str
    file_id: str
    directory: Path
    stack: ExitStack
    _path: Path | None = field(default=None, init=False)
    _linked: bool = field(default=False, init=False)

    @cached_property
    def _opened(self) -> tuple[s3.Head, IO[bytes]]:
        opened = s3.open_stream(uploads.key_of(self.tenant, self.file_id), HEAD_BYTES, WHOLE_FILE_BYTES)
        if opened is None:
            raise FileNotFoundInStoreError(self.file_id)
        self.stack.callback(opened[1].close)
        return opened

    @cached_property
    def media(self) -> MediaType:
        """The type by the first bytes. Raises a MediaError when Darkroom cannot process it."""
        head, _ = self._opened
        return uploads.identify(head.content[:HEAD_BYTES], head.size_bytes, head.media_type)

    @property
    def name(self) -> str:
        """The file name of the upload."""
        return uploads.name_from(self._opened[0].metadata)

    @property
    def media_type(self) -> str:
        """The media type by the first bytes, such as `image/jpeg`."""
        return self.media.name

    @property
    def size_bytes(self) -> int:
        """Size of the whole file."""
        return self._opened[0].size_bytes

    @property
    def etag(self) -> str | None:
        """The ETag of the object that was opened."""
        return self._opened[0].etag

    def read(self) -> bytes:
        """The whole file in memory."""
        return self._path.read_bytes() if self._path is not None else self._whole

    @cached_property
    def _whole(self) -> bytes:
        head, rest = self._opened
        if len(head.content) == head.size_bytes:
            return head.content
        with s3.map_storage_errors():
            return head.content + rest.read()

    def download(self) -> Path:
        """The whole file on local disk, fetched the first time."""
        if self._path is None:
            head, rest = self._opened
            path = self.directory / f"source-{self.file_id}"
            with s3.map_storage_errors(), path.open("wb") as file:
                file.write(head.content)
                shutil.copyfileobj(rest, file, _COPY_BYTES)
            self._path = path
        return self._path

    def ffmpeg_input(self) -> str:
        """A presigned link, or the local path when the file is small or was fetched already."""
        if self._path is not None or self.size_bytes <= WHOLE_FILE_BYTES:
            return str(self.download())
        self._linked = True
        return s3.link(uploads.key_of(self.tenant, self.file_id), expires_s=settings().link_expiry_s)

    def check_unchanged(self) -> None:
        """Raises SourceReplacedError if FFmpeg reads the file through a link and it has been replaced since.

        FFmpeg does not report every request that S3 refuses for this reason.
        """
        if self._linked and s3.etag_of(uploads.key_of(self.tenant, self.file_id)) != self.etag:
            raise SourceReplacedError
