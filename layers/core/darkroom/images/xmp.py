"""Removes private data from XMP packets: https://developer.adobe.com/xmp/docs/XMPSpecifications/ (ISO 16684-1).

A packet comes from a stranger's file, so it is parsed without DTDs and entities. Properties are recognized by their
local name or namespace, whatever prefix the packet uses, as attributes and as elements at any depth.
"""

import re
from typing import Any
from xml.dom import XMLNS_NAMESPACE, Node
from xml.parsers.expat import ExpatError

from defusedxml.minidom import parseString

#: Larger packets are not parsed; a parsed packet takes up to 50 times its size in memory.
MAX_XMP_BYTES = 2 * 1024 * 1024

#: Properties with a position, in any namespace: those of EXIF (GPSLatitude) and drones (AbsoluteAltitude, and a
#: misspelled Longtitude).
_POSITION = re.compile(r"gps|.*(latitude|longt?itude|altitude)", re.IGNORECASE)

#: Properties that are never kept: a result is upright; previews show the image before it was cropped or marked; maker
#: notes are undocumented; and extended XMP, a second packet, is dropped.
_NEVER = frozenset({"Orientation", "Thumbnails", "MakerNote", "HasExtendedXMP"})

#: Namespaces of embedded images: thumbnails, and the originals and depth maps of phones.
_EMBEDDED_IMAGES = frozenset(
    {
        "http://ns.adobe.com/xap/1.0/g/img/",
        "http://ns.google.com/photos/1.0/image/",
        "http://ns.google.com/photos/1.0/depthmap/",
    }
)


def filter_xmp(packet: bytes, *, keep_gps: bool) -> bytes | None:
    """The packet without embedded images, orientation, maker notes and, unless `keep_gps`, positions.

    None if it is not well-formed, declares a DTD, is too large, or may still contain a position. Without anything to
    remove it is returned unchanged, else as UTF-8.
    """
    if len(packet) > MAX_XMP_BYTES:
        return None
    utf16 = b"\0" in packet[:4]
    try:
        document = parseString(packet if utf16 else packet.rstrip(b"\0"), forbid_dtd=True)  # some writers pad with NULs
        changed = _remove_private(document, keep_gps=keep_gps)
        text = "".join(node.toxml() for node in document.childNodes)
    except (ExpatError, ValueError, LookupError, RecursionError):  # the last one is for thousands of nested elements
        return None
    if document.documentElement is None or (not keep_gps and "GPS" in text):
        return None
    return text.encode() if changed else packet


def _remove_private(parent: Any, *, keep_gps: bool) -> bool:
    """Removes private attributes and elements below `parent`, and comments. Whether there were any."""
    changed = False
    for node in list(parent.childNodes):
        if node.nodeType == Node.COMMENT_NODE or (_is_element(node) and _is_private(node, keep_gps=keep_gps)):
            parent.removeChild(node)
            changed = True
        elif _is_element(node):
            for attribute in list(node.attributes.values()):
                if attribute.namespaceURI != XMLNS_NAMESPACE and _is_private(attribute, keep_gps=keep_gps):
                    node.removeAttributeNode(attribute)
                    changed = True
            changed |= _remove_private(node, keep_gps=keep_gps)
    return changed


def _is_element(node: Any) -> bool:
    return bool(node.nodeType == Node.ELEMENT_NODE)


def _is_private(node: Any, *, keep_gps: bool) -> bool:
    name = node.localName
    if name in _NEVER or node.namespaceURI in _EMBEDDED_IMAGES:
        return True
    return not keep_gps and _POSITION.match(name) is not None
