"""Fixtures that unit tests share."""

from collections.abc import Iterator

import pytest

from functions.watermark import fonts
from tests.media.make_images import MEDIA


@pytest.fixture
def watermark_font(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Makes watermarks use the font of tests/media instead of that of the imaging layer."""
    monkeypatch.setenv("DARKROOM_FONTS_DIR", str(MEDIA / "fonts"))
    fonts.font_files.cache_clear()
    yield
    fonts.font_files.cache_clear()
