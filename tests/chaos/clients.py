"""The clients: they upload, submit, attach, cancel and watch jobs, through HTTP and presigned forms only."""

import contextlib
import io
import itertools
import random
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

TERMINAL = frozenset({"completed", "failed", "canceled"})

#: Status codes of a response after which a client tries again.
UNAVAILABLE = frozenset({429, 500, 502, 503, 504})
RETRY_FOR_S = 120.0

#: Clients that submit jobs at the same time.
CLIENTS = 4

#: Kinds of jobs, and how many of 100 jobs are of each. A "bad" job has a truncated file.
KINDS = {"image": 58, "video": 9, "attached": 14, "bad": 6, "canceled": 8, "watermark": 5}


class GaveUpError(Exception):
    """No usable response within RETRY_FOR_S. Whether the job exists is unknown."""


@dataclass
class TrackedJob:
    """One job as its client knows it. Times are `time.time()`.

    `document` is the last response to GET. A job attached to an upload is accepted when S3 has received the file.
    """

    job_id: str
    kind: str
    accepted_at: float
    ended_at: float | None = None
    status: str = "queued"
    document: dict[str, Any] = field(default_factory=dict)


class Clients:
    """Submits jobs and watches them all. Contradictory or unexpected responses are added to `errors`."""

    def __init__(self, api_url: str, seed: int, clip: Path) -> None:
        self._api_url = api_url
        self._seed = seed
        self._clip = clip.read_bytes()
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self.jobs: dict[str, TrackedJob] = {}
        self.errors: list[str] = []
        #: Responses after which a client tried again, and requests that it gave up.
        self.unavailable = 0
        self.given_up = 0
        self.stop = threading.Event()
        #: The share of the jobs that may be submitted so far, which spreads the jobs over the faults.
        self.allowed_share = 1.0

    # Submitting -----------------------------------------------------------------------------------------------------

    def submit(self, count: int, per_s: float) -> None:
        """Submits `count` jobs, at most `per_s` a second, from several clients at a time."""
        threads = [threading.Thread(target=self._submit, args=(count, per_s), daemon=True) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _submit(self, count: int, per_s: float) -> None:
        with httpx.Client(base_url=self._api_url, timeout=40) as http:
            while True:
                with self._lock:
                    number = next(self._numbers)
                if number >= count:
                    return
                while number > self.allowed_share * count and not self.stop.is_set():
                    time.sleep(0.05)
                randomness = random.Random(self._seed * 1_000_003 + number)
                try:
                    self._submit_one(http, randomness)
                except GaveUpError:
                    with self._lock:
                        self.given_up += 1
                time.sleep(randomness.uniform(0.5, 1.5) * CLIENTS / per_s)

    def _submit_one(self, http: httpx.Client, randomness: random.Random) -> None:
        kind = randomness.choices(list(KINDS), list(KINDS.values()), k=1)[0]
        if kind == "attached":
            self._upload_with_jobs(http, randomness)
            return
        file_id = self._upload(http, randomness, kind)
        operation, params = _operation(randomness, kind)
        body = {"file_id": file_id, "operation": operation, "params": params}
        response = self._send(http, "POST", "/jobs", json=body)
        if response.status_code != 202:
            self._add_error(f"POST /jobs returned {response.status_code} {response.text[:200]}")
            return
        job_id = response.json()["job_id"]
        self._track(TrackedJob(job_id, kind, time.time()))
        if kind == "canceled":
            time.sleep(randomness.uniform(0, 1.5))
            self._cancel(http, job_id)

    def _upload(self, http: httpx.Client, randomness: random.Random, kind: str) -> str:
        name, media_type = ("clip.mp4", "video/mp4") if kind == "video" else ("photo.png", "image/png")
        content = self._clip if kind == "video" else unique_image(randomness)
        if kind == "bad":
            content = content[: len(content) // 2]
        response = self._send(http, "POST", "/upload", files={"file": (name, content, media_type)})
        if response.status_code != 201:
            raise GaveUpError
        return str(response.json()["file_id"])

    def _upload_with_jobs(self, http: httpx.Client, randomness: random.Random) -> None:
        jobs = [
            {"operation": "resize", "params": {"width": randomness.randint(16, 200)}},
            {"operation": "thumbnail", "params": {"width": 48, "height": 48}},
        ]
        body = {"name": "photo.png", "media_type": "image/png", "jobs": jobs[: randomness.randint(1, 2)]}
        created = self._send(http, "POST", "/uploads", json=body).json()
        form, content = created["upload"], unique_image(randomness)
        deadline = time.monotonic() + RETRY_FOR_S
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                response = httpx.post(form["url"], data=form["fields"], files={"file": content}, timeout=40)
                if response.status_code == 204:
                    for job in created["jobs"]:
                        self._track(TrackedJob(job["job_id"], "attached", time.time()))
                    return
            time.sleep(0.5)
        raise GaveUpError

    def _cancel(self, http: httpx.Client, job_id: str) -> None:
        deadline = time.monotonic() + RETRY_FOR_S
        while time.monotonic() < deadline:
            sent_at = time.time()
            with contextlib.suppress(httpx.HTTPError):
                response = http.delete(f"/jobs/{job_id}")
                if response.status_code == 200:
                    self._update(job_id, response.json()["status"], {}, sent_at)
                    return
                if response.status_code == 409:
                    return
                if response.status_code not in UNAVAILABLE:
                    self._add_error(f"DELETE /jobs/{job_id} returned {response.status_code} {response.text[:200]}")
                    return
            time.sleep(0.3)

    def _send(self, http: httpx.Client, method: str, path: str, **request: Any) -> httpx.Response:
        """Repeats a request until there is a usable response. The idempotency key prevents several jobs."""
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        deadline = time.monotonic() + RETRY_FOR_S
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                response = http.request(method, path, headers=headers, **request)
                if response.status_code not in UNAVAILABLE:
                    return response
                with self._lock:
                    self.unavailable += 1
            time.sleep(0.4)
        raise GaveUpError

    # Watching -------------------------------------------------------------------------------------------------------

    def watch(self) -> None:
        """Polls jobs, open ones more often than ended ones, until `stop` is set."""
        randomness = random.Random(self._seed)
        with httpx.Client(base_url=self._api_url, timeout=40) as http:
            while not self.stop.is_set():
                with self._lock:
                    jobs = list(self.jobs.values())
                open_jobs = [job for job in jobs if job.status not in TERMINAL]
                ended = [job for job in jobs if job.status in TERMINAL]
                for job in [
                    *randomness.sample(open_jobs, min(30, len(open_jobs))),
                    *randomness.sample(ended, min(4, len(ended))),
                ]:
                    self._poll(http, job.job_id)
                self.stop.wait(0.3)

    def _poll(self, http: httpx.Client, job_id: str) -> None:
        sent_at = time.time()
        try:
            response = http.get(f"/jobs/{job_id}")
        except httpx.HTTPError:
            return
        if response.status_code == 200:
            self._update(job_id, response.json()["status"], response.json(), sent_at)
        elif response.status_code == 404 and not self._must_be_known(job_id):
            pass  # the file has landed but is not ingested yet, and Redis has lost the record of its form
        elif response.status_code not in UNAVAILABLE or "internal_error" in response.text:
            self._add_error(f"GET /jobs/{job_id} returned {response.status_code} {response.text[:200]}")

    def _must_be_known(self, job_id: str) -> bool:
        """Whether the ledger must have the job. It has a job attached to an upload once the upload is ingested."""
        job = self.jobs[job_id]
        return job.kind != "attached" or (bool(job.document) and job.document["waiting_for"] is None)

    def _track(self, job: TrackedJob) -> None:
        with self._lock:
            self.jobs.setdefault(job.job_id, job)

    def _update(self, job_id: str, status: str, document: dict[str, Any], sent_at: float) -> None:
        with self._lock:
            job = self.jobs[job_id]
            if job.ended_at is not None and status != job.status:
                # A response to a request that was sent before the end was known may be older than the end.
                if sent_at > job.ended_at or status in TERMINAL:
                    self.errors.append(f"{job_id} was {job.status} and is {status}")
                return
            job.status = status
            if document:
                job.document = document
            if status in TERMINAL and job.ended_at is None:
                job.ended_at = time.time()

    def _add_error(self, text: str) -> None:
        with self._lock:
            self.errors.append(text)

    def open_jobs(self) -> list[TrackedJob]:
        """Jobs that have not ended as far as their clients know."""
        with self._lock:
            return [job for job in self.jobs.values() if job.status not in TERMINAL]


def unique_image(randomness: random.Random) -> bytes:
    """A PNG that no other job has. One in five is large enough to keep a worker busy for a while."""
    large = randomness.random() < 0.2
    size = (
        (randomness.randint(1200, 2000), randomness.randint(900, 1500)) if large else (randomness.randint(60, 240), 160)
    )
    noise = Image.frombytes("RGB", (8, 8), randomness.randbytes(192)).resize(size, Image.Resampling.BICUBIC)
    out = io.BytesIO()
    noise.save(out, "PNG")
    return out.getvalue()


def _operation(randomness: random.Random, kind: str) -> tuple[str, dict[str, Any]]:
    """An operation for a file of this kind, with parameters."""
    if kind == "watermark":
        return "watermark", {"text": "chaos"}
    if kind == "video":
        return randomness.choice(["video_thumbnail", "video_metadata", "audio_extract", "video_compress"]), {}
    images = [("resize", {"width": randomness.randint(16, 200)}), ("thumbnail", {"width": 64, "height": 64})]
    return randomness.choice(images)
