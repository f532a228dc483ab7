"""Films and sounds derived from the clip in this folder, made with the ffmpeg layer: every kind operations must handle.

`clip(name, folder)` makes one. Run as a program it makes them all: `python tests/media/make_clips.py <folder>`.
Unless said otherwise a film is 2 seconds of 320x180 at 25 pictures a second, H.264 and stereo AAC, its index in front.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from darkroom.av.ffmpeg import binary

MEDIA = Path(__file__).parent

#: 5.3 seconds of 1280x720 with 5.1 sound, its index at the end.
ORIGINAL = MEDIA / "bigbuckbunny.mp4"
PHOTOGRAPH = MEDIA / "rocket.jpg"

Recipe = Callable[[Path, Path], None]
_RECIPES: dict[str, Recipe] = {}

_H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
_FRONT = ("-movflags", "+faststart")


def clip(name: str, folder: Path) -> Path:
    """The file `name` in `folder`, made on first use together with what it is made of."""
    target = folder / name
    if not target.exists():
        _RECIPES[name](target, folder)
    return target


def names() -> list[str]:
    """Every file that can be made."""
    return list(_RECIPES)


def _recipe(name: str) -> Callable[[Recipe], Recipe]:
    def keep(recipe: Recipe) -> Recipe:
        _RECIPES[name] = recipe
        return recipe

    return keep


def _ffmpeg(*arguments: str | Path) -> None:
    subprocess.run([str(binary("ffmpeg")), "-nostdin", "-v", "error", "-y", *map(str, arguments)], check=True)


def _from_film(name: str, *arguments: str, before: tuple[str, ...] = ()) -> None:
    """A file made from film.mp4 by FFmpeg's arguments."""

    @_recipe(name)
    def make(target: Path, folder: Path) -> None:
        _ffmpeg(*before, "-i", clip("film.mp4", folder), *arguments, target)


def _drawn(name: str, source: str, *arguments: str) -> None:
    """A file of pictures that FFmpeg draws."""

    @_recipe(name)
    def make(target: Path, _folder: Path) -> None:
        _ffmpeg("-f", "lavfi", "-i", source, *arguments, target)


@_recipe("film.mp4")
def _film(target: Path, _folder: Path) -> None:
    sound = ("-c:a", "aac", "-ac", "2", "-b:a", "64k")
    picture = ("-vf", "scale=320:180", *_H264, "-g", "12")
    _ffmpeg("-ss", "2", "-i", ORIGINAL, "-t", "2", *picture, *sound, *_FRONT, target)


# The same film in other containers ---------------------------------------------------------------------------------

_from_film("moov_at_end.mp4", "-c", "copy")
_from_film("film.mov", "-c", "copy")
_from_film("film.m4v", "-c", "copy")
_from_film("film.mkv", "-c", "copy")
_from_film("film.flv", "-c", "copy")
_from_film("film.ts", "-c", "copy")
_from_film("film.m2ts", "-c", "copy", "-mpegts_m2ts_mode", "1")
_from_film("film.3gp", *("-c:v", "mpeg4", "-c:a", "aac"))
_from_film("film.avi", *("-c:v", "mpeg4", "-c:a", "libmp3lame"))
_from_film("film.mpg", *("-c:v", "mpeg2video", "-c:a", "mp2"))
_from_film("film.webm", *("-c:v", "libvpx", "-deadline", "realtime", "-b:v", "300k", "-c:a", "libopus"))
_from_film("film.wmv", *("-c:v", "wmv2", "-c:a", "wmav2"))

# Pictures that need care -------------------------------------------------------------------------------------------


@_recipe("portrait.mp4")
def _portrait(target: Path, folder: Path) -> None:
    """As a phone records it: 320x180 as stored, to be turned by 90 degrees, 180x320 as displayed."""
    lying, upright = folder / "lying.mp4", "crop=ih*9/16:ih:100:0,scale=180:320,setsar=1"
    _ffmpeg("-i", ORIGINAL, "-ss", "2", "-t", "1", "-vf", f"{upright},transpose=cclock", *_H264, "-an", lying)
    _ffmpeg("-display_rotation:v:0", "-90", "-i", lying, "-c", "copy", target)


