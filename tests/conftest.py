"""Fixtures that tests of every kind share."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.leftovers import children, count_open_files

ROOT = Path(__file__).parents[1]
#: Folders of the built layer: after `make up` or `make test`, and after `sam build` alone.
BUILT_LAYERS = [ROOT / folder / "build" / "FfmpegLayer" / "bin" for folder in (".darkroom", ".aws-sam")]


@pytest.fixture(scope="session")
def binaries() -> Path:
    """The folder of ffmpeg and ffprobe: `DARKROOM_BIN_DIR`, else the built layer. Sets `DARKROOM_BIN_DIR` to it."""
    built = next((folder for folder in BUILT_LAYERS if folder.is_dir()), BUILT_LAYERS[0])
    folder = Path(os.environ.get("DARKROOM_BIN_DIR") or built)
    missing = [name for name in ("ffmpeg", "ffprobe") if not (folder / name).is_file()]
    if missing:
        pytest.fail(
            f"{' and '.join(missing)} not found in {folder}. Build the layers with `make up`, or point "
            "DARKROOM_BIN_DIR at a folder that holds both."
        )
    os.environ["DARKROOM_BIN_DIR"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def clips(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes a clip of tests/media/make_clips.py, once per session. Do not change the file."""
    from tests.media.make_clips import clip

    folder = tmp_path_factory.mktemp("clips")
    return lambda name: clip(name, folder)


@pytest.fixture
def no_leftover_processes() -> Iterator[None]:
    """Fails when the test leaves a child process or an open file behind."""
    before = children(), count_open_files()
    yield
    assert (children(), count_open_files()) == before
