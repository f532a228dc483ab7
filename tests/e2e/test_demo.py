"""The demo against the deployed stack, as `make demo` runs it."""

import subprocess
import sys
from pathlib import Path

import pyvips

from localstack.demo import samples
from localstack.demo.drawing import COLUMNS, FRAME_HEIGHT_PX, FRAME_WIDTH_PX
from localstack.settings import ROOT


def test_demo_completes_every_job_and_draws_the_contact_sheet(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "localstack.demo", "--results", str(tmp_path)]
    demo = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)

    assert demo.returncode == 0, demo.stdout + demo.stderr
    for operation in samples.PHOTO_JOBS | samples.VIDEO_JOBS:
        assert list(tmp_path.glob(f"*-{operation}.*")), operation
    sheet = tmp_path / "contact-sheet.png"
    image = pyvips.Image.new_from_file(str(sheet))
    assert str(sheet) in demo.stdout
    assert image.width > COLUMNS * FRAME_WIDTH_PX
    assert image.height > 3 * FRAME_HEIGHT_PX
