"""The mappings that feed dispatch, as template.yaml declares them."""

from darkroom.contracts.operations import Operation
from darkroom.services import rabbitmq
from tests.support.template import Template, new_network

#: The most messages in a batch of an event source mapping.
LARGEST_BATCH = 10_000

#: Seconds after which RabbitMQ delivers a message again that was not acknowledged.
CONSUMER_TIMEOUT_S = 30 * 60


def test_batch_has_no_more_messages_than_may_be_in_flight() -> None:
    template = Template(ImageInFlight="70", VideoInFlight="30")
    variables = template.function_defaults["Environment"]["Variables"]
    mappings = {spec["Queues"][0]: spec for spec in template.of_type("AWS::Lambda::EventSourceMapping").values()}

    for operation in Operation:
        limit = variables[f"DARKROOM_{operation.concurrency.upper()}"]
        assert mappings[rabbitmq.queue_of(operation)]["BatchSize"] == limit, operation
    for name in ("ImageInFlight", "VideoInFlight"):
        assert template.raw["Parameters"][name]["MaxValue"] <= LARGEST_BATCH


def test_two_batches_of_dispatch_end_before_rabbitmq_delivers_their_messages_again() -> None:
    assert 2 * new_network().functions["DispatchFunction"]["Timeout"] < CONSUMER_TIMEOUT_S