@_recipe("upright.mp4")
def _upright(target: Path, _folder: Path) -> None:
    """What portrait.mp4 is to look like."""
    upright = "crop=ih*9/16:ih:100:0,scale=180:320,setsar=1"
    _ffmpeg("-i", ORIGINAL, "-ss", "2", "-t", "1", "-vf", upright, *_H264, "-an", target)


_from_film("anamorphic.mp4", "-vf", "scale=180:180,setsar=16/9", *_H264, "-an")
_from_film("odd.mp4", "-vf", "scale=321:181,setsar=1", *_H264[:-1], "yuv444p", "-an")
_from_film("interlaced.ts", "-vf", "interlace", "-c:v", "mpeg2video", "-flags", "+ilme+ildct", "-an")
#: Bars that move, one line from each of two pictures in turn, in a file that does not say so.
_drawn(
    "camcorder.avi",
    "color=black:size=720x576:rate=50:duration=0.4,geq=lum='if(lt(mod(X-N*20\\,120)\\,60)\\,200\\,40)':cb=128:cr=128,"
    "tinterlace=mode=interleave_bottom,setfield=bff",
    *("-c:v", "dvvideo", "-pix_fmt", "yuv420p", "-flags", "+ilme+ildct"),
)
_from_film("full_range.mp4", "-vf", "scale=out_range=pc", *_H264[:-1], "yuvj420p", "-an")
_PQ = "setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc"
#: Bright white lies at 58 % in PQ; the rest of the curve does not matter here.
_from_film(
    "hdr.mp4",
    *("-vf", "scale=160:90,format=yuv420p10le,lutyuv=y=64+(val-64)*0.6:u=512+(val-512)*0.6:v=512+(val-512)*0.6," + _PQ),
    *("-frames:v", "5", "-c:v", "libx264", "-preset", "ultrafast", "-an"),
)
#: One colour in HD: as a film that does not say that its colours are BT.709, and as RGB from a screen.
_COLOUR = "color=0xC83C1E:size=1280x720:rate=5:duration=1,format=gbrp"
_drawn(
    "unmarked.mp4",
    f"{_COLOUR},scale=out_color_matrix=bt709,format=yuv420p,setparams=colorspace=unknown",
    *_H264,
)
_drawn("screen.mov", _COLOUR, "-c:v", "qtrle")
_drawn("black.mp4", "color=black:size=64x36:rate=5:duration=1", *_H264)
_drawn("tall.mp4", "color=black:size=640x1200:rate=1:duration=1", *_H264)
#: Three seconds of black, one of a picture, three of black.
_drawn(
    "mostly_black.mp4",
    "testsrc2=size=64x36:rate=5:duration=7,drawbox=c=black:t=fill:enable='lt(t,3)+gte(t,4)'",
    *("-g", "5", *_H264),
)
_drawn("tiny.mp4", "testsrc2=size=2x2:rate=5:duration=1", *_H264)
#: Pictures at irregular times, 120 in 4 seconds.
_drawn(
    "variable.mp4",
    "testsrc2=size=160x90:rate=30:duration=4,settb=1/90000,setpts='(N/30+random(0)*0.02)/TB'",
    *("-fps_mode", "passthrough", "-enc_time_base", "1/90000", "-video_track_timescale", "90000", *_H264),
)


def _slides(name: str, *container: str) -> None:
    """Red, green, blue, a second each, built upon one key frame."""
    colours = ";".join(
        f"color=c={colour}:size=64x48:rate=1:duration=2,trim=end=1[{colour}]" for colour in ("red", "green", "blue")
    )

    @_recipe(name)
    def make(target: Path, _folder: Path) -> None:
        graph = f"{colours};[red][green][blue]concat=n=3,setpts=N/TB"
        one_key = ("-x264-params", "keyint=100:scenecut=0:bframes=0")
        _ffmpeg("-filter_complex", graph, "-r", "1", *_H264, *one_key, *container, target)


