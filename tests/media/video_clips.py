"""Video clips: every container, and every kind of frame, timing and stream that operations must handle.

Unless stated otherwise a clip has 2 seconds of 320x180 at 25 frames per second, H.264, stereo AAC, its index in front.
"""

from pathlib import Path

from tests.media.clip_recipes import (
    H264,
    INDEX_IN_FRONT,
    ORIGINAL,
    PHOTOGRAPH,
    clip,
    convert,
    generate_video,
    recipe,
    run_ffmpeg,
)


@recipe("video.mp4")
def _video(target: Path, _folder: Path) -> None:
    audio = ("-c:a", "aac", "-ac", "2", "-b:a", "64k")
    video = ("-vf", "scale=320:180", *H264, "-g", "12")
    run_ffmpeg("-ss", "2", "-i", ORIGINAL, "-t", "2", *video, *audio, *INDEX_IN_FRONT, target)


# Containers --------------------------------------------------------------------------------------------------------

convert("moov_at_end.mp4", "-c", "copy")
convert("video.mov", "-c", "copy")
convert("video.m4v", "-c", "copy")
convert("video.mkv", "-c", "copy")
convert("video.flv", "-c", "copy")
convert("video.ts", "-c", "copy")
convert("video.m2ts", "-c", "copy", "-mpegts_m2ts_mode", "1")
convert("video.3gp", *("-c:v", "mpeg4", "-c:a", "aac"))
convert("video.avi", *("-c:v", "mpeg4", "-c:a", "libmp3lame"))
convert("video.mpg", *("-c:v", "mpeg2video", "-c:a", "mp2"))
convert("video.webm", *("-c:v", "libvpx", "-deadline", "realtime", "-b:v", "300k", "-c:a", "libopus"))
convert("video.wmv", *("-c:v", "wmv2", "-c:a", "wmav2"))

# Sizes, orientation, scan and colors -------------------------------------------------------------------------------


@recipe("portrait.mp4")
def _portrait(target: Path, folder: Path) -> None:
    """As a phone records it: stored as 320x180 with a rotation of 90 degrees, displayed as 180x320."""
    sideways, upright = folder / "sideways.mp4", "crop=ih*9/16:ih:100:0,scale=180:320,setsar=1"
    run_ffmpeg("-i", ORIGINAL, "-ss", "2", "-t", "1", "-vf", f"{upright},transpose=cclock", *H264, "-an", sideways)
    run_ffmpeg("-display_rotation:v:0", "-90", "-i", sideways, "-c", "copy", target)


@recipe("upright.mp4")
def _upright(target: Path, _folder: Path) -> None:
    """What portrait.mp4 looks like when displayed."""
    upright = "crop=ih*9/16:ih:100:0,scale=180:320,setsar=1"
    run_ffmpeg("-i", ORIGINAL, "-ss", "2", "-t", "1", "-vf", upright, *H264, "-an", target)


convert("anamorphic.mp4", "-vf", "scale=180:180,setsar=16/9", *H264, "-an")
convert("odd.mp4", "-vf", "scale=321:181,setsar=1", *H264[:-1], "yuv444p", "-an")
convert("interlaced.ts", "-vf", "interlace", "-c:v", "mpeg2video", "-flags", "+ilme+ildct", "-an")
#: Moving bars, interlaced from two frames each, in a file that does not state that it is interlaced.
generate_video(
    "camcorder.avi",
    "color=black:size=720x576:rate=50:duration=0.4,geq=lum='if(lt(mod(X-N*20\\,120)\\,60)\\,200\\,40)':cb=128:cr=128,"
    "tinterlace=mode=interleave_bottom,setfield=bff",
    *("-c:v", "dvvideo", "-pix_fmt", "yuv420p", "-flags", "+ilme+ildct"),
)
convert("full_range.mp4", "-vf", "scale=out_range=pc", *H264[:-1], "yuvj420p", "-an")
_PQ = "setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc"
#: White at 58 % of PQ; the rest of the curve does not matter here.
convert(
    "hdr.mp4",
    *("-vf", "scale=160:90,format=yuv420p10le,lutyuv=y=64+(val-64)*0.6:u=512+(val-512)*0.6:v=512+(val-512)*0.6," + _PQ),
    *("-frames:v", "5", "-c:v", "libx264", "-preset", "ultrafast", "-an"),
)
#: One color in HD: as BT.709 without a statement of the color space, and as RGB from a screen recording.
_ONE_COLOR = "color=0xC83C1E:size=1280x720:rate=5:duration=1,format=gbrp"
generate_video(
    "unlabeled.mp4",
    f"{_ONE_COLOR},scale=out_color_matrix=bt709,format=yuv420p,setparams=colorspace=unknown",
    *H264,
)
generate_video("screen.mov", _ONE_COLOR, "-c:v", "qtrle")
generate_video("black.mp4", "color=black:size=64x36:rate=5:duration=1", *H264)
generate_video("black_300_fps.mp4", "color=black:size=16x16:rate=300:duration=56", "-preset", "ultrafast", *H264)
generate_video("tall.mp4", "color=black:size=640x1200:rate=1:duration=1", *H264)
#: Three seconds of black, one of a test pattern, three of black.
generate_video(
    "mostly_black.mp4",
    "testsrc2=size=64x36:rate=5:duration=7,drawbox=c=black:t=fill:enable='lt(t,3)+gte(t,4)'",
    *("-g", "5", *H264),
)
generate_video("tiny.mp4", "testsrc2=size=2x2:rate=5:duration=1", *H264)


