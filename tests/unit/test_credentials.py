"""The text of credentials: only what was made is accepted, and everything else is one typed error."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darkroom.contracts.tenants import TENANT_PATTERN
from darkroom.errors import CredentialsInvalidError
from darkroom.tenants import credentials
from darkroom.tenants.credentials import CREDENTIAL_MAX_CHARS, CredentialKind

ROOT = Path(__file__).parents[2]
TENANTS = st.from_regex(TENANT_PATTERN, fullmatch=True).filter(lambda name: "\n" not in name)
ENVIRONMENTS = st.from_regex(credentials.ENVIRONMENT_PATTERN, fullmatch=True).filter(lambda name: "\n" not in name)
KEY = "dk_live_acme-aaaaaaaaaaaa_" + "x" * 34


def new_key(tenant: str = "acme", environment: str = "live") -> str:
    return credentials.new_credential(CredentialKind.API_KEY, environment, credentials.new_credential_id(tenant))


def with_checksum(text: str) -> str:
    return text + credentials._checksum(text)


@given(tenant=TENANTS, environment=ENVIRONMENTS, kind=st.sampled_from(CredentialKind))
@settings(deadline=None)  # other tests may need the processor
def test_every_credential_that_is_made_is_parsed(tenant: str, environment: str, kind: CredentialKind) -> None:
    identifier = credentials.new_credential_id(tenant)
    text = credentials.new_credential(kind, environment, identifier)

    parsed = credentials.parse(text, environment)

    assert (parsed.kind, parsed.tenant, parsed.id) == (kind, tenant, identifier)
    assert credentials.is_id_of(tenant, identifier)
    assert len(text) <= CREDENTIAL_MAX_CHARS
    assert text.rpartition("_")[2] not in repr(parsed), "the secret must not be kept"


@given(text=st.text() | st.from_regex(r"d[kl]_[a-z]+_[a-z-]+_[0-9A-Za-z]{40}"))
@settings(deadline=None)  # other tests may need the processor
def test_no_other_text_is_accepted_and_none_raises_another_error(text: str) -> None:
    with pytest.raises(CredentialsInvalidError):
        credentials.parse(text, "live")


@given(data=st.data())
@settings(deadline=None)  # other tests may need the processor
def test_no_credential_with_one_character_changed_is_accepted(data: st.DataObject) -> None:
    text = new_key()
    where = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters().filter(lambda character: character != text[where]))

    with pytest.raises(CredentialsInvalidError):
        credentials.parse(text[:where] + other + text[where + 1 :], "live")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "dk_",
        KEY,
        KEY + "000000",
        with_checksum(KEY.replace("dk_", "dx_")),
        with_checksum(KEY.replace("acme", "Acme")),
        with_checksum(KEY.replace("acme", "..")),
        with_checksum(KEY.replace("acme", "*")),
        with_checksum(KEY.replace("acme", "a/b")),
        with_checksum(KEY.replace("acme", "-acme")),
        with_checksum(KEY.replace("acme", "a" * 33)),
        with_checksum(KEY) + "\n",
        " " + with_checksum(KEY),
        with_checksum(KEY + "x"),
        with_checksum(KEY.replace("aaaaaaaaaaaa", "aaaaaaaaaaa\uff11")),
        "dk_live_acme-aaaaaaaaaaaa_" + "x" * 1_000_000,
    ],
)
def test_malformed_credential_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(CredentialsInvalidError) as raised:
        credentials.parse(text, "live")

    assert "xxx" not in raised.value.message


def test_credential_of_another_deployment_is_refused() -> None:
    with pytest.raises(CredentialsInvalidError, match="another deployment"):
        credentials.parse(new_key(environment="test"), "live")


def test_credential_is_accepted_only_with_its_own_checksum() -> None:
    assert credentials.parse(with_checksum(KEY), "live").id == "acme-aaaaaaaaaaaa"


def test_credentials_never_repeat() -> None:
    assert len({new_key() for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    ("identifier", "is_own"),
    [
        ("acme-abcdefgh2345", True),
        ("acme-eu-abcdefgh2345", False),
        ("other-abcdefgh2345", False),
        ("acme-abcdefgh234", False),
        ("acme-ABCDEFGH2345", False),
        ("../acme-abcdefgh2345", False),
        ("acme-abcdefgh2345\n", False),
        ("", False),
    ],
)
def test_id_belongs_to_the_tenant_that_it_names(identifier: str, *, is_own: bool) -> None:
    assert credentials.is_id_of("acme", identifier) is is_own


def test_documented_expression_of_a_secret_scanner_finds_every_credential_in_a_text() -> None:
    expression = re.compile(documented_expression())
    texts = [
        credentials.new_credential(kind, "live", credentials.new_credential_id("acme-eu")) for kind in CredentialKind
    ]

    found = [match.group() for match in expression.finditer(f"KEY={texts[0]}\n'{texts[1]}'; dk_live_acme_short")]

    assert found == texts


def documented_expression() -> str:
    """The only block of docs/access.md that is marked as a regular expression."""
    (block,) = re.findall(r"```regex\n(.*?)\n```", (ROOT / "docs" / "access.md").read_text(), re.DOTALL)
    return str(block)
