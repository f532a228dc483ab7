"""Where emulated functions unpack themselves: memory where there is plenty, disk where there is not."""

import stat
from pathlib import Path

import pytest

from localstack.failure import StackError
from localstack.services import scratch
from localstack.settings import load

GIBIBYTE = 1 << 30


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Shared memory with room, on a machine with memory to spare."""
    monkeypatch.setattr(scratch, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(scratch.shutil, "disk_usage", lambda _path: type("Usage", (), {"free": 8 * GIBIBYTE}))
    monkeypatch.setattr(scratch, "_available_bytes", lambda: 16 * GIBIBYTE)
    return tmp_path


SETTINGS = load({"DARKROOM_IN_FLIGHT": "2"})


def test_memory_is_used_where_there_is_plenty_and_for_this_user_alone(memory):
    path = scratch.directory(SETTINGS)
    scratch.make(path)

    assert path.parent == memory
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_two_stacks_do_not_share(memory):
    assert scratch.directory(SETTINGS) != scratch.directory(load({"DARKROOM_STACK": "other"}))


def test_choice_stays_when_memory_gets_short_later(memory, monkeypatch):
    scratch.make(scratch.directory(SETTINGS))
    monkeypatch.setattr(scratch, "_available_bytes", lambda: 0)

    assert scratch.directory(SETTINGS).parent == memory


def test_little_memory_leaves_the_disk(memory, monkeypatch):
    monkeypatch.setattr(scratch, "_available_bytes", lambda: 7 * GIBIBYTE)

    assert scratch.directory(SETTINGS).is_relative_to(SETTINGS.directory)


def test_tiny_shared_memory_of_a_container_leaves_the_disk(memory, monkeypatch):
    monkeypatch.setattr(scratch.shutil, "disk_usage", lambda _path: type("Usage", (), {"free": 64 << 20}))

    assert scratch.directory(SETTINGS).is_relative_to(SETTINGS.directory)


def test_system_without_shared_memory_leaves_the_disk(memory, monkeypatch):
    monkeypatch.setattr(scratch, "SHARED_MEMORY", memory / "none")

    assert scratch.directory(SETTINGS).is_relative_to(SETTINGS.directory)


def test_disk_can_be_asked_for(memory):
    settings = load({"DARKROOM_SCRATCH": "disk"})

    assert scratch.directory(settings).is_relative_to(settings.directory)


def test_directory_of_somebody_else_is_neither_used_nor_removed(memory, monkeypatch):
    path = scratch.directory(SETTINGS)
    (path / "theirs").mkdir(parents=True)
    monkeypatch.setattr(scratch, "_is_ours", lambda _path: False)

    assert scratch.directory(SETTINGS) != path
    with pytest.raises(StackError, match="somebody else"):
        scratch.make(path)
    scratch.remove(SETTINGS)
    assert (path / "theirs").exists()


def test_what_is_left_in_memory_is_removed(memory):
    path = scratch.directory(SETTINGS)
    scratch.make(path)
    (path / "worker").mkdir()

    scratch.remove(SETTINGS)
    scratch.remove(SETTINGS)

    assert not path.exists()
