"""What can be done with API keys, and what each leaves accepted at which time."""

import pytest

from darkroom.contracts.tenants import ApiKey, Scope
from darkroom.errors import InvalidRequestError, KeyNotActiveError
from darkroom.tenants import api_keys, credentials
from darkroom.tenants.api_keys import IssuedKey, KeyState
from darkroom.timestamps import iso_utc

NOW_S = 1_800_000_000.0
HOUR_S = 3600
DAY_S = 24 * HOUR_S


def make(expires_at: str | None = None, scopes: tuple[Scope, ...] = (Scope.READ,)) -> IssuedKey:
    return api_keys.create_key("acme", "live", name="Website", scopes=scopes, now_s=NOW_S, expires_at=expires_at)


def is_accepted(key: ApiKey, text: str, now_s: float) -> bool:
    return api_keys.state_with(key, credentials.sha256_of(text), now_s) is KeyState.ACTIVE


def test_new_key_is_active_and_accepts_its_own_text_only() -> None:
    issued, other = make(), make()

    assert api_keys.state_at(issued.key, NOW_S) is KeyState.ACTIVE
    assert is_accepted(issued.key, issued.text, NOW_S)
    assert not is_accepted(issued.key, other.text, NOW_S)
    assert credentials.parse(issued.text, "live").id == issued.key.key_id


def test_stored_key_does_not_have_its_secret() -> None:
    issued = make()

    assert issued.text.rpartition("_")[2] not in issued.key.model_dump_json()


def test_stored_key_is_read_as_it_was_written() -> None:
    key = make(iso_utc(NOW_S + DAY_S), (Scope.WRITE, Scope.READ, Scope.READ)).key

    assert ApiKey.model_validate_json(key.model_dump_json()) == key
    assert key.scopes == [Scope.READ, Scope.WRITE]


@pytest.mark.parametrize("scopes", [(), (Scope.UPLOAD,), (Scope.READ, Scope.UPLOAD)])
def test_key_needs_scopes_that_keys_may_have(scopes: tuple[Scope, ...]) -> None:
    with pytest.raises(InvalidRequestError):
        make(scopes=scopes)


def test_key_cannot_expire_in_the_past() -> None:
    with pytest.raises(InvalidRequestError):
        make(iso_utc(NOW_S))


def test_key_expires_at_its_time_in_any_offset() -> None:
    key = make("2027-01-15T12:00:00+02:00").key
    at_s = NOW_S + 2 * HOUR_S  # 2027-01-15T10:00:00Z

    assert api_keys.state_at(key, at_s - 0.001) is KeyState.ACTIVE
    assert api_keys.state_at(key, at_s) is KeyState.EXPIRED


def test_rotated_key_accepts_both_texts_during_the_overlap() -> None:
    old = make()

    new = api_keys.rotate(old.key, "live", now_s=NOW_S)

    assert new.key.key_id == old.key.key_id
    assert is_accepted(new.key, old.text, NOW_S + DAY_S - 1)
    assert not is_accepted(new.key, old.text, NOW_S + DAY_S)
    assert is_accepted(new.key, new.text, NOW_S + 10 * DAY_S)


def test_text_that_was_replaced_is_told_from_one_that_never_was_the_keys() -> None:
    old = make()
    key = api_keys.rotate(old.key, "live", now_s=NOW_S).key

    assert api_keys.state_with(key, credentials.sha256_of(old.text), NOW_S + DAY_S) is KeyState.REVOKED
    assert api_keys.state_with(key, credentials.sha256_of(make().text), NOW_S) is None


def test_rotation_without_overlap_refuses_the_old_text_at_once() -> None:
    old = make()

    new = api_keys.rotate(old.key, "live", now_s=NOW_S, overlap_s=0)

    assert not is_accepted(new.key, old.text, NOW_S)
    assert is_accepted(new.key, new.text, NOW_S)
    assert len(new.key.hashes) == 1


