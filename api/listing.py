"""Pages of lists that S3 has in order: the names on a page, and the path of the next one."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar
from urllib.parse import urlencode

#: Requests to S3 at the same time.
_THREADS = 8

_Read = TypeVar("_Read")


def first_page(names: Iterable[str], limit: int) -> tuple[list[str], bool]:
    """Up to `limit` names, and whether others follow."""
    found = list(islice(names, limit + 1))
    return found[:limit], len(found) > limit


def next_path(path: str, page: Sequence[str], limit: int, *, follows: bool) -> str | None:
    """The path of the page after this one, or None."""
    return f"{path}?{urlencode({'limit': limit, 'after': page[-1]})}" if follows else None


def read_all(read: Callable[[str], _Read | None], names: Sequence[str]) -> list[_Read]:
    """What `read` returns for each name, in order, from parallel threads; without what does not exist."""
    with ThreadPoolExecutor(_THREADS) as threads:
        return [found for found in threads.map(read, names) if found is not None]
