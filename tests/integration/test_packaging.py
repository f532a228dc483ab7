"""The built artifacts must run as in Lambda: with the artifact, its layers and boto3, and nothing else.

`make integration` builds them; without it, run `python -m localstack.aws.sam build` with the tools' Python.
"""

import json
import os
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from darkroom.contracts.operations import Operation
from tests.support.code import modules, reachable_modules
from tests.support.template import Template

SOURCES = Path(__file__).parents[2]
BUILD = SOURCES / ".darkroom" / "build"
MEBIBYTE = 1024 * 1024

#: Lambda's limit for a function with its layers, uncompressed.
LIMIT_BYTES = 250 * MEBIBYTE

#: Packages in Lambda's Python runtime.
RUNTIME = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six", "urllib3")

FUNCTIONS = Template().functions
ENGINES = {"pyvips", "PIL", "cffi"}
WEB = {"fastapi", "starlette", "mangum"}

IMPORT = """
import importlib, json, sys
sys.path[:0] = {paths}
module, _, name = {handler!r}.rpartition(".")
handler = getattr(importlib.import_module(module), name)
loaded = sorted({{name.partition(".")[0] for name in sys.modules}})
print(json.dumps({{"callable": callable(handler), "loaded": loaded}}))
"""


def function_of(operation: Operation) -> str:
    """The template's name of an operation's function."""
    return "".join(part.capitalize() for part in operation.split("_")) + "Function"


@pytest.fixture(scope="session", autouse=True)
def bucket() -> None:
    """Replaces the fixture of the other integration tests: these need no service."""
    assert BUILD.is_dir(), "nothing is built: run `make integration`, or `python -m localstack.aws.sam build`"


@pytest.fixture(autouse=True)
def clean() -> None:
    pass


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packages of Lambda's runtime, and no others of this environment."""
    folder = tmp_path_factory.mktemp("runtime")
    for package in RUNTIME:
        spec = find_spec(package)
        assert spec is not None, package
        assert spec.origin is not None, package
        origin = Path(spec.origin)
        source = origin.parent if origin.name == "__init__.py" else origin
        (folder / source.name).symlink_to(source)
    return folder


def layers(function: str) -> list[Path]:
    return [BUILD / name.strip("<>") for name in FUNCTIONS[function]["Layers"]]


@cache
def imported(function: str, runtime: Path, name: str | None = None) -> dict[str, Any]:
    """Imports a handler in an interpreter that sees only the function's own packages. Returns what IMPORT prints.

    `name` is another function of the artifact to import in place of the handler.
    """
    paths = [BUILD / function, *(layer / "python" for layer in layers(function)), runtime]
    code = IMPORT.format(paths=[str(path) for path in paths], handler=name or FUNCTIONS[function]["Handler"])
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", code], env={}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_handler_can_be_imported_with_its_own_packages_and_no_environment(function: str, runtime: Path) -> None:
    result = imported(function, runtime)
    loaded = set(result["loaded"])

    assert result["callable"]
    assert not (loaded & WEB if function != "ApiFunction" else loaded & ENGINES)
    assert function in map(function_of, Operation) or not loaded & ENGINES


def test_authorizer_has_cryptography_and_imports_it_for_tokens_only(runtime: Path) -> None:
    for_keys = set(imported("AuthorizeFunction", runtime)["loaded"])
    for_tokens = set(imported("AuthorizeFunction", runtime, "functions.authorize.tokens.verify")["loaded"])

    assert not for_keys & {"jwt", "cryptography"}
    assert {"jwt", "cryptography"} <= for_tokens


@pytest.mark.parametrize("function", sorted(FUNCTIONS.keys() - {"ApiFunction"}))
def test_artifact_contains_its_function_folder_and_nothing_else(function: str) -> None:
    folder = Path(*FUNCTIONS[function]["Handler"].split(".")[:2])

    sources = {path for path in files_in(SOURCES / folder) if path.stem != "requirements"}
    built = files_in(BUILD / function)
    if (SOURCES / folder / "requirements.txt").exists():
        built = {path for path in built if path.parts[0] == "functions"}  # beside its own packages

    assert built == {folder / path for path in sources}


def files_in(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_with_its_layers_is_within_the_size_limit_of_lambda(function: str) -> None:
    total = sum(size_bytes(folder) for folder in [BUILD / function, *layers(function)])

    assert 0 < total < LIMIT_BYTES, f"{total / MEBIBYTE:.0f} MiB"


def size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_operations_have_the_layers_that_they_import_and_no_others() -> None:
    for operation in Operation:
        function = function_of(operation)
        reached = reachable_modules(f"functions.{operation}.app")
        used = {name.partition(".")[0] for module in reached for name in modules()[module].imports}
        assert ("<ImagingLayer>" in FUNCTIONS[function]["Layers"]) == bool(used & ENGINES), function
        assert ("<FfmpegLayer>" in FUNCTIONS[function]["Layers"]) == ("darkroom.av.ffmpeg" in reached), function


@pytest.mark.parametrize("function", ["VideoMetadataFunction", "VideoCompressFunction"])
def test_image_libraries_that_few_jobs_need_are_not_imported_at_start(function: str, runtime: Path) -> None:
    assert not set(imported(function, runtime)["loaded"]) & ENGINES


def test_artifacts_do_not_contain_boto3() -> None:
    bundled = [path for name in ("boto3", "botocore") for path in BUILD.glob(f"*/**/{name}/__init__.py")]

    assert not bundled


def test_artifacts_contain_bytecode_and_no_tests() -> None:
    assert (BUILD / "CoreLayer/python/darkroom/__pycache__").is_dir()
    assert not [path for path in BUILD.rglob("tests") if path.is_dir()]


def test_third_party_packages_include_their_licenses() -> None:
    missing = {
        package.name
        for package in BUILD.rglob("*.dist-info")
        if not any("licen" in path.name.lower() or "copying" in path.name.lower() for path in package.rglob("*"))
    }

    # Its wheel has no license file; its metadata names the license.
    assert {name.partition("-")[0] for name in missing} <= {"pydantic_core"}
    assert (BUILD / "ImagingLayer/fonts/LICENSE_DEJAVU").is_file()
    assert "GNU General Public License" in (BUILD / "FfmpegLayer/bin/NOTICE").read_text()


@pytest.mark.parametrize("program", ["ffmpeg", "ffprobe"])
def test_programs_run_without_any_environment(program: str) -> None:
    path = BUILD / "FfmpegLayer/bin" / program

    done = subprocess.run([path, "-version"], env={}, capture_output=True, text=True, timeout=20, check=True)

    assert os.access(path, os.X_OK)
    assert done.stdout.startswith(f"{program} version")


def test_imaging_layer_contains_the_font_for_watermarks() -> None:
    assert (BUILD / "ImagingLayer/fonts/DejaVuSans.ttf").read_bytes().startswith(b"\0\1\0\0")
