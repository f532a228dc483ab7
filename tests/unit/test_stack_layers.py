"""Emulated environments share one read-only copy of each version of a layer, and their files end with them."""

import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from localstack.aws import artifacts, ended_environments, layer_store
from localstack.settings import Settings, load
from tests.support.waiting import wait_until

TEMPLATE = """
Resources:
  F:
    Properties:
      CodeUri: Function
  L:
    Properties:
      ContentUri: Layer
"""

#: What MiniStack's worker does with the layers of an environment (core/lambda_runtime.py, _PYTHON_WORKER_SCRIPT).
WORKER = """
import os, site, sys
sys.path.insert(0, os.environ["LAMBDA_TASK_ROOT"])
for layer in os.environ["_LAMBDA_LAYERS_DIRS"].split(os.pathsep):
    sys.path.insert(0, os.path.join(layer, "python"))
    for version in os.listdir(os.path.join(layer, "python", "lib")):
        site.addsitedir(os.path.join(layer, "python", "lib", version, "site-packages"))
import json, tempfile, tool
found = []
for name in ("OpenSSL", "awscrt", "cryptography", "json"):
    try:
        found.append(__import__(name).__name__)
    except ImportError:
        pass
layer = os.environ["_LAMBDA_LAYERS_DIRS"].split(os.pathsep)[-1]
print(json.dumps([tool.__file__, layer, tempfile.gettempdir(), *found]))
sys.stdout.flush()
sys.stdin.read()
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = replace(load({}), root=tmp_path)
    settings.directory.mkdir(parents=True)
    return settings


def build(settings: Settings, text: str) -> Path:
    """Builds and packs a layer with this text. Returns the build's directory."""
    (settings.build / "Layer" / "python").mkdir(parents=True, exist_ok=True)
    (settings.build / "Function").mkdir(exist_ok=True)
    (settings.build / "Layer" / "python" / "tool.py").write_text(f"TEXT = {text!r}\n")
    (settings.build / "Function" / "app.py").write_text("")
    (settings.build / "template.yaml").write_text(TEMPLATE)
    artifacts.pack(settings.build, layer_store.directory(settings))
    return settings.build


def stored(settings: Settings) -> set[str]:
    return {(path / "python" / "tool.py").read_text()[8:-2] for path in layer_store.directory(settings).iterdir()}


