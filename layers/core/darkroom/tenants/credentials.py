"""The text of API keys and upload-link tokens: `<prefix>_<environment>_<id>_<secret>`, such as

    dk_live_acme-7q2xk4mzt5ba_…40 characters…

The id names the tenant, so no index is needed to find what is stored about it. The last six characters of the secret
are a checksum of everything before them: a secret scanner recognizes a credential by it, and a text that is no
credential costs no request to storage. Only the SHA-256 of the whole text is ever stored.
"""

import hashlib
import re
import secrets
import zlib
from dataclasses import dataclass
from enum import StrEnum

from darkroom.contracts.tenants import TENANT_PATTERN
from darkroom.errors import CredentialsInvalidError

#: The name of a deployment in its credentials: those of another deployment are refused at once.
ENVIRONMENT_PATTERN = r"^[a-z0-9]{1,16}$"

#: No credential is longer: prefix, environment, id and secret, with what separates them.
CREDENTIAL_MAX_CHARS = 2 + 16 + (32 + 1 + 12) + 40 + 3

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_ID_CHARS = 12
_RANDOM_CHARS = 34  # 202 bits
_CHECKSUM_CHARS = 6

_TENANT = TENANT_PATTERN.removeprefix("^").removesuffix("$")
_ENVIRONMENT = ENVIRONMENT_PATTERN.removeprefix("^").removesuffix("$")
_ID = re.compile(rf"(?P<tenant>{_TENANT})-[a-z2-7]{{{_ID_CHARS}}}")
_CREDENTIAL = re.compile(
    rf"(?P<prefix>dk|dl)_(?P<environment>{_ENVIRONMENT})_(?P<id>{_ID.pattern})"
    rf"_[0-9A-Za-z]{{{_RANDOM_CHARS + _CHECKSUM_CHARS}}}",
    re.ASCII,
)


class CredentialKind(StrEnum):
    """Kind of a credential. The value is its prefix."""

    API_KEY = "dk"
    UPLOAD_LINK = "dl"


@dataclass(frozen=True)
class Credential:
    """A well-formed credential, without its secret. `sha256` is that of the whole text, in hexadecimal."""

    kind: CredentialKind
    tenant: str
    id: str
    sha256: str


def new_credential_id(tenant: str) -> str:
    """A new id for a key or an upload link of `tenant`."""
    return f"{tenant}-{_random(_BASE32, _ID_CHARS)}"


def new_credential(kind: CredentialKind, environment: str, identifier: str) -> str:
    """A new credential with the id `identifier`, to be shown once and never stored."""
    unsigned = f"{kind}_{environment}_{identifier}_{_random(_BASE62, _RANDOM_CHARS)}"
    return unsigned + _checksum(unsigned)


def parse(text: str, environment: str) -> Credential:
    """The credential in `text`. Raises CredentialsInvalidError unless this deployment could have made it.

    Nothing is said about whether it exists. The error never contains the text.
    """
    match = _CREDENTIAL.fullmatch(text) if len(text) <= CREDENTIAL_MAX_CHARS else None
    if match is None or _checksum(text[:-_CHECKSUM_CHARS]) != text[-_CHECKSUM_CHARS:]:
        raise CredentialsInvalidError("The credential is malformed. Check that it was copied completely.")
    if match["environment"] != environment:
        raise CredentialsInvalidError(f"The credential is of another deployment: this one's are of '{environment}'.")
    return Credential(CredentialKind(match["prefix"]), match["tenant"], match["id"], sha256_of(text))


def is_credential(text: str) -> bool:
    """Whether `text` claims, by its prefix, to be an API key or an upload-link token."""
    return text.startswith(tuple(f"{kind}_" for kind in CredentialKind))


def is_id_of(tenant: str, identifier: str) -> bool:
    """Whether `identifier` is well-formed and one of this tenant."""
    match = _ID.fullmatch(identifier)
    return match is not None and match["tenant"] == tenant


def sha256_of(text: str) -> str:
    """The SHA-256 of a credential in hexadecimal, which is what is stored.

    The secret has 202 random bits, so a slow hash, which protects words that people choose, would add nothing.
    """
    return hashlib.sha256(text.encode()).hexdigest()


def _random(alphabet: str, chars: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(chars))


def _checksum(text: str) -> str:
    """The CRC-32 of `text` as six digits of base 62."""
    rest, digits = zlib.crc32(text.encode()), ""
    for _ in range(_CHECKSUM_CHARS):
        rest, digit = divmod(rest, len(_BASE62))
        digits = _BASE62[digit] + digits
    return digits
