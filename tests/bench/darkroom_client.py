"""A minimal HTTP client of Darkroom with kept-alive connections, so that the client itself costs little."""

import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import urllib3

TERMINAL = ("completed", "failed", "canceled")

#: Seconds after which a job or an upload counts as broken.
TIMEOUT_S = 300


class DarkroomClient:
    """The API at `url`, over at most `connections` connections. `headers` are sent to it with every request."""

    def __init__(self, url: str, connections: int, headers: dict[str, str]) -> None:
        self._url = url
        self._headers = headers
        self._pool = urllib3.PoolManager(maxsize=connections, block=True, retries=False, timeout=40)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Returns the JSON of a successful response; fails on any other."""
        response = self._pool.request(method, self._url + path, json=body, headers=self._headers)
        assert response.status < 300, f"{method} {path}: {response.status} {response.data[:500]!r}"
        return json.loads(response.data)

    def upload(self, file: Path, media_type: str) -> str:
        """Uploads a file with a presigned form. Returns its id once it is ready."""
        created = self.call("POST", "/uploads", {"name": file.name, "media_type": media_type})
        fields = created["upload"]["fields"] | {"file": (file.name, file.read_bytes(), media_type)}
        response = self._pool.request("POST", created["upload"]["url"], fields=fields)
        assert response.status == 204, response.data
        deadline = time.monotonic() + TIMEOUT_S
        while self.call("GET", f"/files/{created['file_id']}")["status"] != "ready":
            assert time.monotonic() < deadline, f"{file.name} did not become ready"
            time.sleep(0.05)
        return str(created["file_id"])

    def submit(self, file_id: str, operation: str, params: dict[str, Any]) -> str:
        """Returns the id of the new job."""
        return str(self.call("POST", "/jobs", {"file_id": file_id, "operation": operation, "params": params})["job_id"])

    def wait(self, job_id: str) -> dict[str, Any]:
        """Returns the job once it has completed."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            job = self.call("GET", f"/jobs/{job_id}?wait=20")
            if job["status"] in TERMINAL:
                assert job["status"] == "completed", job
                return dict(job)
            assert time.monotonic() < deadline, f"the job does not end: {job}"

    def completed(self, count: int) -> bool:
        """Whether the newest `count` jobs, at most 100, have all completed."""
        jobs = self.call("GET", f"/jobs?limit={quote(str(count))}")["jobs"]
        for job in jobs:
            assert job["status"] not in ("failed", "canceled"), job
        return all(job["status"] == "completed" for job in jobs)
