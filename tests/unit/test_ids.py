"""Identifiers are UUIDs of version 7: they sort by time and are validated."""

import uuid

import pytest

from darkroom import ids
from darkroom.errors import InvalidIdError


def test_ids_are_uuids_of_version_7_that_sort_by_time() -> None:
    created = [ids.new_id(at_ms) for at_ms in (0, 1, 1_700_000_000_000, 2**48 - 1)]

    assert created == sorted(created)
    assert {uuid.UUID(identifier).version for identifier in created} == {7}
    assert {uuid.UUID(identifier).variant for identifier in created} == {uuid.RFC_4122}


def test_id_contains_its_time_of_creation() -> None:
    assert ids.created_ms(ids.new_id(1_795_000_000_123)) == 1_795_000_000_123


def test_first_id_of_a_millisecond_is_the_smallest_of_it() -> None:
    first = ids.first_id(5_000)

    assert all(first <= ids.new_id(5_000) for _ in range(100))
    assert all(ids.new_id(4_999) < first for _ in range(100))


def test_ids_are_unique() -> None:
    assert len({ids.new_id(0) for _ in range(10_000)}) == 10_000


@pytest.mark.parametrize("text", ["", "x", "../../etc", "00000000-0000-4000-8000-000000000000", "0" * 400, "é"])
def test_invalid_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidIdError):
        ids.parse_id(text)


def test_id_in_another_spelling_is_accepted() -> None:
    identifier = ids.new_id()

    assert ids.parse_id(identifier.upper()) == identifier
    assert ids.parse_id("{" + identifier + "}") == identifier
