"""The check of free memory before a stack starts."""

from pathlib import Path

import pytest

from localstack import stack
from localstack.errors import StackError
from localstack.services import memory
from localstack.settings import Settings, load

AVAILABLE_BYTES = 1_500_000 * 1024
NEEDED_BYTES = 2_000_000_000
SETTINGS = load({})


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files in which a machine reports its memory: 1.5 GB are available and there is no container."""
    (tmp_path / "meminfo").write_text("MemTotal: 9000000 kB\nMemAvailable:  1500000 kB\nX:\n")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_CGROUPS", [(tmp_path / "max", tmp_path / "current", tmp_path / "stat")])
    return tmp_path


def test_error_names_both_amounts_and_what_to_do(machine: Path) -> None:
    with pytest.raises(StackError) as error:
        memory.require(SETTINGS, NEEDED_BYTES, "The stack darkroom")

    assert str(error.value) == (
        "The stack darkroom needs 2.0 GB of memory, and 1.5 GB are available. End other programs or stacks "
        "(make down), or start anyway with DARKROOM_MEMORY_CHECK=off."
    )


def test_enough_memory_and_a_check_that_is_off_raise_no_error(machine: Path) -> None:
    memory.require(SETTINGS, AVAILABLE_BYTES, "it")
    memory.require(load({"DARKROOM_MEMORY_CHECK": "off"}), NEEDED_BYTES, "it")


def test_system_that_does_not_report_its_memory_is_not_checked(machine: Path) -> None:
    (machine / "meminfo").unlink()

    assert memory.available_bytes() is None
    memory.require(SETTINGS, NEEDED_BYTES, "it")


@pytest.mark.parametrize(
    ("limit", "available"), [("1000000000", 700_000_000), ("max", AVAILABLE_BYTES), ("9" * 18, AVAILABLE_BYTES)]
)
def test_limit_of_a_container_counts(machine: Path, limit: str, available: int) -> None:
    (machine / "max").write_text(limit)
    (machine / "current").write_text("500000000")
    (machine / "stat").write_text("anon 300000000\ninactive_file 200000000\n")

    assert memory.available_bytes() == available


def test_stack_does_not_start_with_too_little_memory(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Settings] = []
    monkeypatch.setattr(stack, "install", started.append)
    settings = Settings(**{**vars(SETTINGS), "root": tmp_path})

    with pytest.raises(StackError, match="DARKROOM_MEMORY_CHECK"):
        stack.up(settings)

    assert not started
