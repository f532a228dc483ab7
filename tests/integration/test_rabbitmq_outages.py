"""Requests to RabbitMQ while it hangs, is unreachable or refuses the credentials, with and without TLS."""

import contextlib
import json
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from darkroom import config
from darkroom.contracts.operations import Operation
from darkroom.errors import BrokerUnavailableError
from darkroom.services import aws, broker_connection, rabbitmq
from darkroom.timeouts import BACKGROUND, INTERACTIVE, use_timeouts
from tests.integration.conftest import Take, forget_clients
from tests.support.certificates import make_server_context
from tests.support.tcp_relay import Relay
from tests.support.waiting import wait_until

#: Seconds by which a limit may be exceeded on a busy machine.
TOLERANCE_S = 5

#: The limits of the API with a shorter one for the broker, for tests that wait until it has passed.
SHORT = replace(INTERACTIVE, broker_s=0.3)

#: Starts a relay in front of the broker; with `tls` the broker's URL is amqps://.
StartRelay = Callable[..., Relay]


@pytest.fixture
def start_relay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StartRelay]:
    direct = config.settings().broker_url
    url = urlsplit(direct)
    relays: list[Relay] = []

    def start(*, tls: bool = False, trusted: bool = True) -> Relay:
        context, certificate = make_server_context(tmp_path) if tls else (None, None)
        relays.append(Relay(url.hostname or "", url.port or 5672, tls=context))
        if certificate is not None and trusted:
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        own = url._replace(scheme="amqps" if tls else "amqp", netloc=f"127.0.0.1:{relays[-1].port}")
        monkeypatch.setenv("DARKROOM_BROKER_URL", own.geturl())
        rabbitmq.close()
        config.settings.cache_clear()
        return relays[-1]

    yield start
    use_timeouts(BACKGROUND)
    monkeypatch.setenv("DARKROOM_BROKER_URL", direct)
    rabbitmq.close()
    config.settings.cache_clear()
    for relay in relays:
        relay.close()


def park() -> None:
    rabbitmq.park(b"not json", None, "it is not JSON")


def is_parked() -> bool:
    with contextlib.suppress(BrokerUnavailableError):
        park()
        return True
    return False


def seconds_to_fail(request: Callable[[], object]) -> float:
    began = time.monotonic()
    with pytest.raises(BrokerUnavailableError):
        request()
    return time.monotonic() - began


# Hangs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("warm", [False, True])
def test_hung_broker_fails_a_request_within_its_limit(start_relay: StartRelay, warm: bool, tls: bool) -> None:
    relay = start_relay(tls=tls)
    if warm:
        park()
    relay.stall()
    use_timeouts(SHORT)

    assert SHORT.broker_s * 0.9 < seconds_to_fail(park) < SHORT.broker_s + TOLERANCE_S


@pytest.mark.parametrize(
    "request_broker",
    [rabbitmq.depths, lambda: rabbitmq.depth(Operation.RESIZE), rabbitmq.ping, rabbitmq.repair_topology],
)
def test_every_kind_of_request_has_a_limit(start_relay: StartRelay, request_broker: Callable[[], object]) -> None:
    relay = start_relay()
    park()
    relay.stall()
    use_timeouts(SHORT)

    assert seconds_to_fail(request_broker) < SHORT.broker_s + TOLERANCE_S


def test_broker_is_skipped_for_a_while_after_a_failure(start_relay: StartRelay) -> None:
    relay = start_relay()
    relay.stall()
    use_timeouts(replace(SHORT, pause_s=600))
    seconds_to_fail(park)
    attempts = relay.accepted
    relay.resume()

    seconds_to_fail(park)
    assert relay.accepted == attempts, "the broker was not skipped"


def test_broker_is_used_again_after_the_pause(start_relay: StartRelay) -> None:
    relay = start_relay()
    relay.stall()
    use_timeouts(replace(SHORT, pause_s=0.3))
    seconds_to_fail(park)
    relay.resume()
    use_timeouts(INTERACTIVE)

    wait_until(is_parked)


def test_refused_message_does_not_make_the_broker_skipped(monkeypatch: pytest.MonkeyPatch, take: Take) -> None:
    use_timeouts(INTERACTIVE)
    with monkeypatch.context() as patch:
        patch.setattr(rabbitmq, "PARKED_QUEUE", "darkroom.nowhere")
        seconds_to_fail(park)

    park()

    assert take(rabbitmq.PARKED_QUEUE)


def test_broker_that_responds_again_is_used_at_once_without_a_pause(start_relay: StartRelay, take: Take) -> None:
    relay = start_relay()
    relay.stall()
    use_timeouts(replace(BACKGROUND, broker_s=SHORT.broker_s))
    seconds_to_fail(park)
    relay.resume()
    use_timeouts(BACKGROUND)

    park()

    assert take(rabbitmq.PARKED_QUEUE)


# TLS ---------------------------------------------------------------------------------------------------------------


def test_message_is_published_over_tls(start_relay: StartRelay, take: Take) -> None:
    start_relay(tls=True)

    park()
    depths = rabbitmq.depths()
    rabbitmq.close()

    assert set(depths) > {rabbitmq.PARKED_QUEUE, "darkroom.resize"}


def test_certificate_that_is_not_trusted_is_refused(start_relay: StartRelay) -> None:
    start_relay(tls=True, trusted=False)

    with pytest.raises(BrokerUnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
        park()


# Idle connections --------------------------------------------------------------------------------------------------


def test_broker_closes_an_idle_connection_and_the_next_request_opens_another(
    start_relay: StartRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_connection, "HEARTBEAT_S", 1)
    relay = start_relay()
    park()

    wait_until(lambda: relay.ended, "the broker keeps the idle connection")
    park()

    assert relay.accepted == 2


def test_heartbeat_frees_the_connections_of_frozen_environments_within_half_a_minute() -> None:
    assert 3 * broker_connection.HEARTBEAT_S <= 30


def test_message_is_kept_when_the_connection_is_lost_before_it_is_acknowledged(start_relay: StartRelay) -> None:
    relay = start_relay()
    park()

    def cut(_parked: rabbitmq.ParkedMessage) -> bool:
        relay.cut()
        return True

    with pytest.raises(BrokerUnavailableError):
        rabbitmq.review_parked(1, cut)
    wait_until(lambda: rabbitmq.depths()[rabbitmq.PARKED_QUEUE] == 1, "the message was removed")


# Credentials -------------------------------------------------------------------------------------------------------


@pytest.fixture
def change_password(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Writes another password to a secret of this test, which the settings name. The right one is `right`."""
    account = aws.secret(config.settings().broker_secret_arn)
    secrets = aws.client("secretsmanager")
    arn = secrets.create_secret(Name=f"test-{uuid.uuid4().hex}", SecretString="{}")["ARN"]

    def change(password: str) -> None:
        content = account | ({} if password == "right" else {"password": password})
        secrets.put_secret_value(SecretId=arn, SecretString=json.dumps(content))

    change("right")
    monkeypatch.setenv("DARKROOM_BROKER_SECRET_ARN", arn)
    forget_clients()
    yield change
    secrets.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)
    monkeypatch.undo()
    forget_clients()


def test_changed_password_is_read_again(change_password: Callable[[str], None], take: Take) -> None:
    change_password("the old one")
    aws.secret(config.settings().broker_secret_arn)
    change_password("right")

    park()

    assert take(rabbitmq.PARKED_QUEUE)


def test_wrong_password_raises_broker_unavailable(change_password: Callable[[str], None]) -> None:
    change_password("a wrong one")

    with pytest.raises(BrokerUnavailableError, match="AuthenticationError"):
        park()
