"""Finds secrets where none may be: as they are, in base64, percent-encoded, in hexadecimal, or by their form."""

import base64
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote

#: API keys and tokens of upload links, and JSON Web Tokens with a signature, whoever made them.
_CREDENTIAL = re.compile(rb"\bd[kl]_[a-z0-9]{1,16}_[a-z0-9-]{1,48}_[0-9A-Za-z]{40}\b")
_TOKEN = re.compile(rb"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20,}")

#: Characters of a part of a secret that is worth a search. A shorter one is found by chance.
_LEAST = 12

#: Characters on each side of what was found that are shown.
_CONTEXT = 40


@dataclass(frozen=True)
class Secret:
    """A secret that was used. `name` is shown where it was found, in place of its text."""

    name: str
    text: str

    @property
    def parts(self) -> dict[str, str]:
        """The whole, and what of it is secret: of a credential all after its id, of a token its signature."""
        separator = {"dk_": "_", "dl_": "_", "eyJ": "."}.get(self.text[:3])
        secret = self.text.rpartition(separator)[2] if separator else self.text
        return {"whole": self.text} if secret == self.text else {"whole": self.text, "secret part": secret}

    def forms(self) -> Iterator[tuple[str, bytes]]:
        """Each way to write it that is searched for, with a description."""
        for part, text in self.parts.items():
            assert len(text) >= _LEAST, f"{self.name} is too short to be searched for"
            raw = text.encode()
            yield part, raw
            yield f"{part}, percent-encoded", quote(text, safe="").encode()
            yield f"{part}, in hexadecimal", raw.hex().encode()
            for start in range(3):
                yield from ((f"{part}, in base64", form) for form in _base64(raw, start))


def _base64(raw: bytes, start: int) -> set[bytes]:
    """What base64 makes of a text at a position that leaves this rest of 3, without those of neighbours."""
    whole = base64.b64encode(bytes(start) + raw)
    inner = whole[-(-start * 4 // 3) : len(raw + bytes(start)) // 3 * 4]
    return {inner, inner.replace(b"+", b"-").replace(b"/", b"_")}


def find(secrets: Iterable[Secret], places: Iterable[tuple[str, bytes]]) -> list[str]:
    """Where something secret is in the content of named places. Each finding names the place, and shows no secret."""
    forms = [(secret.name, form, text) for secret in secrets for form, text in secret.forms()]
    found = []
    for place, content in places:
        hits = [(name, form, content.find(text), len(text)) for name, form, text in forms if text in content]
        for kind, pattern in (("some credential", _CREDENTIAL), ("some token", _TOKEN)):
            hits += [(kind, "by its form", match.start(), len(match[0])) for match in pattern.finditer(content)]
        for name, form, start, length in hits:
            before = content[max(0, start - _CONTEXT) : start].decode(errors="replace")
            after = content[start + length : start + length + _CONTEXT].decode(errors="replace")
            found.append(f"{place} has {name} ({form}): …{before}[…]{after}…")
    return found
