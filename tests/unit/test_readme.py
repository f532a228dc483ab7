"""README and the pages in docs/ agree with the code, and with each other."""

import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import api.problems  # noqa: F401 - its errors belong to the tree
from darkroom.config import ENVIRONMENT_PREFIX, Settings
from darkroom.contracts.operations import Operation
from darkroom.errors import DarkroomError
from darkroom.media.types import MEDIA_TYPES
from darkroom.timeouts import BACKGROUND, INTERACTIVE
from localstack.settings import load
from tests.support.gateway import call
from tests.support.template import Template

ROOT = Path(__file__).parents[2]
DOCS = sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))
NAMES = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", *DOCS]

#: Words of README, counted as `wc -w` counts them.
MOST_WORDS = 1_800

pytestmark = pytest.mark.usefixtures("open_access")

#: Headings of docs/operations.md whose parameters several operations share.
SHARED = ("Cropping", "Image results")

#: Limits that a JSON Schema states.
LIMITS = (
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    *("minLength", "maxLength", "minItems", "maxItems"),
)

#: Paths of the repository in inline code.
PATH = re.compile(r"(?:api|docs|functions|layers|localstack|tests|tools)/[\w./-]*")


@cache
def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def without_code_blocks(name: str) -> str:
    return re.sub(r"^```.*?^```$", "", text(name), flags=re.DOTALL | re.MULTILINE)


