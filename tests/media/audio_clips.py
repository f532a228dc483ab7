"""Audio clips: every container and codec, unusual channel layouts, depths and rates, and generated audio."""

from pathlib import Path

from tests.media.clip_recipes import INDEX_IN_FRONT, PHOTOGRAPH, clip, convert, generate_audio, recipe, run_ffmpeg

convert("audio.m4a", "-c", "copy", "-vn")
convert("audio_only.mp4", "-c", "copy", "-vn", *INDEX_IN_FRONT)
convert("audio.aac", "-c", "copy", "-vn")
convert("audio.mp3", "-c:a", "libmp3lame", "-vn")
convert("audio_without_tag.mp3", "-c:a", "libmp3lame", "-vn", "-id3v2_version", "0", "-write_xing", "0")
convert("audio.mp2", "-c:a", "mp2", "-vn")
convert("audio.opus", "-c:a", "libopus", "-vn")
convert("audio.ogg", "-c:a", "vorbis", "-strict", "-2", "-vn")
convert("audio.flac", "-c:a", "flac", "-sample_fmt", "s16", "-vn")
convert("audio.wav", "-c:a", "pcm_s16le", "-vn")
convert("audio.aiff", "-c:a", "pcm_s16be", "-vn")
convert("24_bit.wav", "-c:a", "pcm_s24le", "-vn")
convert("96_khz.wav", "-c:a", "pcm_s16le", "-ar", "96000", "-vn")


def _with_layout(name: str, layout: str) -> None:
    @recipe(name)
    def make(target: Path, folder: Path) -> None:
        run_ffmpeg("-i", clip("audio.wav", folder), "-af", f"pan={layout}|c0=c0", "-c:a", "pcm_s16le", target)


_with_layout("5.1_side.wav", "5.1(side)")
_with_layout("2.1.wav", "2.1")
_with_layout("16.wav", "hexadecagonal")


@recipe("cover.mp3")
def _cover(target: Path, folder: Path) -> None:
    """A song with a cover image and no video."""
    inputs = ("-i", clip("audio.mp3", folder), "-i", PHOTOGRAPH)
    run_ffmpeg(*inputs, "-map", "0", "-map", "1", "-c", "copy", "-disposition:v", "attached_pic", target)


generate_audio("sine.wav", "aevalsrc=0.5*sin(2*PI*1000*t)|0.5*sin(2*PI*1000*t)")
generate_audio("silence.wav", "anullsrc")
#: Silent up to 1.2 s.
generate_audio("ping.wav", "aevalsrc=0.5*sin(2*PI*1000*t)|0.5*sin(2*PI*1000*t):s=48000,volume=0:enable='lt(t,1.2)'")
