"""CPU time of importing each function and the API in a fresh interpreter, which every cold start pays.

    python -m tests.bench.import_times --against <checkout>     this checkout beside another one
    python -m tests.bench imports                               the built artifacts

A function's libraries are the third-party modules that its import loads. They are also imported alone, which is the
least that the function can take. Each round measures everything once, so that other load affects all columns equally.
Modules come from bytecode, as in the layers.
"""

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from localstack.settings import ROOT
from tests.support.template import Template

#: Fresh interpreters per figure.
ROUNDS = 15

#: The layers with Python packages, below the build directory.
_LAYERS = ("CoreLayer/python", "ImagingLayer/python")

#: Top-level packages of this repository.
_OWN = ("api", "darkroom", "functions")

#: Imports modules and prints the CPU milliseconds that this took.
_TIMED = """
import sys, time
from importlib import import_module
names = sys.argv[1:]
started = time.process_time()
for name in names:
    import_module(name)
print((time.process_time() - started) * 1000)
"""

#: Prints the third-party modules that importing a module loads, in the order in which their imports start. sys.modules
#: has them in the order in which they end, in which modules that import each other could not be imported.
_LOADED = """
import sys
from importlib import import_module
class Recorder:
    names = []
    def find_spec(self, name, path=None, target=None):
        self.names.append(name)
sys.meta_path.insert(0, Recorder())
import_module(sys.argv[1])
own = set(sys.argv[2:]) | sys.stdlib_module_names
print(*(name for name in dict.fromkeys(Recorder.names) if name in sys.modules and name.partition(".")[0] not in own))
"""


@dataclass(frozen=True)
class Subject:
    """Modules to import, and the directories that they are found in."""

    modules: tuple[str, ...]
    path: tuple[Path, ...]


class Interpreter:
    """Starts fresh interpreters that share bytecode."""

    def __init__(self, python: Path, bytecode: Path) -> None:
        self._python = python
        self._environment = {"PATH": os.defpath, "PYTHONPYCACHEPREFIX": str(bytecode)}

    def import_ms(self, subject: Subject) -> float:
        """CPU milliseconds of importing the subject's modules in one fresh interpreter."""
        return float(self._run(_TIMED, subject.modules, subject.path))

    def libraries(self, subject: Subject) -> Subject:
        """The third-party modules that importing the subject loads."""
        return Subject(tuple(self._run(_LOADED, (*subject.modules, *_OWN), subject.path).split()), subject.path)

    def _run(self, code: str, arguments: Sequence[str], path: Sequence[Path]) -> str:
        environment = self._environment | {"PYTHONPATH": os.pathsep.join(map(str, path))}
        # -P: modules must not come from the current directory, which is this checkout.
        argv = [str(self._python), "-P", "-c", code, *arguments]
        return subprocess.run(argv, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def in_checkout(root: Path) -> dict[str, Subject]:
    """The API and every function of a checkout, by name."""
    path = (root, root / "layers" / "core")
    functions = sorted(app.parent.name for app in root.glob("functions/*/app.py"))
    handlers = {"api": "api.main"} | {name: f"functions.{name}.app" for name in functions}
    return {name: Subject((module,), path) for name, module in handlers.items()}


def in_build(build: Path) -> dict[str, Subject]:
    """The artifact of every function, with the layers, by name."""
    layers = tuple(build / layer for layer in _LAYERS)
    return {
        name: Subject((resource["Handler"].rpartition(".")[0],), (build / name, *layers))
        for name, resource in Template().functions.items()
    }


def report(python: Path, build: Path, rounds: int = ROUNDS) -> None:
    """Prints the table of built artifacts, imported with `python`."""
    _report(python, {"import": in_build(build)}, rounds)


def compare(python: Path, other: Path, rounds: int = ROUNDS) -> None:
    """Prints the table of this checkout and another one, imported with `python`."""
    _report(python, {"here": in_checkout(ROOT), "there": in_checkout(other)}, rounds)


def _report(python: Path, trees: dict[str, dict[str, Subject]], rounds: int) -> None:
    """Prints a row for each function that the first tree has. Every tree is one column."""
    print(f"\nImport in a fresh interpreter, CPU milliseconds, median of {rounds}.\n")
    here, *others = trees
    ratios = [f"{here} / {other}" for other in others] + [f"{here} / libraries"]
    print(f"| function | {' | '.join([*trees, 'libraries', *ratios])} |")
    print("|---|" + "---:|" * (len(trees) + 1 + len(ratios)))
    with TemporaryDirectory() as bytecode:
        interpreter = Interpreter(python, Path(bytecode))
        for name, subject in trees[here].items():
            columns = [tree[name] for tree in trees.values() if name in tree]
            if len(columns) < len(trees):
                continue  # added or removed: there is nothing to compare
            figures = _measure(interpreter, [*columns, interpreter.libraries(subject)], rounds)
            cells = [f"{milliseconds:.0f}" for milliseconds in figures]
            cells += [f"{figures[0] / other:.2f}" for other in figures[1:]]
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


def _measure(interpreter: Interpreter, subjects: Sequence[Subject], rounds: int) -> list[float]:
    for subject in subjects:
        interpreter.import_ms(subject)  # writes the bytecode
    times = [[interpreter.import_ms(subject) for subject in subjects] for _ in range(rounds)]
    return [statistics.median(column) for column in zip(*times, strict=True)]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.import_times",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--against", type=Path, required=True, help="the root of another checkout")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="interpreters per figure (default: %(default)s)")
    arguments = parser.parse_args()
    compare(Path(sys.executable), arguments.against.absolute(), arguments.rounds)


if __name__ == "__main__":
    main()
