"""docs/security.md: every claim names tests that exist."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
DOCUMENT = (TESTS.parent / "docs" / "security.md").read_text()

_REFERENCE = re.compile(r"`(test_\w+\.py)::(test_\w+)`")
_HEAD = "| the attacker tries to | what holds | tests |"


def existing() -> set[tuple[str, str]]:
    """Every test, with its file."""
    return {
        (path.name, node.name)
        for path in TESTS.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def claims(document: str) -> Iterator[list[str]]:
    """The cells of each row of the tables of claims."""
    for table in document.split(_HEAD)[1:]:
        for line in table.lstrip("\n").splitlines()[1:]:
            if not line.startswith("|"):
                break
            yield [cell.strip() for cell in line.strip("|").split("|")]


def unfounded(document: str, tests: set[tuple[str, str]]) -> list[str]:
    """Claims without a test, and tests that do not exist."""
    found = [goal for goal, _, named in claims(document) if not _REFERENCE.search(named)]
    return found + [f"{file}::{name}" for file, name in _REFERENCE.findall(document) if (file, name) not in tests]


def test_every_claim_names_tests_that_exist() -> None:
    assert len(list(claims(DOCUMENT))) > 20
    assert not unfounded(DOCUMENT, existing())


def test_claim_without_a_test_that_exists_is_noticed() -> None:
    rows = "| a | b | `test_a.py::test_one` |\n| c | d | |\n| e | f | `test_a.py::test_gone` |\n"

    assert unfounded(f"{_HEAD}\n|---|---|---|\n{rows}", {("test_a.py", "test_one")}) == ["c", "test_a.py::test_gone"]