_slides("slides.mp4")
_slides("slides.mkv")
_slides("slides.ts")


# 5 minutes, a picture a second, each brighter than the one before for ten of them, the first of which is a key frame.
for _suffix in ("mp4", "mkv", "ts"):
    _drawn(
        f"slow.{_suffix}",
        "color=black:size=64x48:rate=1:duration=300,geq=lum=40+16*mod(N\\,10):cb=128:cr=128",
        *(*_H264, "-g", "10"),
    )


@_recipe("long.mp4")
def _long(target: Path, _folder: Path) -> None:
    """42 seconds, 8 MB, a key frame every 5 seconds, the index at the end: large enough to read parts of it."""
    _ffmpeg("-stream_loop", "7", "-i", ORIGINAL, "-c", "copy", target)


@_recipe("part.mp4")
def _part(target: Path, folder: Path) -> None:
    """Cut out of a film without encoding: the last pictures lie apart, as those between them came later in the file."""
    whole, reordered = folder / "reordered.mp4", ("-c:v", "libx264", "-x264-params", "bframes=3:b-adapt=0:keyint=50")
    _ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x36:rate=25:duration=3", *reordered, "-pix_fmt", "yuv420p", whole)
    _ffmpeg("-ss", "0.7", "-to", "2.3", "-i", whole, "-c", "copy", target)


@_recipe("last_stays.mp4")
def _last_stays(target: Path, folder: Path) -> None:
    """Two seconds of pictures, the last of which stays for three more, as when nothing moves on a screen."""
    longer = "setts=duration=if(eq(N\\,49)\\,3/TB\\,DURATION)"
    _ffmpeg("-i", clip("film.mp4", folder), "-an", "-c", "copy", "-bsf:v", longer, target)


# What is or is not there -------------------------------------------------------------------------------------------


@_recipe("varied.mp4")
def _varied(target: Path, _folder: Path) -> None:
    """30 seconds of 320x180: a film, a drawing with noise, a fractal, and a photograph that passes by."""
    film = "[0:v]scale=320:180,setsar=1,trim=duration=10[film]"
    drawing = "testsrc2=size=320x180:rate=25:duration=6,noise=alls=12:allf=t:all_seed=1,setsar=1[drawing]"
    fractal = "mandelbrot=size=320x180:rate=25:end_scale=0.001,trim=duration=8,setsar=1[fractal]"
    photo = "[1:v]scale=640:-2,crop=320:180:x=t*20:y=t*10,setsar=1,trim=duration=6[photo]"
    parts = ("film", "drawing", "fractal", "photo")
    level = ";".join(f"[{part}]format=yuv420p[{part}_]" for part in parts)
    graph = ";".join([film, drawing, fractal, photo, level, "".join(f"[{part}_]" for part in parts) + "concat=n=4"])
    still = ("-loop", "1", "-framerate", "25", "-i", PHOTOGRAPH)
    _ffmpeg("-stream_loop", "1", "-i", ORIGINAL, *still, "-filter_complex", graph, *_H264, "-crf", "12", "-an", target)


_from_film("silent.mp4", "-c", "copy", "-an", *_FRONT)
_from_film("sound_only.mp4", "-c", "copy", "-vn", *_FRONT)


@_recipe("late_film.mp4")
def _late_film(target: Path, folder: Path) -> None:
    """The three slides begin a second and a half after the sound."""
    sound, slides = clip("film.mp4", folder), clip("slides.mp4", folder)
    _ffmpeg("-i", sound, "-itsoffset", "1.5", "-i", slides, "-map", "1:v", "-map", "0:a", "-c", "copy", target)


@_recipe("late_film.ts")
def _late_film_of_a_broadcast(target: Path, folder: Path) -> None:
    _ffmpeg("-i", clip("late_film.mp4", folder), "-c", "copy", target)


