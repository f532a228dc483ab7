"""The search for secrets finds each of them in every form, wherever it is, and shows none."""

import base64
import json

import pytest

from tests.support.secret_search import Secret, find

KEY = Secret("the key", "dk_live_acme-7q2xk4mzt5ba_0123456789abcdefghijABCDEFGHIJ0123456789")
TOKEN = Secret("the token", f"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ1c2VyLTEifQ.{'s1gn-_' * 8}")
PASSWORD = Secret("the password", "pa55word+with/signs")
SECRETS = [KEY, TOKEN, PASSWORD]


def test_log_without_secrets_has_none() -> None:
    line = json.dumps({"message": "request", "credential": "acme-7q2xk4mzt5ba", "path": "/jobs", "token": "eyJ"})

    assert find(SECRETS, [("log", line.encode()), ("empty", b"")]) == []


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: secret.name)
@pytest.mark.parametrize("part", ["whole", "secret part"])
@pytest.mark.parametrize("before", ["", "a", "ab", "abc", 'Authorization: "Bearer '])
@pytest.mark.parametrize(
    "form",
    [
        str,
        lambda text: base64.b64encode(text.encode()).decode(),
        lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
        lambda text: text.encode().hex(),
    ],
    ids=["as it is", "base64", "base64 for addresses", "hexadecimal"],
)
def test_planted_secret_is_found(secret: Secret, part: str, before: str, form: object) -> None:
    assert callable(form)
    text = secret.parts.get(part, secret.text)
    planted = f'{{"message": "{form(f"{before}{text}, and more")}"}}'

    found = find(SECRETS, [("clean", b"nothing"), ("log of resize", planted.encode())])

    assert any(line.startswith(f"log of resize has {secret.name}") for line in found), planted
    assert not any(text in line for line in found)


def test_percent_encoded_secret_is_found() -> None:
    assert find([PASSWORD], [("address", b"amqp://darkroom:pa55word%2Bwith%2Fsigns@host")])


@pytest.mark.parametrize("secret", [KEY, TOKEN], ids=["key", "token"])
def test_secret_that_nobody_has_told_of_is_found_by_its_form(secret: Secret) -> None:
    [found] = find([], [("log", f"Bearer {secret.text} ".encode())])

    assert "by its form" in found


def test_secret_that_would_be_found_by_chance_is_refused() -> None:
    with pytest.raises(AssertionError, match="too short"):
        find([Secret("a word", "darkroom")], [("log", b"")])
