"""The HTML pages of the API, and the hashes with which a Content-Security-Policy admits what they have inline."""

import base64
import hashlib
import re
from functools import lru_cache
from pathlib import Path

_FOLDER = Path(__file__).parent
_INLINE = re.compile(r"<(style|script)>(.*?)</\1>", re.DOTALL)

#: What no page needs.
_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


@lru_cache
def read_page(name: str) -> str:
    """The text of a page."""
    return (_FOLDER / name).read_text(encoding="utf-8")


@lru_cache
def policy_of(name: str, **sources: str) -> str:
    """The Content-Security-Policy of a page: its inline style and scripts, and other `sources` (`img="data:"`)."""
    allowed = dict(sources)
    for kind, text in _INLINE.findall(read_page(name)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        allowed[kind] = f"{allowed.get(kind, '')} 'sha256-{digest}'".lstrip()
    return "; ".join([_POLICY, *(f"{kind}-src {text}" for kind, text in sorted(allowed.items()))])
