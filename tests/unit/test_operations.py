"""The registry of operations, and what follows from an entry."""

import pytest

from darkroom import config
from darkroom.contracts.image_params import ImageParams
from darkroom.contracts.operations import Operation
from functions.dispatch import app as dispatch
from tests.support.settings import REQUIRED_SETTINGS

ENVIRONMENT = REQUIRED_SETTINGS | {"DARKROOM_IN_FLIGHT_IMAGE": "31", "DARKROOM_IN_FLIGHT_VIDEO": "7"}


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> config.Settings:
    loaded = config.load(ENVIRONMENT, config.Settings)
    monkeypatch.setattr(dispatch, "settings", lambda: loaded)
    return loaded


@pytest.mark.parametrize(
    ("operation", "limit"),
    [
        (Operation.RESIZE, 31),
        (Operation.THUMBNAIL, 31),
        (Operation.WATERMARK, 31),
        (Operation.VIDEO_THUMBNAIL, 7),
        (Operation.VIDEO_METADATA, 7),
        (Operation.VIDEO_COMPRESS, 7),
        (Operation.AUDIO_EXTRACT, 7),
    ],
)
def test_in_flight_limit_is_that_of_the_concurrency_class(
    operation: Operation, limit: int, settings: config.Settings
) -> None:
    assert dispatch._in_flight_limit(operation) == limit


@pytest.mark.parametrize("operation", [Operation.RESIZE, Operation.THUMBNAIL, Operation.WATERMARK])
def test_own_parameters_of_an_image_operation_precede_the_shared_ones(operation: Operation) -> None:
    shared = list(ImageParams.model_fields)
    names = list(operation.params.model_fields)

    assert issubclass(operation.params, ImageParams)
    assert names[-len(shared) :] == shared
    assert list(operation.params.model_json_schema()["properties"]) == names
