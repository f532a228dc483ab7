"""Deploys the last `sam build` to AWS: checks what would fail late or starve the account, then runs `sam deploy`.

    python -m tools.deploy darkroom ImageInFlight=10 AlarmEmail=me@example.com

Region and credentials are those of the AWS command line. Parameters that are not given keep the values of the stack; in
a new stack, the limits of runs are chosen by the account's quota. No file is written.
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import boto3
import yaml
from botocore.exceptions import BotoCoreError, ClientError

from localstack.errors import StackError
from localstack.settings import DEFAULT_STACK, ROOT, Settings, load
from tools import capacity

#: The longest name of a bucket. Ours is <stack>-<account>-<region>.
_LONGEST_BUCKET = 63
_ACCOUNT_DIGITS = 12

_IN_FLIGHT = ("ImageInFlight", "VideoInFlight")
_RESERVED = ("ApiConcurrency", "AuthorizeConcurrency", "IngestConcurrency", "SettleConcurrency")


class _Loader(yaml.SafeLoader):
    """Reads a template without the functions of CloudFormation, which its parameters do not contain."""


_Loader.add_multi_constructor("!", lambda _loader, _suffix, _node: None)


def template_defaults() -> dict[str, str]:
    """The parameters of the template with their defaults."""
    parameters = yaml.load((ROOT / "template.yaml").read_text(), _Loader)["Parameters"]  # noqa: S506 - a SafeLoader
    return {name: str(spec["Default"]) for name, spec in parameters.items()}


def require_name(name: str, region: str) -> None:
    """Raises StackError unless every resource can have a name that begins with that of the stack.

    CloudFormation's rules cannot check the name of the stack. Without this the bucket fails after the broker exists.
    """
    longest = _LONGEST_BUCKET - _ACCOUNT_DIGITS - len(region) - 2
    if not re.fullmatch(r"[a-z][a-z0-9-]*", name) or len(name) > longest or name.endswith("-"):
        raise StackError(
            f"'{name}' cannot be the name of the stack: use up to {longest} lower-case letters, digits and hyphens, "
            "beginning with a letter. It becomes part of the bucket's name."
        )


def parse_parameters(texts: list[str]) -> dict[str, str]:
    """The parameters of arguments such as `RetentionDays=30`. Raises StackError for one that the template lacks."""
    given = dict(text.partition("=")[::2] for text in texts)
    known = template_defaults()
    if unknown := [name for name in given if name not in known]:
        raise StackError(f"The template has no parameter {', '.join(unknown)}. It has {', '.join(known)}.")
    return given


def stack_parameters(cloudformation: Any, name: str) -> dict[str, str] | None:
    """The parameters of a deployed stack, or None if there is none."""
    try:
        (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    if stack["StackStatus"] == "REVIEW_IN_PROGRESS":  # made by a change set that was not executed
        return None
    return {entry["ParameterKey"]: entry["ParameterValue"] for entry in stack.get("Parameters", [])}


def chosen_parameters(given: Mapping[str, str], deployed: Mapping[str, str] | None, quota: int) -> dict[str, str]:
    """The given parameters, and for a new stack the largest limits of runs that fit into the quota."""
    if deployed is not None:
        return dict(given)
    largest = capacity.largest(quota)
    return {"ImageInFlight": str(largest.image), "VideoInFlight": str(largest.video)} | dict(given)


def capacity_report(effective: Mapping[str, str], quota: int) -> str:
    """What the quota means for these parameters. Raises StackError if it refuses the reserved environments."""
    image, video = (int(effective[name]) for name in _IN_FLIGHT)
    in_flight = capacity.InFlight(image, video)
    reserved = sum(int(effective[name]) for name in _RESERVED)
    least = min(capacity.UNRESERVED, quota)
    if reserved and quota - reserved < least:
        raise StackError(
            f"{', '.join(_RESERVED)} reserve {reserved} of {quota} concurrent executions. Lambda keeps {least} "
            "unreserved, so this account cannot reserve so many."
        )
    text = (
        f"The account may run {quota} environments of Lambda at the same time. ImageInFlight={image} and "
        f"VideoInFlight={video} use up to {in_flight.runs}."
    )
    if in_flight.fits(quota):
        return text
    needed = max(capacity.needed(in_flight), capacity.USUAL if quota < capacity.USUAL else 0)
    return (
        f"{text}\nThat is too many while all operations are busy: the API would respond with 503 at times, and jobs "
        f"would start late. Ask for {needed}:\n"
        "  aws service-quotas request-service-quota-increase --service-code lambda --quota-code L-B99A9384 "
        f"--desired-value {needed}"
    )


def access_warning(effective: Mapping[str, str]) -> str:
    """What an operator must know about an API that is open; empty for one that is closed."""
    if effective["Access"] != "open":
        return ""
    return (
        "\nWARNING: Access=open. Everybody who knows the URL can upload files and run jobs, at your expense, and see\n"
        "those of everybody else. Keys and tokens are ignored. Access=closed, the default, asks for a key.\n"
    )


def next_step(effective: Mapping[str, str], name: str) -> str:
    """What to do after the deployment: make the first key, or close the API."""
    if warning := access_warning(effective):
        return warning
    stack = "" if name == DEFAULT_STACK else f"--stack {name} "
    return (
        "\nThe API is closed: every request needs an API key or a token. This makes the first key:\n"
        f"  python3 -m tools.keys {stack}create --tenant default --scope admin --name first\n"
        "Its scope lets it make other keys and tenants, and nothing else; docs/access.md describes both."
    )


def limit_broker_logs(cloudformation: Any, logs: Any, name: str, days: int) -> None:
    """Deletes old lines of the new broker's log groups, which Amazon MQ creates without a limit."""
    resources = cloudformation.describe_stack_resources(StackName=name)["StackResources"]
    for broker in (entry["PhysicalResourceId"] for entry in resources if entry["LogicalResourceId"] == "Broker"):
        for group in log_groups(logs, broker):
            logs.put_retention_policy(logGroupName=group, retentionInDays=days)