@_recipe("undelayed.mp4")
def _undelayed(target: Path, folder: Path) -> None:
    """As recorders write in fragments: nothing takes back that pictures are shown later than they are decoded.

    The first half is red and the second, which begins with a key frame, blue.
    """
    colours = "color=red:size=64x48:rate=25:duration=1[a];color=blue:size=64x48:rate=25:duration=1[b]"
    reordered = ("-x264-params", "bframes=3:b-adapt=0:keyint=25:min-keyint=25:scenecut=0")
    sound = ("-f", "lavfi", "-i", "anullsrc", "-t", "2", "-c:a", "aac")
    film = ("-filter_complex", f"{colours};[a][b]concat", "-c:v", "libx264", "-pix_fmt", "yuv420p", *reordered)
    _ffmpeg(*sound[:4], *film, *sound[4:], "-movflags", "empty_moov+frag_keyframe", target)


@_recipe("late_sound.mp4")
def _late_sound(target: Path, folder: Path) -> None:
    """The sound begins half a second after the pictures."""
    film = clip("film.mp4", folder)
    _ffmpeg("-i", film, "-itsoffset", "0.5", "-i", film, "-map", "0:v", "-map", "1:a", "-c", "copy", target)


@_recipe("untold.mkv")
def _untold(target: Path, folder: Path) -> None:
    """Sound for one second of two, in a file that tells its own length and not those of its streams."""
    film, brief = clip("film.mp4", folder), folder / "brief.mkv"
    _ffmpeg("-i", film, "-t", "1", "-i", film, "-map", "0:v", "-map", "1:a", "-c", "copy", brief)
    target.write_bytes(brief.read_bytes().replace(b"DURATION", b"UNTOLD__"))


@_recipe("cover.mp4")
def _cover(target: Path, folder: Path) -> None:
    """The film with a cover picture in front of it, which is larger."""
    inputs = ("-i", PHOTOGRAPH, "-i", clip("film.mp4", folder))
    _ffmpeg(*inputs, "-map", "0", "-map", "1", "-c", "copy", "-disposition:v:0", "attached_pic", target)


@_recipe("rich.mkv")
def _rich(target: Path, folder: Path) -> None:
    """Two languages, subtitles, two chapters, a title."""
    film, texts, marks = clip("film.mp4", folder), folder / "rich.srt", folder / "rich.txt"
    texts.write_text("1\n00:00:00,000 --> 00:00:01,500\nGood morning\n")
    chapter = "[CHAPTER]\nTIMEBASE=1/1000\nSTART={}\nEND={}\ntitle={}\n"
    marks.write_text(f";FFMETADATA1\n{chapter.format(0, 1000, 'Waking')}{chapter.format(1000, 2000, 'Stretching')}")
    _ffmpeg(
        *("-i", film, "-i", texts, "-i", marks, "-map_chapters", "2", "-metadata", "title=The big morning"),
        *("-map", "0:v", "-map", "0:a", "-map", "0:a", "-map", "1", "-c", "copy", "-c:s", "srt"),
        *("-metadata:s:a:0", "language=fre", "-metadata:s:a:1", "language=eng", "-metadata:s:s:0", "language=eng"),
        *("-disposition:a:0", "0", "-disposition:a:1", "default", "-disposition:s:0", "forced", target),
    )


_PLACE = ("-metadata", "title=Paris", "-metadata", "{}=+48.8577+002.2950/")
_from_film("located.mp4", "-c", "copy", *_PLACE[:-1], _PLACE[-1].format("location"))
_from_film(
    "located.mov",
    *("-c", "copy", *_PLACE[:-1], _PLACE[-1].format("com.apple.quicktime.location.ISO6709")),
    *("-movflags", "use_metadata_tags"),
)

# Sound -------------------------------------------------------------------------------------------------------------

