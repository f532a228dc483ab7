"""FFmpeg's arguments for video_compress: codecs, size, audio."""

from dataclasses import replace
from pathlib import Path

import pytest

from darkroom.av.probe import Probe
from darkroom.av.tags import tag_arguments
from darkroom.contracts.video_params import VideoCompressParams
from darkroom.media.geometry import Size
from functions.video_compress.arguments import output_arguments
from functions.video_compress.audio import audio_arguments, choose_audio_kbps
from functions.video_compress.encoders import ENCODERS, MP4, WEBM, crf_arguments
from functions.video_compress.plan import CompressionPlan, fit_size
from tests.support.probes import AUDIO, VIDEO, parse_document, probe_of


def probe_with_audio() -> Probe:
    """A probe of a video with audio that MP4 players support, a title and a location."""
    aac = {"codec_name": "aac", "profile": "LC", "sample_rate": "48000", "bit_rate": "128000"}
    return probe_of(
        VIDEO | {"field_order": "progressive"},
        AUDIO | aac | {"tags": {"language": "eng"}},
        tags={"TITLE": "A video", "location": "+48.8577+002.2950/"},
    )


def plan_for(found: Probe, params: VideoCompressParams, size: Size) -> CompressionPlan:
    """The plan for a probe of a source, which is not opened."""
    audio = found.default_audio_stream()
    encoding = audio_arguments(audio, params.audio_bitrate_kbps, container=MP4) if audio else []
    other_arguments = [*encoding, *tag_arguments(found, audio)]
    return CompressionPlan(found, params, size, [], other_arguments, audio, params.audio_bitrate_kbps, [])


def crf_output_arguments(plan: CompressionPlan, target: Path, *, max_duration_s: float) -> list[str]:
    """The arguments for a constant rate factor."""
    rate = crf_arguments(ENCODERS[plan.params.codec], plan.params.crf)
    return output_arguments(plan, rate, target, max_duration_s=max_duration_s)


def test_video_becomes_h264_with_aac_ready_to_stream(tmp_path: Path) -> None:
    params = VideoCompressParams(crf=28, preset="fast", audio_bitrate_kbps=96)
    plan = plan_for(probe_with_audio(), params, Size(854, 480))

    assert crf_output_arguments(plan, tmp_path / "a.mp4", max_duration_s=60) == [
        *("-map", "0:0", "-vf"),
        "scale=854:480:out_range=tv:in_color_matrix=bt709:out_color_matrix=bt709,setsar=1,format=yuv420p",
        *("-c:v", "libx264", "-preset", "fast", "-crf", "28", "-fps_mode", "vfr"),
        *("-map", "0:1", "-af", "aresample=async=1:first_pts=0", "-c:a", "aac", "-b:a", "96k"),
        *("-map_metadata:g", "-1", "-map_metadata:s", "-1", "-metadata", "title=A video"),
        *("-metadata:s:a:0", "language=eng", "-t", "61"),
        *("-movflags", "+faststart", "-f", "mp4", f"file:{tmp_path / 'a.mp4'}"),
    ]


def test_h265_has_the_tag_that_every_player_supports(tmp_path: Path) -> None:
    found = probe_with_audio()
    video = replace(found.video_stream(), color_transfer="smpte2084", interlaced=True, variable_frame_rate=True)
    hdr = replace(found, streams=(video,), tags={})

    plan = plan_for(hdr, VideoCompressParams(codec="h265"), Size(2, 2))

    assert crf_output_arguments(plan, tmp_path / "a", max_duration_s=9) == [
        *("-map", "0:0", "-vf"),
        "bwdif=mode=send_frame:deint=interlaced,"
        "scale=2:2:out_range=tv:out_color_matrix=bt709:out_primaries=bt709:out_transfer=bt709,setsar=1,format=yuv420p",
        *("-c:v", "libx265", "-tag:v", "hvc1", "-x265-params", "log-level=error", "-preset", "veryfast", "-crf", "26"),
        *("-fps_mode", "vfr", "-enc_time_base", "demux", "-map_metadata:g", "-1", "-map_metadata:s", "-1"),
        *("-t", "10", "-movflags", "+faststart", "-f", "mp4", f"file:{tmp_path / 'a'}"),
    ]


