"""Counts again what tenants used before Redis lost its data.

The usage of a tenant is then what was saved last, without its latest part, and what S3 shows of the time since: jobs by
a listing of the ledger, uploads by a listing of theirs, outputs and video by the results of ended jobs. Two rules keep
anything from counting twice. A job counts when it enters the list of the tenant's latest jobs. What ended or was stored
counts here if that was before Redis began to count, else with the change of state in Redis.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from darkroom import ids
from darkroom.contracts.jobs import JobRef
from darkroom.errors import InternalError
from darkroom.jobs import ledger, uploads, usage
from darkroom.log import logger
from darkroom.services import s3
from darkroom.services.redis import recounts
from darkroom.services.redis.recounts import EndedJob, StoredUpload
from darkroom.services.redis.usage import Usage, measure
from darkroom.timestamps import epoch_ms, month_of
from functions.sweep.checkpoints import counted_again_from
from functions.sweep.lookups import look_up

#: Tenants whose listings are read together.
LISTINGS_AT_ONCE = 32

#: Keys that are listed of one tenant before others have their turn.
LISTED_KEYS = 1_000

#: Seconds after which a result is in the ledger: between its time and its write lie one request and the skew of clocks.
RECORDED_WITHIN_S = 60


@dataclass(frozen=True)
class _Page:
    """What a part of the listings of a tenant shows. `following` is the key after which the next one begins."""

    tenant: str
    position: str
    following: str | None
    job_ids: list[str]
    uploads: list[StoredUpload]
    ended: list[JobRef]


def recount(tenants: Sequence[str], deadline: float) -> None:
    """Reads the listings of tenants, page by page in turn, until the deadline."""
    pending = list(tenants)
    while pending and time.monotonic() < deadline:
        batch, pending = pending[:LISTINGS_AT_ONCE], pending[LISTINGS_AT_ONCE:]
        pages = [page for _, page in look_up(_read_page, batch, deadline) if page is not None]
        ended = [ref for page in pages for ref in page.ended]
        results = dict(look_up(_read_result, ended, deadline)) if ended else {}
        for page in pages:
            if all(ref in results for ref in page.ended) and _count(page, results):
                pending.append(page.tenant)


def _count(page: _Page, results: dict[JobRef, EndedJob | None]) -> bool:
    """Counts a page. Returns whether there is another one."""
    fields = measure(page.tenant).fields
    if fields.get("position") != page.position:
        return False  # another pass has counted it, or Redis has lost its data again
    since_ms, ended_from_ms = int(fields["since_ms"]), int(fields["ended_from_ms"])
    ended = [job for ref in page.ended if (job := results[ref]) is not None]
    counted = recounts.count_page(
        page.tenant,
        position=page.position,
        following=page.following,
        job_ids=page.job_ids,
        uploads=[upload for upload in page.uploads if ended_from_ms <= upload.written_ms < since_ms],
        ended=[job for job in ended if ended_from_ms <= job.finished_ms < since_ms],
    )
    return counted and page.following is not None


def _read_page(tenant: str) -> _Page | None:
    """The next page of a tenant's listings; None while its recount has to wait."""
    current = measure(tenant)
    if "position" not in current.fields:
        _begin(tenant, current)
        current = measure(tenant)
    if "position" not in current.fields:
        return None
    position, jobs_from_ms = current.fields["position"], int(current.fields["jobs_from_ms"])
    listed, following = _list_after(tenant, position, jobs_from_ms)
    read_from_s = int(current.fields["ended_from_ms"]) / 1000 - RECORDED_WITHIN_S
    return _Page(
        tenant=tenant,
        position=position,
        following=following,
        job_ids=[
            _id_in(each.key)
            for each in listed
            if each.key.endswith(f"/{ledger.JOB_FILE}") and ids.created_ms(_id_in(each.key)) >= jobs_from_ms
        ],
        uploads=[
            StoredUpload(each.written_s * 1000, each.size_bytes)
            for each in listed
            if each.key.startswith(uploads.UPLOADS_PREFIX)
        ],
        ended=[
            JobRef(tenant, _id_in(each.key))
            for each in listed
            if each.key.endswith(f"/{ledger.RESULT_FILE}") and each.written_s >= read_from_s
        ],
    )


def _id_in(key: str) -> str:
    """The id in the key of a ledger's object."""
    return key.split("/")[2]


def _begin(tenant: str, current: Usage) -> None:
    """Begins the recount of a tenant from its latest checkpoint, or from when Redis began to count, if it may begin."""
    month = current.month
    previous = month_of(epoch_ms(f"{month}-01T00:00:00Z") - 1)
    saved = usage.read_usage(tenant, month) or usage.read_usage(tenant, previous)
    if saved is not None:
        from_ms, listed_from_ms = (saved.jobs_from_ms, saved.ended_from_ms), saved.listed_from_ms
    else:
        from_ms = counted_again_from(int(current.fields.get("since_ms", current.now_ms)))
        listed_from_ms = from_ms[0]
    position = f"{ledger.prefix_of(tenant)}{ids.first_id(listed_from_ms)}"
    recounts.begin_recount(tenant, saved, position=position, from_ms=from_ms, wait_s=RECORDED_WITHIN_S)


def _list_after(tenant: str, position: str, jobs_from_ms: int) -> tuple[list[s3.ListedObject], str | None]:
    """Objects of the ledger and then uploads, after a key, and the key after which the next ones begin, if any do."""
    listings = [ledger.record_pages(tenant, position)] if position.startswith(ledger.LEDGER_PREFIX) else []
    first_upload = uploads.key_of(tenant, ids.first_id(jobs_from_ms))
    found: list[s3.ListedObject] = []
    for page in chain(*listings, uploads.file_pages(tenant, max(position, first_upload))):
        found += page
        if len(found) >= LISTED_KEYS:
            return found, found[-1].key
    return found, None


def _read_result(job: JobRef) -> EndedJob | None:
    """What a job produced. None if this version cannot read its result."""
    try:
        result = ledger.read_result(job)
    except InternalError as error:
        logger().error("skipped unreadable record", extra={"job_id": job.job_id, "reason": error.message})
        return None
    if result is None:
        return None
    return EndedJob(ids.created_ms(job.job_id), epoch_ms(result.finished_at), result.video_ms, result.output_bytes)
