"""No picture, whatever is in it, brings a handler down, opens what it should not, or ends without a stable code."""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.canary import Canary, canary
from tests.hostile.image_runner import FUNCTION_BYTES, TASK_S, Outcome, Runner, table
from tests.hostile.images import Hostile, complaints, good, mutants, run
from tests.media.make_images import MEDIA

MUTANTS = 240

#: All that may be said of a picture. A new code here is a promise to clients.
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

Results = list[tuple[Hostile, Outcome]]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Canary]:
    with canary(MEDIA / "rocket.jpg", tmp_path_factory.mktemp("canary")) as bird:
        yield bird


@pytest.fixture(scope="module")
def results(watched: Canary, tmp_path_factory: pytest.TempPathFactory) -> Results:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = run(MUTANTS, 1, tmp_path_factory.mktemp("hostile"), (str(watched.file), watched.url))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(table([(file.kind, outcome) for file, outcome in found]))  # noqa: T201 - shown with `pytest -s`
    print(f"{after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime:.0f} s of CPU time")  # noqa: T201
    return found


def test_nothing_dies_hangs_or_passes_that_should_not(results: Results) -> None:
    assert complaints(results) == []
    assert len(results) > 500 + MUTANTS


def test_the_canary_is_neither_read_nor_called(results: Results, watched: Canary) -> None:
    assert any(str(watched.file).encode() in file.content for file, _ in results)
    assert any(watched.url.encode() in file.content for file, _ in results)
    assert watched.touched() == []


def test_the_canary_would_have_noticed(results: Results, watched: Canary) -> None:
    watched.file.read_bytes()
    assert watched.touched() != []


def test_every_outcome_is_a_code_that_clients_know(results: Results) -> None:
    assert {code for _, outcome in results for code in outcome.codes} <= CODES


def test_good_files_are_read_or_nothing_here_means_anything(results: Results) -> None:
    made = {file.name for file, outcome in results if file.kind == "good" and outcome.summary == "made"}
    assert made == set(good())


def test_no_file_takes_more_memory_than_a_function_has_or_longer_than_it_may(results: Results) -> None:
    assert max(outcome.peak_bytes for _, outcome in results) < FUNCTION_BYTES
    assert max(outcome.seconds for _, outcome in results) < 3 * TASK_S


def test_bombs_are_refused_by_name(results: Results) -> None:
    codes = {file.name: outcome.summary for file, outcome in results if file.kind == "bomb"}
    assert codes["png-40000.png"] == "too_many_pixels"
    assert codes["bmp-runs.bmp"] == codes["tiff-60000.tiff"] == "too_many_pixels"
    assert codes["gif-100000-frames.gif"] == "media_too_long"
    refused = [
        outcome for file, outcome in results if file.name in ("png-40000.png", "bmp-runs.bmp", "tiff-60000.tiff")
    ]
    assert {code for outcome in refused for code in outcome.codes} == {"too_many_pixels"}


def test_a_picture_at_the_pixel_limit_is_turned_within_the_functions_memory(results: Results) -> None:
    found = {file.name: outcome for file, outcome in results if file.name.startswith("sideways")}
    assert set(found["sideways-at-the-limit.jpg"].codes) == {"made"}
    assert found["sideways-at-the-limit.jpg"].peak_bytes > 500_000_000, "it was not held"
    assert set(found["sideways-beyond-the-limit.jpg"].codes) == {"too_many_pixels"}


def test_scripts_are_of_no_type_that_is_read(results: Results) -> None:
    found = {outcome.summary for file, outcome in results if file.kind == "script" and not file.may_pass}
    assert found == {"unsupported_media_type"}


def test_files_cut_short_are_never_half_drawn(results: Results) -> None:
    found = {outcome.summary for file, outcome in results if file.kind == "cut"}
    assert found == {"corrupt_media", "unsupported_media_type"}


def test_mutants_are_many_and_always_the_same() -> None:
    assert list(mutants(30)) == list(mutants(30))
    assert [file.content for file in mutants(30, seed=2)] != [file.content for file in mutants(30, seed=1)]
    originals = good()
    assert sum(file.content != originals[file.name[6:]] for file in mutants(100)) > 90


def test_a_worker_that_dies_is_noticed_and_replaced(tmp_path: Path) -> None:
    with Runner(tmp_path) as runner:
        assert runner.run("one.png", good()["plain.png"]).summary == "made"
        worker = runner._worker
        assert worker is not None
        worker.kill()
        worker.wait()
        assert runner.run("two.png", good()["plain.png"]).summary == "DEFECT"
        assert runner.run("three.png", good()["plain.png"]).summary == "made"
        assert runner.started == 2
