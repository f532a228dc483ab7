"""Checks CloudFormation templates against the schemas of resource types that AWS publishes, as cfn-lint bundles them.

Runs on the Python of the stack's tools, which has cfn-lint and the SAM translator:

    python tests/rehearsal/schemas.py transform < templates.json    SAM templates to what SAM makes of them
    python tests/rehearsal/schemas.py check < templates.json        the problems of each template: rule, path, message
    python tests/rehearsal/schemas.py required < types.json         the properties that each resource type requires

Input and output are JSON objects by name. `check` expects templates without a transform.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from cfnlint.config import ConfigMixIn
from cfnlint.decode.decode import decode_str
from cfnlint.runner import Runner
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER
from cfnlint.template.transforms._sam import Transform

#: The region whose versions of the schemas are used.
REGION = "eu-central-1"

#: Advice on how to write a template, which what is left of it after all functions are resolved cannot follow: zones
#: are names then, and what SAM adds depends on a resource twice.
IGNORED_RULES = ["W3010", "W3005"]

_COPY = "PolicyCopy"


def transform(template: dict[str, Any]) -> Any:
    """Returns what SAM makes of a template. Raises ValueError when SAM refuses it."""
    work = Transform("template", template, REGION)
    problems = work.transform_template()
    if problems:
        raise ValueError(f"SAM refuses the template: {[problem.message for problem in problems]}")
    return work.template()


def check(template: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the problems of a template.

    The schema of an endpoint allows everything as its policy, so the policy is checked as that of a role, which has no
    principals.
    """
    endpoints = {
        f"{name}{_COPY}": {
            "Type": "AWS::IAM::ManagedPolicy",
            "Properties": {"PolicyDocument": _without_principals(resource["Properties"]["PolicyDocument"])},
        }
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::EC2::VPCEndpoint" and "PolicyDocument" in resource["Properties"]
    }
    checked = template | {"Resources": template["Resources"] | endpoints}
    return [
        {
            "rule": match.rule.id,
            "path": [str(part).removesuffix(_COPY) for part in match.path or []],
            "message": match.message,
        }
        for match in _matches(checked)
    ]


@lru_cache(maxsize=1)
def _runner() -> Any:
    """Reads the rules and schemas, which takes as long as checking a template."""
    return Runner(ConfigMixIn(regions=[REGION], ignore_checks=IGNORED_RULES))


def _matches(template: dict[str, Any]) -> Iterator[Any]:
    decoded, errors = decode_str(json.dumps(template))
    yield from errors
    if not errors:
        yield from _runner().validate_template(decoded)


def _without_principals(policy: dict[str, Any]) -> dict[str, Any]:
    statements = [
        {name: value for name, value in statement.items() if name != "Principal"} for statement in policy["Statement"]
    ]
    return policy | {"Statement": statements}


def required(kind: str) -> list[str]:
    """Returns the properties that a resource type requires."""
    return list(PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, kind).schema.get("required", []))


ACTIONS: Mapping[str, Callable[[Any], Any]] = {"transform": transform, "check": check, "required": required}


def main() -> None:
    """Applies the action in the first argument to each value of the JSON object on standard input."""
    action = ACTIONS[sys.argv[1]]
    json.dump({name: action(value) for name, value in json.load(sys.stdin).items()}, sys.stdout)


if __name__ == "__main__":
    main()
