"""End-to-end tests use a deployed stack as clients do: by HTTP, with its presigned forms and links."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import pytest

from localstack import keys
from localstack.settings import BROKER_PASSWORD, load
from tests.support.secret_search import Secret

MEDIA = Path(__file__).parents[1] / "media"
CLIP = MEDIA / "bigbuckbunny.mp4"
TERMINAL = {"completed", "failed", "canceled"}

#: Seconds within which a job must end or a condition must hold.
TIMEOUT_S = 90

Params = dict[str, Any]


class Service:
    """A client of Darkroom. `key` is an API key; an API that is open needs none."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.key = key
        self.http = httpx.Client(base_url=url, headers=keys.headers(key), timeout=40)

    def upload(self, content: bytes, name: str, media_type: str | None = None) -> httpx.Response:
        part = (name, content) if media_type is None else (name, content, media_type)
        return self.http.post("/upload", files={"file": part})

    def file(self, content: bytes, name: str, media_type: str | None = None) -> str:
        """Uploads a file of any size, through the API or with a form. Returns its id."""
        if len(content) < 4_000_000:
            answer = self.upload(content, name, media_type)
            assert answer.status_code == 201, answer.text
            return str(answer.json()["file_id"])
        form = self.form(name, media_type or "application/octet-stream")
        assert self.send(form, content).status_code == 204
        self.until(lambda: self.http.get(f"/files/{form['file_id']}").json()["status"] == "ready")
        return str(form["file_id"])

    def form(self, name: str, media_type: str, jobs: list[dict[str, Any]] | None = None, **more: Any) -> dict[str, Any]:
        request = {"name": name, "media_type": media_type, "jobs": jobs or []} | more
        answer = self.http.post("/uploads", json=request)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def send(self, form: dict[str, Any], content: bytes, **fields: str) -> httpx.Response:
        """Sends a file with a form."""
        return httpx.post(form["upload"]["url"], data=form["upload"]["fields"] | fields, files={"file": content})

    def submit(self, file_id: str, operation: str, params: Params | None = None) -> httpx.Response:
        return self.http.post("/jobs", json={"file_id": file_id, "operation": operation, "params": params or {}})

    def ended(self, job_id: str) -> dict[str, Any]:
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            job = dict(self.http.get(f"/jobs/{job_id}", params={"wait": 20}).json())
            if job["status"] in TERMINAL:
                return job
            assert time.monotonic() < deadline, f"the job did not end: {job}"

    def run(self, file_id: str, operation: str, params: Params | None = None) -> dict[str, Any]:
        """Starts a job. Returns it when it has ended."""
        answer = self.submit(file_id, operation, params)
        assert answer.status_code == 202, answer.text
        return self.ended(answer.json()["job_id"])

    def result(self, job: dict[str, Any]) -> bytes:
        assert job["status"] == "completed", job
        answer = self.http.get(f"/jobs/{job['job_id']}/download", follow_redirects=True)
        assert answer.status_code == 200, answer.text
        return answer.content

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while not condition():
            assert time.monotonic() < deadline, "the condition was not met in time"
            time.sleep(0.1)


@pytest.fixture(scope="session", autouse=True)
def used_secrets() -> Iterator[list[Secret]]:
    """Every key that these tests make, and every password of the stack, for a search at the end."""
    made = [Secret("the broker's password", BROKER_PASSWORD)]
    create = keys.create

    def create_and_remember(*arguments: Any, **options: Any) -> str:
        key = create(*arguments, **options)
        made.append(Secret(f"key {len(made)}", key))
        return key

    with patch.object(keys, "create", create_and_remember):
        yield made


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The search for secrets comes last."""
    items.sort(key=lambda item: item.path.name == "test_secrets.py")


@pytest.fixture(scope="session")
def service() -> Iterator[Service]:
    url = os.environ.get("DARKROOM_API_URL")
    assert url, "`make test` deploys a stack; without it, set DARKROOM_API_URL to the API of a running one"
    with keys.temporary(load(), url, "e2e") as key:
        service = Service(url, key)
        yield service
        service.http.close()


@pytest.fixture(scope="session")
def photo(service: Service) -> str:
    return service.file((MEDIA / "rocket.jpg").read_bytes(), "rocket.jpg", "image/jpeg")


@pytest.fixture(scope="session")
def clip(service: Service) -> str:
    return service.file(CLIP.read_bytes(), CLIP.name, "video/mp4")
