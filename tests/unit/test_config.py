"""Settings are read from the environment, and one error lists everything that is wrong with them."""

import pytest

from darkroom import config
from darkroom.config import Access, AuthorizerSettings, Settings
from darkroom.errors import ConfigurationError
from tests.support.settings import REQUIRED_SETTINGS


def test_settings_that_are_not_set_have_their_defaults() -> None:
    settings = config.load(REQUIRED_SETTINGS, Settings)

    assert (settings.bucket, settings.retention_days, settings.cache_secret_arn) == ("a-bucket", 7, "")


def test_settings_are_read_from_their_variables() -> None:
    settings = config.load(
        REQUIRED_SETTINGS | {"DARKROOM_RETENTION_DAYS": "30", "DARKROOM_MAX_PIXELS": "1000"}, Settings
    )

    assert (settings.retention_days, settings.max_pixels) == (30, 1000)


def test_one_error_lists_every_missing_or_invalid_variable() -> None:
    with pytest.raises(ConfigurationError) as caught:
        config.load({"DARKROOM_BUCKET": "a-bucket", "DARKROOM_MAX_PIXELS": "many", "DARKROOM_ACCESS": "ajar"}, Settings)

    for name in {*REQUIRED_SETTINGS, "DARKROOM_MAX_PIXELS", "DARKROOM_ACCESS"} - {"DARKROOM_BUCKET"}:
        assert name in caught.value.message
    assert "DARKROOM_BUCKET" not in caught.value.message


def test_access_is_closed_unless_it_is_opened() -> None:
    assert config.load(REQUIRED_SETTINGS, Settings).access is Access.CLOSED
    assert config.load(REQUIRED_SETTINGS | {"DARKROOM_ACCESS": "open"}, Settings).access is Access.OPEN


def test_authorizer_needs_the_bucket_and_nothing_else() -> None:
    settings = config.load({"DARKROOM_BUCKET": "a-bucket"}, AuthorizerSettings)

    assert (settings.bucket, settings.key_environment, settings.jwt_issuer) == ("a-bucket", "live", "")
