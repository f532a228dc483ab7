"""Why a run of FFmpeg failed, from its exit code and its standard error."""

import re
import signal

from darkroom.errors import (
    CorruptMediaError,
    DarkroomError,
    FileTooLargeError,
    InternalError,
    ResultTooLargeError,
    SourceReplacedError,
    StorageUnavailableError,
    TooManyPixelsError,
    UnsupportedMediaTypeError,
    WorkerDiedError,
)

#: Characters of standard error that are added to the error as a note, for the log.
_NOTE_CHARACTERS = 1000

_BY_SIGNAL: dict[int, DarkroomError] = {
    signal.SIGXFSZ: FileTooLargeError("The result would be larger than one run can write."),
    signal.SIGKILL: WorkerDiedError("FFmpeg was killed, most likely because the function ran out of memory."),
}

#: Messages of a run that stopped in the middle, and of one whose input ended too early. FFmpeg exits with code 0 after
#: both.
_STOPPED_EARLY = r"Error during demuxing|Out of memory|malloc of size \d+ failed"
_INPUT_ENDED_EARLY = r"partial file|Read error"

#: (pattern in standard error, error, message); the first match counts.
_BY_STDERR: tuple[tuple[str, type[DarkroomError], str], ...] = (
    (r"HTTP error 412", SourceReplacedError, SourceReplacedError.__doc__ or ""),
    (
        # 416: a request beyond the end of the file, which a truncated file leads to.
        r"^\[(tls|tcp) @|^\[https? @ \w+\] (?!HTTP error 416)|HTTP error (?!416)\d|Server returned"
        r"|Connection (refused|reset)|Connection timed out",
        StorageUnavailableError,
        "The connection to the object store failed while the file was read.",
    ),
    (r"exceeds specified max pixel count", TooManyPixelsError, "A frame has more pixels than allowed."),
    (
        r"No space left on device|File too large",
        FileTooLargeError,
        "The result would be larger than one run can write.",
    ),
    (
        r"Unrecognized option|Option not found|Unknown encoder|No such filter|Error parsing (global )?options",
        InternalError,
        "FFmpeg was started with invalid arguments.",
    ),
    (
        r"requested bitrate is too low",
        ResultTooLargeError,
        "The video cannot be encoded in so few bytes. Lower the width, the height or the frame rate.",
    ),
    (r"moov atom not found", CorruptMediaError, "The file is damaged or cut short: its index is missing."),
    (
        r"Out of memory|Cannot allocate memory|malloc of size \d+ failed",
        CorruptMediaError,
        "The file needs more memory than one run has.",
    ),
    (_INPUT_ENDED_EARLY, CorruptMediaError, "The file is damaged or cut short: it ends too early."),
    (
        r"no decoder found|Decoder .{0,40}not found|[Uu]nknown codec|Unsupported codec",
        UnsupportedMediaTypeError,
        "The file uses a codec that cannot be decoded.",
    ),
)


def has_failed(exit_code: int, stderr: str) -> bool:
    """Whether a run failed: by its exit code, or because it stopped in the middle."""
    return exit_code != 0 or re.search(_STOPPED_EARLY, stderr) is not None


def input_ended_early(stderr: str) -> bool:
    """Whether the input of a run ended before its header states."""
    return re.search(_INPUT_ENDED_EARLY, stderr) is not None


def run_error(exit_code: int, stderr: str) -> DarkroomError:
    """Returns the error for a run with this exit code (negative: the signal) and standard error.

    The message is never FFmpeg's own text, which may contain a presigned URL. That text is added as a note for the log.
    """
    error = _BY_SIGNAL.get(-exit_code) if exit_code < 0 else _match_stderr(stderr)
    if error is None:
        error = CorruptMediaError("The file is damaged or cut short: it could not be decoded.")
    error = type(error)(error.message)  # a new instance each time, because it collects a traceback
    last_lines = _remove_urls(stderr)[-_NOTE_CHARACTERS:]
    error.add_note(f"FFmpeg exited with code {exit_code}: {last_lines}")
    return error


def _match_stderr(stderr: str) -> DarkroomError | None:
    for pattern, kind, message in _BY_STDERR:
        if re.search(pattern, stderr, re.MULTILINE):
            return kind(message)
    return None


def _remove_urls(text: str) -> str:
    return re.sub(r"https?://\S+", "<url>", text)
