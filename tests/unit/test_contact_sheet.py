"""The demo's contact sheet: an even grid, images in their proportions, readable captions, facts instead of an image."""

import io
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import pyvips

from localstack.demo import contact_sheet, drawing, report
from localstack.demo.contact_sheet import facts
from localstack.demo.drawing import CAPTION_HEIGHT_PX, FRAME_HEIGHT_PX, FRAME_WIDTH_PX, Cell, draw, position
from localstack.demo.jobs import Finished, Submitted
from localstack.errors import StackError
from localstack.settings import Settings, load

MEDIA = Path(__file__).parents[1] / "media"
FONT = MEDIA / "fonts" / "DejaVuSans.ttf"
RED = [220, 20, 20]


def red(folder: Path, width: int, height: int) -> Path:
    path = folder / f"{width}x{height}.png"
    image = pyvips.Image.black(width, height).linear([0, 0, 0], RED, uchar=True).copy(interpretation="srgb")
    image.pngsave(str(path))
    return path


def frame_of(sheet: pyvips.Image, number: int) -> pyvips.Image:
    return sheet.crop(*position(number), FRAME_WIDTH_PX, FRAME_HEIGHT_PX)


def caption_of(sheet: pyvips.Image, number: int) -> pyvips.Image:
    x, y = position(number)
    return sheet.crop(x, y + FRAME_HEIGHT_PX, FRAME_WIDTH_PX, CAPTION_HEIGHT_PX)


def box_of(image: pyvips.Image, color: list[int]) -> tuple[int, int, int, int]:
    """Left, top, width and height of the part in this color."""
    found = ((image - color).abs() < 30).bandand()
    left, top, width, height = found.find_trim(background=[0], threshold=0)
    return left, top, width, height


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ((200, 200), (200, 200)),
        ((FRAME_WIDTH_PX, FRAME_HEIGHT_PX), (FRAME_WIDTH_PX, FRAME_HEIGHT_PX)),
        ((1920, 1080), (480, 270)),
        ((300, 900), (107, 320)),
    ],
)
def test_image_is_centered_in_its_proportions_and_never_enlarged(
    tmp_path: Path, size: tuple[int, int], shown: tuple[int, int]
) -> None:
    sheet = draw("title", [Cell("red", "details", red(tmp_path, *size))], FONT)

    left, top, width, height = box_of(frame_of(sheet, 0), RED)

    assert (width, height) == shown
    assert abs(2 * left + width - FRAME_WIDTH_PX) <= 1
    assert abs(2 * top + height - FRAME_HEIGHT_PX) <= 1


def test_grid_is_even_and_holds_every_cell(tmp_path: Path) -> None:
    image = red(tmp_path, FRAME_WIDTH_PX, FRAME_HEIGHT_PX)
    sheet = draw("title", [Cell(f"cell {number}", "details", image) for number in range(7)], FONT)

    columns, rows = {position(number)[0] for number in range(7)}, {position(number)[1] for number in range(7)}
    gaps = {later - earlier for starts in (columns, rows) for earlier, later in pairwise(sorted(starts))}

    assert (len(columns), len(rows)) == (3, 3)
    assert len(gaps) == 2, "one distance between columns, one between rows"
    assert all(box_of(frame_of(sheet, number), RED)[2:] == (FRAME_WIDTH_PX, FRAME_HEIGHT_PX) for number in range(7))
    assert max(columns) + FRAME_WIDTH_PX + min(columns) == sheet.width
    assert frame_of(sheet, 7).extract_band(0).deviate() == 0, "the last row is filled up with the page"


def test_captions_have_the_same_baseline_and_stay_below_their_own_image(tmp_path: Path) -> None:
    image = red(tmp_path, 100, 100)
    sheet = draw(
        "title", [Cell("nnn", "nnn", image), Cell("nhn", "nhn", image), Cell("n" * 200, "n" * 200, image)], FONT
    )

    bottoms = set()
    for number in range(3):
        caption = caption_of(sheet, number)
        _, top, width, height = caption.find_trim(background=caption(FRAME_WIDTH_PX - 1, 0), threshold=40)
        assert width <= FRAME_WIDTH_PX
        assert top > 0
        bottoms.add(top + height)

    assert len(bottoms) == 1
    assert max(bottoms) < CAPTION_HEIGHT_PX


def test_facts_fill_the_frame_of_a_cell_without_an_image() -> None:
    sheet = draw(
        "title", [Cell("video_metadata", "json", None, [("container", "QuickTime / MOV"), ("a", "b & <c>")])], FONT
    )

    frame = frame_of(sheet, 0)

    assert frame.deviate() > 5
    assert frame(1, 1) == [255, 255, 255]


def document(**more: Any) -> dict[str, Any]:
    output = {"name": "out.png", "media_type": "image/png", "size_bytes": 1234, "width_px": 4, "height_px": 3}
    times = {
        "created_at": "2026-03-01T09:30:00.000Z",
        "started_at": "2026-03-01T09:30:03.500Z",
        "finished_at": "2026-03-01T09:30:04.000Z",
    }
    timeline = [
        {"event": "accepted", "at": times["created_at"]},
        {"event": "dispatched", "at": "2026-03-01T09:30:00.500Z"},
    ]
    rest = {"status": "completed", "document": None, "error": None, "timeline": timeline}
    return {**times, **rest, "outputs": [output], **more}


def finished(operation: str = "resize", files: tuple[Path, ...] = (), **more: Any) -> Finished:
    return Finished(Submitted("job", operation, "REST", MEDIA / "rocket.jpg"), document(**more), files)


