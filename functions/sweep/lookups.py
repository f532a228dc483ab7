"""Reads records of S3 in parallel threads, and the open index page by page."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import TypeVar

from darkroom.errors import InternalError, StorageUnavailableError
from darkroom.jobs import open_index
from darkroom.jobs.open_index import Entry, Kind
from darkroom.log import logger
from darkroom.services import aws
from darkroom.services.redis import reconciliation

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def look_up(read: Callable[[_Item], _Result], items: Sequence[_Item], deadline: float) -> list[tuple[_Item, _Result]]:
    """Each item with what `read` returns for it, from parallel threads, which must not use the broker.

    Items are left out that cannot be read: this version does not know their format, a request failed, or the deadline
    on the monotonic clock has passed. Some are read even then, so that every pass does something. Raises
    StorageUnavailableError when S3 fails for all, or many times in a row.
    """
    storage = _Storage()

    def attempt(number: int, item: _Item) -> tuple[_Item, _Result] | None:
        storage.require()
        if number >= aws.PARALLEL_CALLS and time.monotonic() > deadline:
            return None
        try:
            result = read(item)
        except InternalError as error:
            logger().error("skipped unreadable record", extra={"reason": error.message, "item": str(item)})
            return None
        except StorageUnavailableError as error:
            storage.failed(error)
            return None
        storage.succeeded()
        return item, result

    with ThreadPoolExecutor(min(max(len(items), 1), aws.PARALLEL_CALLS)) as threads:
        found = [pair for pair in threads.map(attempt, count(), items) if pair is not None]
    if not found:
        storage.require(failures=1)
    return found


class _Storage:
    """Whether S3 responds. Single failures are tolerated, since others may succeed; a row of them is an outage."""

    def __init__(self) -> None:
        self._in_a_row = 0
        self._error: StorageUnavailableError | None = None

    def require(self, failures: int = aws.PARALLEL_CALLS) -> None:
        """Raises the last error if so many requests in a row have failed."""
        if self._error is not None and self._in_a_row >= failures:
            raise self._error

    def failed(self, error: StorageUnavailableError) -> None:
        """Counts a failure."""
        self._error = error
        self._in_a_row += 1

    def succeeded(self) -> None:
        """Ends the row of failures."""
        self._in_a_row = 0


def read_index(kind: Kind, handle: Callable[[list[Entry], float], int], deadline: float) -> int:
    """Reads the index once around, from where the last pass stopped, until the deadline on the monotonic clock.

    Returns the sum of what `handle` returns for each page and the deadline. Stops when another pass reads the index at
    the same time, and when Redis loses its data: then the next pass begins at the beginning.
    """
    cursor: reconciliation.Cursor | None = reconciliation.read_cursor(kind)
    started_at = cursor.position if cursor else ""
    wrapped = not started_at
    done = 0
    while cursor is not None:
        for page in open_index.pages(kind, cursor.position):
            if page:
                done += handle(page, deadline)
                cursor = reconciliation.move_cursor(cursor, to=page[-1].position)
            if (
                cursor is None
                or time.monotonic() > deadline
                or (started_at and wrapped and cursor.position >= started_at)
            ):
                return done
        cursor = reconciliation.move_cursor(cursor, to="", new_cycle=True)
        if wrapped:
            return done
        wrapped = True
    return done
