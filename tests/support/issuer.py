"""An OIDC issuer on loopback with keys that it made itself. It signs tokens, also wrong ones, and can fail."""

import base64
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from jwt.algorithms import get_default_algorithms

AUDIENCE = "darkroom"
DISCOVERY = "/.well-known/openid-configuration"
JWKS = "/keys"


@cache
def private_key(kind: str, name: str = "") -> PrivateKeyTypes:
    """A key that is made once per process. Those of other names differ."""
    makers: dict[str, Callable[[], PrivateKeyTypes]] = {
        "RSA": lambda: rsa.generate_private_key(65537, 2048),
        "RSA-1024": lambda: rsa.generate_private_key(65537, 1024),  # noqa: S505 - it must be refused
        "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
        "Ed25519": ed25519.Ed25519PrivateKey.generate,
    }
    return makers[kind]()


#: The kind of key that each algorithm needs.
KINDS = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    "ES256": "P-256",
    "ES384": "P-384",
    "ES512": "P-521",
    "EdDSA": "Ed25519",
}


def jwk(key: PrivateKeyTypes, algorithm: str, **members: Any) -> dict[str, Any]:
    """The public key as a JSON Web Key."""
    public = get_default_algorithms()[algorithm].to_jwk(key.public_key(), as_dict=True)
    return {name: value for name, value in public.items() if name != "key_ops"} | members


def encoded(content: dict[str, Any] | bytes) -> str:
    """One part of a token."""
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def hs256_token(claims: dict[str, Any], secret: bytes, **header: Any) -> str:
    """A token that is signed with a shared secret, which libraries refuse to make from a public key."""
    signed = f"{encoded({'alg': 'HS256', 'typ': 'JWT'} | header)}.{encoded(claims)}"
    return f"{signed}.{encoded(hmac.digest(secret, signed.encode(), 'sha256'))}"


def pem(key: PrivateKeyTypes) -> bytes:
    """The public key as PEM, which everybody knows."""
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@dataclass
class LocalIssuer:
    """The issuer. `requests` are the paths that were requested; the other attributes change what it answers."""

    url: str = ""
    keys: list[dict[str, Any]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    answers: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    is_hanging: bool = False
    resumed: threading.Event = field(default_factory=threading.Event)

    def publish(self, algorithm: str = "RS256", kid: str | None = "a", name: str = "", **members: Any) -> None:
        """Adds the public key of this algorithm to the key set."""
        identified = {} if kid is None else {"kid": kid}
        self.keys.append(jwk(private_key(KINDS[algorithm], name), algorithm, **identified, **members))

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Valid claims, with changes. A claim that is changed to None is left out."""
        now_s = int(time.time())
        claims = {"iss": self.url, "aud": AUDIENCE, "sub": "user-1", "tenant": "acme", "exp": now_s + 600, "iat": now_s}
        return {name: value for name, value in (claims | changed).items() if value is not None}

    def token(
        self,
        algorithm: str = "RS256",
        *,
        kid: str | None = "a",
        name: str = "",
        header: dict[str, Any] | None = None,
        **changed: Any,
    ) -> str:
        """A token with these changes to valid claims, signed with the key that `publish` publishes."""
        headers = ({} if kid is None else {"kid": kid}) | (header or {})
        key: Any = private_key(KINDS[algorithm], name)
        return jwt.encode(self.claims(**changed), key, algorithm, headers=headers)


@contextmanager
def local_issuer() -> Iterator[LocalIssuer]:
    """Runs an issuer. Its keys are those that were published."""
    issuer = LocalIssuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.requests.append(self.path)
            if issuer.is_hanging:
                issuer.resumed.wait(10)
            documents = {DISCOVERY: {"issuer": issuer.url, "jwks_uri": issuer.url + JWKS}, JWKS: {"keys": issuer.keys}}
            body = json.dumps(documents.get(self.path, {})).encode()
            status, headers, body = issuer.answers.get(self.path, (200, {}, body))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Ignores clients that did not wait."""

    server = Server(("127.0.0.1", 0), Handler)
    issuer.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield issuer
    finally:
        issuer.resumed.set()
        server.shutdown()
        thread.join()
        server.server_close()
