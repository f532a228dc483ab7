"""The public keys of an OIDC issuer, which are found by its discovery document and kept in this process."""

import http.client
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from darkroom.errors import ConfigurationError, IssuerUnavailableError
from darkroom.log import logger

#: Seconds for which keys are used without another look.
FRESH_S = 5 * 60

#: Seconds for which they are used when the issuer does not answer.
STALE_S = 3600

#: The least seconds between two looks while there are keys, because anybody can send a token whose key is not among
#: them, and because each look at an issuer that hangs delays a request.
PAUSE_S = 30

#: The least seconds between two looks while there are none.
PAUSE_WITHOUT_KEYS_S = 5

#: Seconds that one look may take, and each of its two requests.
LOOK_S = 3.0
_REQUEST_S = 2.0

#: The most bytes of a response. API Gateway's own authorizer takes 150,000.
RESPONSE_MAX_BYTES = 256 * 1024

_DISCOVERY_PATH = "/.well-known/openid-configuration"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

#: A JSON Web Key (RFC 7517).
Jwk = dict[str, Any]


class Issuer:
    """The keys of the issuer at `url`. Raises ConfigurationError unless it has HTTPS or is on this machine."""

    def __init__(self, url: str, clock: Callable[[], float] = time.time) -> None:
        if not _is_allowed(url):
            raise ConfigurationError(f"The issuer's address must begin with https://, not '{url}'.")
        self._url = url
        self._clock = clock
        self._keys: list[Jwk] | None = None
        self._read_s = 0.0
        self._looked_s = 0.0
        # One thread limits the time of a look whatever the issuer does, and the number of looks that hang to one.
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="issuer")

    def keys(self) -> list[Jwk]:
        """The keys. Raises IssuerUnavailableError when there are none that are recent enough."""
        if self._keys is None or self._clock() - self._read_s > FRESH_S:
            self._look()
        if self._keys is None or self._clock() - self._read_s > STALE_S:
            raise IssuerUnavailableError
        return self._keys

    def keys_after_rotation(self) -> list[Jwk]:
        """The keys for a token whose key is not among `keys()`: they are read again, unless that was done recently."""
        self._look()
        return self.keys()

    def _look(self) -> None:
        """Reads the keys again, unless that was tried a moment ago. Keeps those it has when it fails."""
        now_s = self._clock()
        if now_s - self._looked_s < (PAUSE_WITHOUT_KEYS_S if self._keys is None else PAUSE_S):
            return
        self._looked_s = now_s
        look = self._threads.submit(self._read)
        try:
            self._keys = look.result(timeout=LOOK_S)
        except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
            look.cancel()  # if it waits for one that hangs
            logger().error("issuer unavailable", extra={"issuer": self._url, "reason": f"{error!r}"})
        else:
            self._read_s = now_s

    def _read(self) -> list[Jwk]:
        document = _get_json(self._url.rstrip("/") + _DISCOVERY_PATH)
        if document.get("issuer") != self._url:
            raise ValueError(f"the issuer calls itself {document.get('issuer')!r}")
        keys = _get_json(str(document.get("jwks_uri"))).get("keys")
        if not isinstance(keys, list):
            raise ValueError("the issuer's key set has no list of keys")
        return [key for key in keys if isinstance(key, dict)]


def _is_allowed(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    )


def _get_json(url: str) -> dict[str, Any]:
    """The JSON object at `url`. Redirects are not followed, and no proxy is used."""
    if not _is_allowed(url):
        raise ValueError(f"not an https:// address: {url!r}")
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_REQUEST_S)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", path, headers={"Accept": "application/json", "User-Agent": "darkroom"})
        with connection.getresponse() as response:
            content = response.read(RESPONSE_MAX_BYTES + 1)
    finally:
        connection.close()
    if response.status != http.HTTPStatus.OK:
        raise ValueError(f"status {response.status} from {url!r}")
    if len(content) > RESPONSE_MAX_BYTES:
        raise ValueError(f"more than {RESPONSE_MAX_BYTES} bytes from {url!r}")
    document = json.loads(content)
    if not isinstance(document, dict):
        raise ValueError(f"no JSON object from {url!r}")
    return document
