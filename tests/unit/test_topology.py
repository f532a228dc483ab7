"""CloudFormation waits for a response, so every request gets one. The queues: tests/integration/test_topology.py."""

import json
import os
import time
from collections.abc import Iterator

import pytest

from darkroom import config
from darkroom.services import aws
from functions.topology import app as topology
from functions.topology.app import PHYSICAL_ID, handler
from tests.support.cloudformation import CloudFormation, running_cloudformation
from tests.support.settings import REQUIRED_SETTINGS
from tests.support.template import Template


@pytest.fixture
def rejections() -> int:
    return 0


@pytest.fixture
def cloudformation(rejections: int) -> Iterator[CloudFormation]:
    with running_cloudformation(rejections) as server:
        yield server


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Without settings no broker can be reached, whatever runs on this machine."""
    for name in [name for name in os.environ if name.startswith(config.ENVIRONMENT_PREFIX)]:
        monkeypatch.delenv(name)
    config.settings.cache_clear()
    yield
    config.settings.cache_clear()


@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_topology_reports_why_it_cannot_be_declared(kind: str, cloudformation: CloudFormation) -> None:
    handler(cloudformation.request(kind), None)

    (response,) = cloudformation.responses
    assert response["Status"] == "FAILED"
    assert "ConfigurationError" in response["Reason"]
    assert "DARKROOM_BROKER_URL" in response["Reason"]


def test_topology_responds_before_lambda_stops_it() -> None:
    secret_s = topology.TIMEOUTS.connect_s + topology.TIMEOUTS.storage_read_s
    response_s = topology.RESPONSE_ATTEMPTS * topology.RESPONSE_TIMEOUT_S

    longest_s = topology.RETRY_FOR_S + secret_s + topology.ATTEMPT_LIMIT_S + response_s
    assert longest_s < Template().functions["TopologyFunction"]["Timeout"]


def test_topology_reports_an_outage_that_lasts(cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (REQUIRED_SETTINGS | {"DARKROOM_BROKER_URL": "amqp://127.0.0.1:9/%2F"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(aws, "secret", lambda _arn: {"username": "a", "password": "b"})
    monkeypatch.setattr(topology, "RETRY_FOR_S", 4.0)
    began = time.monotonic()

    handler(cloudformation.request("Create"), None)

    (response,) = cloudformation.responses
    assert response["Status"] == "FAILED"
    assert "BrokerUnavailableError" in response["Reason"]
    assert 3 <= time.monotonic() - began < 30


def test_topology_keeps_the_queues_when_the_stack_is_deleted(cloudformation: CloudFormation) -> None:
    # Without settings, connecting to the broker would fail.
    handler(cloudformation.request("Delete"), None)

    assert [response["Status"] for response in cloudformation.responses] == ["SUCCESS"]


def test_topology_response_identifies_its_request(cloudformation: CloudFormation) -> None:
    sent = cloudformation.request("Delete")

    returned = handler(sent, None)

    (response,) = cloudformation.responses
    assert response == returned
    assert response["PhysicalResourceId"] == PHYSICAL_ID
    assert {name: response[name] for name in ("StackId", "RequestId", "LogicalResourceId")} == {
        name: sent[name] for name in ("StackId", "RequestId", "LogicalResourceId")
    }


def test_topology_response_has_the_empty_content_type_that_was_signed(cloudformation: CloudFormation) -> None:
    handler(cloudformation.request("Delete"), None)

    assert cloudformation.content_types == [""]


def test_topology_response_is_within_the_limit_of_cloudformation(
    cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in REQUIRED_SETTINGS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DARKROOM_RETENTION_DAYS", "never" * 2_000)

    handler(cloudformation.request("Create"), None)

    (response,) = cloudformation.responses
    assert response["Status"] == "FAILED"
    assert len(json.dumps(response)) < 4_096


@pytest.mark.parametrize("rejections", [1])
def test_topology_response_is_sent_again_after_a_rejection(cloudformation: CloudFormation) -> None:
    handler(cloudformation.request("Delete"), None)

    assert cloudformation.attempts == 2
    assert len(cloudformation.responses) == 1


@pytest.mark.parametrize("rejections", [99])
def test_topology_raises_when_its_response_cannot_be_sent(cloudformation: CloudFormation) -> None:
    with pytest.raises(OSError, match="503"):
        handler(cloudformation.request("Delete"), None)

    assert cloudformation.attempts == 2
