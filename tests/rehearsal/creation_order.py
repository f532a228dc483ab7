"""The order in which CloudFormation creates the resources of a template; it deletes them in the reverse order."""

import re
from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from typing import Any

_VARIABLE = re.compile(r"\$\{([^!}][^}]*)\}")

#: The resources that each resource waits for, by logical ID.
Dependencies = Mapping[str, set[str]]


def dependencies(template: Mapping[str, Any]) -> dict[str, set[str]]:
    """What each resource of a template refers to or names in DependsOn, directly."""
    resources = template["Resources"]
    return {name: set(_mentioned(resource)) & resources.keys() for name, resource in resources.items()}


def _mentioned(node: Any) -> Iterator[str]:
    """The names in a part of a template that may be those of resources."""
    if isinstance(node, list):
        for entry in node:
            yield from _mentioned(entry)
    elif isinstance(node, dict):
        for name, value in node.items():
            if name in ("Ref", "DependsOn"):
                yield from value if isinstance(value, list) else [value]
            elif name == "Fn::GetAtt":
                yield (value if isinstance(value, list) else value.split("."))[0]
            elif name == "Fn::Sub":
                text = value if isinstance(value, str) else value[0]
                yield from (variable.partition(".")[0] for variable in _VARIABLE.findall(text))
                yield from _mentioned(value)
            else:
                yield from _mentioned(value)


def order(waits_for: Dependencies) -> list[str]:
    """One order of creation. Raises graphlib.CycleError when there is none."""
    return list(TopologicalSorter(waits_for).static_order())


def before(waits_for: Dependencies, resource: str) -> set[str]:
    """Every resource that surely exists before a resource is created, and after it is deleted."""
    found: set[str] = set()
    left = [resource]
    while left:
        more = waits_for[left.pop()] - found
        found |= more
        left += more
    return found
