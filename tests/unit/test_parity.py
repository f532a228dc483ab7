"""Every operation in the registry needs a folder, template resources and tests. These tests name what is missing."""

import ast
from pathlib import Path

import pytest

from darkroom.contracts.operations import Operation
from tests.support.code import modules
from tests.support.template import Template

ROOT = Path(__file__).parents[2]

#: The functions around the operations.
AROUND = {"authorize", "ingest", "dispatch", "settle", "sweep", "topology"}


def camel(word: str) -> str:
    return "".join(part.capitalize() for part in word.split("_"))


def gaps(operation: str, root: Path, template: Template) -> list[str]:
    """What is missing for an operation, one sentence each."""
    function, mapping = f"{camel(operation)}Function", f"{camel(operation)}Mapping"
    found = {
        f"functions/{operation}/app.py is missing: it holds the operation's code and its handler.": (
            root / "functions" / operation / "app.py"
        ).is_file(),
        f"template.yaml has no {function}: the Lambda function that runs the operation.": function
        in template.functions,
        f"template.yaml has no {mapping}: it feeds the queue darkroom.{operation} to dispatch.": mapping
        in template.resources,
        f"tests/unit/test_{operation}.py is missing: it tests the operation.": (
            root / "tests" / "unit" / f"test_{operation}.py"
        ).is_file(),
        f"tests/events/{operation}.json is missing: an event to invoke the function with.": (
            root / "tests" / "events" / f"{operation}.json"
        ).is_file(),
    }
    return [sentence for sentence, exists in found.items() if not exists]


@pytest.mark.parametrize("operation", Operation)
def test_operation_is_complete(operation: Operation) -> None:
    assert gaps(operation, ROOT, Template()) == []


def test_missing_parts_of_a_new_operation_are_listed_as_sentences() -> None:
    sentences = gaps("sharpen", ROOT, Template())

    assert [sentence.split()[0] for sentence in sentences] == [
        "functions/sharpen/app.py",
        "template.yaml",
        "template.yaml",
        "tests/unit/test_sharpen.py",
        "tests/events/sharpen.json",
    ]
    assert all(sentence.endswith(".") for sentence in sentences)


@pytest.mark.parametrize("operation", Operation)
def test_handler_is_bound_to_the_function_with_the_name_of_the_operation(operation: Operation) -> None:
    tree = modules()[f"functions.{operation}.app"].tree
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    bindings = [ast.unparse(node.value) for node in tree.body if isinstance(node, ast.Assign) and is_handler(node)]

    assert operation in functions
    assert bindings == [f"bind(Operation.{operation.name}, {operation})"]


def is_handler(node: ast.Assign) -> bool:
    return ast.unparse(node.targets[0]) == "handler"


@pytest.mark.parametrize("operation", Operation)
def test_operation_has_a_summary_and_a_parameter_model_with_its_name_and_valid_examples(operation: Operation) -> None:
    model = operation.params
    examples = model.model_json_schema()["examples"]

    assert operation.name == operation.upper()
    assert model.__name__ == f"{camel(operation)}Params"
    assert operation.summary.endswith(".")
    assert [model.model_validate(example) for example in examples]


def test_every_folder_mapping_and_function_is_known() -> None:
    folders = {path.name for path in (ROOT / "functions").iterdir() if path.is_dir() and path.name != "__pycache__"}
    queues = {name.removesuffix("Mapping") for name in Template().resources if name.endswith("Mapping")}
    functions = {name.removesuffix("Function") for name in Template().functions}

    assert folders == set(Operation) | AROUND
    assert queues == {camel(operation) for operation in Operation} | {"Dead"}
    assert functions == {camel(word) for word in {*Operation, *AROUND, "api"}}
