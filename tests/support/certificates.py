"""Certificates for 127.0.0.1, made by the openssl program."""

import ssl
import subprocess
from pathlib import Path


def make_server_context(directory: Path) -> tuple[ssl.SSLContext, Path]:
    """The TLS context of a server with a self-signed certificate, and the file of the certificate."""
    key, certificate = directory / "server.key", directory / "server.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, certificate
