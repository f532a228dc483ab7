"""Waiting for a condition instead of for a time, since tests also run on machines with other load."""

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], problem: str = "it did not happen in time") -> None:
    """Returns once the condition holds. Fails after a minute, which is longer than any of them takes beside load."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, problem
        time.sleep(0.02)
