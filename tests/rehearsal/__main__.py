"""Compares the IAM policies of template.yaml with the calls that functions made while end-to-end tests and chaos ran.

    python -m tests.rehearsal

Prints the table of statements with the calls that use them, and writes it to `.darkroom/calls/statements.txt`. Fails
when a call would be refused on AWS for one of the ways to deploy the template, and when nothing was recorded.
"""

import sys
from collections import Counter

from localstack.settings import CALLS, load
from tests.rehearsal import calls, table


def main() -> int:
    """The command; returns its exit code."""
    directory = load().home / CALLS
    paths = sorted(directory.glob("*.jsonl"))
    recorded = sum((calls.read(path, path.stem) for path in paths), Counter[calls.Call]())
    if not recorded:
        print(f"No calls are recorded in {directory}: run make e2e first.", file=sys.stderr)
        return 1
    text = "\n".join(table.lines(table.permissions(recorded)))
    (directory / "statements.txt").write_text(f"{text}\n")
    print(f"{recorded.total()} calls of {', '.join(path.stem for path in paths)}\n\n{text}")
    problems = calls.problems(recorded)
    if problems:
        print("\nOn AWS these calls would be refused:", *problems, sep="\n  ", file=sys.stderr)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
