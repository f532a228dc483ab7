"""How FFmpeg opens files and URLs: one demuxer, few protocols, and errors of the network and of the file."""

from pathlib import Path

import pytest

from darkroom.av import ffmpeg
from darkroom.av.inputs import choose_demuxer, input_arguments
from darkroom.errors import (
    CorruptMediaError,
    DarkroomError,
    StorageUnavailableError,
    TooManyPixelsError,
    UnsupportedMediaTypeError,
    WrongMediaKindError,
)
from darkroom.media.task import Task
from tests.support.range_server import serve_file
from tests.support.sources import LocalSource, make_task
from tests.support.videos import Clips

pytestmark = pytest.mark.usefixtures("no_leftover_processes")


@pytest.fixture
def task(binaries: Path, clips: Clips, tmp_path: Path) -> Task:
    return make_task(clips("video.mp4"), tmp_path)


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
        *("-reconnect", "1", "-reconnect_on_network_error", "1"),
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
