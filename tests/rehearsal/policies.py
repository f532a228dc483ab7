"""Evaluates IAM policies as AWS does, for the elements that template.yaml uses.

An element that is not supported here raises LookupError, so that no decision is silently wrong.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

_ELEMENTS = frozenset({"Sid", "Effect", "Action", "Resource", "Principal", "Condition"})
_IF_EXISTS = "IfExists"


@dataclass(frozen=True)
class Request:
    """One call: an action on a resource, with the condition keys that AWS would compare."""

    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Statement:
    """One statement of a policy. `policy` is the logical ID of the resource that has it, `number` counts from 1."""

    policy: str
    number: int
    effect: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: Mapping[str, Mapping[str, Any]]
    principal: Any = None

    def matches(self, request: Request) -> bool:
        """Whether the statement applies to a request. Raises LookupError for a condition that is not supported."""
        return (
            any(matches_text(action, request.action, ignore_case=True) for action in self.actions)
            and any(matches_text(resource, request.resource) for resource in self.resources)
            and all(
                _holds(operator, key, listed(expected), request.context)
                for operator, keys in self.conditions.items()
                for key, expected in keys.items()
            )
        )


def statements_of(policy: str, document: Mapping[str, Any]) -> list[Statement]:
    """The statements of a policy document. Raises LookupError for an element that is not supported."""
    found = []
    for number, statement in enumerate(document["Statement"], 1):
        if unknown := statement.keys() - _ELEMENTS:
            raise LookupError(f"{policy} has {', '.join(sorted(unknown))}, which is not supported")
        resources = tuple(map(str, listed(statement["Resource"])))
        if any("${" in resource for resource in resources):
            raise LookupError(f"{policy} has a policy variable, which is not supported")
        found.append(
            Statement(
                policy=policy,
                number=number,
                effect=statement["Effect"],
                actions=tuple(listed(statement["Action"])),
                resources=resources,
                conditions=statement.get("Condition", {}),
                principal=statement.get("Principal"),
            )
        )
    return found


def is_allowed(statements: Iterable[Statement], request: Request) -> bool:
    """Whether at least one statement allows a request and none denies it."""
    effects = {statement.effect for statement in statements if statement.matches(request)}
    return effects == {"Allow"}


def listed(value: Any) -> list[Any]:
    """A value that may be one or several, as a list."""
    return value if isinstance(value, list) else [value]


def matches_text(pattern: str, text: str, *, ignore_case: bool = False) -> bool:
    """Whether a text matches a pattern with `*` and `?`."""
    return _compiled(pattern, ignore_case).fullmatch(text) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str, ignore_case: bool) -> re.Pattern[str]:
    parts = {"*": ".*", "?": "."}
    expression = "".join(parts.get(character, re.escape(character)) for character in pattern)
    return re.compile(expression, (re.IGNORECASE if ignore_case else 0) | re.DOTALL)


def _holds(operator: str, key: str, expected: list[Any], context: Mapping[str, str]) -> bool:
    """Whether one condition holds. A key that the request lacks fails it, unless the operator ends in IfExists."""
    name = operator.removesuffix(_IF_EXISTS)
    actual = next((value for own, value in context.items() if own.lower() == key.lower()), None)
    if actual is None:
        _compare(name, "", "")  # raises for an unknown operator here as well
        return operator.endswith(_IF_EXISTS)
    return any(_compare(name, str(value), actual) for value in expected)


def _compare(operator: str, expected: str, actual: str) -> bool:
    match operator:
        case "StringEquals":
            return actual == expected
        case "StringLike":
            return matches_text(expected, actual)
        case "Bool":
            return actual.lower() == expected.lower()
        case "ArnLike" | "ArnEquals":
            patterns, parts = expected.split(":", 5), actual.split(":", 5)
            return len(patterns) == len(parts) and all(map(matches_text, patterns, parts))
    raise LookupError(f"the condition operator {operator} is not supported")