# Timing and key frames ---------------------------------------------------------------------------------------------

#: A variable frame rate: 120 frames in 4 seconds.
generate_video(
    "variable.mp4",
    "testsrc2=size=160x90:rate=30:duration=4,settb=1/90000,setpts='(N/30+random(0)*0.02)/TB'",
    *("-fps_mode", "passthrough", "-enc_time_base", "1/90000", "-video_track_timescale", "90000", *H264),
)


def _slides(name: str, *container: str) -> None:
    """Red, green and blue, one second each, with one key frame at the start."""
    colors = ";".join(
        f"color=c={color}:size=64x48:rate=1:duration=2,trim=end=1[{color}]" for color in ("red", "green", "blue")
    )

    @recipe(name)
    def make(target: Path, _folder: Path) -> None:
        graph = f"{colors};[red][green][blue]concat=n=3,setpts=N/TB"
        one_key_frame = ("-x264-params", "keyint=100:scenecut=0:bframes=0")
        run_ffmpeg("-filter_complex", graph, "-r", "1", *H264, *one_key_frame, *container, target)


_slides("slides.mp4")
_slides("slides.mkv")
_slides("slides.ts")


# 5 minutes, one frame per second, a key frame every 10 frames; the brightness grows from one key frame to the next.
for _suffix in ("mp4", "mkv", "ts"):
    generate_video(
        f"slow.{_suffix}",
        "color=black:size=64x48:rate=1:duration=300,geq=lum=40+16*mod(N\\,10):cb=128:cr=128",
        *(*H264, "-g", "10"),
    )


@recipe("long.mp4")
def _long(target: Path, _folder: Path) -> None:
    """42 seconds, 8 MB, a key frame every 5 seconds, the index at the end: large enough to read parts of it."""
    run_ffmpeg("-stream_loop", "7", "-i", ORIGINAL, "-c", "copy", target)


@recipe("excerpt.mp4")
def _excerpt(target: Path, folder: Path) -> None:
    """Cut without encoding: the last frames have gaps, because the frames between them come later in the source."""
    whole, reordered = folder / "reordered.mp4", ("-c:v", "libx264", "-x264-params", "bframes=3:b-adapt=0:keyint=50")
    run_ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x36:rate=25:duration=3", *reordered, "-pix_fmt", "yuv420p", whole)
    run_ffmpeg("-ss", "0.7", "-to", "2.3", "-i", whole, "-c", "copy", target)


@recipe("long_last_frame.mp4")
def _long_last_frame(target: Path, folder: Path) -> None:
    """Two seconds, then three more of the last frame, as in a screen recording without movement."""
    longer = "setts=duration=if(eq(N\\,49)\\,3/TB\\,DURATION)"
    run_ffmpeg("-i", clip("video.mp4", folder), "-an", "-c", "copy", "-bsf:v", longer, target)


@recipe("late_video.mp4")
def _late_video(target: Path, folder: Path) -> None:
    """The three slides start a second and a half after the audio."""
    audio, slides = clip("video.mp4", folder), clip("slides.mp4", folder)
    run_ffmpeg("-i", audio, "-itsoffset", "1.5", "-i", slides, "-map", "1:v", "-map", "0:a", "-c", "copy", target)


@recipe("late_video.ts")
def _late_video_ts(target: Path, folder: Path) -> None:
    run_ffmpeg("-i", clip("late_video.mp4", folder), "-c", "copy", target)


@recipe("undelayed.mp4")
def _undelayed(target: Path, folder: Path) -> None:
    """Fragmented, without an edit list that compensates for the delay between decoding and display.

    The first half is red and the second, which starts with a key frame, blue.
    """
    colors = "color=red:size=64x48:rate=25:duration=1[a];color=blue:size=64x48:rate=25:duration=1[b]"
    reordered = ("-x264-params", "bframes=3:b-adapt=0:keyint=25:min-keyint=25:scenecut=0")
    silence, audio = ("-f", "lavfi", "-i", "anullsrc"), ("-t", "2", "-c:a", "aac")
    video = ("-filter_complex", f"{colors};[a][b]concat", "-c:v", "libx264", "-pix_fmt", "yuv420p", *reordered)
    run_ffmpeg(*silence, *video, *audio, "-movflags", "empty_moov+frag_keyframe", target)


