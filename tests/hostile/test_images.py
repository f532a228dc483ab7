"""No image crashes an operation, opens other files, or ends without a documented error code."""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.canary import Canary, watch_canary
from tests.hostile.image_mutants import mutants
from tests.hostile.image_runner import FUNCTION_BYTES, TASK_S, Outcome, Runner, table
from tests.hostile.image_samples import HostileImage, valid_images
from tests.hostile.images import find_defects, run
from tests.media.make_images import MEDIA

MUTANTS = 240

#: All outcomes of an image. Adding one extends the API.
CODES = {
    "made",
    "corrupt_media",
    "empty_file",
    "invalid_request",  # the result would have a longer side than its format holds
    "media_too_long",
    "result_too_large",
    "too_many_pixels",
    "unsupported_media_type",
    "wrong_media_kind",
}

Results = list[tuple[HostileImage, Outcome]]


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Canary]:
    with watch_canary(MEDIA / "rocket.jpg", tmp_path_factory.mktemp("canary")) as created:
        yield created


@pytest.fixture(scope="module")
def results(canary: Canary, tmp_path_factory: pytest.TempPathFactory) -> Results:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = run(MUTANTS, 1, tmp_path_factory.mktemp("hostile"), (str(canary.file), canary.url))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(table([(file.kind, outcome) for file, outcome in found]))  # noqa: T201 - shown with `pytest -s`
    print(f"{after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime:.0f} s of CPU time")  # noqa: T201
    return found


def test_nothing_crashes_hangs_or_passes_unexpectedly(results: Results) -> None:
    assert find_defects(results) == []
    assert len(results) > 500 + MUTANTS


def test_canary_is_neither_opened_nor_called(results: Results, canary: Canary) -> None:
    assert any(str(canary.file).encode() in file.content for file, _ in results)
    assert any(canary.url.encode() in file.content for file, _ in results)
    assert canary.accesses() == []


def test_canary_notices_being_opened(results: Results, canary: Canary) -> None:
    canary.file.read_bytes()
    assert canary.accesses() != []


def test_every_outcome_is_a_documented_code(results: Results) -> None:
    assert {code for _, outcome in results for code in outcome.codes} <= CODES


def test_valid_files_are_processed(results: Results) -> None:
    made = {file.name for file, outcome in results if file.kind == "valid" and outcome.summary == "made"}
    assert made == set(valid_images())


def test_no_file_exceeds_the_memory_or_time_of_a_function(results: Results) -> None:
    assert max(outcome.peak_bytes for _, outcome in results) < FUNCTION_BYTES
    assert max(outcome.seconds for _, outcome in results) < 3 * TASK_S


def test_bombs_are_refused_with_the_expected_codes(results: Results) -> None:
    codes = {file.name: outcome.summary for file, outcome in results if file.kind == "bomb"}
    assert codes["png-40000.png"] == "too_many_pixels"
    assert codes["bmp-runs.bmp"] == codes["tiff-60000.tiff"] == "too_many_pixels"
    assert codes["gif-100000-frames.gif"] == "media_too_long"
    refused = [
        outcome for file, outcome in results if file.name in ("png-40000.png", "bmp-runs.bmp", "tiff-60000.tiff")
    ]
    assert {code for outcome in refused for code in outcome.codes} == {"too_many_pixels"}


def test_image_at_the_pixel_limit_is_rotated_within_the_memory_of_a_function(results: Results) -> None:
    found = {file.name: outcome for file, outcome in results if file.name.startswith("rotated-")}
    assert set(found["rotated-at-the-limit.jpg"].codes) == {"made"}
    assert found["rotated-at-the-limit.jpg"].peak_bytes > 500_000_000, "it was not in memory"
    assert set(found["rotated-beyond-the-limit.jpg"].codes) == {"too_many_pixels"}


def test_scripts_are_of_unsupported_types(results: Results) -> None:
    found = {outcome.summary for file, outcome in results if file.kind == "script" and not file.may_pass}
    assert found == {"unsupported_media_type"}


def test_truncated_files_are_refused(results: Results) -> None:
    found = {outcome.summary for file, outcome in results if file.kind == "truncated"}
    assert found == {"corrupt_media", "unsupported_media_type"}


def test_mutants_differ_from_the_valid_files_and_are_reproducible() -> None:
    assert list(mutants(30)) == list(mutants(30))
    assert [file.content for file in mutants(30, seed=2)] != [file.content for file in mutants(30, seed=1)]
    originals = valid_images()
    assert sum(file.content != originals[file.name[6:]] for file in mutants(100)) > 90


def test_crashed_worker_is_detected_and_replaced(tmp_path: Path) -> None:
    with Runner(tmp_path) as runner:
        assert runner.run("one.png", valid_images()["plain.png"]).summary == "made"
        worker = runner._worker
        assert worker is not None
        worker.kill()
        worker.wait()
        assert runner.run("two.png", valid_images()["plain.png"]).summary == "DEFECT"
        assert runner.run("three.png", valid_images()["plain.png"]).summary == "made"
        assert runner.started == 2
