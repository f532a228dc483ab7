"""The error of a failed job that clients see."""

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

INTERNAL_MESSAGE = (
    "arn:aws:sts::123456789012:assumed-role/darkroom is not authorized to read s3://darkroom-123456789012"
)


@pytest.mark.parametrize("kind", [StorageUnavailableError, SecretsUnavailableError, ConfigurationError])
def test_internal_error_message_is_not_shown_to_clients(kind: type[DarkroomError]) -> None:
    failure = lifecycle.failure_of(kind(INTERNAL_MESSAGE))

    assert failure.code == kind.code
    assert failure.message.endswith(".")
    assert "123456789012" not in failure.message


@pytest.mark.parametrize("kind", [CorruptMediaError, WorkerDiedError])
def test_error_message_about_the_job_is_shown_to_clients(kind: type[DarkroomError]) -> None:
    assert lifecycle.failure_of(kind("The file ends early.")) == Failure(code=kind.code, message="The file ends early.")
