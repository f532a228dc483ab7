"""How the exit codes and messages of FFmpeg become errors."""

import signal
from pathlib import Path

import pytest

from darkroom.av import ffmpeg
from darkroom.av.ffmpeg_errors import run_error
from darkroom.errors import (
    CorruptMediaError,
    DarkroomError,
    FileTooLargeError,
    InternalError,
    StorageUnavailableError,
    TooManyPixelsError,
    UnsupportedMediaTypeError,
    WorkerDiedError,
)
from tests.support.sources import make_task
from tests.support.videos import Clips

pytestmark = pytest.mark.usefixtures("no_leftover_processes")


@pytest.mark.parametrize(
    ("exit_code", "stderr", "error"),
    [
        (183, "[mov,mp4 @ 0x1] moov atom not found", CorruptMediaError),
        (183, "Invalid data found when processing input", CorruptMediaError),
        (69, "", CorruptMediaError),
        (183, "[aac @ 0x1] Error parsing ADTS frame header!", CorruptMediaError),
        (-signal.SIGSEGV, "", CorruptMediaError),
        (-signal.SIGABRT, "", CorruptMediaError),
        (244, "[h264 @ 0x1] Out of memory", CorruptMediaError),
        (0, "[mov @ 0x1] stream 1, offset 0x9: partial file", CorruptMediaError),
        (1, "Picture size 9x9 exceeds specified max pixel count 1", TooManyPixelsError),
        (1, "[dec @ 0x1] Decoding requested, but no decoder found for: evc", UnsupportedMediaTypeError),
        (228, "Error writing trailer: No space left on device", FileTooLargeError),
        (-signal.SIGXFSZ, "", FileTooLargeError),
        (-signal.SIGKILL, "", WorkerDiedError),
        (1, "[https @ 0x1] HTTP error 403 Forbidden", StorageUnavailableError),
        (1, "[tls @ 0x1] The certificate is not correctly signed", StorageUnavailableError),
        (251, "[tcp @ 0x1] Connection to tcp://127.0.0.1 failed: Connection refused", StorageUnavailableError),
        (8, "Unrecognized option 'frobnicate'.", InternalError),
        (8, "[vost#0:0 @ 0x1] Unknown encoder 'libx266'", InternalError),
    ],
)
def test_failed_run_has_an_error_code_and_a_message(exit_code: int, stderr: str, error: type[DarkroomError]) -> None:
    failure = run_error(exit_code, stderr)

    assert type(failure) is error
    assert failure.message.endswith(".")
    assert stderr in failure.__notes__[0]


def test_invalid_arguments_are_an_internal_error(clips: Clips, tmp_path: Path) -> None:
    task = make_task(clips("video.mp4"), tmp_path)
    for arguments in (["-frobnicate"], ["-c:v", "libx266", "-f", "null", "-"], ["-vf", "nonsense", "-f", "null", "-"]):
        with pytest.raises(InternalError):
            ffmpeg.run("ffmpeg", ["-i", str(clips("video.mp4")), *arguments], task)
