"""Names and sizes: a public name has one meaning, in the words of the glossary, and a file can be read in one go."""

import ast
import re
from pathlib import Path

import pytest

from tests.support.code import ROOT, shipped_modules

#: Names that several modules define: Lambda calls `handler`, `spawn_python` calls `main`, and the API has many routers.
REPEATED_NAMES = {"handler", "router", "main"}

#: Words that the glossary replaces, by the word to use instead.
REPLACED_WORDS = {
    "colour": "color",
    "film": "video",
    "picture": "image or frame",
    "sound": "audio",
    "rival": "baseline",
    "ending": "result",
}

#: Names that stay, because clients read them in the document of video_metadata.
FIXED_NAMES = {"attached_picture"}

#: The most lines of a file. A longer one gives its reason in a line that starts with LENGTH_REASON.
MAX_LINES = 350
LENGTH_REASON = "Longer than 350 lines:"

FOLDERS = ("api", "functions", "layers", "localstack", "tools", "tests")


def sources(*patterns: str) -> list[Path]:
    """The files of this repository that match one of the patterns."""
    return [path for folder in FOLDERS for pattern in patterns for path in sorted((ROOT / folder).rglob(pattern))]


def defined_names(path: Path) -> set[str]:
    """The functions, classes, parameters and variables that a Python file defines."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


def words(name: str) -> set[str]:
    """The words of a name, in snake case or camel case, in lower case and without a plural's s."""
    parts = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)
    return {part.lower().removesuffix("s") for part in parts}


def test_public_name_is_defined_in_one_module() -> None:
    modules_of: dict[str, set[str]] = {}
    for name, module in shipped_modules().items():
        for definition in module.definitions:
            modules_of.setdefault(definition, set()).add(name)

    public = {name for name in modules_of if not name.startswith(("_", "<"))} - REPEATED_NAMES
    repeated = {name: sorted(modules_of[name]) for name in sorted(public) if len(modules_of[name]) > 1}
    assert not repeated, "give each public name to one module, so that a search finds it"


@pytest.mark.parametrize("word", REPLACED_WORDS)
def test_names_use_the_word_of_the_glossary(word: str) -> None:
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources("*.py")
        for name in defined_names(path) - FIXED_NAMES
        if word in words(name)
    }

    assert not found, f"use {REPLACED_WORDS[word]}"


def test_file_is_short_or_gives_its_reason() -> None:
    texts = {str(path.relative_to(ROOT)): path.read_text() for path in sources("*.py", "*.lua")}
    lengths = {path: len(text.splitlines()) for path, text in texts.items() if LENGTH_REASON not in text}
    long = {path: lines for path, lines in lengths.items() if lines > MAX_LINES}

    assert not long, f"split it by subject, or give the reason in a line that starts with '{LENGTH_REASON}'"
