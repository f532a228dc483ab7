"""How FFmpeg opens one file: with one pinned demuxer and only the protocols that the location needs.

A hostile file can therefore not make FFmpeg guess another format or open further files and addresses.
"""

import re
from pathlib import Path

from darkroom.errors import StorageUnavailableError, UnsupportedMediaTypeError, WrongMediaKindError
from darkroom.media.task import Source
from darkroom.media.types import MEDIA_TYPES

#: Most streams that FFmpeg creates for one file (`-max_streams`).
MAX_STREAMS = 100

#: Bytes per request over a link: of the first ones, which look for the header, and of the later ones.
FIRST_REQUEST_BYTES = 256 * 1024
REQUEST_BYTES = 1024 * 1024

#: Microseconds without data after which a read over the network fails.
NETWORK_TIMEOUT_US = 15_000_000

#: The ETags that S3 makes. Nothing else is sent as a header.
_ETAG = re.compile(r'"[!#-~]*"')

#: One connection for all requests costs the fewest bytes. FFmpeg does not notice when the server closes the kept
#: connection, so `-reconnect` is needed.
_URL_ARGUMENTS = (
    *("-rw_timeout", str(NETWORK_TIMEOUT_US), "-multiple_requests", "1"),
    *("-request_size", str(REQUEST_BYTES), "-initial_request_size", str(FIRST_REQUEST_BYTES)),
    *("-reconnect", "1", "-reconnect_on_network_error", "1"),
    *("-reconnect_on_http_error", "5xx", "-reconnect_max_retries", "2", "-reconnect_delay_max", "1"),
)
_ALLOWED_PROTOCOLS = {"file": "file", "http": "http,tcp", "https": "https,tls,tcp"}


def choose_demuxer(source: Source) -> str:
    """Returns the FFmpeg demuxer for the source's sniffed type.

    Raises UnsupportedMediaTypeError for an unknown type and WrongMediaKindError for an image.
    """
    media_type = MEDIA_TYPES.get(source.media_type)
    if media_type is None:
        raise UnsupportedMediaTypeError("The file is not of a supported video or audio type.")
    if media_type.demuxer is None:
        raise WrongMediaKindError(f"The file is {media_type.name}; this operation works on video and audio.")
    return media_type.demuxer


def is_url(location: str) -> bool:
    """Whether a location is a presigned URL; otherwise it is a local path."""
    return location.startswith(("https://", "http://"))


def input_arguments(location: str, demuxer: str, *, max_pixels: int, etag: str | None = None) -> list[str]:
    """Builds the arguments that open `location`, a presigned URL or a local path, with exactly one demuxer.

    With an `etag`, the requests for a URL fail when the file has been replaced since.
    """
    scheme = location.partition("://")[0] if is_url(location) else "file"
    arguments = ["-f", demuxer, "-format_whitelist", demuxer, "-protocol_whitelist", _ALLOWED_PROTOCOLS[scheme]]
    arguments += ["-max_streams", str(MAX_STREAMS), "-max_pixels", str(max_pixels)]
    if demuxer == "mov":
        arguments += ["-enable_drefs", "0", "-use_absolute_path", "0"]
    if scheme == "file":
        return [*arguments, "-i", file_url(location)]
    if scheme == "https":
        arguments += ["-tls_verify", "1", "-ca_file", _ca_bundle()]
    return [*arguments, *_URL_ARGUMENTS, *_condition(etag), "-i", location]


def _condition(etag: str | None) -> list[str]:
    if etag is None:
        return []
    if _ETAG.fullmatch(etag) is None:
        raise StorageUnavailableError(f"S3 responded with an ETag that is not valid: {etag[:64]!r}")
    return ["-headers", f"If-Match: {etag}\r\n"]


def file_url(path: str | Path) -> str:
    """A local path as a URL for FFmpeg, so that no part of the name is parsed as a protocol or an option."""
    return f"file:{path}"


def _ca_bundle() -> str:
    """Path of the certificate authorities that the AWS client trusts too."""
    from botocore.httpsession import get_cert_path

    return str(get_cert_path(True))
