"""Adding an operation takes the three edits of docs/adding-an-operation.diff and nothing else.

The edits are made in a copy of the sources, which is built and deployed as a stack of its own.
"""

import io
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from localstack import keys
from localstack.settings import ROOT, load
from tests.e2e.conftest import MEDIA, Service
from tests.support.copied_stack import CopiedStack

DIFF = ROOT / "docs" / "adding-an-operation.diff"

#: Ports between that of the API of the stack under test and that of this test's own stack.
PORT_DISTANCE = 1000


def add_operation(sources: Path) -> None:
    # The copy is inside the repository; without the ceiling git would look for the files at the root of that.
    environment = os.environ | {"GIT_CEILING_DIRECTORIES": str(sources.parent)}
    subprocess.run(["git", "apply", str(DIFF)], cwd=sources, env=environment, check=True)  # noqa: S607 - the user's git


@pytest.fixture(scope="module")
def extended_service() -> Iterator[Service]:
    """Darkroom with the operation that the diff adds."""
    stack = CopiedStack("darkroom-new-operation", load().ports.api + PORT_DISTANCE, add_operation)
    try:
        stack.up()
        with keys.temporary(stack.settings, stack.settings.api_url, "e2e") as key:
            service = Service(stack.settings.api_url, key)
            yield service
            service.http.close()
    finally:
        stack.down()


def test_new_operation_runs(extended_service: Service) -> None:
    content = (MEDIA / "chelsea.png").read_bytes()
    file_id = extended_service.file(content, "chelsea.png", "image/png")

    job = extended_service.run(file_id, "invert")

    inverted = Image.open(io.BytesIO(extended_service.result(job)))
    assert inverted.format == "PNG"
    assert inverted.tobytes() == ImageChops.invert(Image.open(io.BytesIO(content))).tobytes()


def test_new_operation_is_in_the_catalog_and_in_the_openapi_document(extended_service: Service) -> None:
    catalog = {entry["name"]: entry for entry in extended_service.http.get("/operations").json()["operations"]}
    schemas = extended_service.http.get("/openapi.json").json()["components"]["schemas"]

    assert catalog["invert"]["summary"] == "Inverts the colors of an image."
    assert catalog["invert"]["accepts"] == ["image"]
    assert "max_bytes" in catalog["invert"]["params"]["properties"]
    assert schemas["JobRequest"]["discriminator"]["mapping"]["invert"] == "#/components/schemas/InvertJobRequest"
    assert schemas["InvertJobRequest"]["properties"]["params"]["$ref"] == "#/components/schemas/InvertParams"


def test_parameters_of_the_new_operation_are_validated(extended_service: Service) -> None:
    file_id = extended_service.file((MEDIA / "rocket.jpg").read_bytes(), "rocket.jpg", "image/jpeg")

    answer = extended_service.submit(file_id, "invert", {"quality": 101})

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert [error["field"] for error in answer.json()["errors"]] == ["params.quality"]