@cache
def rows(name: str) -> list[list[str]]:
    """The cells of every table row of a page."""
    lines = [line for line in text(name).splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def row(name: str, first: str) -> list[str]:
    """The one row of a page that begins with a name in code."""
    (found,) = [cells for cells in rows(name) if f"`{first}`" in cells[0].split(", ")]
    return found


def errors(kind: type[DarkroomError] = DarkroomError) -> Iterator[type[DarkroomError]]:
    for child in kind.__subclasses__():
        yield child
        yield from errors(child)


#: The errors that clients can see. The base classes, and the signal that stops a run, have no code of their own.
CODES = {error.code: error for error in errors() if "code" in vars(error)}


def test_readme_is_short() -> None:
    assert len(text("README.md").split()) <= MOST_WORDS


def test_readme_leads_to_every_page() -> None:
    linked = {target for _, target in links("README.md")}

    assert [name for name in NAMES if name not in linked | {"README.md"}] == []


# Links, commands and paths --------------------------------------------------------------------------------------------


def links(name: str) -> list[tuple[str, str]]:
    """Text and target of every link within the repository."""
    found = re.findall(r"\[([^\]]*)\]\(([^)\s]+)\)", without_code_blocks(name))
    return [(words, target) for words, target in found if not target.startswith("http")]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as public forges make them."""
    headings = re.findall(r"^#+ (.+)$", without_code_blocks(str(page.relative_to(ROOT))), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    for words, target in links(name):
        path, _, anchor = target.partition("#")
        page = ((ROOT / name).parent / path).resolve() if path else ROOT / name
        assert page.exists(), f"[{words}]({target})"
        assert not anchor or anchor in anchors(page), f"[{words}]({target})"


@pytest.mark.parametrize("name", NAMES)
def test_make_commands_are_targets_of_the_makefile(name: str) -> None:
    code = re.findall(r"`(make [^`]*)`|^(make .*)$", text(name), re.MULTILINE)
    named = {match for parts in code for command in parts for match in re.findall(r"make ([a-z0-9]+)", command)}
    targets = set(re.findall(r"^([a-z0-9]+):.*## ", text("Makefile"), re.MULTILINE))

    assert named <= targets, f"no such targets: {sorted(named - targets)}"


@pytest.mark.parametrize("name", NAMES)
def test_modules_that_commands_run_exist(name: str) -> None:
    for module in re.findall(r"python3? -m ((?:localstack|tests|tools)[\w.]*)", text(name)):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module


@pytest.mark.parametrize("name", NAMES)
def test_paths_that_are_named_exist(name: str) -> None:
    inline = re.findall(r"`([^`\n]+)`", without_code_blocks(name))
    paths = [path for path in inline if PATH.fullmatch(path)]

    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("name", NAMES)
def test_no_path_of_a_machine_is_named(name: str) -> None:
    folders = [f"/{folder}/" for folder in ("home", "root", ROOT.resolve().parts[1])]

    assert [line for line in text(name).splitlines() if any(folder in line for folder in folders)] == []


# Operations -----------------------------------------------------------------------------------------------------------

OPERATIONS = "docs/operations.md"


def section(heading: str) -> str:
    """The part of docs/operations.md below one heading."""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text(OPERATIONS), re.DOTALL | re.MULTILINE)
    assert found, f"docs/operations.md has no section {heading}"
    return found[1]


def parameters(operation: Operation) -> dict[str, list[str]]:
    """The rows of an operation's parameters by name, those of the shared tables that it refers to included."""
    own = section(f"`{operation}`")
    linked = " ".join(own.split())
    shared = [section(heading) for heading in SHARED if f"(#{heading.lower().replace(' ', '-')})" in linked]
    lines = [line for part in (own, *shared) for line in part.splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    names = [found[0].strip("`") for found in cells]
    assert len(names) == len(set(names)), "a parameter is described twice"
    return dict(zip(names, cells, strict=True))


def parts_of(node: Any, definitions: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every schema within a schema, references followed."""
    if isinstance(node, list):
        for item in node:
            yield from parts_of(item, definitions)
    elif isinstance(node, dict):
        yield node
        if "$ref" in node:
            yield from parts_of(definitions[node["$ref"].rpartition("/")[2]], definitions)
        for value in node.values():
            yield from parts_of(value, definitions)


def choices(schema: dict[str, Any], definitions: dict[str, Any]) -> set[str]:
    """The values that a parameter can be chosen from."""
    found = parts_of(schema, definitions)
    return {
        str(value) for part in found for value in [*part.get("enum", []), *([part["const"]] if "const" in part else [])]
    }


def limits(schema: dict[str, Any], definitions: dict[str, Any]) -> set[str]:
    """The numbers that bound a parameter."""
    return {
        f"{part[name]:g}" if isinstance(part[name], float) else str(part[name])
        for part in parts_of(schema, definitions)
        for name in LIMITS
        if name in part
    }


@pytest.mark.parametrize("operation", Operation)
def test_readme_has_the_operation_in_one_line(operation: Operation) -> None:
    assert len(row("README.md", operation)) == 3


@cache
def published() -> dict[str, dict[str, Any]]:
    """The parameters of every operation as JSON Schema, as the API publishes them."""
    return {entry["name"]: entry["params"] for entry in call("GET", "/operations").json["operations"]}


@pytest.mark.parametrize("operation", Operation)
def test_every_parameter_of_the_operation_is_described(operation: Operation) -> None:
    assert sorted(parameters(operation)) == sorted(published()[operation]["properties"])


@pytest.mark.parametrize("operation", Operation)
def test_defaults_choices_and_limits_of_parameters_are_those_of_the_code(operation: Operation) -> None:
    definitions = published()[operation].get("$defs", {})
    for name, (_, values, default, meaning) in parameters(operation).items():
        schema = published()[operation]["properties"][name]
        stated = schema.get("default")
        written = stated if isinstance(stated, str) else json.dumps(stated)
        listed = re.findall(r"`([^`]+)`", f"{values} {meaning}")
        numbers = re.findall(r"-?\d+(?:\.\d+)?", f"{values} {meaning}".replace(",", ""))

        assert (default == "none") if stated is None else (f"`{written}`" in default), f"{name}: {written}"
        assert choices(schema, definitions) <= set(listed), name
        assert limits(schema, definitions) <= set(numbers), name


def test_every_type_that_is_read_is_listed() -> None:
    listed = re.findall(r"`(\w+/[\w-]+)`", section("Media that is read"))

    assert sorted(listed) == sorted(MEDIA_TYPES)


# Errors, routes and settings ------------------------------------------------------------------------------------------


def test_errors_are_those_of_the_code() -> None:
    listed = [
        found[1] for line in text("docs/errors.md").splitlines() if (found := re.match(r"\| `(\w+)` \| \d", line))
    ]

    assert len(CODES) > 25
    assert sorted(listed) == sorted(CODES)


@pytest.mark.parametrize("code", CODES)
def test_error_has_its_status(code: str) -> None:
    assert row("docs/errors.md", code)[1] == str(CODES[code].http_status)


def test_time_limits_are_those_of_the_code() -> None:
    names = {
        "connect_s": "connection",
        "storage_read_s": "response of S3, Lambda or the secret store",
        "storage_attempts": "attempts of such a request",
        "cache_s": "response of Redis",
        "broker_s": "request to RabbitMQ, with its connection",
        "pause_s": "pause after a failure, in which Redis or RabbitMQ is not tried",
    }
    described = {cells[0]: cells[1:] for cells in rows("docs/architecture.md") if cells[0] in names.values()}

    assert set(names) == set(asdict(INTERACTIVE))
    for name, limit in names.items():
        values = [str(getattr(timeouts, name)) for timeouts in (INTERACTIVE, BACKGROUND)]
        assert [cell.removesuffix(" s") for cell in described[limit]] == values, limit


def test_every_route_is_described() -> None:
    paths = call("GET", "/openapi.json").json["paths"]
    routes = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    listed = {cells[0].strip("`") for cells in rows("docs/api.md") if re.match(r"`[A-Z]+ /", cells[0])}

    assert listed == routes


def test_template_parameters_are_described_with_their_defaults() -> None:
    declared = Template().raw["Parameters"]
    described = {cells[0].strip("`"): cells[1].strip("`") for cells in rows("docs/configuration.md")}

    assert {name: described.get(name) for name in declared} == {
        name: str(spec["Default"]) or "empty" for name, spec in declared.items()
    }


def test_variables_of_the_local_stack_are_described() -> None:
    for name, default in load({}).environment().items():
        stated = row("docs/configuration.md", name)[1].strip("`")
        assert stated in (default or "empty", "number of cores"), name


def test_variables_of_functions_that_no_parameter_sets_are_described_with_their_defaults() -> None:
    template = Template()
    set_by_template = {
        name
        for function in template.functions
        for name in template.complete_function(function)["Environment"]["Variables"]
    }
    for name, field in Settings.__dataclass_fields__.items():
        variable = ENVIRONMENT_PREFIX + name.upper()
        if variable not in set_by_template:
            assert row("docs/configuration.md", variable)[1] == f"`{field.default}`", variable


def test_diagrams_are_of_kinds_that_public_forges_draw() -> None:
    kinds = {found for name in NAMES for found in re.findall(r"^```mermaid\n(\w+)", text(name), re.MULTILINE)}

    assert kinds == {"flowchart", "sequenceDiagram"}