# Size --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("displayed", "max_height", "size"),
    [
        ((1920, 1080), None, (1920, 1080)),
        ((1920, 1080), 720, (1280, 720)),
        ((1920, 1080), 480, (854, 480)),
        ((1920, 1080), 2160, (1920, 1080)),
        ((1080, 1920), 720, (404, 720)),
        ((321, 181), None, (320, 180)),
        ((320, 180), 121, (214, 120)),
        ((3, 3), None, (2, 2)),
        ((1, 1), None, (2, 2)),
        ((10_000, 20), 16, (8000, 16)),
        ((20, 10_000), 16, (2, 16)),
    ],
)
def test_size_is_even_and_never_larger_than_displayed(
    displayed: tuple[int, int], max_height: int | None, size: tuple[int, int]
) -> None:
    assert fit_size(Size(*displayed), max_height) == size


@pytest.mark.parametrize(
    ("displayed", "width", "height", "size"),
    [
        ((1920, 1080), 1280, None, (1280, 720)),
        ((1920, 1080), 1280, 480, (854, 480)),
        ((1080, 1920), 720, 1920, (720, 1280)),
        ((320, 180), 640, None, (320, 180)),
        ((321, 181), 101, None, (100, 56)),
    ],
)
def test_size_stays_within_the_largest_width_as_well(
    displayed: tuple[int, int], width: int, height: int | None, size: tuple[int, int]
) -> None:
    assert fit_size(Size(*displayed), height, width) == size


# Audio -------------------------------------------------------------------------------------------------------------


def test_audio_is_copied_only_where_it_is_small_enough_and_plays_everywhere() -> None:
    audio = probe_with_audio().audio_stream()

    assert audio_arguments(audio, 128, container=MP4) == ["-map", "0:1", "-c:a", "copy"]
    for other in (
        replace(audio, bit_rate_bps=128_001),
        replace(audio, bit_rate_bps=None),
        replace(audio, codec="opus"),
        replace(audio, profile="HE-AAC"),
        replace(audio, channels=6),
        replace(audio, sample_rate_hz=96_000),
    ):
        assert "copy" not in audio_arguments(other, 128, container=MP4)


def test_surround_audio_is_mixed_down_and_high_sample_rates_are_lowered() -> None:
    audio = probe_with_audio().audio_stream()

    assert audio_arguments(replace(audio, channels=6, sample_rate_hz=96_000), 128, container=MP4) == [
        *("-map", "0:1", "-af", "aresample=async=1:first_pts=0", "-c:a", "aac", "-b:a", "128k"),
        *("-ac", "2", "-ar", "48000"),
    ]


def test_audio_is_copied_where_requested_and_possible_and_otherwise_encoded() -> None:
    ac3 = {"index": 1, "codec_type": "audio", "codec_name": "ac3", "channels": 6}
    audio = parse_document({"streams": [ac3]}).audio_stream()

    assert audio_arguments(audio, 64, container=MP4, mode="copy") == ["-map", "0:1", "-c:a", "copy"]
    assert "libopus" in audio_arguments(audio, 64, container=WEBM, mode="copy")
    assert "copy" not in audio_arguments(probe_with_audio().audio_stream(), 128, container=MP4, mode="encode")


def test_audio_takes_at_most_a_quarter_of_the_bytes() -> None:
    assert choose_audio_kbps(VideoCompressParams(max_bytes=1_000_000), 100) == 20
    assert choose_audio_kbps(VideoCompressParams(max_bytes=1_000_000), 10_000) == 16
    assert choose_audio_kbps(VideoCompressParams(max_bytes=1_000_000), 1) == 128
    assert choose_audio_kbps(VideoCompressParams(), 10_000) == 128
