"""FFmpeg's arguments for video_thumbnail: seeking, filters, times."""

from pathlib import Path

import pytest

from darkroom.av import filters
from darkroom.av.probe import Stream
from darkroom.contracts.video_params import VideoThumbnailParams
from darkroom.media.geometry import Size
from functions.video_thumbnail.app import requested_time_s
from functions.video_thumbnail.frames import raw_frame_arguments, seek_arguments, seek_points_s


def video_stream(**values: object) -> Stream:
    """A video stream with these values."""
    settings: dict[str, object] = {
        **dict.fromkeys(("codec", "profile", "bit_rate_bps", "duration_s", "start_s", "language")),
        **dict.fromkeys(("default", "forced", "attached_picture"), False),
        "index": 0,
        "kind": "video",
        "tags": {},
        "color_space": "bt709",
        "interlaced": False,
    }
    return Stream(**{**settings, **values})  # type: ignore[arg-type]


def test_decoding_starts_at_the_key_frame_before_and_ends_after_one_frame(tmp_path: Path) -> None:
    assert seek_arguments(2.5, exact=True) == ["-threads", "1", "-noaccurate_seek", "-ss", "2.500"]
    chain = filters.still_filters(video_stream(index=3), Size(640, 360), at_s=0.0)
    assert raw_frame_arguments(video_stream(index=3), chain, tmp_path / "a.rgb") == [
        *("-map", "0:3", "-vf"),
        "tpad=stop=-1:stop_mode=clone,fps=1000:start_time=0.000:round=up,"
        "scale=640:360:flags=lanczos+accurate_rnd+full_chroma_int+full_chroma_inp,format=rgb24",
        *("-frames:v", "1", "-f", "rawvideo", f"file:{tmp_path / 'a.rgb'}"),
    ]


def test_beginning_needs_no_seeking() -> None:
    assert seek_arguments(0.0, exact=True) == ["-threads", "1"]


def test_unreferenced_frames_are_skipped_unless_the_exact_frame_is_requested() -> None:
    assert seek_arguments(0.0, exact=False) == ["-threads", "1", "-skip_frame", "noref"]


def test_hdr_is_tone_mapped_interlaced_video_deinterlaced_and_hd_colors_are_assumed() -> None:
    assert "out_transfer=bt709" in filters.still_filters(video_stream(color_transfer="smpte2084"), Size(2, 2), at_s=0)
    assert filters.still_filters(video_stream(interlaced=True), Size(2, 2), at_s=0).startswith("bwdif=")
    assert filters.still_filters(video_stream(interlaced=None), Size(2, 2), at_s=0).startswith("bwdif=")
    assert "in_color_matrix=bt709" in filters.still_filters(
        video_stream(color_space=None, coded_width_px=1280), Size(2, 2), at_s=0
    )
    assert "matrix" not in filters.still_filters(video_stream(color_space=None, coded_width_px=640), Size(2, 2), at_s=0)


@pytest.mark.parametrize(
    ("params", "duration_s", "at_s"),
    [
        (VideoThumbnailParams(), 20.0, 2.0),
        (VideoThumbnailParams(time_percent=50), 20.0, 10.0),
        (VideoThumbnailParams(time_percent=100), 20.0, 20.0),
        (VideoThumbnailParams(time_percent=0), 20.0, 0.0),
        (VideoThumbnailParams(time_s=3.5), 20.0, 3.5),
        (VideoThumbnailParams(time_s=99), 20.0, 20.0),
        (VideoThumbnailParams(time_s=99), None, 99.0),
        (VideoThumbnailParams(time_percent=50), None, 0.0),
    ],
)
def test_requested_time_is_within_the_video(
    params: VideoThumbnailParams, duration_s: float | None, at_s: float
) -> None:
    assert requested_time_s(params, duration_s) == at_s


def test_seeking_falls_back_to_the_beginning() -> None:
    assert list(seek_points_s(7.0, 5.0)) == [2.0, 0.0]
    assert list(seek_points_s(3.0, 5.0)) == [0.0]
