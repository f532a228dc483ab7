"""Fixtures that unit tests share."""

from collections.abc import Iterator

import pytest

from darkroom import config
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
    for name, value in (REQUIRED_SETTINGS | {"DARKROOM_ACCESS": access}).items():
        monkeypatch.setenv(name, value)
    config.settings.cache_clear()
    yield
    config.settings.cache_clear()
