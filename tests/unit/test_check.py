"""The test command: its checks, its summary, its Make targets, and the coverage floor."""

import io
import re
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import yaml

from localstack.errors import StackError
from localstack.services import memory
from localstack.settings import load
from tools import check, coverage
from tools.check import ACTIONS, Summary
from tools.coverage import FLOOR_PERCENT, MARGIN_PERCENT, SLACK_PERCENT, Coverage

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z0-9]+):.*## ", MAKEFILE, re.MULTILINE))


def test_every_check_has_a_make_target_with_its_name() -> None:
    assert set(ACTIONS) - {"all"} <= TARGETS
    assert set(re.findall(r"\$\(CHECK\) (\w+)", MAKEFILE)) == set(ACTIONS) - {"all"}


def test_every_make_target_is_phony_and_explained() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)

    assert phony
    assert set(phony[1].split()) == TARGETS


@pytest.mark.parametrize("name", [".pre-commit-config.yaml", ".github/workflows/test.yml", ".ci/run"])
def test_automation_runs_make_targets_and_downloads_no_hook(name: str) -> None:
    text = (ROOT / name).read_text()
    used = set(re.findall(r"^.*(?:entry|run|exec):? make (\w+)$", text, re.MULTILINE))

    assert used
    assert used <= TARGETS
    assert "http" not in text


def test_actions_of_the_workflow_are_pinned_to_a_commit() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())
    steps = [step for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step]

    assert steps
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"]) for step in steps)
    assert all(job["timeout-minutes"] <= 60 for job in workflow["jobs"].values())


def test_all_checks_need_more_memory_than_a_stack_and_say_so_before_they_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["check"])
    monkeypatch.setattr(memory, "available_bytes", lambda: memory.STACK_BYTES)
    monkeypatch.setattr(check, "prepare", lambda *_: pytest.fail("it started"))

    assert check.main() == 1

    assert "make test needs 4.0 GB of memory, and 2.0 GB are available" in capsys.readouterr().err


def test_unknown_check_and_option_that_no_check_reads_are_refused() -> None:
    for arguments in (["everything"], ["lint", "--fast"]):
        argv = [sys.executable, "-m", "tools.check", *arguments]
        refused = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
        assert refused.returncode == 2
        assert arguments[-1] in refused.stderr or "takes no options" in refused.stderr


def test_summary_counts_the_steps_that_failed() -> None:
    summary = Summary()
    summary.add("lint", 1.5, passed=True)
    summary.add("unit", 60, passed=False)
    printed = io.StringIO()

    with redirect_stdout(printed):
        summary.print()

    assert summary.failed == 1
    assert "FAILED    60.0 s  unit" in printed.getvalue()
    assert "1 of 2 steps passed in 62 s" in printed.getvalue()


@pytest.mark.parametrize("above", [0.0, MARGIN_PERCENT, SLACK_PERCENT - 0.01])
def test_coverage_at_or_a_little_above_the_floor_passes(above: float) -> None:
    assert Coverage(FLOOR_PERCENT + above, []).problem == ""


def test_coverage_below_the_floor_fails() -> None:
    assert f"below the floor of {FLOOR_PERCENT} %" in Coverage(FLOOR_PERCENT - 0.01, []).problem


def test_coverage_far_above_the_floor_fails_and_names_a_floor_that_would_pass() -> None:
    measured = FLOOR_PERCENT + 2.07
    found = re.search(r"raise it to ([\d.]+)\.$", Coverage(measured, []).problem)

    assert found
    assert measured - SLACK_PERCENT < float(found[1]) <= measured - MARGIN_PERCENT


def test_report_names_the_files_with_the_lowest_coverage_first(capsys: pytest.CaptureFixture[str]) -> None:
    files = {f"{name}.py": {"summary": {"percent_covered": percent}} for name, percent in (("a", 99.0), ("b", 12.0))}

    coverage._read({"files": files, "totals": {"percent_covered": 93.37}}).print()

    total, first, second = capsys.readouterr().out.strip().splitlines()
    assert "93.3 %" in total
    assert (first.split()[-1], second.split()[-1]) == ("b.py", "a.py")


def test_coverage_without_a_measured_suite_names_the_missing_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(coverage, "_directory", lambda _settings: tmp_path)
    (tmp_path / "unit").touch()

    with pytest.raises(StackError, match="make integration"):
        coverage.combined(load({}))
