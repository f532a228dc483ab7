"""The source code as syntax trees: what imports what and what calls what, without importing anything."""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).parents[2]

#: The folder of each package, relative to the repository.
PACKAGES = {
    "darkroom": "layers/core/darkroom",
    "api": "api",
    "functions": "functions",
    "localstack": "localstack",
    "tools": "tools",
}

#: The name for the statements of a module that define nothing and run at import.
IMPORTING = "<import>"

Node = tuple[str, str]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Module:
    """One module. `name` is dotted, as in an import."""

    name: str
    path: Path

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text(), str(self.path))

    @cached_property
    def imports(self) -> set[str]:
        """Every module that it imports, also inside functions. `from api import lookup` counts as `api.lookup`."""
        found: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.name} has a relative import; use an absolute one"
                found |= {_imported(node.module or "", alias.name) for alias in node.names}
        return found

    @cached_property
    def aliases(self) -> dict[str, Node]:
        """What each imported name refers to: a module (then the name in it is empty) or a name in a module."""
        found: dict[str, Node] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    module = f"{node.module}.{alias.name}"
                    target = (module, "") if module in modules() else (node.module, alias.name)
                    found[alias.asname or alias.name] = target
        return found

    @cached_property
    def definitions(self) -> dict[str, list[ast.stmt]]:
        """The statements that define each top-level name; all others are under IMPORTING."""
        found: dict[str, list[ast.stmt]] = {IMPORTING: []}
        for statement in self.tree.body:
            for name in _names(statement) or [IMPORTING]:
                found.setdefault(name, []).append(statement)
        return found

    @cached_property
    def references(self) -> dict[str, set[Node]]:
        """For each top-level name, every name of ours that its statements mention."""
        return {name: set(self._mentioned(statements)) for name, statements in self.definitions.items()}

    @cached_property
    def called_at_import(self) -> set[str]:
        """The last name of every call that runs at import, so not those in the bodies of functions."""
        return {name for statement in self.tree.body for name in _called(statement)}

    def _mentioned(self, statements: list[ast.stmt]) -> Iterator[Node]:
        for node in (node for statement in statements for node in ast.walk(statement)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                module, name = self.aliases.get(node.value.id, ("", "?"))
                if module in modules() and not name:
                    yield module, node.attr
            if isinstance(node, ast.Name):
                if node.id in self.aliases:
                    yield self.aliases[node.id]
                elif node.id in self.definitions:
                    yield self.name, node.id


def _imported(module: str, name: str) -> str:
    return f"{module}.{name}" if f"{module}.{name}" in modules() else module


def _called(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Lambda):
        return
    if isinstance(node, ast.Call):
        yield node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    skipped = node.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else []
    for child in ast.iter_child_nodes(node):
        if child not in skipped:
            yield from _called(child)


def _names(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, ast.Assign):
        return [target.id for target in statement.targets if isinstance(target, ast.Name)]
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return [statement.target.id]
    return []


@lru_cache(maxsize=1)
def modules() -> dict[str, Module]:
    """Every module of ours by name."""
    found: dict[str, Module] = {}
    for package, folder in PACKAGES.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            name = ".".join([package, *(part for part in parts if part != "__init__")])
            found[name] = Module(name, path)
    return found


def in_package(package: str) -> dict[str, Module]:
    """The modules of one package by name."""
    return {name: module for name, module in modules().items() if name.split(".")[0] == package}


def reachable_modules(*starts: str) -> set[str]:
    """The modules of ours that are loaded with these, themselves included."""
    return _closure(set(starts), lambda name: {found for found in modules()[name].imports if found in modules()})


def reachable(starts: set[Node]) -> set[Node]:
    """Every name of ours that may be used when these are. A mention counts as a call, so it may be too many."""
    return _closure(starts, lambda node: modules()[node[0]].references.get(node[1], set()) & _known())


@lru_cache(maxsize=1)
def _known() -> set[Node]:
    return {(name, definition) for name, module in modules().items() for definition in module.definitions}


def _closure(starts: set[Item], follow: Callable[[Item], set[Item]]) -> set[Item]:
    seen, waiting = set[Item](), list(starts)
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            waiting.extend(follow(node))
    return seen