def test_second_rotation_does_not_extend_the_first_overlap() -> None:
    first = make()
    second = api_keys.rotate(first.key, "live", now_s=NOW_S, overlap_s=HOUR_S)

    third = api_keys.rotate(second.key, "live", now_s=NOW_S + 1, overlap_s=DAY_S)

    assert not is_accepted(third.key, first.text, NOW_S + HOUR_S)
    assert is_accepted(third.key, second.text, NOW_S + HOUR_S)


def test_rotation_after_a_leak_ends_the_overlaps_of_earlier_ones() -> None:
    first = make()
    second = api_keys.rotate(first.key, "live", now_s=NOW_S)

    third = api_keys.rotate(second.key, "live", now_s=NOW_S, overlap_s=0)

    assert [is_accepted(third.key, issued.text, NOW_S) for issued in (first, second, third)] == [False, False, True]


def test_rotations_are_refused_while_too_many_texts_are_accepted() -> None:
    issued = make()
    for _ in range(api_keys.MAX_SECRETS - 1):
        issued = api_keys.rotate(issued.key, "live", now_s=NOW_S)

    with pytest.raises(InvalidRequestError, match="overlap of 0"):
        api_keys.rotate(issued.key, "live", now_s=NOW_S)

    assert len(api_keys.rotate(issued.key, "live", now_s=NOW_S + DAY_S).key.hashes) == 2
    assert len(api_keys.rotate(issued.key, "live", now_s=NOW_S, overlap_s=0).key.hashes) == 1


@pytest.mark.parametrize("overlap_s", [-1, api_keys.OVERLAP_MAX_S + 1, float("nan"), float("inf")])
def test_overlap_has_limits(overlap_s: float) -> None:
    with pytest.raises(InvalidRequestError):
        api_keys.rotate(make().key, "live", now_s=NOW_S, overlap_s=overlap_s)


def test_revoked_key_stays_revoked_and_keeps_its_time() -> None:
    key = api_keys.revoke(make(iso_utc(NOW_S + DAY_S)).key, now_s=NOW_S)

    assert api_keys.state_at(key, NOW_S + 2 * DAY_S) is KeyState.REVOKED
    assert api_keys.revoke(key, now_s=NOW_S + 1) == key


def test_only_an_active_key_is_rotated() -> None:
    revoked = api_keys.revoke(make().key, now_s=NOW_S)
    expired = make(iso_utc(NOW_S + 1)).key

    with pytest.raises(KeyNotActiveError, match="revoked"):
        api_keys.rotate(revoked, "live", now_s=NOW_S)
    with pytest.raises(KeyNotActiveError, match="expired"):
        api_keys.rotate(expired, "live", now_s=NOW_S + 1)


def test_changed_key_differs_in_what_was_changed_only() -> None:
    key = make(iso_utc(NOW_S + 1)).key
    later = iso_utc(NOW_S + DAY_S)

    assert api_keys.change(key, {"name": "App"}, now_s=NOW_S) == key.model_copy(update={"name": "App"})
    assert api_keys.change(key, {"expires_at": None}, now_s=NOW_S) == key.model_copy(update={"expires_at": None})
    assert api_keys.change(key, {}, now_s=NOW_S) == key
    renewed = api_keys.change(key, {"expires_at": later}, now_s=NOW_S + 2)
    assert renewed == key.model_copy(update={"expires_at": later})
    with pytest.raises(ValueError, match="at least 1 character"):
        api_keys.change(key, {"name": ""}, now_s=NOW_S)
    with pytest.raises(InvalidRequestError, match="past"):
        api_keys.change(key, {"expires_at": iso_utc(NOW_S)}, now_s=NOW_S)


def test_revoked_key_is_not_changed() -> None:
    revoked = api_keys.revoke(make().key, now_s=NOW_S)

    with pytest.raises(KeyNotActiveError, match="revoked"):
        api_keys.change(revoked, {"name": "App"}, now_s=NOW_S)
