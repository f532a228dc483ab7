"""What can be done with an API key. Nothing here reads or writes: `records` stores what is returned.

Times are seconds since 1970.
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from darkroom.contracts.tenants import ApiKey, Scope
from darkroom.errors import InvalidRequestError, KeyNotActiveError
from darkroom.tenants import credentials
from darkroom.tenants.credentials import CredentialKind
from darkroom.timestamps import epoch_ms, iso_utc

#: Seconds for which the old secret of a rotated key is accepted unless the request says otherwise.
OVERLAP_S = 24 * 3600

#: The most seconds of overlap: longer, and it is another key.
OVERLAP_MAX_S = 30 * 24 * 3600

#: The most secrets of one key that are accepted at the same time.
MAX_SECRETS = 5


class KeyState(StrEnum):
    """What a key is good for at a time. Only an `active` one is accepted."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True)
class IssuedKey:
    """A key as it is stored, and its text, which is shown once."""

    key: ApiKey
    text: str


def create_key(
    tenant: str, environment: str, *, name: str, scopes: Sequence[Scope], now_s: float, expires_at: str | None = None
) -> IssuedKey:
    """A new key. Raises InvalidRequestError when it would expire at once or may do nothing."""
    if not scopes:
        raise InvalidRequestError("A key needs at least one scope.")
    if Scope.UPLOAD in scopes:
        raise InvalidRequestError("The scope 'upload' is that of upload links; a key that uploads needs 'write'.")
    if expires_at is not None and _is_past(expires_at, now_s):
        raise InvalidRequestError("A key cannot expire in the past.")
    key_id = credentials.new_credential_id(tenant)
    text = credentials.new_credential(CredentialKind.API_KEY, environment, key_id)
    key = ApiKey(
        key_id=key_id,
        tenant=tenant,
        name=name,
        scopes=sorted(set(scopes)),
        hashes={credentials.sha256_of(text): None},
        created_at=iso_utc(now_s),
        expires_at=expires_at,
    )
    return IssuedKey(key, text)


def rotate(key: ApiKey, environment: str, *, now_s: float, overlap_s: float = OVERLAP_S) -> IssuedKey:
    """The key with a new secret. The old one is accepted for `overlap_s` more seconds; with 0 it is refused at once.

    Raises KeyNotActiveError when the key has expired or was revoked, and InvalidRequestError when too many secrets of
    it would be accepted at the same time.
    """
    if state_at(key, now_s) is not KeyState.ACTIVE:
        raise KeyNotActiveError(f"Key {key.key_id} has {_PAST[state_at(key, now_s)]}. Create another one.")
    if not 0 <= overlap_s <= OVERLAP_MAX_S:
        raise InvalidRequestError(f"The overlap must be from 0 to {OVERLAP_MAX_S} seconds.")
    end = iso_utc(now_s + overlap_s)
    ends = {sha256: _earlier(until, end) for sha256, until in key.hashes.items()}
    kept = {sha256: until for sha256, until in ends.items() if not _has_ended(until, now_s)}
    if len(kept) >= MAX_SECRETS:
        raise InvalidRequestError(
            f"Key {key.key_id} was rotated {MAX_SECRETS - 1} times within its overlap. Rotate it with an overlap of 0."
        )
    text = credentials.new_credential(CredentialKind.API_KEY, environment, key.key_id)
    return IssuedKey(key.model_copy(update={"hashes": kept | {credentials.sha256_of(text): None}}), text)


def revoke(key: ApiKey, *, now_s: float) -> ApiKey:
    """The key, revoked. One that was revoked before keeps its time."""
    return key if key.revoked_at else key.model_copy(update={"revoked_at": iso_utc(now_s)})


def change(key: ApiKey, changes: Mapping[str, str | None], *, now_s: float) -> ApiKey:
    """The key with another `name` or `expires_at`. One that has expired can be made to expire later.

    Raises KeyNotActiveError when the key was revoked, and InvalidRequestError when it would expire in the past.
    """
    if key.revoked_at is not None:
        raise KeyNotActiveError(f"Key {key.key_id} has been revoked. Create another one.")
    expires_at = changes.get("expires_at")
    if expires_at is not None and _is_past(expires_at, now_s):
        raise InvalidRequestError("A key cannot expire in the past. Revoke it instead.")
    return ApiKey.model_validate({**dict(key), **changes})


def state_at(key: ApiKey, now_s: float) -> KeyState:
    """What the key is good for at a time. A revoked key stays revoked after its expiry."""
    if key.revoked_at is not None:
        return KeyState.REVOKED
    return KeyState.EXPIRED if _has_ended(key.expires_at, now_s) else KeyState.ACTIVE


def state_with(key: ApiKey, sha256: str, now_s: float) -> KeyState | None:
    """What a credential with this hash is good for at a time; None when it is not the key's.

    One that a rotation replaced is revoked when its overlap is over. The time that this takes depends neither on where
    hashes differ nor on which of them is equal.
    """
    matches = [(until, hmac.compare_digest(stored, sha256)) for stored, until in key.hashes.items()]
    found = [until for until, is_equal in matches if is_equal]
    if not found:
        return None
    return KeyState.REVOKED if _has_ended(found[0], now_s) else state_at(key, now_s)


_PAST = {KeyState.EXPIRED: "expired", KeyState.REVOKED: "been revoked"}


def _is_past(time: str, now_s: float) -> bool:
    return epoch_ms(time) <= now_s * 1000


def _has_ended(until: str | None, now_s: float) -> bool:
    return until is not None and _is_past(until, now_s)


def _earlier(until: str | None, end: str) -> str:
    return end if until is None else min(until, end, key=epoch_ms)
