"""W3C Trace Context: one id that a job's log lines share across every hop (https://www.w3.org/TR/trace-context/)."""

import os
import re

_FORMAT = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


def new_traceparent() -> str:
    """The `traceparent` of a trace that starts here."""
    return f"00-{os.urandom(16).hex()}-{os.urandom(8).hex()}-01"


def continued(header: str | None) -> str:
    """The caller's `traceparent` if it is one, else a new one."""
    return header if header and _FORMAT.fullmatch(header) else new_traceparent()


def trace_id(traceparent: str) -> str:
    """The 32 hexadecimal digits that all hops share."""
    match = _FORMAT.fullmatch(traceparent)
    return match.group(1) if match else ""
