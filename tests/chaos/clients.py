"""The clients: they upload, submit, attach, cancel and repeat jobs, through HTTP and presigned forms only."""

import contextlib
import io
import itertools
import random
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
from PIL import Image

from tests.chaos.tracking import TERMINAL, UNAVAILABLE, TrackedJob, Tracker
from tests.chaos.traffic import RecordedClient, Traffic

RETRY_FOR_S = 120.0

#: Clients that submit jobs at the same time.
CLIENTS = 4

#: Kinds of jobs, and how many of 100 jobs are of each. A "bad" job has a truncated file. A "late" upload uses its form
#: just before that expires, a "reposted" one posts other files with the same form while the job may run, and a
#: "repeated" request is sent again later with the same idempotency key.
KINDS = {
    "image": 50,
    "video": 8,
    "attached": 12,
    "bad": 6,
    "canceled": 9,
    "watermark": 4,
    "late": 4,
    "reposted": 4,
    "repeated": 3,
}

#: Seconds before a form expires at which a late upload uses it, and the longest time that it waits with it.
LATE_BY_S = 4.0
LATE_AFTER_AT_MOST_S = 60.0

#: Seconds after which another file is posted with a form that was used, and how often, while its job is open.
REPOSTED_AFTER_S = (0.2, 3.0)
_REPOSTS = 3

#: The longest time after which a request is repeated with the same idempotency key, in seconds.
REPEATED_AFTER_AT_MOST_S = 45.0


class GaveUpError(Exception):
    """No usable response within RETRY_FOR_S. Whether the job exists is unknown."""


@dataclass(frozen=True)
class Clip:
    """A video. Two of them differ in size and width, so that a mixture of them shows."""

    content: bytes
    width_px: int


@dataclass(frozen=True)
class Form:
    """A presigned form and the jobs attached to it. `expires_at` is `time.time()`."""

    created: dict[str, Any]
    expires_at: float


