"""The changes that chaos makes to the sources must match them, which is checked here without a deployment."""

import shutil
from pathlib import Path

import pytest

from tests.chaos.deployment import PORT, READ_IN_PARTS, SHIFTABLE_CLOCK, SHORT_DELAYS, through_relays
from tests.chaos.guards import MUTATIONS
from tests.support.copied_stack import Change

ROOT = Path(__file__).parents[2]

ALWAYS = (*through_relays(PORT), *SHIFTABLE_CLOCK, *READ_IN_PARTS, *SHORT_DELAYS)


@pytest.mark.parametrize("mutation", [None, *MUTATIONS])
def test_changes_of_chaos_match_the_sources(mutation: str | None, tmp_path: Path) -> None:
    changes: tuple[Change, ...] = MUTATIONS[mutation].changes if mutation else ALWAYS
    for path in {change.path for change in changes}:
        copied = tmp_path / path
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, copied)

    for change in changes:
        change.apply(tmp_path)

    for path in {change.path for change in changes}:
        assert (tmp_path / path).read_text() != (ROOT / path).read_text()
