"""Settings are read from the environment, and one error lists everything that is wrong with them."""

import pytest

from darkroom import config
from darkroom.errors import ConfigurationError

REQUIRED = {
    "DARKROOM_BUCKET": "a-bucket",
    "DARKROOM_CACHE_URL": "redis://localhost:6379/0",
    "DARKROOM_BROKER_URL": "amqp://localhost:5672/%2F",
    "DARKROOM_BROKER_SECRET_ARN": "arn:aws:secretsmanager:us-east-1:000000000000:secret:broker",
    "DARKROOM_FUNCTION_PREFIX": "darkroom",
}


def test_settings_that_are_not_set_have_their_defaults() -> None:
    settings = config.load(REQUIRED)

    assert (settings.bucket, settings.retention_days, settings.cache_secret_arn) == ("a-bucket", 7, "")


def test_settings_are_read_from_their_variables() -> None:
    settings = config.load(REQUIRED | {"DARKROOM_RETENTION_DAYS": "30", "DARKROOM_MAX_PIXELS": "1000"})

    assert (settings.retention_days, settings.max_pixels) == (30, 1000)


def test_one_error_lists_every_missing_or_invalid_variable() -> None:
    with pytest.raises(ConfigurationError) as caught:
        config.load({"DARKROOM_BUCKET": "a-bucket", "DARKROOM_MAX_PIXELS": "many"})

    for name in {*REQUIRED, "DARKROOM_MAX_PIXELS"} - {"DARKROOM_BUCKET"}:
        assert name in caught.value.message
    assert "DARKROOM_BUCKET" not in caught.value.message
