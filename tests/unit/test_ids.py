import uuid

import pytest

from darkroom import ids
from darkroom.errors import InvalidIdError


def test_ids_are_uuids_of_version_7_that_sort_by_time():
    made = [ids.new_id(at_ms) for at_ms in (0, 1, 1_700_000_000_000, 2**48 - 1)]

    assert made == sorted(made)
    assert {uuid.UUID(identifier).version for identifier in made} == {7}
    assert {uuid.UUID(identifier).variant for identifier in made} == {uuid.RFC_4122}


def test_an_id_tells_when_it_was_made():
    assert ids.created_ms(ids.new_id(1_795_000_000_123)) == 1_795_000_000_123


def test_the_first_id_of_a_moment_sorts_before_all_others_of_it_and_after_all_before():
    first = ids.first_id(5_000)

    assert all(first <= ids.new_id(5_000) for _ in range(100))
    assert all(ids.new_id(4_999) < first for _ in range(100))


def test_ids_are_not_repeated():
    assert len({ids.new_id(0) for _ in range(10_000)}) == 10_000


@pytest.mark.parametrize("text", ["", "x", "../../etc", "00000000-0000-4000-8000-000000000000", "0" * 400, "é"])
def test_what_is_no_id_of_ours_is_refused(text):
    with pytest.raises(InvalidIdError):
        ids.parse_id(text)


def test_an_id_in_another_spelling_is_understood():
    identifier = ids.new_id()

    assert ids.parse_id(identifier.upper()) == identifier
    assert ids.parse_id("{" + identifier + "}") == identifier
