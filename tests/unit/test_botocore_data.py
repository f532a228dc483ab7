"""Clients made without botocore's table of endpoints equal those made with it."""

from itertools import chain
from typing import Any

import botocore.session
import pytest
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import BotoCoreError, EndpointVariantError
from botocore.loaders import Loader

from darkroom.services.botocore_data import SlimLoader

SERVICES = {
    "s3": ("get_object", {"Bucket": "bucket", "Key": "key"}),
    "lambda": ("invoke", {"FunctionName": "function"}),
    "secretsmanager": ("get_secret_value", {"SecretId": "secret"}),
}

VARIANTS: list[dict[str, Any]] = [{}, {"use_fips_endpoint": True}, {"use_dualstack_endpoint": True}]


class StoppedError(Exception):
    """Ends a call before it is sent."""


def session(loader: Loader) -> botocore.session.Session:
    made = botocore.session.Session()
    made.register_component("data_loader", loader)
    made.set_credentials("key", "secret")
    return made


@pytest.fixture(scope="module")
def sessions() -> tuple[botocore.session.Session, botocore.session.Session]:
    return session(Loader()), session(SlimLoader())


def regions() -> list[str]:
    """One region of each partition, the one with addresses of its own, and one that is newer than botocore."""
    partitions = Loader().load_data("partitions")["partitions"]
    found = [sorted(name for name in partition["regions"] if "global" not in name)[:1] for partition in partitions]
    return [*chain(*found), "us-east-1", "eu-north-7"]


def signed_request(client: BaseClient, operation: str, parameters: dict[str, Any]) -> tuple[str, str]:
    """The address of a request, and the region and service for which it is signed."""
    seen: list[tuple[str, str]] = []

    def stop(request: Any, **_: object) -> None:
        scope = request.headers["Authorization"].decode().split("Credential=")[1].split(",")[0]
        seen.append((request.url, scope.split("/", 2)[2]))
        raise StoppedError

    client.meta.events.register("before-send", stop)
    with pytest.raises(StoppedError):
        getattr(client, operation)(**parameters)
    return seen[0]


@pytest.mark.parametrize("region", regions())
@pytest.mark.parametrize("service", SERVICES)
def test_requests_go_to_the_same_address_with_the_same_scope(
    sessions: tuple[botocore.session.Session, botocore.session.Session], service: str, region: str
) -> None:
    def outcomes(made: botocore.session.Session) -> list[object]:
        found: list[object] = []
        for variant in VARIANTS:
            try:
                client = made.create_client(
                    service, region, config=Config(s3={"us_east_1_regional_endpoint": "regional"}, **variant)
                )
                found.append(signed_request(client, *SERVICES[service]))
            except BotoCoreError as error:
                found.append(type(error))
        return found

    full, slim = map(outcomes, sessions)

    # The table lacks variants that the rules have.
    assert [address for address, known in zip(slim, full, strict=True) if known is not EndpointVariantError] == [
        known for known in full if known is not EndpointVariantError
    ]
    assert isinstance(slim[0], tuple)


def test_service_models_come_from_botocore() -> None:
    assert SlimLoader().load_service_model("s3", "service-2") == Loader().load_service_model("s3", "service-2")
