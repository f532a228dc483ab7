"""The calls of AWS that `localstack.aws.emulator` has recorded, judged by the policies in template.yaml."""

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from localstack.settings import ACCOUNT, REGION
from tests.rehearsal.deployments import VARIANTS
from tests.rehearsal.policies import Request, Statement, is_allowed, statements_of
from tests.support.template import PSEUDO_PARAMETERS, Template

#: The name under which the calls of all stacks are judged.
STACK = "darkroom"

#: The ARNs of the stack's bucket, of functions, and of the secret with the broker's credentials, up to what differs.
BUCKET = f"arn:aws:s3:::{STACK}-{ACCOUNT}-{REGION}"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:"
#: A part of an ID or of a hash: what differs between the keys of one kind.
_ID = re.compile("[0-9a-f]{8}")
_BROKER_SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{STACK}-broker-"


@dataclass(frozen=True)
class Call:
    """What MiniStack checked for a request of a function: one permission. Equal calls differ only in their keys.

    `role` is the logical ID of the role. `resource` and the `prefix` of a listing have no IDs of jobs and files.
    `is_missing` says that the object did not exist, and `is_refused` that no policy in the emulator allows the call. A
    policy that denies it is a fault that chaos injects.
    """

    role: str
    action: str
    resource: str
    prefix: str | None
    is_missing: bool
    is_refused: bool


def read(path: Path, stack: str) -> Counter[Call]:
    """The recorded calls of a stack and their numbers, as if the stack were named STACK.

    Leaves out the calls of roles that tests make in the same emulator: the names of the stack's begin with its own.
    Raises ValueError if that leaves none.
    """
    entries = map(json.loads, path.read_text().splitlines())
    calls = Counter(_call(entry, stack) for entry in entries if entry["role"].startswith(f"{stack}-"))
    if not calls:
        raise ValueError(f"{path.name} has no call of the stack {stack}")
    return calls


def _call(entry: Mapping[str, Any], stack: str) -> Call:
    logical = entry["role"].removeprefix(f"{stack}-").rpartition("-")[0]
    if not logical:
        raise ValueError(f"the role {entry['role']} names no resource of the stack {stack}")
    prefix = entry["context"].get("s3:prefix")
    return Call(
        role=logical,
        action=entry["action"],
        resource=_shortened(entry["resource"].replace(f":{stack}-", f":{STACK}-")),
        prefix=None if prefix is None else _folder(prefix) or prefix,
        is_missing=entry["status"] == 404,
        is_refused=entry["decision"] == "ImplicitDeny",
    )


def _shortened(resource: str) -> str:
    """A resource without what differs between calls of the same kind: the key from the first ID on."""
    if not resource.startswith(f"{BUCKET}/"):
        return resource
    key = resource.removeprefix(f"{BUCKET}/")
    folder = _folder(key)
    return f"{BUCKET}/{folder}…" if _ID.search(key) else resource


def _folder(key: str) -> str:
    """The folders of a key, or of the beginning of one, without those that are IDs."""
    names = itertools.takewhile(lambda name: not _ID.search(name), key.split("/")[:-1])
    return "".join(f"{name}/" for name in names)


