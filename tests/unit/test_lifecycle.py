"""Failures as clients see them: the code and a message of each error, but no internal names."""

import pytest

from darkroom.contracts.jobs import Failure
from darkroom.errors import (
    ConfigurationError,
    CorruptMediaError,
    DarkroomError,
    SecretsUnavailableError,
    StorageUnavailableError,
    WorkerDiedError,
)
from darkroom.jobs import lifecycle

INTERNAL = "arn:aws:sts::123456789012:assumed-role/darkroom is not authorized to read s3://darkroom-123456789012"


@pytest.mark.parametrize("kind", [StorageUnavailableError, SecretsUnavailableError, ConfigurationError])
def test_failure_by_an_outage_or_the_configuration_has_no_internal_names(kind: type[DarkroomError]) -> None:
    failure = lifecycle.failure_of(kind(INTERNAL))

    assert failure.code == kind.code
    assert failure.message.endswith(".")
    assert "123456789012" not in failure.message


@pytest.mark.parametrize("kind", [CorruptMediaError, WorkerDiedError])
def test_any_other_failure_has_the_message_of_its_error(kind: type[DarkroomError]) -> None:
    assert lifecycle.failure_of(kind("The file ends early.")) == Failure(code=kind.code, message="The file ends early.")
