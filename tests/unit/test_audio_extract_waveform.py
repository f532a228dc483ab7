"""The waveform of audio_extract as data, PNG and SVG."""

import io
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from darkroom.contracts.audio_params import AudioExtractParams
from functions.audio_extract.app import audio_extract
from tests.support.sources import make_task
from tests.support.videos import Clips


def test_waveform_shows_the_levels_of_the_audio(clips: Clips, tmp_path: Path) -> None:
    requested = AudioExtractParams(format="wav", waveform=["json", "png", "svg"], waveform_points=100)
    _, data, png, svg = audio_extract(make_task(clips("ping.wav"), tmp_path), requested)

    assert [rendition.file_name("a") for rendition in (data, png, svg)] == [
        *("a-waveform.json", "a-waveform.png", "a-waveform.svg")
    ]
    assert isinstance(data.content, bytes)
    waveform = json.loads(data.content)
    lows, highs = waveform["data"][::2], waveform["data"][1::2]
    assert (waveform["length"], waveform["sample_rate"], waveform["samples_per_pixel"]) == (100, 48000, 960)
    assert set(lows[:60] + highs[:60]) == {0}
    assert max(highs[60:]) == pytest.approx(64, abs=2)
    assert min(lows[60:]) == pytest.approx(-64, abs=2)
    assert isinstance(png.content, bytes)
    image = Image.open(io.BytesIO(png.content)).convert("RGBA")
    assert image.size == (png.width_px, png.height_px) == (100, 256)
    box = image.crop((62, 0, 100, 256)).getchannel("A").getbbox()
    assert box is not None
    assert box[1] == pytest.approx(64, abs=2)
    assert box[3] == pytest.approx(192, abs=3)
    assert isinstance(svg.content, bytes)
    (polygon,) = ElementTree.fromstring(svg.content)  # noqa: S314 - Darkroom wrote it
    assert len(polygon.attrib["points"].split()) == 200


def test_long_steps_are_combined_from_blocks(clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requested = AudioExtractParams(format="wav", waveform=["json"], waveform_points=100)
    whole = audio_extract(make_task(clips("ping.wav"), tmp_path), requested)[1]
    monkeypatch.setattr("functions.audio_extract.waveform._BLOCK_S", 0.005)

    assert audio_extract(make_task(clips("ping.wav"), tmp_path), requested)[1].content == whole.content
