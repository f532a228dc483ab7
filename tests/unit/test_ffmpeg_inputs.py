"""How FFmpeg opens files and URLs: one demuxer, few protocols, and errors of the network and of the file."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from darkroom.av import ffmpeg
from darkroom.av.inputs import choose_demuxer, input_arguments
from darkroom.errors import (
    CorruptMediaError,
    DarkroomError,
    ProcessingTimedOutError,
    SourceReplacedError,
    StorageUnavailableError,
    TooManyPixelsError,
    UnsupportedMediaTypeError,
    WrongMediaKindError,
)
from darkroom.media.task import Task
from darkroom.timeouts import BACKGROUND, use_timeouts
from tests.support.range_server import serve_file
from tests.support.sources import LocalSource, make_task
from tests.support.videos import Clips

pytestmark = pytest.mark.usefixtures("no_leftover_processes")


@pytest.fixture
def task(binaries: Path, clips: Clips, tmp_path: Path) -> Task:
    return make_task(clips("video.mp4"), tmp_path)


#: Seconds of a clip that FFmpeg reads with many requests, and what the fixture `big_clips` returns.
BIG_CLIP_S = 8
BigClips = Callable[[str], Path]


@pytest.fixture(scope="module")
def big_clips(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> BigClips:
    """Makes a clip of several megabytes in the container that its name says."""
    folder = tmp_path_factory.mktemp("big")

    def make(name: str) -> Path:
        path = folder / name
        if not path.exists():
            noise = f"nullsrc=size=640x360:rate=25:duration={BIG_CLIP_S},geq=random(1)*255:128:128"
            encode = ["-c:v", "libx264", "-preset", "ultrafast", "-b:v", "4M", "-movflags", "+faststart"]
            command = [str(binaries / "ffmpeg"), "-v", "error", "-f", "lavfi", "-i", noise, *encode, str(path)]
            subprocess.run(command, check=True)
            assert path.stat().st_size > 3_000_000
        return path

    return make


@pytest.fixture
def big_clip(big_clips: BigClips) -> Path:
    return big_clips("big.mkv")


# Arguments ---------------------------------------------------------------------------------------------------------


def test_local_file_is_opened_with_one_demuxer_and_one_protocol() -> None:
    assert input_arguments("/a/source", "mov", max_pixels=1000) == [
        *("-f", "mov", "-format_whitelist", "mov", "-protocol_whitelist", "file"),
        *("-max_streams", "100", "-max_pixels", "1000", "-enable_drefs", "0", "-use_absolute_path", "0"),
        *("-i", "file:/a/source"),
    ]


def test_url_is_read_in_bounded_requests_with_the_protocols_it_needs() -> None:
    assert input_arguments("http://127.0.0.1:4566/b/k?sig=1", "matroska", max_pixels=1000) == [
        *("-f", "matroska", "-format_whitelist", "matroska", "-protocol_whitelist", "http,tcp"),
        *("-max_streams", "100", "-max_pixels", "1000", "-rw_timeout", "15000000"),
        *("-multiple_requests", "1", "-request_size", "1048576", "-initial_request_size", "262144"),
        *("-reconnect", "1", "-reconnect_on_network_error", "1", "-reconnect_on_http_error", "5xx"),
        *("-reconnect_max_retries", "2", "-reconnect_delay_max", "1"),
        *("-i", "http://127.0.0.1:4566/b/k?sig=1"),
    ]


def test_https_url_is_verified_against_the_known_certificate_authorities() -> None:
    arguments = input_arguments("https://bucket.example/k", "mp3", max_pixels=1000)
    bundle = arguments[arguments.index("-ca_file") + 1]

    assert "BEGIN CERTIFICATE" in Path(bundle).read_text()
    assert arguments[:13] == [
        *("-f", "mp3", "-format_whitelist", "mp3", "-protocol_whitelist", "https,tls,tcp"),
        *("-max_streams", "100", "-max_pixels", "1000", "-tls_verify", "1", "-ca_file"),
    ]


def test_url_is_read_only_while_it_has_the_etag_of_the_source() -> None:
    arguments = input_arguments("http://127.0.0.1:4566/b/k", "mov", max_pixels=1000, etag='"5d41402a-2"')

    assert arguments[-4:] == ["-headers", 'If-Match: "5d41402a-2"\r\n', "-i", "http://127.0.0.1:4566/b/k"]
    assert "-headers" not in input_arguments("/a/source", "mov", max_pixels=1000, etag='"5d41402a-2"')


@pytest.mark.parametrize("etag", ['"a"\r\nX-Injected: 1', '"a\r\nX: 1"', '"a" "b"', "a", "", '"a"\n', "*"])
def test_etag_cannot_add_headers(etag: str) -> None:
    with pytest.raises(StorageUnavailableError):
        input_arguments("http://127.0.0.1:4566/b/k", "mov", max_pixels=1000, etag=etag)


@pytest.mark.parametrize(
    ("media_type", "error"), [("image/jpeg", WrongMediaKindError), ("text/plain", UnsupportedMediaTypeError)]
)
def test_only_video_and_audio_have_a_demuxer(tmp_path: Path, media_type: str, error: type[DarkroomError]) -> None:
    with pytest.raises(error):
        choose_demuxer(LocalSource(tmp_path / "file", declared=media_type))


# Hostile inputs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("demuxer", ["mov", "matroska", "avi", "mpegts", "mp3", "wav"])
def test_playlist_is_not_followed_with_any_demuxer(task: Task, clips: Clips, demuxer: str) -> None:
    playlist = task.directory / "video"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:{clips('video.ts')}\n#EXT-X-ENDLIST\n")

    with pytest.raises(CorruptMediaError):
        ffmpeg.read("ffmpeg", str(playlist), demuxer, task, after=["-f", "null", "-"])


def test_playlist_would_be_followed_without_the_allow_lists(task: Task, clips: Clips) -> None:
    playlist = task.directory / "video.m3u8"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:{clips('video.ts')}\n#EXT-X-ENDLIST\n")

    ffmpeg.run("ffmpeg", ["-i", str(playlist), "-f", "null", "-"], task)  # so the test above can fail


def test_video_with_more_pixels_than_allowed_is_not_decoded(clips: Clips, tmp_path: Path) -> None:
    task = make_task(clips("video.mp4"), tmp_path, pixels=320 * 180 - 1)

    with pytest.raises(TooManyPixelsError):
        ffmpeg.read("ffmpeg", str(clips("video.mp4")), "mov", task, after=["-f", "null", "-"])


def test_file_named_like_a_protocol_is_read_as_a_file(task: Task, clips: Clips) -> None:
    name = task.directory / "concat:http:-i"
    name.write_bytes(clips("video.mp4").read_bytes())

    output = ffmpeg.read("ffprobe", str(name), "mov", task, after=["-show_entries", "format=duration"])

    assert b"duration=2.0" in output.stdout


# URLs --------------------------------------------------------------------------------------------------------------


def test_connection_that_the_server_has_closed_is_opened_again(task: Task, clips: Clips) -> None:
    arguments = ["-show_entries", "stream=pix_fmt"]
    with serve_file(clips("moov_at_end.mp4"), requests_per_connection=1) as server:
        output = ffmpeg.read("ffprobe", server.url, "mov", task, after=arguments)

    assert len(server.requests) > 2, "else there was nothing to open again"
    assert b"pix_fmt=yuv420p" in output.stdout


@pytest.mark.parametrize(("name", "demuxer"), [("video.mp4", "mov"), ("video.mkv", "matroska")])
def test_transfer_that_is_cut_off_is_a_storage_error(task: Task, clips: Clips, name: str, demuxer: str) -> None:
    with serve_file(clips(name), ends_at=150_000) as server, pytest.raises(StorageUnavailableError):
        ffmpeg.read("ffmpeg", server.url, demuxer, task, after=["-f", "null", "-"])


def test_truncated_file_is_a_media_error_by_path_and_by_url(task: Task, clips: Clips) -> None:
    cut = clips("cut_after_its_index.mp4")
    with serve_file(cut) as server:
        for location in (server.url, str(cut)):
            with pytest.raises(CorruptMediaError, match="cut short"):
                ffmpeg.read("ffmpeg", location, "mov", task, after=["-f", "null", "-"])


@pytest.mark.parametrize("status", [403, 404, 503])
def test_refused_url_is_a_storage_error_that_does_not_reveal_its_signature(
    task: Task, clips: Clips, status: int
) -> None:
    with (
        serve_file(clips("video.mp4"), status=status) as server,
        pytest.raises(StorageUnavailableError) as caught,
    ):
        ffmpeg.read("ffprobe", server.url, "mov", task)

    assert caught.value.retryable
    assert "Signature" not in caught.value.message + "".join(caught.value.__notes__)


def test_unreachable_server_is_a_storage_error(task: Task) -> None:
    with pytest.raises(StorageUnavailableError):
        ffmpeg.read("ffprobe", "http://127.0.0.1:1/video", "mov", task)


# Storage that fails in the middle of a file ------------------------------------------------------------------------

#: Bytes of a clip that are sent before the storage fails, and a clip of which that is a part.
SENT_BYTES = 300_000
DECODE = ["-f", "null", "-"]


@pytest.fixture
def short_limit() -> Iterator[float]:
    """Seconds without data that are tolerated in this test."""
    use_timeouts(replace(BACKGROUND, storage_read_s=1.0))
    yield 1.0
    use_timeouts(BACKGROUND)


@pytest.mark.parametrize("program", ["ffmpeg", "ffprobe"])
def test_storage_that_stalls_is_a_storage_error_soon(
    task: Task, big_clip: Path, short_limit: float, program: ffmpeg.Program
) -> None:
    after = DECODE if program == "ffmpeg" else ["-show_packets"]
    with serve_file(big_clip, stalls_at=SENT_BYTES) as server:
        began = time.monotonic()
        with pytest.raises(StorageUnavailableError, match="No data of the file has arrived for 1 seconds"):
            ffmpeg.read(program, server.url, "matroska", task, after=after)

    assert time.monotonic() - began < short_limit + 8


def test_stall_is_noticed_long_before_a_run_of_a_minute_ends(task: Task, big_clip: Path) -> None:
    with serve_file(big_clip, stalls_at=SENT_BYTES) as server:
        began = time.monotonic()
        with pytest.raises(StorageUnavailableError):
            ffmpeg.read("ffmpeg", server.url, "matroska", task, after=DECODE)

    assert time.monotonic() - began < 20


def test_storage_that_responds_again_within_the_limit_is_no_error(task: Task, big_clip: Path) -> None:
    with serve_file(big_clip, stalls_at=SENT_BYTES) as server:
        later = threading.Timer(3, server.flowing.set)
        later.start()
        ffmpeg.read("ffmpeg", server.url, "matroska", task, after=DECODE)
        later.join()


def test_deadline_that_passes_while_the_storage_stalls_is_a_storage_error(big_clip: Path, tmp_path: Path) -> None:
    with serve_file(big_clip, stalls_at=SENT_BYTES) as server, pytest.raises(StorageUnavailableError, match="deadline"):
        ffmpeg.read("ffmpeg", server.url, "matroska", make_task(big_clip, tmp_path, deadline_s=5), after=DECODE)


def test_deadline_that_passes_during_work_on_a_url_is_a_time_out(
    clips: Clips, big_clip: Path, tmp_path: Path, short_limit: float
) -> None:
    slow = ["-vf", "scale=3840:-1", "-c:v", "libx264", "-preset", "placebo", *DECODE]
    with serve_file(big_clip) as server, pytest.raises(ProcessingTimedOutError):
        ffmpeg.read("ffmpeg", server.url, "matroska", make_task(big_clip, tmp_path, deadline_s=4), after=slow)


@pytest.mark.parametrize("name", ["big.mkv", "big.mp4", "big.ts"])
def test_storage_that_refuses_the_rest_of_a_file_is_a_storage_error(big_clips: BigClips, task: Task, name: str) -> None:
    demuxer = {"mkv": "matroska", "mp4": "mov", "ts": "mpegts"}[name.partition(".")[2]]
    with serve_file(big_clips(name), status=503, status_after=2) as server, pytest.raises(StorageUnavailableError):
        ffmpeg.read("ffmpeg", server.url, demuxer, task, after=DECODE)


def test_request_that_the_storage_refuses_for_a_moment_is_repeated(task: Task, big_clip: Path) -> None:
    with serve_file(big_clip, status=503, status_of_every=3) as server:
        output = ffmpeg.read("ffmpeg", server.url, "matroska", task, after=DECODE, span=(0.0, 1.0))

    assert output.media_s == pytest.approx(BIG_CLIP_S, abs=0.1)


def test_damaged_file_by_url_is_a_media_error_although_requests_beyond_its_end_are_refused(
    task: Task, clips: Clips
) -> None:
    with serve_file(clips("cut_after_its_index.mp4")) as server, pytest.raises(CorruptMediaError):
        ffmpeg.read("ffmpeg", server.url, "mov", task, after=DECODE)


def test_file_that_is_replaced_during_the_run_is_not_mixed_with_the_new_one(big_clip: Path, tmp_path: Path) -> None:
    source = LocalSource(big_clip)
    source.etag = '"etag"'
    with serve_file(big_clip, replaced_at=1_000_000) as server, pytest.raises(SourceReplacedError) as caught:
        ffmpeg.read("ffmpeg", server.url, "matroska", make_task(source, tmp_path), after=DECODE)

    assert caught.value.retryable
