"""Jobs with which a fault checks, while it lasts, that what it does not affect goes on."""

import random
import time

import httpx

from tests.chaos.clients import Clients, GaveUpError, unique_image
from tests.chaos.tracking import TERMINAL

#: The operation of most probes.
PROBED = "resize"


class Prober:
    """Starts small jobs and waits for them."""

    def __init__(self, clients: Clients, randomness: random.Random) -> None:
        self._clients = clients
        self._random = randomness

    def start(self, count: int = 1) -> list[str]:
        """Starts jobs. Returns their ids, of those that were accepted."""
        started = []
        with self._clients.connect() as http:
            for _ in range(count):
                try:
                    file_id = self._clients.upload(http, "probe.png", self.image(), "image/png")
                    job_id = self._clients.start_job(http, self.body(file_id), "image")
                except GaveUpError:
                    continue
                started += [job_id] if job_id else []
        return started

    def upload(self) -> str:
        """Uploads an image. Returns its id. Raises GaveUpError."""
        with self._clients.connect() as http:
            return self._clients.upload(http, "probe.png", self.image(), "image/png")

    def start_video(self) -> str | None:
        """Starts a job that keeps a worker busy for seconds. Returns its id, if it was accepted."""
        with self._clients.connect() as http:
            try:
                file_id = self._clients.upload(http, "clip.mp4", self._clients.clips[0], "video/mp4")
                body = {"file_id": file_id, "operation": "video_compress", "params": {"codec": "h265"}}
                return self._clients.start_job(http, body, "video")
            except GaveUpError:
                return None

    def cancel(self, job_ids: list[str]) -> None:
        """Cancels jobs."""
        with self._clients.connect() as http:
            for job_id in job_ids:
                self._clients.cancel(http, job_id)

    def image(self) -> bytes:
        """A file that no other job has."""
        return unique_image(self._random)

    def body(self, file_id: str) -> dict[str, object]:
        """A request for a job on a file."""
        return {"file_id": file_id, "operation": PROBED, "params": {"width": self._random.randint(16, 64)}}

    def still_open(self, job_ids: list[str], timeout_s: float) -> list[str]:
        """Those of the jobs that have not ended in time."""
        waiting = list(job_ids)
        deadline = time.monotonic() + timeout_s
        with self._clients.connect() as http:
            while waiting and time.monotonic() < deadline:
                waiting = [job_id for job_id in waiting if not self._has_ended(http, job_id)]
                time.sleep(0.2)
        return waiting

    def _has_ended(self, http: httpx.Client, job_id: str) -> bool:
        sent_at = time.time()
        try:
            response = http.get(f"/jobs/{job_id}")
        except httpx.HTTPError:
            return False
        if response.status_code != 200:
            return False
        status = str(response.json()["status"])
        self._clients.tracker.update(job_id, status, response.json(), sent_at)
        return status in TERMINAL
