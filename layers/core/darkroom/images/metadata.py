"""Decides which metadata of a source goes into a result.

libvips splits EXIF into fields named `exif-ifd<number>-<tag>` and writes those that are left; XMP and IPTC are blobs.
The position where an image was taken may be in EXIF's directory 3 and in XMP.
"""

import re
from collections.abc import Iterator

import pyvips

from darkroom.contracts.image_params import Metadata

_BLOBS = ("exif-data", "xmp-data", "iptc-data")
_COPYRIGHT_TAGS = ("exif-ifd0-Artist", "exif-ifd0-Copyright")
_GPS_DIRECTORY = "exif-ifd3-"

#: Directory 1 describes the embedded preview, which shows the image before it was cropped or marked; maker notes
#: contain serial numbers, faces and other undocumented data; two tags contain copies of XMP and of a Photoshop block.
_NEVER = re.compile(
    r"exif-ifd1-|exif-ifd\d-(MakerNote|XMLPacket|ImageResources|Orientation$)"
    r"|jpeg-thumbnail-data$|.*(Pixel[XY]Dimension)$"
)

#: The start of a Photoshop block and of each of its resources, and the type of the resource that is IPTC.
_PHOTOSHOP, _RESOURCE, _IPTC = b"Photoshop 3.0\0", b"8BIM", b"\x04\x04"

#: The savers' `keep` flag for each field.
_KEEP_FLAGS = {"exif-data": "exif", "xmp-data": "xmp", "iptc-data": "iptc", "icc-profile-data": "icc"}


def filter_metadata(
    image: pyvips.Image, metadata: Metadata, *, keep_gps: bool, keep_profile: bool
) -> tuple[pyvips.Image, str]:
    """The image with only the metadata to keep, and the saver's `keep` flags for it ("none", "exif:icc" ...)."""
    kept = {"icc-profile-data"} if keep_profile else set[str]()
    if metadata == "copyright":
        kept |= {"exif-data"}
    elif metadata == "keep":
        kept |= set(_BLOBS)
    if not kept:
        return image, "none"
    image = image.copy()
    for name in list(image.get_fields()):
        if name.startswith("exif-ifd"):
            if _NEVER.match(name) or not _is_tag_kept(name, metadata, keep_gps=keep_gps):
                image.remove(name)
        elif _NEVER.match(name) or (name in _KEEP_FLAGS and name not in kept):
            image.remove(name)
    if "iptc-data" in kept and image.get_typeof("iptc-data"):
        _filter_iptc(image)
    if "xmp-data" in kept and image.get_typeof("xmp-data"):
        _filter_xmp(image, keep_gps=keep_gps)
    flags = [flag for name, flag in _KEEP_FLAGS.items() if name in kept and image.get_typeof(name)]
    return image, ":".join(flags) or "none"


def _is_tag_kept(name: str, metadata: Metadata, *, keep_gps: bool) -> bool:
    if metadata == "copyright":
        return name in _COPYRIGHT_TAGS
    return metadata == "keep" and (keep_gps or not name.startswith(_GPS_DIRECTORY))


def _filter_iptc(image: pyvips.Image) -> None:
    """Keeps only IPTC of a Photoshop block, whose other resources include a preview and copies of EXIF and XMP.

    A TIFF has IPTC without that block, which readers of JPEG expect.
    """
    block = bytes(image.get("iptc-data"))
    image.remove("iptc-data")
    for kind, content in _resources(block) if block.startswith(_PHOTOSHOP) else [(_IPTC, block)]:
        if kind == _IPTC:
            size = len(content).to_bytes(4)
            block = _PHOTOSHOP + _RESOURCE + _IPTC + b"\0\0" + size + content + bytes(len(content) % 2)
            image.set_type(pyvips.GValue.blob_type, "iptc-data", block)


def _resources(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Type and content of each resource of a Photoshop block; its name and content are padded to even lengths."""
    at = len(_PHOTOSHOP)
    while block[at : at + 4] == _RESOURCE and at + 12 <= len(block):
        kind, name_length = block[at + 4 : at + 6], 1 + block[at + 6]
        at += 6 + name_length + name_length % 2
        length = int.from_bytes(block[at : at + 4])
        yield kind, block[at + 4 : at + 4 + length]
        at += 4 + length + length % 2


def _filter_xmp(image: pyvips.Image, *, keep_gps: bool) -> None:
    from darkroom.images.xmp import filter_xmp  # loads an XML parser, which few images need

    packet = filter_xmp(bytes(image.get("xmp-data")), keep_gps=keep_gps)
    image.remove("xmp-data")
    if packet is not None:
        image.set_type(pyvips.GValue.blob_type, "xmp-data", packet)
