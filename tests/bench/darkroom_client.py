"""Darkroom as a client sees it, over connections that are kept, with as little work here as can be."""

import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import urllib3

TERMINAL = ("completed", "failed", "canceled")

#: Seconds. What takes longer is broken.
PATIENCE_S = 300


class Service:
    """The API at `url`, over up to `connections` connections."""

    def __init__(self, url: str, connections: int) -> None:
        self._url = url
        self._pool = urllib3.PoolManager(maxsize=connections, block=True, retries=False, timeout=40)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._pool.request(method, self._url + path, json=body)
        assert answer.status < 300, f"{method} {path}: {answer.status} {answer.data[:500]!r}"
        return json.loads(answer.data)

    def upload(self, file: Path, media_type: str) -> str:
        """Uploads a file with a presigned form, and returns its id when it is ready."""
        made = self.call("POST", "/uploads", {"name": file.name, "media_type": media_type})
        fields = made["upload"]["fields"] | {"file": (file.name, file.read_bytes(), media_type)}
        answer = self._pool.request("POST", made["upload"]["url"], fields=fields)
        assert answer.status == 204, answer.data
        until = time.monotonic() + PATIENCE_S
        while self.call("GET", f"/files/{made['file_id']}")["status"] != "ready":
            assert time.monotonic() < until, f"{file.name} never became ready"
            time.sleep(0.05)
        return str(made["file_id"])

    def submit(self, file_id: str, operation: str, params: dict[str, Any]) -> str:
        return str(self.call("POST", "/jobs", {"file_id": file_id, "operation": operation, "params": params})["job_id"])

    def wait(self, job_id: str) -> dict[str, Any]:
        """The job, when it has completed."""
        until = time.monotonic() + PATIENCE_S
        while True:
            job = self.call("GET", f"/jobs/{job_id}?wait=20")
            if job["status"] in TERMINAL:
                assert job["status"] == "completed", job
                return dict(job)
            assert time.monotonic() < until, f"the job does not end: {job}"

    def completed(self, count: int) -> bool:
        """Whether the newest `count` jobs, at most 100, have all completed."""
        jobs = self.call("GET", f"/jobs?limit={quote(str(count))}")["jobs"]
        for job in jobs:
            assert job["status"] not in ("failed", "canceled"), job
        return all(job["status"] == "completed" for job in jobs)
