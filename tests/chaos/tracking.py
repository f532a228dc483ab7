"""What the clients know of each job. A contradiction between two responses is an error."""

import threading
import time
from dataclasses import dataclass, field
from typing import Any

TERMINAL = frozenset({"completed", "failed", "canceled"})

#: Status codes of a response after which a client tries again.
UNAVAILABLE = frozenset({429, 500, 502, 503, 504})


@dataclass
class TrackedJob:
    """One job as its client knows it. Times are `time.time()`.

    `document` is the last response to GET. A job attached to an upload is accepted when S3 has received the file.
    """

    job_id: str
    kind: str
    operation: str
    accepted_at: float
    ended_at: float | None = None
    status: str = "queued"
    document: dict[str, Any] = field(default_factory=dict)


class Tracker:
    """All jobs of all clients, and the errors in the responses. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.jobs: dict[str, TrackedJob] = {}
        self.errors: list[str] = []
        #: Uploads that S3 has received, by file id.
        self.uploads: list[str] = []

    def track(self, job: TrackedJob) -> None:
        """Adds a job that was accepted."""
        with self._lock:
            self.jobs.setdefault(job.job_id, job)

    def add_upload(self, file_id: str) -> None:
        """Adds a file that S3 has received."""
        with self._lock:
            self.uploads.append(file_id)

    def update(
        self, job_id: str, status: str, document: dict[str, Any], sent_at: float, source: str = "GET by id"
    ) -> None:
        """Records a response to a request that was sent at `sent_at`. `source` names the request in an error."""
        with self._lock:
            job = self.jobs.get(job_id)
            if job is None:
                return
            if job.ended_at is not None and status != job.status:
                # A response to a request that was sent before the end was known may be older than the end.
                if sent_at > job.ended_at or status in TERMINAL:
                    self.errors.append(f"{job_id} was {job.status} and is {status} by {source}")
                return
            job.status = status
            if document:
                job.document = document
            if status in TERMINAL and job.ended_at is None:
                job.ended_at = time.time()

    def add_error(self, text: str) -> None:
        """Adds a response that must not be."""
        with self._lock:
            self.errors.append(text)

    def must_be_known(self, job_id: str) -> bool:
        """Whether the ledger must have the job. It has a job attached to an upload once the upload is ingested."""
        with self._lock:
            job = self.jobs[job_id]
        return job.kind not in ATTACHED or (bool(job.document) and job.document["waiting_for"] is None)

    def all_jobs(self) -> list[TrackedJob]:
        """Every job so far."""
        with self._lock:
            return list(self.jobs.values())

    def open_jobs(self) -> list[TrackedJob]:
        """Jobs that have not ended as far as their clients know."""
        return [job for job in self.all_jobs() if job.status not in TERMINAL]


#: Kinds of jobs that come with an upload.
ATTACHED = frozenset({"attached", "late", "reposted"})