@contextmanager
def environment(
    build: Path, directory: Path, packages: Path = Path(), own: str = ""
) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A process that starts as an emulated environment does: it, and what WORKER prints.

    `packages` are those of the emulator, `own` is one that comes with the function.
    """
    (directory / "code" / own).mkdir(parents=True)
    layer = directory / "layer_0"
    with zipfile.ZipFile(build / "Layer.zip") as archive:
        archive.extractall(layer)
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER],
        env={
            "_LAMBDA_LAYERS_DIRS": str(layer),
            "LAMBDA_TASK_ROOT": str(directory / "code"),
            "PYTHONPATH": str(packages),
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout
        yield process, json.loads(process.stdout.readline())
        process.kill()


def test_environments_share_the_files_of_a_layer(settings: Settings, tmp_path: Path) -> None:
    built = build(settings, "one")
    with (
        environment(built, tmp_path / "tmp" / "ministack-lambda-a") as (_, first),
        environment(built, tmp_path / "tmp" / "ministack-lambda-b") as (_, second),
    ):
        (version,) = layer_store.directory(settings).iterdir()
        assert first[:2] == second[:2] == [str(version / "python" / "tool.py"), str(version)]
        assert (built / "Layer.zip").stat().st_size < 5000
        assert not list((tmp_path / "tmp").rglob("tool*"))


def test_environment_has_a_temporary_directory_of_its_own(settings: Settings, tmp_path: Path) -> None:
    directory = tmp_path / "tmp" / "ministack-lambda-a"
    with environment(build(settings, "one"), directory) as (_, (_, _, temporary, *_)):
        assert Path(temporary) == directory / "tmp"


def test_packages_of_the_emulator_cannot_be_imported(settings: Settings, tmp_path: Path) -> None:
    for name in ("OpenSSL", "awscrt", "cryptography"):
        (tmp_path / f"{name}.py").write_text("")
    with environment(build(settings, "one"), tmp_path / "ministack-lambda-a", tmp_path) as (_, (_, _, _, *found)):
        assert found == ["json"]


def test_package_that_comes_with_a_function_can_be_imported(settings: Settings, tmp_path: Path) -> None:
    directory = tmp_path / "ministack-lambda-a"
    with environment(build(settings, "one"), directory, own="cryptography") as (_, (_, _, _, *found)):
        assert found == ["cryptography", "json"]


def test_files_of_an_environment_go_when_it_is_killed_and_not_before(settings: Settings, tmp_path: Path) -> None:
    built = build(settings, "one")
    killed, living = tmp_path / "tmp" / "ministack-lambda-a", tmp_path / "tmp" / "ministack-lambda-b"
    with environment(built, killed) as (process, _), environment(built, living):
        ended_environments.remove(tmp_path / "tmp")
        assert killed.is_dir()

        process.kill()
        process.wait()
        ended_environments.remove(tmp_path / "tmp")

        assert not killed.exists()
        assert living.is_dir()


def test_environment_that_has_not_started_yet_is_kept_for_five_minutes(tmp_path: Path) -> None:
    new, old, other = (tmp_path / name for name in ("ministack-lambda-new", "ministack-lambda-old", "something-old"))
    for path in (new, old, other):
        path.mkdir()
    for path in (old, other):
        os.utime(path, (time.time() - 301,) * 2)

    ended_environments.remove(tmp_path)

    assert (new.exists(), old.exists(), other.exists()) == (True, False, True)


def test_stored_files_are_read_only_and_programs_stay_executable(settings: Settings) -> None:
    program = settings.build / "Layer" / "bin" / "tool"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    build(settings, "one")

    modes = {path.name: path.stat().st_mode & 0o777 for path in layer_store.directory(settings).rglob("tool*")}

    assert modes == {"tool": 0o555, "tool.py": 0o444}
    assert program.stat().st_mode & 0o777 == 0o755


def test_same_contents_are_stored_once_and_other_contents_beside_them(settings: Settings) -> None:
    for text in ("one", "one", "two"):
        build(settings, text)

    assert stored(settings) == {"one", "two"}


def test_version_that_no_stack_uses_any_more_is_removed(settings: Settings) -> None:
    for text in ("one", "two", "three"):
        build(settings, text)
        layer_store.record_deployment(settings)
        layer_store.record_deployment(settings)  # a deployment that failed is repeated

    assert stored(settings) == {"two", "three"}  # a run of the last deployment may still use the second


def test_version_that_another_stack_uses_is_kept(settings: Settings) -> None:
    other = replace(settings, stack="other")
    other.directory.mkdir()
    build(settings, "one")
    layer_store.record_deployment(other)
    for text in ("two", "three", "four"):
        build(settings, text)
        layer_store.record_deployment(settings)

    assert stored(settings) == {"one", "three", "four"}


def test_build_whose_layer_was_deleted_is_not_complete(settings: Settings) -> None:
    build(settings, "one")
    assert layer_store.has_build(settings)

    next(layer_store.directory(settings).iterdir()).rename(settings.home / "moved")

    assert not layer_store.has_build(settings)


def test_remover_survives_a_directory_that_does_not_exist(tmp_path: Path) -> None:
    ended_environments.remove(tmp_path / "none")


def test_lock_is_released_by_the_end_of_the_process_alone(settings: Settings, tmp_path: Path) -> None:
    directory = tmp_path / "tmp" / "ministack-lambda-a"
    with environment(build(settings, "one"), directory) as (process, _):
        assert process.stdin
        process.stdin.close()
        wait_until(lambda: process.poll() is not None)
        ended_environments.remove(tmp_path / "tmp")

        assert not directory.exists()
