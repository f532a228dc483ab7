"""AWS clients and secrets, made on first use and cached for the life of the process.

botocore is used without boto3: the clients are the same, and a cold start imports a third less. It must be 1.36.0 or
newer, which introduced the settings for checksums.
"""

import json
from functools import lru_cache
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError
from botocore.handlers import add_expect_header

from darkroom.config import has_own_endpoint
from darkroom.errors import SecretsUnavailableError
from darkroom.log import logger
from darkroom.services.botocore_data import SlimLoader
from darkroom.timeouts import current_timeouts

#: The most calls that run in parallel threads, each on a connection of its own.
PARALLEL_CALLS = 32


def _config() -> Config:
    timeouts = current_timeouts()
    return Config(
        connect_timeout=timeouts.connect_s,
        read_timeout=timeouts.storage_read_s,
        retries={"mode": "standard", "total_max_attempts": timeouts.storage_attempts},
        tcp_keepalive=True,
        max_pool_connections=PARALLEL_CALLS,
        user_agent="darkroom",  # the default is composed twice per call: a tenth of the call's CPU time
    )


def _s3_config() -> Config:
    # Links name the regional host of the bucket: the global one redirects to it for up to a day after its creation,
    # cannot be reached from a network without internet access, and is not in the table of SlimLoader.
    return Config(
        signature_version="s3v4",
        # Checksums are computed only where S3 requires them; results record the SHA-256 of each output.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={
            "addressing_style": "auto" if has_own_endpoint("s3") else "virtual",
            "us_east_1_regional_endpoint": "regional",
        },
    )


@lru_cache(maxsize=1)
def _session() -> botocore.session.Session:
    session = botocore.session.get_session()
    session.register_component("data_loader", SlimLoader())
    return session


@lru_cache(maxsize=8)
def client(service: str) -> Any:
    """The client for `service` (`s3`, `lambda`, `secretsmanager`), with the limits of `current_timeouts` at this time.

    Endpoint and region come from the environment.
    """
    config = _config().merge(_s3_config()) if service == "s3" else _config()
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
