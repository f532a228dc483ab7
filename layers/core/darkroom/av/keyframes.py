"""The seconds between the key frames of a video: how precisely it can be cut or seeked without decoding.

Measured from the packets at the start of the file, which are read and not decoded.
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

#: The longest usual interval in seconds, slightly more than the defaults of common encoders.
MAX_INTERVAL_S = 12.0

#: Most bytes of the file that a scan reads, estimated from the mean bit rate; the scan covers at most `MAX_INTERVAL_S`,
#: or these seconds where the bit rate is unknown.
MAX_SCAN_BYTES = 3_000_000
_DEFAULT_SCAN_S = 2.0

#: Seconds that the scan may take. Without it, a file whose timestamps do not advance would be read to its end.
_TIMEOUT_S = 5.0

#: The packets suffice. To learn more about the streams, ffprobe would decode some of them.
_PACKETS = ("-nofind_stream_info", "-of", "csv=p=0", "-show_entries", "packet=stream_index,pts_time,dts_time,flags")

#: Demuxers whose header lists no streams. ffprobe must search for the streams, or it shows no packets.
_DEMUXERS_WITHOUT_STREAM_LIST = ("mpeg", "flv")


def key_frame_intervals(location: str, demuxer: str, found: Probe, task: Task) -> dict[int, float]:
    """The longest interval seen, in seconds, by stream index. Streams with fewer than two key frames seen are missing.

    `found` describes the file at `location`, a presigned URL or a local path. Raises the errors of `ffmpeg.read` except
    CorruptMediaError and ProcessingTimedOutError.
    """
    if not any(stream.kind == "video" and not stream.attached_picture for stream in found.streams):
        return {}
    packets = [*_PACKETS, "-select_streams", "v", "-read_intervals", f"%+{_scan_s(found):.3f}"]
    before = [*packets, "-find_stream_info"] if demuxer in _DEMUXERS_WITHOUT_STREAM_LIST else packets
    limited_task = replace(task, deadline=min(task.deadline, time.monotonic() + _TIMEOUT_S))
    with suppress(CorruptMediaError, ProcessingTimedOutError):  # the interval is optional; everything else is known
        return parse_packets(ffmpeg.read("ffprobe", location, demuxer, limited_task, before=before).stdout.decode())
    return {}


def _scan_s(found: Probe) -> float:
    if not found.bit_rate_bps:
        return _DEFAULT_SCAN_S
    return min(MAX_INTERVAL_S, MAX_SCAN_BYTES * 8 / found.bit_rate_bps)


def parse_packets(lines: str) -> dict[int, float]:
    """The longest interval by stream index, from ffprobe's lines `stream,pts,dts,flags`. Times may be missing."""
    times_s: defaultdict[int, set[float]] = defaultdict(set)
    for line in lines.splitlines():
        index, pts, dts, flags, *_ = [*line.split(","), "", "", ""]
        if index.isdecimal() and flags.startswith("K"):
            with suppress(ValueError):
                times_s[int(index)].add(float(dts if pts == "N/A" else pts))
    return {
        index: round(max(later - earlier for earlier, later in pairwise(sorted(seen))), 3)
        for index, seen in times_s.items()
        if len(seen) > 1
    }
