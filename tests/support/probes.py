"""Probes of files that do not exist, from the JSON that ffprobe would print for them."""

import json
from typing import Any

from darkroom.av.probe import Probe, parse_probe

VIDEO = {"codec_type": "video", "width": 1280, "height": 720, "avg_frame_rate": "25/1", "r_frame_rate": "25/1"}
AUDIO = {"codec_type": "audio", "channels": 2}


def parse_document(document: dict[str, Any]) -> Probe:
    """A probe from a whole document."""
    return parse_probe(json.dumps(document).encode())


def probe_of(*streams: dict[str, Any], **container: Any) -> Probe:
    """A probe of a file with these streams, numbered in this order."""
    numbered = [{"index": index, **stream} for index, stream in enumerate(streams)]
    return parse_document({"format": container, "streams": numbered})
