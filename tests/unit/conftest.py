"""Fixtures that unit tests share."""

from collections.abc import Iterator

import pytest

from darkroom import config
from darkroom.services.redis.client import redis_client
from functions.watermark import fonts
from tests.media.make_images import MEDIA
from tests.support.settings import REQUIRED_SETTINGS


@pytest.fixture
def watermark_font(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Makes watermarks use the font of tests/media instead of that of the imaging layer."""
    monkeypatch.setenv("DARKROOM_FONTS_DIR", str(MEDIA / "fonts"))
    fonts.font_files.cache_clear()
    yield
    fonts.font_files.cache_clear()


@pytest.fixture
def open_access(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings with which everybody may use the API."""
    yield from _use_access("open", monkeypatch)


@pytest.fixture
def closed_access(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings with which only principals may use the API."""
    yield from _use_access("closed", monkeypatch)


def _use_access(access: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    nowhere = "redis://127.0.0.1:9/0"  # not the Redis of a stack that runs
    for name, value in (REQUIRED_SETTINGS | {"DARKROOM_ACCESS": access, "DARKROOM_CACHE_URL": nowhere}).items():
        monkeypatch.setenv(name, value)
    config.settings.cache_clear()
    redis_client.cache_clear()
    yield
    config.settings.cache_clear()
    redis_client.cache_clear()
