"""Resolves the intrinsic functions of a CloudFormation template, as CloudFormation does.

A template is a dictionary in the form of JSON: functions are `{"Ref": …}` and `{"Fn::…": …}`. A function that is not
supported here raises LookupError, so that no value is silently wrong.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

#: What `Ref: AWS::NoValue` resolves to. Properties and list items with it are left out.
NO_VALUE = object()

_LOOP = "Fn::ForEach::"
_VARIABLE = re.compile(r"\$\{([^!}][^}]*)\}")


class Resolver:
    """Resolves one template for one set of parameters.

    `pseudo_parameters` holds values such as that of `AWS::StackName`. The values of references to resources are not
    in a template, so subclasses define them in `reference` and `attribute`.
    """

    def __init__(
        self, template: Mapping[str, Any], parameters: Mapping[str, Any], pseudo_parameters: Mapping[str, Any]
    ) -> None:
        self.raw = expand_loops(template)
        defaults = {
            name: parameter["Default"]
            for name, parameter in self.raw.get("Parameters", {}).items()
            if "Default" in parameter
        }
        self.parameters: dict[str, Any] = defaults | dict(parameters)
        self._values = self.parameters | dict(pseudo_parameters)

    def reference(self, resource: str) -> Any:
        """Returns the value of a Ref to a resource that is created."""
        raise LookupError(f"Ref to the resource {resource} is not supported")

    def attribute(self, resource: str, name: str) -> Any:
        """Returns the value of an attribute of a resource that is created."""
        raise LookupError(f"{resource}.{name} is not supported")

    @cached_property
    def resources(self) -> dict[str, Any]:
        """Every resource that is created, resolved, by logical ID."""
        return {name: self.value(resource) for name, resource in self.raw["Resources"].items() if self.is_created(name)}

    @cached_property
    def outputs(self) -> dict[str, Any]:
        """The value of every output that there is, by name."""
        outputs = self.raw.get("Outputs", {})
        return {name: self.value(output["Value"]) for name, output in outputs.items() if self._applies(output)}

    def is_created(self, resource: str) -> bool:
        """Whether the condition of a resource holds; without one it always does."""
        return self._applies(self.raw["Resources"][resource])

    def _applies(self, definition: Mapping[str, Any]) -> bool:
        condition = definition.get("Condition")
        return condition is None or self.holds(condition)

    def holds(self, condition: str) -> bool:
        """Whether a condition of the template holds."""
        return bool(self.value(_member(self.raw.get("Conditions", {}), condition, "condition")))

    def value(self, node: Any) -> Any:
        """Returns a part of the template with its functions resolved. Raises LookupError where that is impossible."""
        if isinstance(node, list):
            return [value for value in map(self.value, node) if value is not NO_VALUE]
        if not isinstance(node, Mapping):
            return node
        if len(node) == 1:
            name, argument = next(iter(node.items()))
            if name in ("Ref", "Fn::GetAtt") or name.startswith("Fn::"):
                return self._call(name, argument)
            if name == "Condition" and isinstance(argument, str):
                return self.holds(argument)
        if unknown := [name for name in node if name.startswith("Fn::")]:
            raise LookupError(f"{unknown[0]} beside other properties is not supported")
        resolved = {name: self.value(value) for name, value in node.items()}
        return {name: value for name, value in resolved.items() if value is not NO_VALUE}

    def _call(self, function: str, argument: Any) -> Any:
        match function:  # these resolve only parts of their argument
            case "Fn::If":
                condition, if_true, if_false = argument
                return self.value(if_true if self.holds(condition) else if_false)
            case "Fn::FindInMap":
                return self._find_in_map(*argument)
            case "Fn::Sub":
                return self._substitute(*([argument] if isinstance(argument, str) else argument))
        argument = self.value(argument)
        match function:
            case "Ref":
                return self._refer(argument)
            case "Fn::GetAtt":
                resource, _, name = (argument if isinstance(argument, str) else ".".join(argument)).partition(".")
                return self._get_attribute(resource, name)
            case "Fn::Equals":
                return str(argument[0]) == str(argument[1])
            case "Fn::Not":
                return not argument[0]
            case "Fn::And":
                return all(argument)
            case "Fn::Or":
                return any(argument)
            case "Fn::Join":
                return str(argument[0]).join(map(str, argument[1]))
            case "Fn::Select":
                return argument[1][int(argument[0])]
            case "Fn::Split":
                return argument[1].split(argument[0])
            case "Fn::GetAZs":
                return [f"{argument or self._refer('AWS::Region')}{zone}" for zone in "abc"]
        raise LookupError(f"{function} is not supported")

    def _refer(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in self._values:
            return self._values[name]
        self._require_resource(name)
        return self.reference(name)

    def _get_attribute(self, resource: str, name: str) -> Any:
        self._require_resource(resource)
        return self.attribute(resource, name)

    def _require_resource(self, name: str) -> None:
        _member(self.raw["Resources"], name, "resource or parameter")
        if not self.is_created(name):
            raise LookupError(f"{name} is referenced but not created under these parameters")

    def _find_in_map(self, mapping: Any, first: Any, second: Any, options: Mapping[str, Any] | None = None) -> Any:
        rows = _member(self.raw.get("Mappings", {}), self.value(mapping), "mapping")
        row, column = str(self.value(first)), str(self.value(second))
        if options is not None and column not in rows.get(row, {}):
            return self.value(options["DefaultValue"])
        return _member(_member(rows, row, "row"), column, "column")

    def _substitute(self, text: str, variables: Mapping[str, Any] | None = None) -> str:
        def replacement(match: re.Match[str]) -> str:
            name = match[1]
            if variables and name in variables:
                return str(self.value(variables[name]))
            return str(self._get_attribute(*name.split(".", 1)) if "." in name else self._refer(name))

        return _VARIABLE.sub(replacement, text).replace("${!", "${")


def expand_loops(template: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the template with every `Fn::ForEach` of its sections replaced by what the loop produces.

    A loop inside a resource or inside another loop raises LookupError, and so does a collection that is not a list.
    """
    return {name: _expanded(section) if _has_loop(section) else section for name, section in template.items()}


