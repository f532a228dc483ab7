"""The people: they upload, submit, attach, cancel and watch, over HTTP and with presigned forms only."""

import contextlib
import io
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

#: Answers that mean "not now": people try again.
NOT_NOW = frozenset({429, 500, 502, 503, 504})
TRY_FOR_S = 120.0

#: How many hand in jobs at the same time.
PEOPLE = 4


@dataclass
class Tracked:
    """One job, as its owner sees it. Times are seconds of `time.time()`."""

    job_id: str
    kind: str
    accepted: float
    ended: float | None = None
    status: str = "queued"
    cancel: bool = False
    #: A job that came with an upload is accepted when S3 has taken the file.
    document: dict[str, Any] = field(default_factory=dict)


class People:
    """Submits a number of jobs and watches them all. What is wrong goes to `wrong`."""

    def __init__(self, api: str, seed: int, clip: Path) -> None:
        self._api = api
        self._seed = seed
        self._clip = clip.read_bytes()
        self.tracked: dict[str, Tracked] = {}
        self.wrong: list[str] = []
        self.refused = 0
        self.given_up = 0
        self._lock = threading.Lock()
        self._numbers = iter(range(10**9))
        self.done = threading.Event()
        #: The share of the jobs that may be handed in by now, so that they are spread over the faults.
        self.share = 1.0

    # Submitting -----------------------------------------------------------------------------------------------------

    def submit(self, count: int, per_s: float) -> None:
        """Hands in `count` jobs, no faster than `per_s`, from several people at a time."""
        threads = [threading.Thread(target=self._submit, args=(count, per_s), daemon=True) for _ in range(PEOPLE)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _submit(self, count: int, per_s: float) -> None:
        with httpx.Client(base_url=self._api, timeout=40) as http:
            while True:
                with self._lock:
                    number = next(self._numbers)
                if number >= count:
                    return
                while number > self.share * count and not self.done.is_set():
                    time.sleep(0.05)
                chance = random.Random(self._seed * 1_000_003 + number)
                try:
                    self._one(http, chance)
                except GivenUpError:
                    with self._lock:
                        self.given_up += 1
                time.sleep(chance.uniform(0.5, 1.5) * PEOPLE / per_s)

    def _one(self, http: httpx.Client, chance: random.Random) -> None:
        kind = chance.choices(
            ["image", "video", "attached", "bad", "canceled", "watermark"], [58, 9, 14, 6, 8, 5], k=1
        )[0]
        if kind == "attached":
            self._attached(http, chance)
            return
        file_id = self._upload(http, chance, kind)
        operation, params = self._work(chance, kind)
        body = {"file_id": file_id, "operation": operation, "params": params}
        answer = self._ask(http, "POST", "/jobs", json=body)
        if answer.status_code != 202:
            self._complain(f"POST /jobs answered {answer.status_code} {answer.text[:200]}")
            return
        job_id = answer.json()["job_id"]
        self._track(Tracked(job_id, kind, time.time(), cancel=kind == "canceled"))
        if kind == "canceled":
            time.sleep(chance.uniform(0, 1.5))
            self._cancel(http, job_id)

    def _work(self, chance: random.Random, kind: str) -> tuple[str, dict[str, Any]]:
        if kind == "watermark":
            return "watermark", {"text": "chaos"}
        if kind == "video":
            return chance.choice(
                [
                    ("video_thumbnail", {}),
                    ("video_metadata", {}),
                    ("audio_extract", {}),
                    ("video_compress", {}),
                ]
            )
        images = [("resize", {"width": chance.randint(16, 200)}), ("thumbnail", {"width": 64, "height": 64})]
        return chance.choice(images)

    def _upload(self, http: httpx.Client, chance: random.Random, kind: str) -> str:
        name, media_type = ("clip.mp4", "video/mp4") if kind == "video" else ("photo.png", "image/png")
        content = self._clip if kind == "video" else picture(chance)
        if kind == "bad":
            content = content[: len(content) // 2]
        answer = self._ask(http, "POST", "/upload", files={"file": (name, content, media_type)})
        if answer.status_code != 201:
            raise GivenUpError
        return str(answer.json()["file_id"])

    def _attached(self, http: httpx.Client, chance: random.Random) -> None:
        jobs = [
            {"operation": "resize", "params": {"width": chance.randint(16, 200)}},
            {"operation": "thumbnail", "params": {"width": 48, "height": 48}},
        ]
        body = {"name": "photo.png", "media_type": "image/png", "jobs": jobs[: chance.randint(1, 2)]}
        made = self._ask(http, "POST", "/uploads", json=body).json()
        form, content = made["upload"], picture(chance)
        until = time.monotonic() + TRY_FOR_S
        while time.monotonic() < until:
            with contextlib.suppress(httpx.HTTPError):
                answer = httpx.post(form["url"], data=form["fields"], files={"file": content}, timeout=40)
                if answer.status_code == 204:
                    for job in made["jobs"]:
                        self._track(Tracked(job["job_id"], "attached", time.time()))
                    return
            time.sleep(0.5)
        raise GivenUpError

    def _cancel(self, http: httpx.Client, job_id: str) -> None:
        until = time.monotonic() + TRY_FOR_S
        while time.monotonic() < until:
            asked = time.time()
            with contextlib.suppress(httpx.HTTPError):
                answer = http.delete(f"/jobs/{job_id}")
                if answer.status_code == 200:
                    self._saw(job_id, answer.json()["status"], {}, asked)
                    return
                if answer.status_code == 409:
                    return
                if answer.status_code not in NOT_NOW:
                    self._complain(f"DELETE /jobs/{job_id} answered {answer.status_code} {answer.text[:200]}")
                    return
            time.sleep(0.3)

    def _ask(self, http: httpx.Client, method: str, path: str, **request: Any) -> httpx.Response:
        """Asks until there is an answer; the key makes it one request, however often it is sent."""
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        until = time.monotonic() + TRY_FOR_S
        while time.monotonic() < until:
            with contextlib.suppress(httpx.HTTPError):
                answer = http.request(method, path, headers=headers, **request)
                if answer.status_code not in NOT_NOW:
                    return answer
                with self._lock:
                    self.refused += 1
            time.sleep(0.4)
        raise GivenUpError

    # Watching -------------------------------------------------------------------------------------------------------

    def watch(self) -> None:
        """Asks for jobs, the open ones more often than those that have ended, until `done` is set."""
        chance = random.Random(self._seed)
        with httpx.Client(base_url=self._api, timeout=40) as http:
            while not self.done.is_set():
                with self._lock:
                    jobs = list(self.tracked.values())
                open_jobs = [job for job in jobs if job.status not in TERMINAL]
                over = [job for job in jobs if job.status in TERMINAL]
                for job in [
                    *chance.sample(open_jobs, min(30, len(open_jobs))),
                    *chance.sample(over, min(4, len(over))),
                ]:
                    self.look(http, job.job_id)
                self.done.wait(0.3)

    def look(self, http: httpx.Client, job_id: str) -> int:
        """Asks for one job, once. Returns the status code of the answer, 0 without one."""
        asked = time.time()
        try:
            answer = http.get(f"/jobs/{job_id}")
        except httpx.HTTPError:
            return 0
        if answer.status_code == 200:
            self._saw(job_id, answer.json()["status"], answer.json(), asked)
        elif answer.status_code == 404 and not self._taken_in(job_id):
            pass  # the upload has landed and nobody was told yet; Redis, which knew of its form, has lost everything
        elif answer.status_code not in NOT_NOW or "internal_error" in answer.text:
            self._complain(f"GET /jobs/{job_id} answered {answer.status_code} {answer.text[:200]}")
        return answer.status_code

    def _taken_in(self, job_id: str) -> bool:
        """Whether the job is on record as far as people know: one that comes with an upload is when it is taken in."""
        job = self.tracked[job_id]
        return job.kind != "attached" or (bool(job.document) and job.document["waiting_for"] is None)

    def _track(self, job: Tracked) -> None:
        with self._lock:
            self.tracked.setdefault(job.job_id, job)

    def _saw(self, job_id: str, status: str, document: dict[str, Any], asked: float) -> None:
        with self._lock:
            job = self.tracked[job_id]
            if job.ended is not None and status != job.status:
                # An answer that was under way when somebody else was told of the end may be older than the end.
                if asked > job.ended or status in TERMINAL:
                    self.wrong.append(f"{job_id} was {job.status} and is {status}")
                return
            job.status = status
            if document:
                job.document = document
            if status in TERMINAL and job.ended is None:
                job.ended = time.time()

    def _complain(self, text: str) -> None:
        with self._lock:
            self.wrong.append(text)

    def open(self) -> list[Tracked]:
        """Jobs that have not ended as far as their owners know."""
        with self._lock:
            return [job for job in self.tracked.values() if job.status not in TERMINAL]


class GivenUpError(Exception):
    """Nobody answered for two minutes; whether the job exists is not known."""


def picture(chance: random.Random) -> bytes:
    """A picture that nobody else has; one in five is large enough to keep a worker busy for a while."""
    large = chance.random() < 0.2
    size = (chance.randint(1200, 2000), chance.randint(900, 1500)) if large else (chance.randint(60, 240), 160)
    noise = Image.frombytes("RGB", (8, 8), chance.randbytes(192)).resize(size, Image.Resampling.BICUBIC)
    out = io.BytesIO()
    noise.save(out, "PNG")
    return out.getvalue()