@recipe("late_audio.mp4")
def _late_audio(target: Path, folder: Path) -> None:
    """The audio starts half a second after the video."""
    video = clip("video.mp4", folder)
    run_ffmpeg("-i", video, "-itsoffset", "0.5", "-i", video, "-map", "0:v", "-map", "1:a", "-c", "copy", target)


@recipe("short_audio.mkv")
def _short_audio(target: Path, folder: Path) -> None:
    """One second of audio with two of video, in a file that states its own duration but not those of its streams."""
    video, stated = clip("video.mp4", folder), folder / "stated.mkv"
    run_ffmpeg("-i", video, "-t", "1", "-i", video, "-map", "0:v", "-map", "1:a", "-c", "copy", stated)
    target.write_bytes(stated.read_bytes().replace(b"DURATION", b"OMITTED_"))


# Streams and tags --------------------------------------------------------------------------------------------------


@recipe("varied.mp4")
def _varied(target: Path, _folder: Path) -> None:
    """30 seconds of 320x180: a movie, a test pattern with noise, a fractal, and a pan over a photograph."""
    movie = "[0:v]scale=320:180,setsar=1,trim=duration=10[movie]"
    pattern = "testsrc2=size=320x180:rate=25:duration=6,noise=alls=12:allf=t:all_seed=1,setsar=1[pattern]"
    fractal = "mandelbrot=size=320x180:rate=25:end_scale=0.001,trim=duration=8,setsar=1[fractal]"
    photo = "[1:v]scale=640:-2,crop=320:180:x=t*20:y=t*10,setsar=1,trim=duration=6[photo]"
    parts = ("movie", "pattern", "fractal", "photo")
    same_format = ";".join(f"[{part}]format=yuv420p[{part}_]" for part in parts)
    joined = "".join(f"[{part}_]" for part in parts) + "concat=n=4"
    graph = ";".join([movie, pattern, fractal, photo, same_format, joined])
    inputs = ("-stream_loop", "1", "-i", ORIGINAL, "-loop", "1", "-framerate", "25", "-i", PHOTOGRAPH)
    run_ffmpeg(*inputs, "-filter_complex", graph, *H264, "-crf", "12", "-an", target)


convert("silent.mp4", "-c", "copy", "-an", *INDEX_IN_FRONT)


@recipe("cover.mp4")
def _cover(target: Path, folder: Path) -> None:
    """The video with a larger cover image in front of it."""
    inputs = ("-i", PHOTOGRAPH, "-i", clip("video.mp4", folder))
    run_ffmpeg(*inputs, "-map", "0", "-map", "1", "-c", "copy", "-disposition:v:0", "attached_pic", target)


@recipe("multitrack.mkv")
def _multitrack(target: Path, folder: Path) -> None:
    """Two languages, subtitles, two chapters, a title."""
    video, subtitles, chapters = clip("video.mp4", folder), folder / "multitrack.srt", folder / "multitrack.txt"
    subtitles.write_text("1\n00:00:00,000 --> 00:00:01,500\nGood morning\n")
    chapter = "[CHAPTER]\nTIMEBASE=1/1000\nSTART={}\nEND={}\ntitle={}\n"
    chapters.write_text(f";FFMETADATA1\n{chapter.format(0, 1000, 'Waking')}{chapter.format(1000, 2000, 'Stretching')}")
    run_ffmpeg(
        *("-i", video, "-i", subtitles, "-i", chapters, "-map_chapters", "2", "-metadata", "title=The big morning"),
        *("-map", "0:v", "-map", "0:a", "-map", "0:a", "-map", "1", "-c", "copy", "-c:s", "srt"),
        *("-metadata:s:a:0", "language=fre", "-metadata:s:a:1", "language=eng", "-metadata:s:s:0", "language=eng"),
        *("-disposition:a:0", "0", "-disposition:a:1", "default", "-disposition:s:0", "forced", target),
    )


_LOCATION = "{}=+48.8577+002.2950/"
convert("located.mp4", "-c", "copy", *("-metadata", "title=Paris", "-metadata", _LOCATION.format("location")))
convert(
    "located.mov",
    *("-c", "copy", "-metadata", "title=Paris"),
    *("-metadata", _LOCATION.format("com.apple.quicktime.location.ISO6709"), "-movflags", "use_metadata_tags"),
)


# Benchmarks --------------------------------------------------------------------------------------------------------


@recipe("bench_20s_720p.mp4")
def _bench(target: Path, _folder: Path) -> None:
    """20 seconds of 1280x720 like those of a camera: about 5 MB, a key frame every 2 seconds."""
    video = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-g", "50")
    audio = ("-c:a", "aac", "-ac", "2")
    run_ffmpeg("-stream_loop", "3", "-i", ORIGINAL, "-t", "20", *video, *audio, *INDEX_IN_FRONT, target)
