"""Which properties of an XMP packet are kept, and which packets are removed as a whole."""

import pytest
from defusedxml.minidom import parseString

from darkroom.images.xmp import MAX_XMP_BYTES, filter_xmp

NAMESPACES = {
    "x": "adobe:ns:meta/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "dc": "http://purl.org/dc/elements/1.1/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "xmpGImg": "http://ns.adobe.com/xap/1.0/g/img/",
    "xmpNote": "http://ns.adobe.com/xmp/note/",
    "drone": "http://www.dji.com/drone-dji/1.0/",
    "GImage": "http://ns.google.com/photos/1.0/image/",
    "ext": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
}

POSITIONS = [
    "exif:GPSLatitude",
    "exif:GPSAltitudeRef",
    "drone:GpsLongitude",
    "drone:GpsLongtitude",
    "drone:AbsoluteAltitude",
    "dc:GPSPosition",
]
NEVER_KEPT = ["tiff:Orientation", "exif:MakerNote", "xmpGImg:image", "GImage:Data", "xmpNote:HasExtendedXMP"]

#: Where RDF/XML may have a property, here with a secret value.
FORMS = {
    "attribute": '<rdf:Description rdf:about="" dc:format="a" {name}="SECRET"/>',
    "element": '<rdf:Description dc:format="a"><{name}>SECRET</{name}></rdf:Description>',
    "empty element": '<rdf:Description dc:format="a"><{name} rdf:resource="SECRET"/></rdf:Description>',
    "list": '<rdf:Description dc:format="a"><{name}><rdf:Seq><rdf:li>SECRET</rdf:li></rdf:Seq></{name}>'
    "</rdf:Description>",
    "attribute of a nested description": '<rdf:Description dc:format="a"><ext:LocationCreated><rdf:Bag><rdf:li>'
    '<rdf:Description {name}="SECRET"/></rdf:li></rdf:Bag></ext:LocationCreated></rdf:Description>',
    "element of a structure": '<rdf:Description dc:format="a"><ext:LocationShown><rdf:Alt><rdf:li '
    'rdf:parseType="Resource"><{name}>SECRET</{name}></rdf:li></rdf:Alt></ext:LocationShown></rdf:Description>',
}


def packet(properties: str) -> str:
    declarations = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NAMESPACES.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        f"<x:xmpmeta {declarations}><rdf:RDF>{properties}</rdf:RDF></x:xmpmeta>"
        '<?xpacket end="w"?>'
    )


def kept(content: bytes, *, keep_gps: bool = False) -> bytes:
    """What is left of a packet that is not removed as a whole."""
    result = filter_xmp(content, keep_gps=keep_gps)
    assert result is not None
    parseString(result)  # raises if it is not well-formed
    return result


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_packet_without_private_data_is_unchanged(encoding: str) -> None:
    title = "<dc:title><rdf:Alt><rdf:li xml:lang='de'>Öl &amp; Äpfel</rdf:li></rdf:Alt></dc:title>"
    content = packet(f"<rdf:Description xmp:Rating='5'>{title}</rdf:Description>").encode(encoding)

    assert filter_xmp(content, keep_gps=False) == content


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", POSITIONS)
def test_position_is_removed_unless_it_is_requested(name: str, form: str) -> None:
    content = packet(FORMS[form].format(name=name)).encode()

    result = kept(content)

    assert b"SECRET" not in result
    assert b'dc:format="a"' in result
    assert filter_xmp(content, keep_gps=True) == content


@pytest.mark.parametrize("keep_gps", [False, True])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NEVER_KEPT)
def test_orientation_maker_notes_and_embedded_images_are_always_removed(name: str, form: str, keep_gps: bool) -> None:
    result = kept(packet(FORMS[form].format(name=name)).encode(), keep_gps=keep_gps)

    assert b"SECRET" not in result
    assert b'dc:format="a"' in result


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", POSITIONS + NEVER_KEPT)
def test_prefix_of_a_namespace_does_not_matter(name: str, form: str) -> None:
    prefix, _, local_name = name.partition(":")
    content = packet(FORMS[form].format(name=f"other:{local_name}")).replace(f"xmlns:{prefix}=", "xmlns:other=")
    # What is left of that prefix is not part of the test.
    content = content.replace(f"{prefix}:format", "format").replace(' rdf:about=""', "")

    result = kept(content.encode())

    assert b"SECRET" not in result
    assert b'format="a"' in result


@pytest.mark.parametrize("name", ["GPSLatitude", "Orientation"])
def test_property_in_the_default_namespace_or_without_one_is_removed(name: str) -> None:
    for declaration in ('xmlns="http://ns.adobe.com/exif/1.0/"', ""):
        result = kept(
            packet(f"<rdf:Description {declaration} {name}='SECRET'><{name}>SECRET</{name}></rdf:Description>").encode()
        )
        assert b"SECRET" not in result