class DeployedTemplate(Template):
    """The template as it is deployed to the emulator under the name STACK, but with any parameters."""

    def __init__(self, **parameters: str) -> None:
        own = {"AWS::StackName": STACK, "AWS::AccountId": ACCOUNT, "AWS::Region": REGION}
        super().__init__(PSEUDO_PARAMETERS | own, **parameters)

    def attribute(self, resource: str, name: str) -> Any:
        """Returns the ARN of a function, which callers use, and a placeholder for everything else."""
        if name == "Arn" and self.raw["Resources"][resource]["Type"] == "AWS::Serverless::Function":
            return f"{FUNCTION}{self.value(self.raw['Resources'][resource]['Properties']['FunctionName'])}"
        return super().attribute(resource, name)

    @cached_property
    def roles(self) -> dict[str, str]:
        """The name of the function that has a role, without that of the stack, by the logical ID of the role."""
        return {
            spec["Role"].strip("<>").removesuffix(".Arn"): spec["FunctionName"].removeprefix(f"{STACK}-")
            for spec in self.functions.values()
        }

    @cached_property
    def policies(self) -> dict[str, list[Statement]]:
        """The statements of every policy, by the logical ID of the resource that has it."""
        found = {
            name: statements_of(name, policy["PolicyDocument"])
            for name, policy in self.of_type("AWS::IAM::ManagedPolicy").items()
        }
        for name, role in self.of_type("AWS::IAM::Role").items():
            found[name] = [
                statement
                for policy in role.get("Policies", [])
                for statement in statements_of(name, policy["PolicyDocument"])
            ]
        for name, policy in self.of_type("AWS::S3::BucketPolicy").items():
            found[name] = statements_of(name, policy["PolicyDocument"])
        return found | self.endpoints

    @cached_property
    def endpoints(self) -> dict[str, list[Statement]]:
        """The statements of every endpoint's policy, by its logical ID."""
        return {
            name: statements_of(name, endpoint["PolicyDocument"])
            for name, endpoint in self.of_type("AWS::EC2::VPCEndpoint").items()
        }

    def endpoint_of(self, action: str) -> str:
        """The logical ID of the endpoint through which an action is called; empty without a network of its own."""
        service = action.partition(":")[0]
        endpoints = self.of_type("AWS::EC2::VPCEndpoint").items()
        return next((name for name, spec in endpoints if spec["ServiceName"].endswith(f".{service}")), "")

    def open_to_functions(self, endpoint: str) -> list[Statement]:
        """The statements of an endpoint's policy that apply to functions, and not only to a service of AWS."""
        return [found for found in self.endpoints.get(endpoint, []) if found.principal in ("*", {"AWS": "*"})]

    def of_role(self, role: str) -> list[Statement]:
        """The statements of a role: its own and those of the managed policies that it has."""
        managed = self.resources[role]["Properties"].get("ManagedPolicyArns", [])
        return [*self.policies[role], *(found for name in managed for found in self.policies[name.strip("<>")])]

    def requests(self, call: Call) -> list[Request]:
        """What a call needs to be allowed. S3 says that an object does not exist only with the right to list them."""
        context = {
            "aws:SecureTransport": "true",
            "aws:PrincipalAccount": ACCOUNT,
            "aws:ResourceAccount": ACCOUNT,
            "lambda:SourceFunctionArn": f"{FUNCTION}{STACK}-{self.roles[call.role]}",
        }
        prefix = {} if call.prefix is None else {"s3:prefix": call.prefix}
        resource = self._renamed(call.resource)
        needed = [Request(call.action, resource, context | prefix)]
        if call.action == "s3:GetObject" and call.is_missing:
            needed.append(Request("s3:ListBucket", resource.partition("/")[0], context))
        return needed

    def _renamed(self, resource: str) -> str:
        """The resource of the emulator under the name that it has with these parameters."""
        if resource.startswith(_BROKER_SECRET):
            return str(self.function_defaults["Environment"]["Variables"]["DARKROOM_BROKER_SECRET_ARN"])
        return resource


def problems(calls: Iterable[Call]) -> list[str]:
    """Why calls would fail on AWS, for every way to deploy the template, whatever the emulator has decided."""
    found: dict[str, list[str]] = {}
    for variant, parameters in VARIANTS.items():
        template = DeployedTemplate(**parameters)
        for call in calls:
            for problem in _problems_of(template, call):
                found.setdefault(problem, []).append(variant)
    return [
        problem if len(variants) == len(VARIANTS) else f"{problem} ({', '.join(variants)})"
        for problem, variants in found.items()
    ]


def _problems_of(template: DeployedTemplate, call: Call) -> Iterator[str]:
    if call.role not in template.roles:
        yield f"{call.role} calls {call.action}, but is the role of no function"
        return
    function = template.roles[call.role]
    if call.is_refused:
        yield f"{function} calls {call.action} on {call.resource}: the emulator refuses it"
    for request in template.requests(call):
        shown = f"{function} calls {request.action} on {request.resource}"
        if not is_allowed(template.of_role(call.role), request):
            yield f"{shown}: no statement of {call.role} allows it"
        for name in template.of_type("AWS::S3::BucketPolicy"):
            if any(entry.effect == "Deny" and entry.matches(request) for entry in template.policies[name]):
                yield f"{shown}: {name} denies it"
        endpoint = template.endpoint_of(request.action)
        if template.endpoints and not is_allowed(template.open_to_functions(endpoint), request):
            yield f"{shown}: {f'the policy of {endpoint} does not allow it' if endpoint else 'it has no endpoint'}"
