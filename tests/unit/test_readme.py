"""The README names everything that a user meets."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import api.problems  # noqa: F401 - its errors belong to the tree
from darkroom.contracts.operations import PARAMS, Operation
from darkroom.errors import DarkroomError, Superseded

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def errors(kind: type[DarkroomError] = DarkroomError) -> Iterator[type[DarkroomError]]:
    for child in kind.__subclasses__():
        yield child
        yield from errors(child)


def test_every_error_code_is_listed() -> None:
    codes = {error.code for error in errors() if error is not Superseded}

    assert len(codes) > 25
    assert [code for code in sorted(codes) if f"`{code}`" not in README] == []


@pytest.mark.parametrize("operation", Operation)
def test_operation_is_listed_with_its_parameters(operation) -> None:
    (row,) = [line for line in README.splitlines() if line.startswith(f"| `{operation}` |")]

    assert [name for name in PARAMS[operation].model_fields if f"`{name}`" not in row] == []


def test_no_path_of_a_machine_is_named() -> None:
    folders = [f"/{name}/" for name in ("home", "root", Path(__file__).resolve().parts[1])]

    assert [line for line in README.splitlines() if any(folder in line for folder in folders)] == []
