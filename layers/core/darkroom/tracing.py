"""W3C Trace Context (https://www.w3.org/TR/trace-context/): one id in the log lines of a job in every function."""

import os
import re

_FORMAT = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


def new_traceparent() -> str:
    """The `traceparent` of a new trace."""
    return f"00-{os.urandom(16).hex()}-{os.urandom(8).hex()}-01"


def continue_trace(header: str | None) -> str:
    """The caller's `traceparent` if it is valid, else a new one."""
    return header if header and _FORMAT.fullmatch(header) else new_traceparent()


def trace_id(traceparent: str) -> str:
    """The trace id: 32 hexadecimal digits; empty when `traceparent` is invalid."""
    match = _FORMAT.fullmatch(traceparent)
    return match.group(1) if match else ""
