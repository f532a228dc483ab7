"""One word names an operation everywhere. Whoever adds one finds here what is still missing."""

import ast
from pathlib import Path

import pytest
from pydantic import BaseModel

from darkroom.contracts import operations
from darkroom.contracts.operations import Operation
from tests.code import modules
from tests.template import Template

ROOT = Path(__file__).parents[2]
AROUND = {"ingest", "dispatch", "settle", "sweep", "topology"}


def camel(word: str) -> str:
    return "".join(part.capitalize() for part in word.split("_"))


@pytest.mark.parametrize("operation", Operation)
def test_operation_has_everything_under_its_name(operation: Operation) -> None:
    wanted = [
        ROOT / "functions" / operation / "app.py",
        ROOT / "tests" / "unit" / f"test_{operation}.py",
        ROOT / "tests" / "events" / f"{operation}.json",
    ]

    assert not [str(path.relative_to(ROOT)) for path in wanted if not path.is_file()]
    assert f"{camel(operation)}Function" in Template().functions
    assert f"{camel(operation)}Mapping" in Template().resources
    assert operation in operations.ACCEPTS
    assert operation in operations.PARAMS


@pytest.mark.parametrize("operation", Operation)
def test_operation_is_a_function_of_its_name_bound_to_its_name(operation: Operation) -> None:
    tree = modules()[f"functions.{operation}.app"].tree
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    bindings = [ast.unparse(node.value) for node in tree.body if isinstance(node, ast.Assign) and is_handler(node)]

    assert operation in functions
    assert bindings == [f"bind(Operation.{operation.name}, {operation})"]


def is_handler(node: ast.Assign) -> bool:
    return ast.unparse(node.targets[0]) == "handler"


@pytest.mark.parametrize("operation", Operation)
def test_operation_has_parameters_with_an_example_that_they_accept(operation: Operation) -> None:
    model = operations.PARAMS[operation]
    examples = model.model_json_schema()["examples"]

    assert issubclass(model, BaseModel)
    assert model.__name__ == f"{camel(operation)}Params"
    assert [model.model_validate(example) for example in examples]


def test_nothing_is_left_of_an_operation_that_is_gone() -> None:
    folders = {path.name for path in (ROOT / "functions").iterdir() if path.is_dir() and path.name != "__pycache__"}
    queues = {name.removesuffix("Mapping") for name in Template().resources if name.endswith("Mapping")}
    functions = {name.removesuffix("Function") for name in Template().functions}

    assert folders == set(Operation) | AROUND
    assert queues == {camel(operation) for operation in Operation} | {"Dead"}
    assert functions == {camel(word) for word in {*Operation, *AROUND, "api"}}
    assert set(operations.ACCEPTS) == set(operations.PARAMS) == set(Operation)
