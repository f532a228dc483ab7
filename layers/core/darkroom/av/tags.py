"""Which of a recording's tags go into what is made of it: what describes it. Place, device and times stay behind."""

from darkroom.av.probe import Probe, Stream, Tags

#: By their names in FFmpeg, which every container's own names are translated to.
KEPT = (
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

#: What the names of tags with a position have in them.
_PLACES = ("location", "gps", "xyz")


def without_place(tags: Tags) -> Tags:
    """Tags that do not tell where it was recorded."""
    return {name: value for name, value in tags.items() if not any(word in name.lower() for word in _PLACES)}


def arguments(found: Probe, sound: Stream | None) -> list[str]:
    """FFmpeg's arguments for the tags of a result, whose first sound is `sound`. Chapters keep their titles anyway."""
    return ["-map_metadata:g", "-1", "-map_metadata:s", "-1", *_of_the_whole(found, sound), *_of_the_sound(sound)]


def _of_the_whole(found: Probe, sound: Stream | None) -> list[str]:
    # Ogg keeps the tags of a song with its stream.
    tags = found.tags or (sound.tags if sound else {})
    named = {name.lower(): value for name, value in tags.items()}
    return [part for name in KEPT if name in named for part in ("-metadata", f"{name}={named[name]}")]


def _of_the_sound(sound: Stream | None) -> list[str]:
    return ["-metadata:s:a:0", f"language={sound.language}"] if sound and sound.language else []
