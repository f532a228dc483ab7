"""A client of a tenant with quotas, and what it is told when one is used up."""

import time
from datetime import UTC, datetime
from typing import Any

from darkroom import ids
from darkroom.contracts.jobs import JobRef, JobResult, Output, Status
from darkroom.contracts.tenants import UNLIMITED, Principal, Quotas, Scope
from darkroom.jobs import ingestion, ledger, lifecycle, uploads
from darkroom.services import s3
from darkroom.tenants.context import to_context
from darkroom.timestamps import next_month_ms, utc_now
from tests.integration.api_jobs import JPEG
from tests.support.gateway import Reply, call, multipart

ACME = "acme"
GIB = 1024**3


class Client:
    """A client of a tenant with these quotas."""

    def __init__(self, tenant: str = ACME, quotas: Quotas = UNLIMITED, *scopes: Scope) -> None:
        self.tenant = tenant
        self._context = to_context(
            Principal(tenant=tenant, scopes=list(scopes or Scope), credential=f"{tenant}-key", quotas=quotas)
        )

    def send(self, method: str, target: str, body: Any = None, **headers: str) -> Reply:
        return call(method, target, json_body=body, headers=headers, authorizer=self._context)

    def upload(self, content: bytes = JPEG, headers: dict[str, str] | None = None) -> Reply:
        body, form = multipart({}, name="photo.jpg", media_type="image/jpeg", content=content)
        return call("POST", "/upload", body=body, headers={**form, **(headers or {})}, authorizer=self._context)

    def request_form(self, **more: Any) -> Reply:
        headers = more.pop("headers", {})
        return self.send("POST", "/uploads", {"name": "photo.jpg", "media_type": "image/jpeg", **more}, **headers)

    def start(self, file_id: str, operation: str = "resize", **headers: str) -> Reply:
        params = {"width": 100} if operation == "resize" else {}
        return self.send("POST", "/jobs", {"file_id": file_id, "operation": operation, "params": params}, **headers)

    def file(self, content: bytes = JPEG, media_type: str = "image/jpeg") -> str:
        """A file that was ingested."""
        file_id = ids.new_id()
        metadata = uploads.metadata_of("file", [])
        s3.put(uploads.key_of(self.tenant, file_id), content, media_type=media_type, metadata=metadata)
        ingestion.ingest(self.tenant, file_id)
        return file_id

    def complete(self, job_id: str, *, size_bytes: int = 1, duration_s: float | None = None) -> None:
        """Ends a job, as its run does."""
        job = ledger.read_job(JobRef(self.tenant, job_id))
        assert job is not None
        output = Output(
            name="x", key="x", media_type="video/mp4", size_bytes=size_bytes, sha256="0" * 64, duration_s=duration_s
        )
        result = JobResult(
            job_id=job_id, status=Status.COMPLETED, attempt=1, run="run", finished_at=utc_now(), outputs=[output]
        )
        lifecycle.end(job, result)


def refused(reply: Reply, code: str, status: int = 429) -> int | None:
    """Checks that a request is refused for a quota. Returns after how many seconds it may be repeated."""
    assert (reply.status, reply.json["code"]) == (status, code)
    text = reply.headers.get("retry-after")
    return None if text is None else int(text)


def seconds_until(moment: datetime) -> float:
    return (moment - datetime.now(UTC)).total_seconds()


def end_of_month() -> datetime:
    return datetime.fromtimestamp(next_month_ms(time.time() * 1000) / 1000, UTC)
