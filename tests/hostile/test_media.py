"""No content of a video or audio file makes an operation open other files, crash, hang, or fail without a code.

`DARKROOM_FUZZ` is the number of mutated files (default 200), `DARKROOM_FUZZ_SEED` the seed of the mutations. With `-s`
the counts by kind and outcome are printed.
"""

import itertools
import os
import resource
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from darkroom.av.ffmpeg import binary
from darkroom.contracts.audio_params import AudioExtractParams
from darkroom.contracts.video_params import VideoCompressParams, VideoMetadataParams, VideoThumbnailParams
from darkroom.errors import DarkroomError, MediaError
from functions.audio_extract.app import audio_extract
from functions.video_compress.app import video_compress
from functions.video_metadata.app import video_metadata
from functions.video_thumbnail.app import video_thumbnail
from tests.hostile import media
from tests.hostile.canary import Canary, watch_canary
from tests.hostile.image_runner import Outcome, table
from tests.hostile.media import Case
from tests.support.sources import LocalSource, make_task

Clips = Callable[[str], Path]
Operation = Callable[[LocalSource, Path], object]

#: The deadline of an operation, the seconds after it within which it must have ended, and the memory of its function.
DEADLINE_S = 15
GRACE_S = 5
MEMORY_MB = 1769

COUNT = int(os.environ.get("DARKROOM_FUZZ", "200"))
SEED = int(os.environ.get("DARKROOM_FUZZ_SEED", "1"))


def read_metadata(source: LocalSource, folder: Path) -> object:
    return video_metadata(make_task(source, folder, deadline_s=DEADLINE_S), VideoMetadataParams())


def take_thumbnail(source: LocalSource, folder: Path) -> object:
    return video_thumbnail(make_task(source, folder, deadline_s=DEADLINE_S), VideoThumbnailParams(time_s=0.7, width=64))


def compress(source: LocalSource, folder: Path) -> object:
    params = VideoCompressParams(preset="ultrafast", max_height=32)
    return video_compress(make_task(source, folder, deadline_s=DEADLINE_S), params)


def extract_audio(source: LocalSource, folder: Path) -> object:
    params = AudioExtractParams(format="opus", bitrate_kbps=16, waveform=["json"])
    return audio_extract(make_task(source, folder, deadline_s=DEADLINE_S), params)


READING = (read_metadata, take_thumbnail)
ALL: tuple[Operation, ...] = (read_metadata, take_thumbnail, compress, extract_audio)


#: Kind and outcome of every file so far.
outcomes: list[tuple[str, Outcome]] = []


@pytest.fixture(scope="module", autouse=True)
def _print_table() -> Iterator[None]:
    yield
    print(f"\n{table(outcomes)}")  # noqa: T201 - shown with `pytest -s`


@pytest.fixture(autouse=True)
def _limit_memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", str(MEMORY_MB))
    yield
    assert peak_bytes() < MEMORY_MB * 1024 * 1024


def peak_bytes() -> int:
    """The peak memory of any FFmpeg process so far."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


@pytest.fixture
def canary(clips: Clips, tmp_path: Path) -> Iterator[Canary]:
    with watch_canary(clips("video.ts"), tmp_path / "elsewhere") as watched:
        yield watched


def run_case(case: Case, operation: Operation, folder: Path) -> str:
    """Returns `made` or the error's code. Fails when the error is not a MediaError, or comes too late."""
    folder.mkdir(exist_ok=True)
    file = folder / case.name
    file.write_bytes(case.content)
    started = time.monotonic()
    try:
        operation(LocalSource(file, case.declared), folder)
    except MediaError as error:
        code = error.code
    except DarkroomError as error:
        pytest.fail(f"{case.kind} {case.name}: {error.code}: {error.message} {getattr(error, '__notes__', '')}")
    else:
        code = "made"
    taken_s = time.monotonic() - started
    assert taken_s < DEADLINE_S + GRACE_S
    outcomes.append((case.kind.partition(":")[0], Outcome((code,), taken_s, peak_bytes())))
    return code


