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


def test_what_is_not_set_has_its_default():
    settings = config.load(REQUIRED)

    assert (settings.bucket, settings.retention_days, settings.cache_secret_arn) == ("a-bucket", 7, "")


def test_what_is_set_is_read():
    settings = config.load(REQUIRED | {"DARKROOM_RETENTION_DAYS": "30", "DARKROOM_MAX_PIXELS": "1000"})

    assert (settings.retention_days, settings.max_pixels) == (30, 1000)


def test_everything_that_is_wrong_is_named_at_once():
    with pytest.raises(ConfigurationError) as caught:
        config.load({"DARKROOM_BUCKET": "a-bucket", "DARKROOM_MAX_PIXELS": "many"})

    for name in {*REQUIRED, "DARKROOM_MAX_PIXELS"} - {"DARKROOM_BUCKET"}:
        assert name in caught.value.message
    assert "DARKROOM_BUCKET" not in caught.value.message
