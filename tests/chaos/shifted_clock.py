"""Copied into the sources under test: shifts the clock of functions by the number of seconds in a file.

`time.time` and `time.time_ns` are shifted, which Darkroom reads wherever it needs the time of day. `datetime.now`, with
which botocore signs requests, is not: S3 would refuse every request of a clock that is 15 minutes off, which is the
fault "S3 access denied". Redis and the broker have clocks of their own.
"""

import time
from pathlib import Path

_FILE = Path("CLOCK_FILE")  # replaced in the copy

#: Seconds for which the shift is not read again.
_FRESH_S = 0.1

_true_time, _true_time_ns = time.time, time.time_ns
_read_at, _shift_s = -_FRESH_S, 0


def _shift() -> int:
    global _read_at, _shift_s
    if time.monotonic() - _read_at >= _FRESH_S:
        _read_at = time.monotonic()
        try:
            _shift_s = int(_FILE.read_text())
        except (OSError, ValueError):  # no shift; or it is being written
            _shift_s = 0
    return _shift_s


def _time() -> float:
    return _true_time() + _shift()


def _time_ns() -> int:
    return _true_time_ns() + _shift() * 1_000_000_000


time.time, time.time_ns = _time, _time_ns
