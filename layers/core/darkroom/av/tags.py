"""Which tags of a source are kept in a result: those that describe the content, not location, device or times."""

from darkroom.av.probe import Probe, Stream, Tags

#: Kept tags by FFmpeg's generic names, to which every container's own names are mapped.
KEPT_TAGS = (
    "title",
    "artist",
    "album",
    "album_artist",
    "composer",
    "genre",
    "date",
    "track",
    "disc",
    "comment",
    "copyright",
)

#: Parts of the names of tags that hold a location.
_LOCATION_WORDS = ("location", "gps", "xyz")


def remove_location_tags(tags: Tags) -> Tags:
    """The tags without those that tell where the file was recorded."""
    return {name: value for name, value in tags.items() if not any(word in name.lower() for word in _LOCATION_WORDS)}


def tag_arguments(found: Probe, audio: Stream | None) -> list[str]:
    """FFmpeg arguments for the tags of a result whose first audio stream is `audio`. Chapters keep their titles."""
    return ["-map_metadata:g", "-1", "-map_metadata:s", "-1", *_file_tags(found, audio), *_audio_tags(audio)]


def _file_tags(found: Probe, audio: Stream | None) -> list[str]:
    # Ogg stores the tags of a song with its stream.
    tags = found.tags or (audio.tags if audio else {})
    named = {name.lower(): value for name, value in tags.items()}
    return [argument for name in KEPT_TAGS if name in named for argument in ("-metadata", f"{name}={named[name]}")]


def _audio_tags(audio: Stream | None) -> list[str]:
    return ["-metadata:s:a:0", f"language={audio.language}"] if audio and audio.language else []