def log_groups(logs: Any, broker: str) -> list[str]:
    """The log groups of a broker."""
    prefix = f"/aws/amazonmq/broker/{broker.rpartition(':')[2]}/"
    pages = logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix)
    return [group["logGroupName"] for page in pages for group in page["logGroups"]]


def deploy(settings: Settings, name: str, given: dict[str, str], session: Any) -> None:
    """Checks and deploys. Raises StackError."""
    region = session.region_name
    if not region:
        raise StackError("No region is configured: set AWS_REGION, or run aws configure.")
    require_name(name, region)
    cloudformation = session.client("cloudformation")
    deployed = stack_parameters(cloudformation, name)
    quota = session.client("lambda").get_account_settings()["AccountLimit"]["ConcurrentExecutions"]
    parameters = chosen_parameters(given, deployed, quota)
    effective = template_defaults() | (deployed or {}) | parameters
    print(capacity_report(effective, quota), access_warning(effective), sep="\n", flush=True)
    argv = [str(settings.tools.parent / "sam"), "deploy", "--stack-name", name, "--region", region]
    if parameters:
        # Without quotes SAM refuses an empty value.
        argv += ["--parameter-overrides", *(f'{key}="{value}"' for key, value in parameters.items())]
    if subprocess.run(argv, cwd=settings.root, check=False).returncode:
        raise StackError("sam deploy failed.")
    if stack_parameters(cloudformation, name) is not None:
        limit_broker_logs(cloudformation, session.client("logs"), name, int(effective["LogRetentionDays"]))
        print(next_step(effective, name))


def main() -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.deploy", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("name", help="name of the stack")
    parser.add_argument("parameters", nargs="*", metavar="Parameter=value")
    arguments = parser.parse_args()
    try:
        deploy(load(), arguments.name, parse_parameters(arguments.parameters), boto3.Session())
    except (StackError, BotoCoreError, ClientError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
