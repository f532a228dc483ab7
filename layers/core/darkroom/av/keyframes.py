"""How far apart the key frames of a film are, which is how exactly it can be sought in or cut without encoding.

Told from the packets of its beginning, which are read and not decoded.
"""

import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise

from darkroom.av import ffmpeg
from darkroom.av.probe import Probe
from darkroom.errors import CorruptMediaError, ProcessingTimedOutError
from darkroom.media.task import Task

#: Seconds between key frames, a little more than encoders put there by themselves.
LONGEST_S = 12.0

#: What is looked at is so much of the film, and less where that would be more bytes at its mean bit rate; seconds where
#: it does not say that.
MOST_BYTES = 3_000_000
_UNKNOWN_S = 2.0

#: Seconds that the look may take. A file whose clock stands still would be read to its end.
_PATIENCE_S = 5.0

#: The packets say enough; to find out more about the streams, ffprobe would decode some of them.
_PACKETS = ("-nofind_stream_info", "-of", "csv=p=0", "-show_entries", "packet=stream_index,pts_time,dts_time,flags")


def intervals(location: str, demuxer: str, found: Probe, task: Task) -> dict[int, float]:
    """Seconds between key frames by the index of their stream: the longest distance seen; none where none was seen.

    `found` is what the file at `location`, a presigned link or a local path, holds. Raises StorageUnavailableError, or
    Superseded when the job was canceled.
    """
    if not any(stream.kind == "video" and not stream.attached_picture for stream in found.streams):
        return {}
    before = [*_PACKETS, "-select_streams", "v", "-read_intervals", f"%+{_window_s(found):.3f}"]
    hurried = replace(task, deadline=min(task.deadline, time.monotonic() + _PATIENCE_S))
    with suppress(CorruptMediaError, ProcessingTimedOutError):  # the file has been described without it
        return parse(ffmpeg.read("ffprobe", location, demuxer, hurried, before=before).stdout.decode())
    return {}


def _window_s(found: Probe) -> float:
    if not found.bit_rate_bps:
        return _UNKNOWN_S
    return min(LONGEST_S, MOST_BYTES * 8 / found.bit_rate_bps)


def parse(packets: str) -> dict[int, float]:
    """The same from ffprobe's lines: stream, time of showing, time of decoding, flags. Times may be missing."""
    times: defaultdict[int, set[float]] = defaultdict(set)
    for line in packets.splitlines():
        index, shown, decoded, flags, *_ = [*line.split(","), "", "", ""]
        if index.isdecimal() and flags.startswith("K"):
            with suppress(ValueError):
                times[int(index)].add(float(decoded if shown == "N/A" else shown))
    return {
        index: round(max(later - earlier for earlier, later in pairwise(sorted(seen))), 3)
        for index, seen in times.items()
        if len(seen) > 1
    }
