"""The examples of the API in README run as they are written, in one shell."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from localstack.settings import ROOT
from tests.e2e.conftest import Service

#: Seconds that the whole script may take. Each of its three waits takes at most 20.
TIMEOUT_S = 120


#: What the examples get in front of them on a stack that is closed: every request to the API, and no other, has a key.
WITH_KEY = """
curl() {
    case "$*" in
        *"$API"*) command curl -H "Authorization: Bearer $DARKROOM_KEY" "$@" ;;
        *) command curl "$@" ;;
    esac
}
"""


def script(url: str) -> str:
    """The shell blocks of the section, with `url` as the address of the API."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.partition("## The API in three examples\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```sh\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    text, replaced = re.subn(r"^API=.*$", f"API={url}", "\n".join(blocks), flags=re.MULTILINE)
    assert replaced == 1
    return text


def json_documents(text: str) -> list[dict[str, Any]]:
    """The JSON documents that a text consists of."""
    found: list[dict[str, Any]] = []
    while text := text.lstrip():
        document, end = json.JSONDecoder().raw_decode(text)
        found.append(document)
        text = text[end:]
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the examples run. It has the repository's media and receives the files that they write."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "tests").symlink_to(ROOT / "tests")
    return folder


@pytest.fixture(scope="module")
def answers(service: Service, folder: Path) -> list[dict[str, Any]]:
    """What the examples print."""
    argv = ["bash", "-e", "-c", (WITH_KEY if service.key else "") + script(service.url)]
    environment = os.environ | {"DARKROOM_KEY": service.key}
    shell = subprocess.run(
        argv, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert shell.returncode == 0, shell.stdout + shell.stderr
    return json_documents(shell.stdout)


def test_first_example_downloads_the_thumbnail(answers: list[dict[str, Any]], folder: Path) -> None:
    job = answers[0]

    assert (job["operation"], job["status"]) == ("thumbnail", "completed")
    with Image.open(folder / "thumbnail.webp") as image:
        assert (image.format, image.size) == ("WEBP", (200, 200))


def test_second_example_completes_both_attached_jobs(
    service: Service, answers: list[dict[str, Any]], folder: Path
) -> None:
    pending = json.loads((folder / "upload.json").read_text())["jobs"]

    ended = [service.ended(job["job_id"]) for job in pending]

    assert answers[1]["job_id"] == pending[1]["job_id"]
    assert [job["operation"] for job in ended] == ["video_thumbnail", "video_compress"]
    assert [job["status"] for job in ended] == ["completed", "completed"]


def test_third_example_shows_lists_and_retries_the_failed_job(service: Service, answers: list[dict[str, Any]]) -> None:
    failed, page, retried, problem = answers[2:]

    assert (failed["status"], failed["error"]["code"]) == ("failed", "result_too_large")
    assert page["jobs"][0]["job_id"] == failed["job_id"]
    assert retried["retry_of"] == failed["job_id"]
    assert service.ended(retried["job_id"])["status"] == "failed"
    assert (problem["status"], problem["errors"][0]["field"]) == (422, "params.width")
