"""What clients are told of a failed job."""

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

INSIDES = "arn:aws:sts::123456789012:assumed-role/darkroom is not authorized to read s3://darkroom-123456789012"


@pytest.mark.parametrize("kind", [StorageUnavailableError, SecretsUnavailableError, ConfigurationError])
def test_what_a_part_says_of_our_insides_is_not_told(kind: type[DarkroomError]) -> None:
    told = lifecycle.failure_of(kind(INSIDES))

    assert told.code == kind.code
    assert told.message.endswith(".")
    assert "123456789012" not in told.message


@pytest.mark.parametrize("kind", [CorruptMediaError, WorkerDiedError])
def test_what_is_said_of_the_job_itself_is_told(kind: type[DarkroomError]) -> None:
    assert lifecycle.failure_of(kind("The file ends early.")) == Failure(code=kind.code, message="The file ends early.")
