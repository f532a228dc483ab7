"""Every name in the template that the code, or another part of the template, must know."""

import ast
import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import pytest
from aws_lambda_powertools.shared import constants

from darkroom import config
from tests.rehearsal import alarms
from tests.rehearsal.deployments import VARIANTS, created, transformed
from tests.rehearsal.policies import listed
from tests.support.code import modules
from tests.support.template import PSEUDO_PARAMETERS

STACK = PSEUDO_PARAMETERS["AWS::StackName"]

#: The variables of Powertools that the template may set.
POWERTOOLS = {"POWERTOOLS_SERVICE_NAME", "POWERTOOLS_LOG_LEVEL"}

ALARM = {
    "Type": "AWS::CloudWatch::Alarm",
    "Properties": {
        "Namespace": "AWS/Lambda",
        "MetricName": "Errors",
        "Dimensions": [{"Name": "FunctionName", "Value": {"Ref": "SweepFunction"}}],
        "AlarmActions": [{"Ref": "Topic"}],
    },
}


@pytest.fixture(params=VARIANTS)
def template(request: pytest.FixtureRequest) -> dict[str, Any]:
    return deepcopy(dict(transformed()[request.param]))


def of_type(template: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {
        name: resource["Properties"] for name, resource in template["Resources"].items() if resource["Type"] == kind
    }


def test_every_handler_is_a_function_of_the_code(template: dict[str, Any]) -> None:
    functions = of_type(template, "AWS::Lambda::Function")

    assert functions
    for name, function in functions.items():
        module, _, handler = function["Handler"].rpartition(".")
        assert module in modules(), name
        assert handler in modules()[module].definitions, name


def test_every_function_gets_valid_settings_and_no_unknown_variable(template: dict[str, Any]) -> None:
    for name, function in of_type(template, "AWS::Lambda::Function").items():
        kind = config.AuthorizerSettings if name == "AuthorizeFunction" else config.Settings
        variables = function["Environment"]["Variables"]
        assert variables.keys() <= variables_of(kind) | POWERTOOLS, name
        assert variables["POWERTOOLS_SERVICE_NAME"] == STACK
        config.load({variable: value if isinstance(value, str) else "1" for variable, value in variables.items()}, kind)


def variables_of(*kinds: type[config.StorageSettings]) -> set[str]:
    return {config.ENVIRONMENT_PREFIX + name.upper() for kind in kinds for name in kind.__dataclass_fields__}


def test_powertools_reads_its_variables() -> None:
    assert {value for value in vars(constants).values() if isinstance(value, str)} >= POWERTOOLS


def test_every_environment_variable_of_the_code_is_a_setting() -> None:
    """The handlers read the environment in one module; Lambda sets the others that it reads."""
    settings = variables_of(config.Settings, config.AuthorizerSettings)
    read = {
        variable
        for name, module in modules().items()
        if name.startswith(("darkroom", "api", "functions"))
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("DARKROOM_")
        for variable in re.findall(r"DARKROOM_[A-Z0-9_]*", node.value)
    }

    assert read <= settings | {config.ENVIRONMENT_PREFIX}


def test_function_may_write_to_the_log_group_of_its_name_and_to_no_other(template: dict[str, Any]) -> None:
    groups = of_type(template, "AWS::Logs::LogGroup")
    roles = of_type(template, "AWS::IAM::Role")

    for name, function in of_type(template, "AWS::Lambda::Function").items():
        role = function["Role"]["Fn::GetAtt"][0]
        written = [
            resource["Fn::GetAtt"][0]
            for policy in roles[role]["Policies"]
            for statement in policy["PolicyDocument"]["Statement"]
            if any(action.startswith("logs:") for action in listed(statement["Action"]))
            for resource in listed(statement["Resource"])
        ]
        assert [groups[group]["LogGroupName"] for group in written] == [f"/aws/lambda/{function['FunctionName']}"], name


def test_alarms_watch_metrics_that_exist(template: dict[str, Any]) -> None:
    assert alarms.problems(template, STACK) == []


def test_code_emits_metrics_with_the_name_of_the_deployment() -> None:
    emitted = alarms.emitted()

    assert {"accepted", "failed", "in_flight", "run_time"} <= emitted.keys()
    assert emitted["in_flight"] == {frozenset({"operation", "service"})}
    assert frozenset({"operation", "code", "service"}) in emitted["failed"]


PLANTED: dict[str, tuple[dict[str, Any], str]] = {
    "namespace": ({"Namespace": "AWS/Lambdas"}, "namespace AWS/Lambdas is unknown"),
    "metric of AWS": ({"MetricName": "Error"}, "nothing publishes the metric Error"),
    "metric of the code": ({"Namespace": "Darkroom", "MetricName": "parkd"}, "nothing publishes the metric parkd"),
    "dimension": ({"Dimensions": [{"Name": "Function", "Value": "x"}]}, "Errors has the dimensions"),
    "dimensions of the code": (
        {"Namespace": "Darkroom", "MetricName": "in_flight", "Dimensions": [{"Name": "service", "Value": STACK}]},
        "in_flight has the dimensions",
    ),
    "function": (
        {"Dimensions": [{"Name": "FunctionName", "Value": {"Ref": "Vpc"}}]},
        "FunctionName of Errors is {'Ref': 'Vpc'}",
    ),
    "broker": (
        {
            "Namespace": "AWS/AmazonMQ",
            "MetricName": "ConnectionCount",
            "Dimensions": [{"Name": "Broker", "Value": "other"}],
        },
        "Broker of ConnectionCount is other",
    ),
    "deployment": (
        {
            "Namespace": "Darkroom",
            "MetricName": "in_flight",
            "Dimensions": [{"Name": "operation", "Value": "resize"}, {"Name": "service", "Value": "other"}],
        },
        "service of in_flight is other",
    ),
    "topic": ({"AlarmActions": []}, "it notifies no topic"),
    "metric in a calculation": (
        {"Metrics": [{"Id": "m", "MetricStat": {"Metric": {"Namespace": "AWS/Lambda", "MetricName": "Typo"}}}]},
        "nothing publishes the metric Typo",
    ),
}


def with_alarm(**changes: Any) -> dict[str, Any]:
    template = created()
    template["Resources"] |= {
        "Topic": {"Type": "AWS::SNS::Topic", "Properties": {}},
        "Planted": ALARM | {"Properties": ALARM["Properties"] | changes},  # type: ignore[operator]
    }
    return template


def test_alarm_on_a_function_is_no_problem() -> None:
    assert alarms.problems(with_alarm(), STACK) == []


@pytest.mark.parametrize("kind", PLANTED)
def test_alarm_that_could_never_be_raised_is_found(kind: str) -> None:
    changes, expected = PLANTED[kind]
    found = alarms.problems(with_alarm(**changes), STACK)

    assert any(problem.startswith(f"Planted: {expected}") or expected in problem for problem in found), found


def test_metric_that_a_filter_makes_of_log_lines_may_be_watched() -> None:
    made = {"MetricNamespace": "Darkroom", "MetricName": "slow", "Dimensions": [{"Key": "service", "Value": "$.s"}]}
    template = with_alarm(Namespace="Darkroom", MetricName="slow", Dimensions=[{"Name": "service", "Value": STACK}])
    without = alarms.problems(template, STACK)
    template["Resources"]["Filter"] = {
        "Type": "AWS::Logs::MetricFilter",
        "Properties": {"MetricTransformations": [made]},
    }

    assert without == ["Planted: nothing publishes the metric slow in Darkroom"]
    assert alarms.problems(template, STACK) == []
