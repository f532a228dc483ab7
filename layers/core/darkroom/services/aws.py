"""AWS clients and secrets, made on first use and cached for the life of the process.

botocore is used without boto3: the clients are the same, and a cold start imports a third less.
"""

import json
from functools import lru_cache
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError
from botocore.handlers import add_expect_header

from darkroom.errors import SecretsUnavailableError
from darkroom.log import logger

#: Seconds to wait for a connection, and for a response.
CONNECT_TIMEOUT_S = 3
READ_TIMEOUT_S = 60

_CONFIG = Config(
    connect_timeout=CONNECT_TIMEOUT_S,
    read_timeout=READ_TIMEOUT_S,
    retries={"mode": "standard", "max_attempts": 3},
    tcp_keepalive=True,
    user_agent="darkroom",  # the default is composed twice per call: a tenth of the call's CPU time
)


@lru_cache(maxsize=1)
def _session() -> botocore.session.Session:
    return botocore.session.get_session()


@lru_cache(maxsize=8)
def client(service: str) -> Any:
    """The client for `service` (`s3`, `lambda`, `secretsmanager`). Endpoint and region come from the environment."""
    config = _CONFIG
    if service == "s3":
        # Checksums are computed only where S3 requires them; results record the SHA-256 of each output.
        config = config.merge(Config(signature_version="s3v4", request_checksum_calculation="when_required"))
        config = config.merge(Config(response_checksum_validation="when_required", s3={"addressing_style": "auto"}))
    made = _session().create_client(service, config=config)
    if service == "s3":
        # Otherwise a PUT sends its headers first and waits: one more round trip, and a fifth of the call's CPU time.
        made.meta.events.unregister("before-call.s3", add_expect_header)
    return made


def credentials() -> Credentials | None:
    """This process's credentials, to sign a request that no client sends. None when there are none."""
    return _session().get_credentials()


@lru_cache(maxsize=4)
def secret(arn: str) -> dict[str, str]:
    """The JSON object in the secret `arn`. Raises SecretsUnavailableError."""
    try:
        answer = client("secretsmanager").get_secret_value(SecretId=arn)
    except (BotoCoreError, ClientError) as error:
        raise SecretsUnavailableError(f"The secret store is unavailable: {error}") from error
    return dict(json.loads(answer["SecretString"]))


def forget_secret(arn: str) -> None:
    """Makes the next call of `secret` read this secret again."""
    logger().warning("reading a secret again", extra={"secret": arn})
    secret.cache_clear()  # those of other services are read again as well, which is harmless