def _has_loop(section: Any) -> bool:
    return isinstance(section, Mapping) and any(name.startswith(_LOOP) for name in section)


def _expanded(section: Mapping[str, Any]) -> dict[str, Any]:
    expanded: dict[str, Any] = {}
    for name, definition in _definitions(section):
        if name in expanded:
            raise LookupError(f"{name} is defined twice")
        expanded[name] = definition
    return expanded


def _definitions(section: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in section.items():
        if not name.startswith(_LOOP):
            yield name, value
            continue
        identifier, items, fragment = value
        if not isinstance(items, list) or _has_loop(fragment):
            raise LookupError(f"{name} is a kind of loop that is not supported")
        for item in items:
            for key, definition in fragment.items():
                yield key.replace(f"${{{identifier}}}", item), _bind(definition, identifier, item)


def _bind(node: Any, identifier: str, item: str) -> Any:
    """Inserts a loop's item where CloudFormation does: in `Ref` and in the text of `Fn::Sub`, not in plain strings."""
    if isinstance(node, list):
        return [_bind(entry, identifier, item) for entry in node]
    if not isinstance(node, Mapping):
        return node
    if node == {"Ref": identifier}:
        return item
    bound = {name: _bind(value, identifier, item) for name, value in node.items()}
    if "Fn::Sub" in bound:
        text, *variables = [bound["Fn::Sub"]] if isinstance(bound["Fn::Sub"], str) else bound["Fn::Sub"]
        bound["Fn::Sub"] = [text.replace(f"${{{identifier}}}", item), *variables]
    return bound


def _member(mapping: Mapping[str, Any], name: str, kind: str) -> Any:
    if name not in mapping:
        raise LookupError(f"the template has no {kind} {name}")
    return mapping[name]
