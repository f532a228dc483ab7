"""The changes that chaos makes to the sources must match them, which is checked here without a deployment."""

import shutil
from pathlib import Path

import pytest

from tests.chaos.deployment import GUARDS, SHORT_DELAYS
from tests.support.copied_stack import Change

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("guard", [None, *GUARDS])
def test_changes_of_chaos_match_the_sources(guard: str | None, tmp_path: Path) -> None:
    changes: tuple[Change, ...] = GUARDS[guard] if guard else SHORT_DELAYS
    for path in {change.path for change in changes}:
        copied = tmp_path / path
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, copied)

    for change in changes:
        change.apply(tmp_path)

    for path in {change.path for change in changes}:
        assert (tmp_path / path).read_text() != (ROOT / path).read_text()
