"""Whether the alarms of a template watch metrics that exist: those that AWS documents, or that the code emits."""

import ast
import inspect
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from typing import Any

from darkroom import metrics
from darkroom.contracts.jobs import Status
from tests.support.code import shipped_modules

#: The metrics of AWS that alarms may watch, and the dimensions of each set, as AWS documents them.
AWS_METRICS: Mapping[str, tuple[frozenset[str], tuple[frozenset[str], ...]]] = {
    "AWS/Lambda": (
        frozenset(
            {
                *("Invocations", "Errors", "Throttles", "Duration", "ConcurrentExecutions", "DeadLetterErrors"),
                *("DestinationDeliveryFailures", "AsyncEventsReceived", "AsyncEventAge", "AsyncEventsDropped"),
                *("RecursiveInvocationsDropped", "UnreservedConcurrentExecutions", "ClaimedAccountConcurrency"),
            }
        ),
        (frozenset({"FunctionName"}), frozenset()),
    ),
    "AWS/ApiGateway": (
        frozenset({"4xx", "5xx", "Count", "Latency", "IntegrationLatency", "DataProcessed"}),
        (frozenset({"ApiId"}), frozenset({"ApiId", "Stage"})),
    ),
    "AWS/AmazonMQ": (
        frozenset(
            {
                *("ConnectionCount", "ChannelCount", "ConsumerCount", "QueueCount", "ExchangeCount", "MessageCount"),
                *("MessageReadyCount", "MessageUnacknowledgedCount", "PublishRate", "ConfirmRate", "AckRate"),
                *("SystemCpuUtilization", "RabbitMQMemUsed", "RabbitMQMemLimit", "RabbitMQDiskFree"),
                *("RabbitMQDiskFreeLimit", "RabbitMQFdUsed"),
            }
        ),
        (frozenset({"Broker"}),),
    ),
    "AWS/ElastiCache": (
        frozenset(
            {
                *("DatabaseMemoryUsagePercentage", "DatabaseMemoryUsageCountedForEvictPercentage", "CurrConnections"),
                *("EngineCPUUtilization", "CPUUtilization", "Evictions", "FreeableMemory", "BytesUsedForCache"),
            }
        ),
        (frozenset({"CacheClusterId"}), frozenset({"CacheClusterId", "CacheNodeId"})),
    ),
}

#: The dimension that names the deployment; Powertools adds it to every metric, from POWERTOOLS_SERVICE_NAME.
SERVICE = "service"

Dimensions = frozenset[str]


def problems(template: Mapping[str, Any], stack: str) -> list[str]:
    """What is wrong with the alarms of a transformed template that is deployed under the name `stack`."""
    resources = template["Resources"]
    own = emitted()
    for name, dimensions in _filtered(resources):
        own.setdefault(name, set()).add(dimensions)
    found = []
    for alarm, resource in resources.items():
        if resource["Type"] == "AWS::CloudWatch::Alarm":
            found += [f"{alarm}: {problem}" for problem in _problems_of(resource["Properties"], resources, own, stack)]
    return found


def _problems_of(
    alarm: Mapping[str, Any], resources: Mapping[str, Any], own: Mapping[str, set[Dimensions]], stack: str
) -> Iterator[str]:
    for namespace, name, dimensions in watched(alarm):
        if namespace == metrics.NAMESPACE:
            names, sets = set(own), own.get(name, set())
        elif namespace in AWS_METRICS:
            names, sets = set(AWS_METRICS[namespace][0]), set(AWS_METRICS[namespace][1])
        else:
            yield f"the namespace {namespace} is unknown"
            continue
        if name not in names:
            yield f"nothing publishes the metric {name} in {namespace}"
        elif frozenset(dimensions) not in sets:
            yield f"{name} has the dimensions {[sorted(entry) for entry in sets]}, not {sorted(dimensions)}"
        for dimension, value in dimensions.items():
            if not _names_something(dimension, value, resources, stack):
                yield f"{dimension} of {name} is {value}, which the template does not create"
    topics = [_type_of(action, resources) for action in alarm.get("AlarmActions", [])]
    if set(topics) != {"AWS::SNS::Topic"}:
        yield "it notifies no topic"


def watched(alarm: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The metrics that an alarm watches: namespace, name and dimensions."""
    entries = [entry["MetricStat"]["Metric"] for entry in alarm.get("Metrics", []) if "MetricStat" in entry]
    for metric in entries or [alarm]:
        dimensions = {entry["Name"]: entry["Value"] for entry in metric.get("Dimensions", [])}
        yield metric["Namespace"], metric["MetricName"], dimensions


def _names_something(dimension: str, value: Any, resources: Mapping[str, Any], stack: str) -> bool:
    """Whether the value of a dimension is what the template creates."""
    kind = {"FunctionName": "AWS::Lambda::Function", "ApiId": "AWS::ApiGatewayV2::Api"}.get(dimension)
    if kind is not None:
        return _type_of(value, resources) == kind
    if dimension == "Broker":
        names = {
            spec["Properties"]["BrokerName"] for spec in resources.values() if spec["Type"] == "AWS::AmazonMQ::Broker"
        }
        return value in names
    return dimension not in (SERVICE, "stack") or value == stack


def _type_of(reference: Any, resources: Mapping[str, Any]) -> str:
    """The type of the resource to which a Ref refers; empty for everything else."""
    name = str(reference.get("Ref")) if isinstance(reference, dict) else ""
    return str(resources[name]["Type"]) if name in resources else ""


def _filtered(resources: Mapping[str, Any]) -> Iterator[tuple[str, Dimensions]]:
    """The metrics that filters make of log lines: their names and dimensions."""
    for resource in resources.values():
        if resource["Type"] == "AWS::Logs::MetricFilter":
            for made in resource["Properties"]["MetricTransformations"]:
                if made["MetricNamespace"] == metrics.NAMESPACE:
                    yield made["MetricName"], frozenset(entry["Key"] for entry in made.get("Dimensions", []))


def emitted() -> dict[str, set[Dimensions]]:
    """The dimensions of each metric that the code emits, by its name."""
    found: dict[str, set[Dimensions]] = {}
    for module in shipped_modules().values():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("metrics."):
                for name in _names(node.args[0]):
                    found.setdefault(name, set()).add(_dimensions(node))
    return found


def _names(argument: ast.expr) -> list[str]:
    """The names that the first argument of a call may have: a literal, or the status of a job that ended."""
    if isinstance(argument, ast.Constant):
        return [str(argument.value)]
    return [status.value for status in Status if status.terminal]


def _dimensions(call: ast.Call) -> Dimensions:
    """The dimensions of the metric that a call of darkroom.metrics emits, found by calling the function alike."""
    function = getattr(metrics, ast.unparse(call.func).partition(".")[2])
    parameters = inspect.signature(function).parameters
    given = [*list(parameters)[: len(call.args)], *(word.arg or "" for word in call.keywords)]
    numbers = {name for name, parameter in parameters.items() if parameter.annotation in (int, float)}
    printed = io.StringIO()
    with redirect_stdout(printed):
        function(**{name: 1 if name in numbers else "x" for name in given})
    (sets,) = [entry["Dimensions"] for entry in json.loads(printed.getvalue())["_aws"]["CloudWatchMetrics"]]
    return frozenset(sets[0]) | {SERVICE}
