"""FFmpeg filter chains that show frames as a viewer expects them: upright, progressive, with square pixels, in SDR.

FFmpeg itself rotates frames upright before the first filter here.
"""

from darkroom.av.probe import Stream
from darkroom.media.geometry import Size

#: Transfer functions of HDR video: PQ and HLG. Shown unchanged on an SDR screen they look washed out.
_HDR_TRANSFERS = {"smpte2084", "arib-std-b67"}

#: Video larger than this is HD, whose colors are BT.709 where the file does not state them.
_SD_MAX = Size(1024, 576)


def encode_filters(video: Stream, size: Size, max_fps: float | None = None) -> str:
    """All frames at `size` for an 8-bit 4:2:0 encoder, at most `max_fps` per second."""
    scaling = _scale(video, size, "out_range=tv", *_matrix_options(video))
    return ",".join([*_deinterlace(video), *_limit_fps(video, max_fps), scaling, "setsar=1", "format=yuv420p"])


def still_filters(video: Stream, size: Size, *, at_s: float) -> str:
    """The frame on the screen `at_s` seconds after the seek point, as RGB bytes.

    The frames are resampled to a grid of milliseconds that starts at that time: a frame stays until the next one, the
    last one stays forever.
    """
    resampling = ["tpad=stop=-1:stop_mode=clone", f"fps=1000:start_time={at_s:.3f}:round=up"]
    return ",".join([*_deinterlace(video), *resampling, _to_rgb(video, size)])


def first_frame_filters(video: Stream, size: Size) -> str:
    """The first decoded frame as RGB bytes. Without `setpts`, FFmpeg would drop frames before the seek point."""
    return ",".join([*_deinterlace(video), "setpts=0", _to_rgb(video, size)])


def preview_filters(video: Stream, size: Size, fps: float) -> str:
    """Frames at even intervals, as RGB bytes."""
    return ",".join([*_deinterlace(video), f"fps={fps:g}", _to_rgb(video, size)])


def drops_frames(video: Stream, max_fps: float | None) -> bool:
    """Whether a limit of `max_fps` may drop frames; always so at a variable frame rate."""
    return max_fps is not None and (video.variable_frame_rate or (video.frame_rate or max_fps + 1) > max_fps)


def is_hdr(video: Stream) -> bool:
    """Whether the brightness exceeds what SDR screens show."""
    return video.color_transfer in _HDR_TRANSFERS


def _matrix_options(video: Stream) -> list[str]:
    """Options for the color matrix: BT.709 for HDR sources, an explicit one where the source states none or is RGB.

    Players guess an unstated matrix from the frame size, which may change here.
    """
    if is_hdr(video):
        return ["out_color_matrix=bt709"]
    if video.color_space in (None, "gbr"):
        matrix = "bt709" if _is_hd(video) else "smpte170m"
        return [f"in_color_matrix={matrix}", f"out_color_matrix={matrix}"]
    return []


def _limit_fps(video: Stream, max_fps: float | None) -> list[str]:
    return [f"fps={max_fps:g}"] if drops_frames(video, max_fps) else []


def _is_hd(video: Stream) -> bool:
    return (video.coded_width_px or 0) > _SD_MAX.width or (video.coded_height_px or 0) > _SD_MAX.height


def _deinterlace(video: Stream) -> list[str]:
    # Where the file does not state it, as with DV or with MPEG-4 in AVI, each decoded frame carries the flag.
    return [] if video.interlaced is False else ["bwdif=mode=send_frame:deint=interlaced"]


def _to_rgb(video: Stream, size: Size) -> str:
    scaling = ["flags=lanczos+accurate_rnd+full_chroma_int+full_chroma_inp"]
    if video.color_space is None and _is_hd(video):
        scaling.append("in_color_matrix=bt709")
    return f"{_scale(video, size, *scaling)},format=rgb24"


def _scale(video: Stream, size: Size, *options: str) -> str:
    # Preserves the brightness of skin tones and clips highlights. Its table takes 2 s to compute, once per run.
    tone_mapping = ["out_primaries=bt709", "out_transfer=bt709"] if is_hdr(video) else []
    return ":".join([f"scale={size.width}:{size.height}", *options, *tone_mapping])
