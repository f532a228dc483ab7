"""Health, documentation, catalog of operations and root page of the deployed service, and its use of this machine."""

import os
import signal
import time
from pathlib import Path

import httpx

from darkroom.contracts.operations import Operation
from localstack.services.processes import MARK
from localstack.settings import load
from tests.e2e.conftest import MEDIA, Service
from tests.support import proc

#: Bytes that the directory of an environment may hold. The layers of an image function have 71 MB.
MAX_ENVIRONMENT_BYTES = 5_000_000

#: Seconds within which the files of a killed environment must be gone.
REMOVED_WITHIN_S = 30


def environments(function: str) -> dict[int, Path]:
    """The directory of each environment that runs a function of this stack, by process id."""
    settings = load()
    return {
        pid: Path(variables["LAMBDA_TASK_ROOT"]).parent
        for pid, variables in proc.environments().items()
        if variables.get("AWS_LAMBDA_FUNCTION_NAME") == f"{settings.stack}-{function}"
        and variables.get(MARK, "").startswith(f"{settings.directory}#")
    }


def libraries(pid: int) -> set[str]:
    """The files of libvips that a process has mapped, each with its device and inode."""
    rows = [line.split() for line in Path(f"/proc/{pid}/maps").read_text().splitlines()]
    return {" ".join(row[3:]) for row in rows if "libvips" in row[-1]}


def test_health_check_names_every_part(service: Service) -> None:
    answer = service.http.get("/health/parts" if service.key else "/health")

    assert answer.status_code == 200
    assert {"cache", "broker", "storage"} <= set(answer.json()["parts"])


def test_documentation_loads_nothing_from_the_internet(service: Service) -> None:
    page = service.http.get("/docs")

    assert page.status_code == 200
    assert "cdn" not in page.text
    assert service.http.get("/openapi.json").json()["paths"]["/jobs"]["post"]


def test_catalog_describes_every_operation(service: Service) -> None:
    catalog = service.http.get("/operations").json()["operations"]

    assert [entry["name"] for entry in catalog] == list(Operation)
    assert all(entry["params"]["properties"] or entry["name"] == "video_metadata" for entry in catalog)


def test_root_is_a_page_for_browsers_with_commands_that_name_this_address(service: Service) -> None:
    page = httpx.get(f"{service.url}/", headers={"accept": "text/html"})
    index = service.http.get("/").json()

    assert page.headers["content-type"].startswith("text/html")
    assert f"curl -F file=@photo.jpg {service.url}/upload" in page.text
    assert service.http.get(index["links"]["operations"]).status_code == 200


def test_environments_of_all_functions_share_one_copy_of_a_layer(service: Service) -> None:
    file_id = service.file((MEDIA / "rocket.jpg").read_bytes(), "rocket.jpg", "image/jpeg")
    for operation in ("resize", "thumbnail"):
        service.result(service.run(file_id, operation, {"width": 100, "height": 100}))

    found = environments("resize") | environments("thumbnail")

    assert len(found) >= 2
    assert len({frozenset(libraries(pid)) for pid in found}) == 1
    assert all(libraries(pid) for pid in found)
    for directory in found.values():
        assert sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()) < MAX_ENVIRONMENT_BYTES


def test_files_of_a_killed_environment_are_removed_and_the_function_runs_again(service: Service) -> None:
    file_id = service.file((MEDIA / "rocket.jpg").read_bytes(), "rocket.jpg", "image/jpeg")
    params = {"width": 100, "height": 100}
    service.result(service.run(file_id, "thumbnail", params))
    killed = environments("thumbnail")

    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + REMOVED_WITHIN_S
    while any(directory.exists() for directory in killed.values()) and time.monotonic() < deadline:
        time.sleep(0.1)

    assert killed
    assert not [directory for directory in killed.values() if directory.exists()]
    service.result(service.run(file_id, "thumbnail", params))
