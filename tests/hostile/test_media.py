"""Nothing that a film or a sound holds makes an operation read elsewhere, crash, hang, or fail without a code.

`DARKROOM_FUZZ` is the number of mutated files (default 200), `DARKROOM_FUZZ_SEED` which ones. With `-s` the counts by
kind and outcome are shown.
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
from tests.hostile.canary import Canary, canary
from tests.hostile.image_runner import Outcome, table
from tests.hostile.media import Case
from tests.sources import LocalSource, make_task

Clips = Callable[[str], Path]
Operation = Callable[[LocalSource, Path], object]

#: Seconds that an operation may take, and what is added until it must have ended; bytes that its processes may use.
DEADLINE_S = 15
GRACE_S = 5
MEMORY_MB = 1769

COUNT = int(os.environ.get("DARKROOM_FUZZ", "200"))
SEED = int(os.environ.get("DARKROOM_FUZZ_SEED", "1"))


def metadata(source: LocalSource, folder: Path) -> object:
    return video_metadata(make_task(source, folder, deadline_s=DEADLINE_S), VideoMetadataParams())


def thumbnail(source: LocalSource, folder: Path) -> object:
    return video_thumbnail(make_task(source, folder, deadline_s=DEADLINE_S), VideoThumbnailParams(time_s=0.7, width=64))


def compress(source: LocalSource, folder: Path) -> object:
    params = VideoCompressParams(preset="ultrafast", max_height=32)
    return video_compress(make_task(source, folder, deadline_s=DEADLINE_S), params)


def sound(source: LocalSource, folder: Path) -> object:
    params = AudioExtractParams(format="opus", bitrate_kbps=16, waveform=["json"])
    return audio_extract(make_task(source, folder, deadline_s=DEADLINE_S), params)


LOOKING = (metadata, thumbnail)
ALL: tuple[Operation, ...] = (metadata, thumbnail, compress, sound)


#: Kind and outcome of every file so far.
found: list[tuple[str, Outcome]] = []


@pytest.fixture(scope="module", autouse=True)
def _table() -> Iterator[None]:
    yield
    print(f"\n{table(found)}")  # noqa: T201 - shown with `pytest -s`


@pytest.fixture(autouse=True)
def _memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", str(MEMORY_MB))
    yield
    assert peak_bytes() < MEMORY_MB * 1024 * 1024


def peak_bytes() -> int:
    """The most memory that a process of FFmpeg has taken so far."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


@pytest.fixture
def bird(clips: Clips, tmp_path: Path) -> Iterator[Canary]:
    with canary(clips("film.ts"), tmp_path / "elsewhere") as set_up:
        yield set_up


def outcome(case: Case, operation: Operation, folder: Path) -> str:
    """What became of it: `made`, or the code of the error. Fails when the media was not at fault, or too late."""
    folder.mkdir(exist_ok=True)
    file = folder / case.name
    file.write_bytes(case.content)
    begun = time.monotonic()
    try:
        operation(LocalSource(file, case.declared), folder)
    except MediaError as error:
        code = error.code
    except DarkroomError as error:
        pytest.fail(f"{case.kind} {case.name}: {error.code}: {error.message} {getattr(error, '__notes__', '')}")
    else:
        code = "made"
    taken_s = time.monotonic() - begun
    assert taken_s < DEADLINE_S + GRACE_S
    found.append((case.kind.partition(":")[0], Outcome((code,), taken_s, peak_bytes())))
    return code


def tried(
    cases: Iterable[Case], operations: Iterable[Operation], folder: Path, bird: Canary | None = None
) -> Counter[str]:
    """How often each outcome came."""
    counts: Counter[str] = Counter()
    for case, operation in itertools.product(list(cases), list(operations)):
        counts[outcome(case, operation, folder / "work")] += 1
        if bird is not None:
            assert bird.touched() == [], case
    return counts


# Other files -------------------------------------------------------------------------------------------------------


def test_scripts_are_no_films_and_what_they_point_at_is_left_alone(bird: Canary, tmp_path: Path) -> None:
    cases = list(media.scripts(bird))

    bare = [case for case in cases if case.declared is None and case.content[:1] in b"#fcv<m;"]
    assert tried(bare, [metadata], tmp_path, bird).keys() == {"unsupported_media_type"}
    dressed = [case for case in cases if case not in bare]
    assert "made" not in tried(dressed, [metadata], tmp_path, bird)
    assert "made" not in tried(dressed[::5], [thumbnail, sound], tmp_path, bird)


def test_subtitles_that_are_a_playlist_are_not_followed(bird: Canary, tmp_path: Path) -> None:
    assert tried(media.gab2(bird), [metadata, thumbnail], tmp_path, bird)


def test_pictures_that_are_said_to_lie_elsewhere_are_not_fetched(clips: Clips, bird: Canary, tmp_path: Path) -> None:
    assert tried(media.references(clips("moov_at_end.mp4").read_bytes(), bird), ALL, tmp_path, bird)


def test_the_canary_sings_when_it_is_touched(clips: Clips, bird: Canary, tmp_path: Path) -> None:
    playlist, film = tmp_path / "a.m3u8", tmp_path / "a.mov"
    for target in (f"file:{bird.file}", bird.url):
        playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{target}\n#EXT-X-ENDLIST\n")
        _unprotected("-protocol_whitelist", "file,http,tcp", "-i", str(playlist))
        assert bird.touched()
    film.write_bytes(next(media.references(clips("moov_at_end.mp4").read_bytes(), bird)).content)
    _unprotected("-enable_drefs", "1", "-use_absolute_path", "1", "-i", str(film))
    assert bird.touched()


def _unprotected(*arguments: str) -> None:
    subprocess.run([str(binary("ffmpeg")), "-nostdin", "-v", "quiet", *arguments, "-f", "null", "-"], check=False)


# Lies about lengths ------------------------------------------------------------------------------------------------


def test_boxes_that_lie_do_no_harm(clips: Clips, tmp_path: Path) -> None:
    counts = tried(media.lying_boxes(clips("film.mp4").read_bytes()), LOOKING, tmp_path)

    assert counts["corrupt_media"] > 20


def test_matroska_that_lies_does_no_harm(clips: Clips, tmp_path: Path) -> None:
    counts = tried(media.matroska(clips("film.mkv").read_bytes()), LOOKING, tmp_path)

    assert counts["corrupt_media"] > 20


# Damage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", media.FILMS)
def test_a_film_cut_off_anywhere_does_no_harm(clips: Clips, tmp_path: Path, name: str) -> None:
    cases = list(media.truncations(name, clips(name).read_bytes()))

    assert tried(cases, LOOKING, tmp_path)
    assert tried(cases[1::4], [compress], tmp_path)


@pytest.mark.parametrize("name", media.SOUNDS)
def test_a_sound_cut_off_anywhere_does_no_harm(clips: Clips, tmp_path: Path, name: str) -> None:
    cases = list(media.truncations(name, clips(name).read_bytes()))

    assert tried(cases, [metadata], tmp_path)
    assert tried(cases[1::4], [sound], tmp_path)


def test_mutated_files_do_no_harm(clips: Clips, tmp_path: Path) -> None:
    cases = zip(media.mutations(clips, COUNT, SEED), itertools.cycle(ALL), strict=False)
    counts = Counter(outcome(case, operation, tmp_path / "work") for case, operation in cases)

    assert counts.total() == COUNT
    assert counts["made"] > COUNT / 10, "most would be stopped at the door"
