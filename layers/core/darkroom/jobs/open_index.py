"""The index of what is open: an object in S3 per open job, and one per upload that has jobs attached and is awaited.

An entry is written before the job or the form exists, so whatever is open can be listed without reading the ledger.
Only sweep removes entries. One that is left over costs a look-up; one that is missing would cost a job.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from darkroom.services import s3
from darkroom.services.redis.reconciliation import Written


class Kind(StrEnum):
    """What an entry stands for. The value is the folder of the entries."""

    JOBS = "jobs"
    UPLOADS = "uploads"


@dataclass(frozen=True)
class Entry(Written):
    """An entry of the index: of a job or of a file, by its id."""

    @property
    def position(self) -> str:
        """The place of the entry in the order of the listing."""
        return f"{self.tenant}/{self.identifier}"


def add_job(tenant: str, job_id: str) -> None:
    """Records that a job is open, before it is accepted."""
    s3.put(_key(Kind.JOBS, tenant, job_id), b"", media_type="text/plain")


def add_upload(tenant: str, file_id: str) -> None:
    """Records that an upload with attached jobs is awaited, before the client gets the form."""
    s3.put(_key(Kind.UPLOADS, tenant, file_id), b"", media_type="text/plain")


def pages(kind: Kind, after: str) -> Iterator[list[Entry]]:
    """The entries after a position, in order, one page per request. The last page may be empty."""
    prefix = _prefix(kind)
    for page in s3.pages_after(prefix, f"{prefix}{after}" if after else ""):
        yield [_entry(prefix, listed) for listed in page]


def remove(kind: Kind, entries: Sequence[Entry]) -> None:
    """Removes entries, a thousand with one request."""
    s3.delete([_key(kind, entry.tenant, entry.identifier) for entry in entries])


def _prefix(kind: Kind) -> str:
    return f"open/{kind}/"


def _key(kind: Kind, tenant: str, identifier: str) -> str:
    return f"{_prefix(kind)}{tenant}/{identifier}"


def _entry(prefix: str, listed: s3.ListedObject) -> Entry:
    tenant, _, identifier = listed.key.removeprefix(prefix).partition("/")
    return Entry(tenant, identifier, listed.written_s, listed.age_s)
