"""Runs hostile images through every image operation and prints the counts by kind and outcome.

    python -m tests.hostile.images --mutants 5000      as in `make hostile`

The images are bombs, false headers, scripts, polyglots, truncated files and mutants.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.hostile.canary import watch_canary
from tests.hostile.image_headers import bombs, false_headers
from tests.hostile.image_mutants import mutants, truncated_files
from tests.hostile.image_runner import Outcome, Runner, table
from tests.hostile.image_samples import HostileImage, valid_images
from tests.hostile.image_scripts import polyglots, scripts
from tests.media.make_images import MEDIA

#: Files that are processed at the same time.
PROCESSES = 2


def corpus(canary_file: str, canary_url: str, mutant_count: int, seed: int = 1) -> Iterator[HostileImage]:
    """All files. The valid ones come first: if they are not read, the outcomes of the others mean nothing."""
    for name, content in valid_images().items():
        yield HostileImage("valid", name, content, may_pass=True)
    yield from bombs()
    yield from false_headers()
    yield from scripts(canary_file, canary_url)
    yield from polyglots()
    yield from truncated_files()
    yield from mutants(mutant_count, seed)


def run(mutant_count: int, seed: int, folder: Path, canary: tuple[str, str]) -> list[tuple[HostileImage, Outcome]]:
    """Every file through every operation, in processes that may crash; `canary` is a path and a URL."""
    files = list(corpus(*canary, mutant_count, seed))

    def work(share: int) -> list[tuple[HostileImage, Outcome]]:
        own = folder / str(share)
        own.mkdir()
        with Runner(own) as runner:
            return [(file, runner.run(file.name, file.content)) for file in files[share::PROCESSES]]

    with ThreadPoolExecutor(PROCESSES) as executor:
        return [result for results in executor.map(work, range(PROCESSES)) for result in results]


def find_defects(results: list[tuple[HostileImage, Outcome]]) -> list[str]:
    """Defects of operations, and files that are not valid images but passed."""
    found = [f"{file.kind} {file.name}: {outcome.defect}" for file, outcome in results if outcome.defect]
    passed = [file for file, outcome in results if outcome.codes[:1] == ("made",) and not file.may_pass]
    return found + [f"{file.kind} {file.name}: it passed" for file in passed]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.hostile.images",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--mutants", type=int, default=5000, help="number of mutants (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the mutants (default: %(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, watch_canary(MEDIA / "rocket.jpg", Path(folder)) as watched:
        results = run(arguments.mutants, arguments.seed, Path(folder), (str(watched.file), watched.url))
        defects = find_defects(results) + watched.accesses()
    sys.stdout.write(table([(file.kind, outcome) for file, outcome in results]))
    sys.stdout.write("".join(f"{line}\n" for line in defects))
    return 1 if defects else 0


if __name__ == "__main__":
    sys.exit(main())
