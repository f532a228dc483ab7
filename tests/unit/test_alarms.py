"""The alarms of template.yaml: their metrics exist, with these dimensions, and all go to one topic."""

import ast
import inspect
import json
from collections.abc import Iterator
from typing import Any

import pytest

from darkroom import metrics
from darkroom.contracts.operations import Operation
from localstack.aws.cloudformation import Resolver
from tests.support.code import modules
from tests.support.template import PSEUDO_PARAMETERS, Template, existing_services, new_network

STACK = PSEUDO_PARAMETERS["AWS::StackName"]
ALARM = "AWS::CloudWatch::Alarm"

#: Metrics of AWS services: the name, and the dimension by which alarms select one resource.
OF_AWS = {
    "AWS/Lambda": ({"Errors", "Throttles", "Invocations", "AsyncEventsDropped", "AsyncEventAge"}, "FunctionName"),
    "AWS/ApiGateway": ({"5xx"}, "ApiId"),
    "AWS/AmazonMQ": (
        {"ConnectionCount", "RabbitMQMemUsed", "RabbitMQMemLimit", "RabbitMQDiskFree", "RabbitMQDiskFreeLimit"},
        "Broker",
    ),
}

#: The logical ids of the operations, without their suffix.
OPERATIONS = {"".join(part.capitalize() for part in operation.split("_")) for operation in Operation}

Metric = tuple[str, str, tuple[tuple[str, str], ...]]


def watched(template: Resolver) -> Iterator[tuple[str, Metric]]:
    """Alarm and metric: namespace, name and dimensions. An alarm on an expression has several."""
    for name, resource in template.resources.items():
        if resource["Type"] == ALARM:
            spec = resource["Properties"]
            stats = [entry["MetricStat"]["Metric"] for entry in spec.get("Metrics", []) if "MetricStat" in entry]
            for metric in stats or [spec]:
                dimensions = tuple(sorted((entry["Name"], entry["Value"]) for entry in metric["Dimensions"]))
                yield name, (metric["Namespace"], metric["MetricName"], dimensions)


def published_names() -> dict[str, str]:
    """The metrics that the code publishes, and the function of `darkroom.metrics` that publishes each."""
    found: dict[str, str] = {}
    for module in modules().values():
        for node in ast.walk(module.tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and ast.unparse(node.func.value) == "metrics"
                and isinstance(node.args[0], ast.Constant)
            ):
                found[str(node.args[0].value)] = node.func.attr
    return found


def published_by(function: str, name: str, capsys: pytest.CaptureFixture[str]) -> Metric:
    """The metric that a function of `darkroom.metrics` publishes in the stack."""
    values: dict[str, Any] = {"name": name, "value": 1.0, "seconds": 1.0, "operation": "resize", "stack": STACK}
    publish = getattr(metrics, function)
    wanted = [key for key, spec in inspect.signature(publish).parameters.items() if spec.kind is not spec.VAR_KEYWORD]
    capsys.readouterr()
    publish(**{key: values[key] for key in wanted})
    line = json.loads(capsys.readouterr().out)
    (spec,) = line["_aws"]["CloudWatchMetrics"]
    (keys,) = spec["Dimensions"]
    return spec["Namespace"], spec["Metrics"][0]["Name"], tuple(sorted((key, line[key]) for key in keys))


@pytest.fixture(params=[new_network, existing_services])
def template(request: pytest.FixtureRequest) -> Template:
    chosen: Template = request.param()
    return chosen


def test_metrics_of_darkroom_are_published_with_the_dimensions_of_their_alarms(
    template: Template, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    variables = template.function_defaults["Environment"]["Variables"]
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", variables["POWERTOOLS_SERVICE_NAME"])
    names = published_names()
    filters = [
        (entry["MetricNamespace"], entry["MetricName"])
        for spec in template.of_type("AWS::Logs::MetricFilter").values()
        for entry in spec["MetricTransformations"]
    ]

    own = [metric for _, metric in watched(template) if metric[0] == metrics.NAMESPACE]
    from_code = [metric for metric in own if metric[:2] not in filters]

    assert len(from_code) >= 5
    for metric in from_code:
        assert metric[1] in names, f"no code publishes {metric[1]}"
        assert metric == published_by(names[metric[1]], metric[1], capsys)


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
    assert (metrics.NAMESPACE, made["MetricName"], (("service", STACK),)) in [metric for _, metric in watched(template)]


def test_metrics_of_aws_select_a_resource_of_this_stack(template: Template) -> None:
    created = {f"<{name}>" for name in template.resources} | {STACK}
    for alarm, (namespace, name, dimensions) in watched(template):
        if namespace != metrics.NAMESPACE:
            names, key = OF_AWS[namespace]
            assert name in names, alarm
            assert [dimension for dimension, _ in dimensions] == [key], alarm
            assert dimensions[0][1] in created, alarm


def test_every_function_has_an_alarm_for_throttles_and_those_around_the_operations_for_errors(
    template: Template,
) -> None:
    found = {(name, dict(dimensions).get("FunctionName")) for _, (_, name, dimensions) in watched(template)}
    around = {name for name in template.functions if name.removesuffix("Function") not in OPERATIONS}

    assert {("Throttles", f"<{name}>") for name in template.functions} <= found
    assert {("Errors", f"<{name}>") for name in around} <= found
    assert ("Invocations", "<SweepFunction>") in found


def test_broker_that_is_created_has_alarms(template: Template) -> None:
    names = {metric[1] for _, metric in watched(template)}

    assert ("Broker" in template.resources) == OF_AWS["AWS/AmazonMQ"][0].issubset(names)


def test_every_alarm_goes_to_the_one_topic_and_says_what_it_means(template: Template) -> None:
    alarms = template.of_type(ALARM)

    assert len(template.of_type("AWS::SNS::Topic")) == 1
    for name, spec in alarms.items():
        assert spec["AlarmActions"] == spec["OKActions"] == ["<AlarmTopic>"], name
        assert spec["AlarmDescription"].endswith("."), name


def test_alarms_are_sent_by_email_only_to_a_given_address() -> None:
    subscribed = Template(AlarmEmail="operator@example.com").of_type("AWS::SNS::Subscription")

    assert not new_network().of_type("AWS::SNS::Subscription")
    assert [(spec["Protocol"], spec["Endpoint"]) for spec in subscribed.values()] == [("email", "operator@example.com")]
