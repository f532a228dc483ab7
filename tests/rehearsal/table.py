"""The table of IAM statements with the calls that use them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.rehearsal.calls import BUCKET, FUNCTION, STACK, Call, DeployedTemplate
from tests.rehearsal.deployments import COMPLETE, VARIANTS
from tests.rehearsal.policies import Request, Statement, matches_text

#: Why no call of a function uses a permission: pattern of the policy, the action and the resource, and the reason.
REASONS = (
    ("*Role", "logs:*", "*", "Lambda writes the function's log"),
    ("*", "ec2:*", "*", "Lambda attaches functions and mappings to the network"),
    ("TracingPolicy", "xray:*", "*", "Lambda sends traces"),
    ("MappingPolicy", "mq:DescribeBroker", "*", "Lambda looks up the broker of a mapping"),
    ("OperationPolicy", "lambda:InvokeFunction", "*-settle", "Lambda reports failed runs to settle"),
    ("*", "secretsmanager:GetSecretValue", "<CacheSecret>", "the local Redis has no password"),
    (
        "S3Endpoint",
        "s3:PutObject",
        "*:cloudformation-custom-resource-response-*",
        "topology responds to CloudFormation",
    ),
    ("LambdaEndpoint", "lambda:InvokeFunction", "[*]", "Lambda invokes the functions of mappings"),
    ("StsEndpoint", "sts:AssumeRole", "[*]", "Lambda assumes the roles of mappings"),
)


@dataclass
class Permission:
    """An action that a statement allows on one of its resources, with the number of calls of each function."""

    statement: Statement
    action: str
    resource: str
    #: The functions whose roles have the policy; none for an endpoint.
    holders: frozenset[str]
    calls: Counter[str] = field(default_factory=Counter)

    def is_used_by(self, request: Request) -> bool:
        """Whether a request needs this action on this resource, and the statement applies to it."""
        return (
            matches_text(self.action, request.action, ignore_case=True)
            and matches_text(self.resource, request.resource)
            and self.statement.matches(request)
        )

    @property
    def reason(self) -> str:
        """Why no function is expected to use it; empty if one should."""
        for policy, action, resource, reason in REASONS:
            literal = resource[1:-1] if resource.startswith("[") else ""
            matches = self.resource == literal if literal else matches_text(resource, self.resource)
            if matches_text(policy, self.statement.policy) and matches_text(action, self.action) and matches:
                return reason
        return ""


def permissions(calls: Mapping[Call, int]) -> list[Permission]:
    """Every permission of the template when everything is created, with the calls that use it."""
    template = DeployedTemplate(**VARIANTS[COMPLETE])
    holders = {
        name: frozenset(
            function
            for role, function in template.roles.items()
            if any(statement.policy == name for statement in template.of_role(role))
        )
        for name in template.policies
    }
    found = {
        name: [
            Permission(statement, action, resource, holders[name])
            for statement in statements
            if statement.effect == "Allow"
            for action in statement.actions
            for resource in statement.resources
            if _is_possible(action, resource)
        ]
        for name, statements in template.policies.items()
    }
    for call, number in calls.items():
        function = template.roles[call.role]
        for request in template.requests(call):
            statements = template.of_role(call.role) + template.open_to_functions(template.endpoint_of(request.action))
            for statement in statements:
                for permission in found[statement.policy]:
                    if permission.statement == statement and permission.is_used_by(request):
                        permission.calls[function] += number
    return [permission for of_policy in found.values() for permission in of_policy]


def _is_possible(action: str, resource: str) -> bool:
    """Whether S3 has the action on that kind of resource: a statement may list actions on objects and on the bucket."""
    if not action.startswith("s3:") or resource == "*":
        return True
    return (action == "s3:ListBucket") != ("/" in resource)


def lines(rows: list[Permission]) -> list[str]:
    """The table: what is used, what only AWS itself uses, and what no call used."""
    used = [row for row in rows if row.calls]
    idle = [row for row in rows if not row.calls and not row.reason]
    wide = max((len(_what(row)) for row in rows), default=0)
    text = ["Used by the recorded calls"]
    text += [f"  {_what(row):{wide}}  {row.calls.total():6}  {_functions(row)}" for row in used]
    text += ["", "Used by AWS itself, or only outside the emulator"]
    reasons: dict[tuple[str, str], list[Permission]] = {}
    for row in rows:
        if not row.calls and row.reason:
            reasons.setdefault((row.action, row.reason), []).append(row)
    for (action, reason), group in reasons.items():
        policies = sorted({row.statement.policy for row in group})
        where = policies[0] if len(policies) == 1 else f"{len(policies)} policies"
        text.append(f"  {where:22} {action:32} {reason}")
    text += ["", "Not used by any recorded call"]
    text += [f"  {_what(row)}" for row in idle] or ["  none"]
    return text


def _what(row: Permission) -> str:
    resource = row.resource.replace(BUCKET, "bucket").removeprefix(f"{FUNCTION}{STACK}-")
    prefixes = row.statement.conditions.get("StringLikeIfExists", {}).get("s3:prefix", [])
    limit = f" [{', '.join(prefixes)}]" if prefixes else ""
    return f"{row.statement.policy + ' ' + str(row.statement.number):24} {row.action:29} {resource}{limit}"


def _functions(row: Permission) -> str:
    if not row.holders:
        return f"{len(row.calls)} functions"
    idle = sorted(row.holders - row.calls.keys())
    used = ", ".join(f"{name} {number}" for name, number in sorted(row.calls.items()))
    return f"{used}; not {', '.join(idle)}" if idle else used