def test_thumbnails_are_removed_with_everything_in_them() -> None:
    thumbnail = "<xmpGImg:width>9</xmpGImg:width><xmpGImg:image>SECRET</xmpGImg:image>"
    thumbnails = f"<xmp:Thumbnails><rdf:Alt><rdf:li>{thumbnail}</rdf:li></rdf:Alt></xmp:Thumbnails>"

    result = kept(packet(f"<rdf:Description xmp:Rating='5'>{thumbnails}</rdf:Description>").encode())

    assert b"SECRET" not in result
    assert b"<rdf:Alt" not in result
    assert b'xmp:Rating="5"' in result


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be"])
def test_packet_padded_with_nuls_is_filtered(encoding: str) -> None:
    text = packet('<rdf:Description dc:format="a" exif:GPSLatitude="SECRET"/>')
    padding = b"\0" * 40 if encoding == "utf-8" else b""

    filtered = filter_xmp(text.encode(encoding) + padding, keep_gps=False)

    assert filtered is not None
    assert b'dc:format="a"' in filtered
    assert b"SECRET" not in filtered


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_changed_packet_keeps_its_wrapper_and_prefixes_and_becomes_utf_8(encoding: str) -> None:
    content = packet("<rdf:Description dc:format='Öl' exif:GPSLatitude='48N'/>").encode(encoding)

    result = kept(content).decode()

    assert result.startswith('<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:')
    assert result.endswith('<rdf:RDF><rdf:Description dc:format="Öl"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>')


def test_declared_encoding_is_respected() -> None:
    content = '<?xml version="1.0" encoding="ISO-8859-1"?><a GPSx="1" b="Öl"/>'.encode("latin-1")

    assert kept(content).decode() == '<a b="Öl"/>'


def test_comments_are_removed() -> None:
    result = kept(
        packet("<rdf:Description><!-- GPSLatitude 48N --><dc:format>a</dc:format></rdf:Description>").encode()
    )

    assert b"48N" not in result
    assert b"<dc:format>a</dc:format>" in result


def test_cdata_is_text() -> None:
    content = packet(
        "<rdf:Description xmp:Rating='5'><dc:format><![CDATA[<b>&]]></dc:format></rdf:Description>"
    ).encode()
    assert filter_xmp(content, keep_gps=False) == content

    hidden = packet(
        "<rdf:Description><exif:GPSLatitude><![CDATA[SECRET]]></exif:GPSLatitude></rdf:Description>"
    ).encode()
    assert b"SECRET" not in kept(hidden)


@pytest.mark.parametrize(
    "text",
    ["<![CDATA[exif:GPSLatitude='1']]>", "&#71;PS 48N", "GPS 48N", "<?GPS 48N?>"],
    ids=["CDATA", "reference", "text", "instruction"],
)
def test_packet_that_mentions_gps_anywhere_else_is_removed(text: str) -> None:
    content = packet(f"<rdf:Description><dc:format>{text}</dc:format></rdf:Description>").encode()

    assert filter_xmp(content, keep_gps=False) is None
    assert filter_xmp(content, keep_gps=True) == content


ENTITY_BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {after} "{f"&{before};" * 10}">' for before, after in zip("abcdefgh", "bcdefghi", strict=True))
    + "]><x>&i;</x>"
)


@pytest.mark.parametrize("keep_gps", [False, True])
@pytest.mark.parametrize(
    "content",
    [
        b"<!DOCTYPE x><x/>",
        b'<!DOCTYPE x [<!ENTITY a "48N">]><x>&a;</x>',
        b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>',
        b'<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd"><x/>',
        b'<!DOCTYPE x [<!ENTITY % a SYSTEM "http://127.0.0.1:1/x.dtd"> %a;]><x/>',
        b'<!DOCTYPE x [<!ATTLIST x GPSLatitude CDATA "48N">]><x/>',
        ENTITY_BOMB.encode(),
        b"",
        b"\0" * 100,
        b"no XML",
        b"<x>",
        b"<x/><y/>",
        b"<x>&a;</x>",
        b"<x>\0</x>",
        b'<x GPSLatitude="1" GPSLatitude="2"/>',
        b'<x e:Orientation="6"/>',
        b"<e:GPSLatitude>1",
        b'<x xmlns:e="a b"><e:y/></x>',
        b'<?xml version="1.0" encoding="unknown"?><x/>',
        b'<?xml version="1.0" encoding="utf-7"?><x/>',
        b"<x>\xff\xfe</x>",
        "<x/>".encode("utf-32"),
        b"<x>" * 100_000 + b"</x>" * 100_000,
        b"<x>" + b" " * MAX_XMP_BYTES + b"</x>",
        b"<!-- nothing but a comment -->",
    ],
    ids=lambda content: repr(content[:40]) if isinstance(content, bytes) else None,
)
def test_packet_that_cannot_be_checked_is_removed(content: bytes, keep_gps: bool) -> None:
    assert filter_xmp(content, keep_gps=keep_gps) is None


@pytest.mark.parametrize("root", ["GPSLatitude", "Orientation"])
def test_packet_of_nothing_but_a_private_property_is_removed(root: str) -> None:
    assert filter_xmp(f"<{root}>1</{root}>".encode(), keep_gps=False) is None


def test_largest_packet_is_checked_in_seconds_and_bounded_memory() -> None:
    properties = "<dc:subject exif:GPSLatitude='1'>a</dc:subject>" * 40_000
    content = packet(f"<rdf:Description>{properties}</rdf:Description>").encode()
    assert len(content) < MAX_XMP_BYTES

    assert kept(content).count(b"<dc:subject>a</dc:subject>") == 40_000
