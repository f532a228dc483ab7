"""The directory in which emulated functions are unpacked: in memory if enough is free, else on disk."""

import shutil
import stat
from pathlib import Path

import pytest

from localstack.errors import StackError
from localstack.services import scratch
from localstack.settings import load

GIBIBYTE = 1 << 30


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Shared memory with enough space, on a machine with enough free memory."""
    monkeypatch.setattr(scratch, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: type("Usage", (), {"free": 8 * GIBIBYTE}))
    monkeypatch.setattr(scratch, "_available_bytes", lambda: 16 * GIBIBYTE)
    return tmp_path


SETTINGS = load({"DARKROOM_IN_FLIGHT": "2"})


def test_memory_is_used_if_enough_is_free_and_is_private_to_this_user(memory: Path) -> None:
    path = scratch.directory(SETTINGS)
    scratch.make(path)

    assert path.parent == memory
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_two_stacks_have_different_directories(memory: Path) -> None:
    assert scratch.directory(SETTINGS) != scratch.directory(load({"DARKROOM_STACK": "other"}))


def test_directory_stays_in_memory_when_memory_becomes_short(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch.make(scratch.directory(SETTINGS))
    monkeypatch.setattr(scratch, "_available_bytes", lambda: 0)

    assert scratch.directory(SETTINGS).parent == memory


def test_disk_is_used_if_memory_is_short(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "_available_bytes", lambda: 7 * GIBIBYTE)

    assert scratch.directory(SETTINGS).is_relative_to(SETTINGS.directory)


def test_disk_is_used_if_shared_memory_is_small(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: type("Usage", (), {"free": 64 << 20}))

    assert scratch.directory(SETTINGS).is_relative_to(SETTINGS.directory)


def test_disk_is_used_without_shared_memory(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "SHARED_MEMORY", memory / "none")

    assert scratch.directory(SETTINGS).is_relative_to(SETTINGS.directory)


def test_disk_is_used_if_the_settings_require_it(memory: Path) -> None:
    settings = load({"DARKROOM_SCRATCH": "disk"})

    assert scratch.directory(settings).is_relative_to(settings.directory)


def test_directory_of_another_user_is_neither_used_nor_removed(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = scratch.directory(SETTINGS)
    (path / "theirs").mkdir(parents=True)
    monkeypatch.setattr(scratch, "_is_ours", lambda _path: False)

    assert scratch.directory(SETTINGS) != path
    with pytest.raises(StackError, match="another user"):
        scratch.make(path)
    scratch.remove(SETTINGS)
    assert (path / "theirs").exists()


def test_directory_in_memory_is_removed(memory: Path) -> None:
    path = scratch.directory(SETTINGS)
    scratch.make(path)
    (path / "worker").mkdir()

    scratch.remove(SETTINGS)
    scratch.remove(SETTINGS)

    assert not path.exists()
