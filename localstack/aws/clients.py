"""Clients of the emulated AWS services. They need botocore, which only the Python of the stack's tools has."""

from typing import Any

import botocore.session
from botocore.config import Config

from localstack.settings import Settings


def create_client(settings: Settings, service: str, config: Config | None = None) -> Any:
    """A client of one service, such as `s3`, with the credentials of the emulator's root user."""
    environment = settings.aws_environment()
    return botocore.session.Session().create_client(
        service,
        region_name=environment["AWS_REGION"],
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        config=config,
    )