class Clients:
    """Submits jobs of some of KINDS.

    `headers` are sent with every request. `clips` are two different videos of one media type; `form_life_s` is how long
    a form is valid.
    """

    def __init__(
        self,
        api_url: str,
        headers: dict[str, str],
        seed: int,
        clips: tuple[Clip, Clip],
        form_life_s: float,
        kinds: tuple[str, ...],
    ) -> None:
        self._api_url = api_url
        self._headers = headers
        self._seed = seed
        self._clips = clips
        self._form_life_s = form_life_s
        self._kinds = {kind: KINDS[kind] for kind in kinds}
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._later: list[threading.Thread] = []
        self.tracker = Tracker()
        self.traffic = Traffic()
        #: Responses after which a client tried again, and requests that it gave up.
        self.unavailable = 0
        self.given_up = 0
        self.stop = threading.Event()
        #: The share of the jobs that may be submitted so far, which spreads the jobs over the faults.
        self.allowed_share = 1.0

    @property
    def clips(self) -> tuple[bytes, bytes]:
        """Two videos that differ."""
        return self._clips[0].content, self._clips[1].content

    def connect(self) -> RecordedClient:
        """A connection to the API."""
        return RecordedClient(self.traffic, self._api_url, self._headers)

    def submit(self, count: int, per_s: float) -> None:
        """Submits `count` jobs, at most `per_s` a second, from several clients at a time."""
        threads = [threading.Thread(target=self._submit, args=(count, per_s), daemon=True) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for thread in self._later:
            thread.join()

    def _submit(self, count: int, per_s: float) -> None:
        with self.connect() as http:
            while True:
                with self._lock:
                    number = next(self._numbers)
                if number >= count:
                    return
                while number > self.allowed_share * count and not self.stop.is_set():
                    time.sleep(0.05)
                randomness = random.Random(self._seed * 1_000_003 + number)
                self._unless_given_up(lambda: self._submit_one(http, randomness))  # noqa: B023 - called at once
                time.sleep(randomness.uniform(0.5, 1.5) * CLIENTS / per_s)

    def _unless_given_up(self, action: Callable[[], None]) -> None:
        try:
            action()
        except GaveUpError:
            with self._lock:
                self.given_up += 1

    def _do_later(self, delay_s: float, action: Callable[[RecordedClient], None]) -> None:
        """Runs an action on a thread of its own after a delay. `submit` waits for all of them."""

        def run() -> None:
            self.stop.wait(delay_s)
            with self.connect() as http:
                self._unless_given_up(lambda: action(http))

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        with self._lock:
            self._later.append(thread)

    # Kinds of jobs --------------------------------------------------------------------------------------------------

    def _submit_one(self, http: httpx.Client, randomness: random.Random) -> None:
        kind = randomness.choices(list(self._kinds), list(self._kinds.values()), k=1)[0]
        if kind in ("attached", "late", "reposted"):
            self._upload_with_jobs(http, randomness, kind)
            return
        operation, params = _operation(randomness, kind)
        body = {"file_id": self._upload(http, randomness, kind), "operation": operation, "params": params}
        key = uuid.uuid4().hex
        job_id = self.start_job(http, body, kind, key=key)
        if job_id is None:
            return
        if kind == "canceled":
            time.sleep(randomness.uniform(0, 1.5))
            self.cancel(http, job_id)
        if kind == "repeated":
            delay_s = randomness.uniform(1, REPEATED_AFTER_AT_MOST_S)
            self._do_later(delay_s, lambda other: self._repeat(other, body, key, job_id))

    def start_job(self, http: httpx.Client, body: dict[str, Any], kind: str, *, key: str | None = None) -> str | None:
        """Starts one job and tracks it. Returns its id, or None when the response is an error, which is recorded."""
        response = self.send(http, "POST", "/jobs", key=key, json=body)
        if response.status_code != 202:
            self.tracker.add_error(f"POST /jobs returned {response.status_code} {response.text[:200]}")
            return None
        job_id = str(response.json()["job_id"])
        self.tracker.track(TrackedJob(job_id, kind, body["operation"], time.time()))
        return job_id

    def _repeat(self, http: httpx.Client, body: dict[str, Any], key: str, job_id: str) -> None:
        sent_at = time.time()
        response = self.send(http, "POST", "/jobs", key=key, json=body)
        if response.status_code != 202:
            text = f"the repeated POST /jobs returned {response.status_code} {response.text[:200]}"
            self.tracker.add_error(text)
        elif response.json()["job_id"] != job_id:
            self.tracker.add_error(f"the repeated POST /jobs for {job_id} started {response.json()['job_id']}")
        else:
            self.tracker.update(job_id, response.json()["status"], {}, sent_at, "a repeated POST /jobs")

    def _upload(self, http: httpx.Client, randomness: random.Random, kind: str) -> str:
        name, media_type = ("clip.mp4", "video/mp4") if kind == "video" else ("photo.png", "image/png")
        content = self._clips[0].content if kind == "video" else unique_image(randomness)
        if kind == "bad":
            content = content[: len(content) // 2]
        return self.upload(http, name, content, media_type)

    def upload(self, http: httpx.Client, name: str, content: bytes, media_type: str) -> str:
        """Uploads a file through the API. Returns its id. Raises GaveUpError."""
        response = self.send(http, "POST", "/upload", files={"file": (name, content, media_type)})
        if response.status_code != 201:
            raise GaveUpError
        file_id = str(response.json()["file_id"])
        self.tracker.add_upload(file_id)
        return file_id

    def _upload_with_jobs(self, http: httpx.Client, randomness: random.Random, kind: str) -> None:
        if kind == "reposted":
            form = self.request_form(http, [{"operation": "video_metadata", "params": {}}], "clip.mp4", "video/mp4")
            self.post_form(form, self._clips[0].content, kind)
            self._do_later(randomness.uniform(*REPOSTED_AFTER_S), lambda _: self._repost(form, randomness))
            return
        jobs = [
            {"operation": "resize", "params": {"width": randomness.randint(16, 200)}},
            {"operation": "thumbnail", "params": {"width": 48, "height": 48}},
        ]
        form = self.request_form(http, jobs[: randomness.randint(1, 2)])
        content = unique_image(randomness)
        if kind == "late":
            wait_s = min(form.expires_at - LATE_BY_S - time.time(), LATE_AFTER_AT_MOST_S)
            self._do_later(wait_s, lambda _: self.post_form(form, content, kind))
        else:
            self.post_form(form, content, kind)

    def _repost(self, form: Form, randomness: random.Random) -> None:
        """Replaces the file a few times."""
        for number in range(_REPOSTS):
            job = self.tracker.jobs[form.created["jobs"][0]["job_id"]]
            if job.status in TERMINAL or time.time() > form.expires_at - LATE_BY_S:
                return
            self.post_form(form, self._clips[(number + 1) % len(self._clips)].content, job.kind)
            time.sleep(randomness.uniform(*REPOSTED_AFTER_S))

    def request_form(
        self,
        http: httpx.Client,
        jobs: list[dict[str, Any]],
        name: str = "photo.png",
        media_type: str = "image/png",
    ) -> Form:
        """Requests a presigned form with attached jobs. Raises GaveUpError."""
        body = {"name": name, "media_type": media_type, "jobs": jobs}
        response = self.send(http, "POST", "/uploads", json=body)
        if response.status_code != 201:
            self.tracker.add_error(f"POST /uploads returned {response.status_code} {response.text[:200]}")
            raise GaveUpError
        return Form(response.json(), time.time() + self._form_life_s)

    def post_form(self, form: Form, content: bytes, kind: str) -> None:
        """Posts a file with a form until S3 accepts it, and tracks the jobs. Raises GaveUpError."""
        upload = form.created["upload"]
        deadline = time.monotonic() + RETRY_FOR_S
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                response = httpx.post(upload["url"], data=upload["fields"], files={"file": content}, timeout=40)
                if response.status_code == 204:
                    self.tracker.add_upload(form.created["file_id"])
                    for job in form.created["jobs"]:
                        self.tracker.track(TrackedJob(job["job_id"], kind, job["operation"], time.time()))
                    return
                if response.status_code == 403 and time.time() > form.expires_at:
                    raise GaveUpError
            time.sleep(0.5)
        raise GaveUpError

    def cancel(self, http: httpx.Client, job_id: str) -> None:
        """Cancels a job, and records what the response says of it."""
        deadline = time.monotonic() + RETRY_FOR_S
        while time.monotonic() < deadline:
            sent_at = time.time()
            with contextlib.suppress(httpx.HTTPError):
                response = http.delete(f"/jobs/{job_id}")
                if response.status_code == 200:
                    self.tracker.update(job_id, response.json()["status"], {}, sent_at, "DELETE")
                    return
                if response.status_code == 409:
                    return
                if response.status_code not in UNAVAILABLE:
                    text = f"DELETE /jobs/{job_id} returned {response.status_code} {response.text[:200]}"
                    self.tracker.add_error(text)
                    return
            time.sleep(0.3)

    def send(
        self, http: httpx.Client, method: str, path: str, *, key: str | None = None, **request: Any
    ) -> httpx.Response:
        """Repeats a request until there is a usable response. The idempotency key prevents several jobs."""
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
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
