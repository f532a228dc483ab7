"""The how-to for a new operation: docs/adding-an-operation.diff. tests/e2e/test_new_operation.py deploys it."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
DIFF = ROOT / "docs" / "adding-an-operation.diff"


def test_diff_applies_to_these_sources() -> None:
    checked = subprocess.run(
        ["git", "apply", "--check", str(DIFF)],  # noqa: S607 - the user's git
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, f"Make its edits again and save the new diff.\n{checked.stderr}"


def test_diff_edits_the_registry_a_folder_and_the_template_and_nothing_else() -> None:
    edited = re.findall(r"^\+\+\+ b/(.+)$", DIFF.read_text(), re.MULTILINE)

    assert edited == [
        "layers/core/darkroom/contracts/image_params.py",
        "layers/core/darkroom/contracts/operations.py",
        "functions/invert/app.py",
        "template.yaml",
    ]


def test_contributing_quotes_the_diff() -> None:
    assert f"```diff\n{DIFF.read_text()}```\n" in (ROOT / "CONTRIBUTING.md").read_text()