def count_outcomes(
    cases: Iterable[Case], operations: Iterable[Operation], folder: Path, canary: Canary | None = None
) -> Counter[str]:
    """Runs each operation on each case; returns how often each outcome occurred."""
    counts: Counter[str] = Counter()
    for case, operation in itertools.product(list(cases), list(operations)):
        counts[run_case(case, operation, folder / "work")] += 1
        if canary is not None:
            assert canary.accesses() == [], case
    return counts


# Other files -------------------------------------------------------------------------------------------------------


def test_scripts_are_not_accepted_and_their_targets_are_not_opened(canary: Canary, tmp_path: Path) -> None:
    cases = list(media.scripts(canary))

    plain = [case for case in cases if case.declared is None and case.content[:1] in b"#fcv<m;"]
    assert count_outcomes(plain, [read_metadata], tmp_path, canary).keys() == {"unsupported_media_type"}
    disguised = [case for case in cases if case not in plain]
    assert "made" not in count_outcomes(disguised, [read_metadata], tmp_path, canary)
    assert "made" not in count_outcomes(disguised[::5], [take_thumbnail, extract_audio], tmp_path, canary)


def test_playlist_in_subtitles_is_not_followed(canary: Canary, tmp_path: Path) -> None:
    assert count_outcomes(media.gab2(canary), READING, tmp_path, canary)


def test_external_references_are_not_opened(clips: Clips, canary: Canary, tmp_path: Path) -> None:
    assert count_outcomes(media.references(clips("moov_at_end.mp4").read_bytes(), canary), ALL, tmp_path, canary)


def test_canary_reports_every_access(clips: Clips, canary: Canary, tmp_path: Path) -> None:
    playlist, video = tmp_path / "a.m3u8", tmp_path / "a.mov"
    for target in (f"file:{canary.file}", canary.url):
        playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{target}\n#EXT-X-ENDLIST\n")
        _run_unprotected("-protocol_whitelist", "file,http,tcp", "-i", str(playlist))
        assert canary.accesses()
    video.write_bytes(next(media.references(clips("moov_at_end.mp4").read_bytes(), canary)).content)
    _run_unprotected("-enable_drefs", "1", "-use_absolute_path", "1", "-i", str(video))
    assert canary.accesses()


def _run_unprotected(*arguments: str) -> None:
    subprocess.run([str(binary("ffmpeg")), "-nostdin", "-v", "quiet", *arguments, "-f", "null", "-"], check=False)


# False lengths ------------------------------------------------------------------------------------------------------


def test_false_boxes_do_no_harm(clips: Clips, tmp_path: Path) -> None:
    counts = count_outcomes(media.false_boxes(clips("video.mp4").read_bytes()), READING, tmp_path)

    assert counts["corrupt_media"] > 20


def test_false_matroska_elements_do_no_harm(clips: Clips, tmp_path: Path) -> None:
    counts = count_outcomes(media.false_matroska(clips("video.mkv").read_bytes()), READING, tmp_path)

    assert counts["corrupt_media"] > 20


# Damage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", media.VIDEOS)
def test_truncated_video_does_no_harm(clips: Clips, tmp_path: Path, name: str) -> None:
    cases = list(media.truncations(name, clips(name).read_bytes()))

    assert count_outcomes(cases, READING, tmp_path)
    assert count_outcomes(cases[1::4], [compress], tmp_path)


@pytest.mark.parametrize("name", media.AUDIO)
def test_truncated_audio_file_does_no_harm(clips: Clips, tmp_path: Path, name: str) -> None:
    cases = list(media.truncations(name, clips(name).read_bytes()))

    assert count_outcomes(cases, [read_metadata], tmp_path)
    assert count_outcomes(cases[1::4], [extract_audio], tmp_path)


def test_mutated_files_do_no_harm(clips: Clips, tmp_path: Path) -> None:
    cases = zip(media.mutations(clips, COUNT, SEED), itertools.cycle(ALL), strict=False)
    counts = Counter(run_case(case, operation, tmp_path / "work") for case, operation in cases)

    assert counts.total() == COUNT
    assert counts["made"] > COUNT / 10, "too many files are refused before they are decoded"
