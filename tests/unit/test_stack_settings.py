"""The settings of the local stack, and the error when some are invalid."""

from dataclasses import replace
from pathlib import Path

import pytest

from localstack import stack
from localstack.errors import StackError
from localstack.settings import TEST_STACK, load


def test_defaults_are_as_documented() -> None:
    settings = load({})

    assert (settings.stack, settings.emulator, settings.runner) == ("darkroom", "ministack", "auto")
    assert settings.api_url == "http://localhost:8000"
    assert settings.endpoint_url == "http://127.0.0.1:4566"
    assert settings.broker_url() == "amqp://127.0.0.1:5672/%2F"
    assert settings.cache_url() == "redis://127.0.0.1:6379/0"
    assert settings.access == "open"


def test_test_stack_shares_no_port_and_no_directory_with_the_default_one() -> None:
    default, test = load({}), load({}, stack=TEST_STACK)

    assert not set(vars(default.ports).values()) & set(vars(test.ports).values())
    assert default.directory != test.directory


def test_test_stack_is_closed_and_both_modes_can_be_chosen_for_every_stack() -> None:
    assert load({}, stack=TEST_STACK).access == "closed"
    for name in (TEST_STACK, "mine"):
        chosen = {mode: load({"DARKROOM_AUTH": mode}, stack=name).access for mode in ("off", "required")}
        assert chosen == {"off": "open", "required": "closed"}


def test_every_port_can_be_changed_and_erlangs_ports_follow_amqp() -> None:
    settings = load({"DARKROOM_API_PORT": "1234", "DARKROOM_AMQP_PORT": "3000", "DARKROOM_EPMD_PORT": "4000"})

    assert (settings.ports.api, settings.ports.amqp, settings.ports.dist, settings.ports.epmd) == (
        1234,
        3000,
        3001,
        4000,
    )


def test_settings_can_be_restored_from_their_environment() -> None:
    settings = load(
        {
            "DARKROOM_STACK": "mine",
            "DARKROOM_REDIS_PORT": "7000",
            "DARKROOM_IN_FLIGHT": "3",
            "DARKROOM_AUTH": "required",
        }
    )

    assert load(settings.environment()) == settings


def test_localstack_is_reached_by_the_name_that_its_functions_resolve() -> None:
    settings = load({"DARKROOM_EMULATOR": "localstack", "LOCALSTACK_AUTH_TOKEN": "t"})

    assert settings.endpoint_url == "http://localhost.localstack.cloud:4566"
    assert settings.broker_url("tests") == "amqp://localhost.localstack.cloud:5672/tests"


def test_error_names_every_invalid_setting() -> None:
    environment = {
        "DARKROOM_STACK": "No Spaces",
        "DARKROOM_API_PORT": "70000",
        "DARKROOM_REDIS_PORT": "no",
        "DARKROOM_EMULATOR": "aws",
        "DARKROOM_RUNNER": "podman",
        "DARKROOM_AUTH": "maybe",
    }

    with pytest.raises(StackError) as error:
        load(environment)

    for part in (*environment, "65535", "ministack or localstack"):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"DARKROOM_EMULATOR": "localstack"}, "LOCALSTACK_AUTH_TOKEN"),
        ({"DARKROOM_API_PORT": "4566"}, "share a port"),
    ],
)
def test_contradictory_settings_are_rejected(environment: dict[str, str], reason: str) -> None:
    with pytest.raises(StackError, match=reason):
        load(environment)


def test_stack_stays_closed_until_somebody_opens_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(load({}), root=tmp_path)
    settings.directory.mkdir(parents=True)
    (settings.directory / "access").write_text("required")
    monkeypatch.delenv("DARKROOM_AUTH", raising=False)

    assert stack.with_kept_access(settings).access == "closed"
    monkeypatch.setenv("DARKROOM_AUTH", "off")
    assert stack.with_kept_access(settings).access == "open"