_from_film("sound.m4a", "-c", "copy", "-vn")
_from_film("sound.aac", "-c", "copy", "-vn")
_from_film("sound.mp3", "-c:a", "libmp3lame", "-vn")
_from_film("sound_without_tag.mp3", "-c:a", "libmp3lame", "-vn", "-id3v2_version", "0", "-write_xing", "0")
_from_film("sound.mp2", "-c:a", "mp2", "-vn")
_from_film("sound.opus", "-c:a", "libopus", "-vn")
_from_film("sound.ogg", "-c:a", "vorbis", "-strict", "-2", "-vn")
_from_film("sound.flac", "-c:a", "flac", "-sample_fmt", "s16", "-vn")
_from_film("sound.wav", "-c:a", "pcm_s16le", "-vn")
_from_film("sound.aiff", "-c:a", "pcm_s16be", "-vn")
_from_film("deep.wav", "-c:a", "pcm_s24le", "-vn")
_from_film("fast.wav", "-c:a", "pcm_s16le", "-ar", "96000", "-vn")


def _speakers(name: str, layout: str) -> None:
    @_recipe(name)
    def make(target: Path, folder: Path) -> None:
        _ffmpeg("-i", clip("sound.wav", folder), "-af", f"pan={layout}|c0=c0", "-c:a", "pcm_s16le", target)


_speakers("5.1_side.wav", "5.1(side)")
_speakers("2.1.wav", "2.1")
_speakers("16.wav", "hexadecagonal")


@_recipe("cover.mp3")
def _cover_of_a_song(target: Path, folder: Path) -> None:
    """A song with a cover picture and no film."""
    inputs = ("-i", clip("sound.mp3", folder), "-i", PHOTOGRAPH)
    _ffmpeg(*inputs, "-map", "0", "-map", "1", "-c", "copy", "-disposition:v", "attached_pic", target)


def _played(name: str, source: str) -> None:
    """Two seconds of sound that FFmpeg makes."""

    @_recipe(name)
    def make(target: Path, _folder: Path) -> None:
        _ffmpeg("-f", "lavfi", "-i", source, "-t", "2", "-ar", "48000", "-ac", "2", "-c:a", "pcm_s16le", target)


_played("sine.wav", "aevalsrc=0.5*sin(2*PI*1000*t)|0.5*sin(2*PI*1000*t)")
_played("silence.wav", "anullsrc")
#: Silent up to 1.2 s.
_played("ping.wav", "aevalsrc=0.5*sin(2*PI*1000*t)|0.5*sin(2*PI*1000*t):s=48000,volume=0:enable='lt(t,1.2)'")


# Damage ------------------------------------------------------------------------------------------------------------


def _cut(name: str, whole: str, part: float) -> None:
    @_recipe(name)
    def make(target: Path, folder: Path) -> None:
        content = clip(whole, folder).read_bytes()
        target.write_bytes(content[: int(len(content) * part)])


_cut("cut_before_its_index.mp4", "moov_at_end.mp4", 0.6)
_cut("cut_behind_its_index.mp4", "film.mp4", 0.6)
_cut("cut.mkv", "film.mkv", 0.5)
_cut("cut.wav", "sound.wav", 0.5)


@_recipe("noise.mp4")
def _noise(target: Path, folder: Path) -> None:
    """Pictures and sound overwritten, the index in front of them whole."""
    content = bytearray(clip("film.mp4", folder).read_bytes())
    start = content.index(b"mdat") + 4
    content[start:] = bytes((index * 7919) >> 3 & 0xFF for index in range(len(content) - start))
    target.write_bytes(content)


# For benchmarks ----------------------------------------------------------------------------------------------------


@_recipe("bench_20s_720p.mp4")
def _bench(target: Path, _folder: Path) -> None:
    """20 seconds of 1280x720, as a camera would give them: about 5 MB, a key frame every 2 seconds."""
    picture = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-g", "50")
    _ffmpeg("-stream_loop", "3", "-i", ORIGINAL, "-t", "20", *picture, "-c:a", "aac", "-ac", "2", *_FRONT, target)


def main() -> None:
    """Makes them all."""
    folder = Path(sys.argv[1])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in names():
        clip(name, folder)


if __name__ == "__main__":
    main()
