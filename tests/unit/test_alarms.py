"""Which alarms template.yaml has. That their metrics exist: tests/unit/test_template_names.py."""

import json

import pytest

from darkroom import metrics
from darkroom.contracts.operations import Operation
from tests.rehearsal import alarms
from tests.support.template import PSEUDO_PARAMETERS, Template, existing_services, new_network

STACK = PSEUDO_PARAMETERS["AWS::StackName"]
ALARM = "AWS::CloudWatch::Alarm"

#: What the alarms of a broker watch.
OF_BROKER = {"ConnectionCount", "RabbitMQMemUsed", "RabbitMQMemLimit", "RabbitMQDiskFree", "RabbitMQDiskFreeLimit"}

#: The logical ids of the operations, without their suffix.
OPERATIONS = {"".join(part.capitalize() for part in operation.split("_")) for operation in Operation}


def watched(template: Template) -> list[tuple[str, str, dict[str, str]]]:
    """The metrics that alarms watch: namespace, name and dimensions."""
    return [metric for alarm in template.of_type(ALARM).values() for metric in alarms.watched(alarm)]


@pytest.fixture(params=[new_network, existing_services])
def template(request: pytest.FixtureRequest) -> Template:
    chosen: Template = request.param()
    return chosen


def test_metric_of_the_access_log_has_the_fields_that_its_filter_reads(template: Template) -> None:
    (spec,) = template.of_type("AWS::Logs::MetricFilter").values()
    (made,) = spec["MetricTransformations"]
    stage = template.resources["HttpApiStage"]["Properties"]["AccessLogSettings"]
    line = json.loads(stage["Format"].replace("$context.responseLatency", "12"))

    assert stage["DestinationArn"] == "<AccessLogs.Arn>"
    assert spec["LogGroupName"] == "<AccessLogs>"
    assert line[made["MetricValue"].removeprefix("$.")] == 12
    assert [(entry["Key"], line[entry["Value"].removeprefix("$.")]) for entry in made["Dimensions"]] == [
        ("service", STACK)
    ]
    assert (metrics.NAMESPACE, made["MetricName"], {"service": STACK}) in watched(template)


def test_every_function_has_an_alarm_for_throttles_and_those_around_the_operations_for_errors(
    template: Template,
) -> None:
    found = {(name, dimensions.get("FunctionName")) for _, name, dimensions in watched(template)}
    around = {name for name in template.functions if name.removesuffix("Function") not in OPERATIONS}

    assert {("Throttles", f"<{name}>") for name in template.functions} <= found
    assert {("Errors", f"<{name}>") for name in around} <= found
    assert ("Invocations", "<SweepFunction>") in found


def test_broker_that_is_created_has_alarms(template: Template) -> None:
    names = {name for namespace, name, _ in watched(template) if namespace == "AWS/AmazonMQ"}

    assert names == (OF_BROKER if "Broker" in template.resources else set())


def test_every_alarm_goes_to_the_one_topic_and_says_what_it_means(template: Template) -> None:
    assert len(template.of_type("AWS::SNS::Topic")) == 1
    for name, spec in template.of_type(ALARM).items():
        assert spec["AlarmActions"] == spec["OKActions"] == ["<AlarmTopic>"], name
        assert spec["AlarmDescription"].endswith("."), name


def test_alarms_are_sent_by_email_only_to_a_given_address() -> None:
    subscribed = Template(AlarmEmail="operator@example.com").of_type("AWS::SNS::Subscription")

    assert not new_network().of_type("AWS::SNS::Subscription")
    assert [(spec["Protocol"], spec["Endpoint"]) for spec in subscribed.values()] == [("email", "operator@example.com")]