def test_waiting_and_working_time_are_apart() -> None:
    job = finished()

    assert (job.waited_s, job.worked_s, job.starting_s) == (3.5, 0.5, 3.0)
    heads, _, row = report.table([job]).splitlines()
    assert heads.split()[-3:] == ["waited", "worked", "size"]
    assert row.split("  ")[-3:] == ["3.50 s", "0.50 s", "1.2 kB"]


def test_long_wait_is_explained_by_its_parts_and_a_short_one_is_not() -> None:
    assert "resize waited longest: 0.50 s in the queue and 3.00 s for its function" in report.waiting([finished()])
    assert "longest" not in report.waiting([finished(started_at="2026-03-01T09:30:00.100Z")])


def test_job_that_never_started_has_waited_until_its_end() -> None:
    job = finished(started_at=None, status="canceled", outputs=[], timeline=[])

    assert (job.waited_s, job.worked_s, job.starting_s) == (4.0, 0.0, 0.0)
    assert "canceled" in report.table([job])


def test_failed_job_shows_its_error_in_the_table_and_on_the_sheet(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    job = finished(status="failed", outputs=[], error={"code": "corrupt_media", "message": "The file ends early."})

    cells = cells_of([job], monkeypatch, tmp_path)

    assert "corrupt_media: The file ends early." in report.table([job])
    assert cells[1]["facts"] == [["error", "corrupt_media: The file ends early."]]


def cells_of(jobs: list[Finished], monkeypatch: pytest.MonkeyPatch, target: Path) -> list[dict[str, Any]]:
    """What `make` hands to the drawing process."""
    sheets: list[dict[str, Any]] = []

    def run(_argv: list[str], _purpose: str, *, text: str = "", **_more: object) -> None:
        sheets.extend([json.loads(text)] if text else [])

    monkeypatch.setattr(contact_sheet, "_run", run)
    contact_sheet.make(load({}), jobs, target)
    (sheet,) = sheets
    cells: list[dict[str, Any]] = sheet["cells"]
    return cells


def test_sheet_shows_each_input_once_before_its_results(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    video = Submitted("job", "video_compress", "presigned", MEDIA / "bigbuckbunny.mp4")
    jobs = [
        finished("resize", (Path("a.webp"),)),
        Finished(video, document(), (Path("b.mp4"),)),
        finished("thumbnail", (Path("c.jpg"),)),
        Finished(replace(video, operation="audio_extract"), document(), (Path("d.mp3"), Path("d-waveform.png"))),
        Finished(
            replace(video, operation="video_metadata"),
            document(document={"container": "QuickTime / MOV", "streams": []}),
            (Path("e.json"),),
        ),
    ]

    cells = cells_of(jobs, monkeypatch, tmp_path)

    titles = [
        "rocket.jpg",
        "resize",
        "thumbnail",
        "bigbuckbunny.mp4",
        "video_compress",
        "audio_extract",
        "video_metadata",
    ]
    assert [cell["title"] for cell in cells] == titles
    suffixes = [cell["image"] and Path(cell["image"]).suffix for cell in cells]
    assert suffixes == [".jpg", ".webp", ".jpg", ".tiff", ".tiff", ".png", None]
    assert cells[-1]["facts"] == [["container", "QuickTime / MOV"]]
    assert cells[4]["details"].endswith("first frame")


def test_facts_are_labelled_have_units_and_leave_out_what_is_unknown() -> None:
    video = {
        "type": "video",
        "codec": "h264",
        "profile": "Main",
        "width_px": 1280,
        "height_px": 720,
        "frame_rate": 25.0,
    }
    audio = {"type": "audio", "codec": "aac", "profile": None, "sample_rate_hz": 48_000, "channel_layout": "stereo"}

    found = facts({"container": "MOV", "duration_s": 5.312, "bit_rate_bps": None, "streams": [video, audio]})

    assert found == [
        ("container", "MOV"),
        ("duration", "5.312 s"),
        ("video", "h264 Main"),
        ("frame size", "1280 x 720"),
        ("frame rate", "25 fps"),
        ("audio", "aac"),
        ("sample rate", "48000 Hz"),
        ("channels", "stereo"),
    ]


@pytest.fixture
def with_layers(binaries: Path, tmp_path: Path) -> Settings:
    """Settings of a repository whose layers are those that were built, and whose tools are this Python."""
    settings = replace(load({}), root=tmp_path)
    settings.build.mkdir(parents=True)
    (settings.build / "FfmpegLayer").symlink_to(binaries.parent)
    (settings.build / "ImagingLayer").mkdir()
    (settings.build / "ImagingLayer" / "fonts").symlink_to(FONT.parent)
    return settings


def test_first_frame_of_a_video_is_taken_with_the_layers_ffmpeg(with_layers: Settings, tmp_path: Path) -> None:
    frame = contact_sheet._image(with_layers, MEDIA / "bigbuckbunny.mp4", tmp_path)

    assert frame is not None
    image = pyvips.Image.new_from_file(str(frame))
    assert (image.width, image.height, image.bands) == (1280, 720, 3)


def test_layers_that_are_missing_are_named_as_the_reason(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"first frame of bigbuckbunny.*layers must be built"):
        contact_sheet._image(replace(load({}), root=tmp_path), MEDIA / "bigbuckbunny.mp4", tmp_path)


def test_drawing_process_reads_the_sheet_from_its_input_and_writes_a_png(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "sheet.png"
    cells = [{"title": "a", "details": "b", "image": str(MEDIA / "rocket.jpg"), "facts": []}]
    monkeypatch.setattr("sys.argv", ["drawing", str(FONT), str(target)])
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps({"title": "t", "cells": cells})))

    drawing.main()

    image = pyvips.Image.new_from_file(str(target))
    assert (image.bands, image.format) == (3, "uchar")
    assert capfd.readouterr().err == ""
