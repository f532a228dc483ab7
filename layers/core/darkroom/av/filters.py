"""FFmpeg filters that turn a film's pictures into what a viewer expects: upright, progressive, square pixels, SDR.

FFmpeg itself turns pictures upright before the first filter here.
"""

from darkroom.av.probe import Stream
from darkroom.media.geometry import Size

#: Transfer functions of HDR pictures: PQ and HLG. Shown as they are on an ordinary screen they look washed out.
_HDR_TRANSFERS = {"smpte2084", "arib-std-b67"}

#: Pictures larger than this are HD, whose colours are BT.709 where the film does not say.
_SD_MAX = Size(1024, 576)


def encoded(film: Stream, size: Size, max_fps: float | None = None) -> str:
    """Pictures of `size` for an 8-bit 4:2:0 encoder, at most `max_fps` of them a second."""
    scaling = _scale(film, size, "out_range=tv", *_matrices(film))
    return ",".join([*_progressive(film), *_thinned(film, max_fps), scaling, "setsar=1", "format=yuv420p"])


def _matrices(film: Stream) -> list[str]:
    """Which matrix the colours have, as the result is to say where the film does not: players go by the size then, and
    the result's may be another. RGB has none."""
    if is_hdr(film):
        return ["out_color_matrix=bt709"]
    if film.color_space in (None, "gbr"):
        matrix = "bt709" if _is_hd(film) else "smpte170m"
        return [f"in_color_matrix={matrix}", f"out_color_matrix={matrix}"]
    return []


def is_thinned(film: Stream, max_fps: float | None) -> bool:
    """Whether pictures are left out for that; where they come at irregular times, some may come too fast."""
    return max_fps is not None and (film.variable_frame_rate or (film.frame_rate or max_fps + 1) > max_fps)


def _thinned(film: Stream, max_fps: float | None) -> list[str]:
    return [f"fps={max_fps:g}"] if is_thinned(film, max_fps) else []


def still(film: Stream, size: Size, *, at_s: float) -> str:
    """The picture that is on the screen `at_s` after the point that was sought, as RGB bytes.

    The film is seen on a grid of milliseconds that begins at that moment: a picture stays until the next one comes, and
    the last one stays for ever.
    """
    moment = ["tpad=stop=-1:stop_mode=clone", f"fps=1000:start_time={at_s:.3f}:round=up"]
    return ",".join([*_progressive(film), *moment, _rgb(film, size)])


def first(film: Stream, size: Size) -> str:
    """The picture with which decoding begins, as RGB bytes; FFmpeg would leave out what is before the point sought."""
    return ",".join([*_progressive(film), "setpts=0", _rgb(film, size)])


def moving(film: Stream, size: Size, fps: float) -> str:
    """Pictures at even steps, as RGB bytes."""
    return ",".join([*_progressive(film), f"fps={fps:g}", _rgb(film, size)])


def is_hdr(film: Stream) -> bool:
    """Whether the film's brightness goes beyond what ordinary screens show."""
    return film.color_transfer in _HDR_TRANSFERS


def _is_hd(film: Stream) -> bool:
    return (film.coded_width_px or 0) > _SD_MAX.width or (film.coded_height_px or 0) > _SD_MAX.height


def _progressive(film: Stream) -> list[str]:
    # Where the file does not say it, as DV and MPEG-4 in AVI, each picture does when it is decoded.
    return [] if film.interlaced is False else ["bwdif=mode=send_frame:deint=interlaced"]


def _rgb(film: Stream, size: Size) -> str:
    scaling = ["flags=lanczos+accurate_rnd+full_chroma_int+full_chroma_inp"]
    if film.color_space is None and _is_hd(film):
        scaling.append("in_color_matrix=bt709")
    return f"{_scale(film, size, *scaling)},format=rgb24"


def _scale(film: Stream, size: Size, *options: str) -> str:
    # Keeps the brightness of faces and clips what is far brighter. Its table takes 2 s to compute, once a run.
    tone = ["out_primaries=bt709", "out_transfer=bt709"] if is_hdr(film) else []
    return ":".join([f"scale={size.width}:{size.height}", *options, *tone])
