"""The report of a chaos run: its jobs and faults, and every problem that the audit found."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.faults.kinds import InjectedFault

LOST = "lost jobs"
STUCK = "stuck jobs"
DOUBLE = "jobs with several results"
CONTRADICTIONS = "contradictions between responses"
OUTPUTS = "bad outputs"
FAILURES = "good jobs that failed"
RESPONSES = "responses: 5xx other than 503, or too slow"
PROMISES = "what a fault stopped that it must not stop"
CURSOR = "cursor of sweep that went back"
SLOTS = "slots over the limit or of ended jobs"
INDEX = "open jobs outside the index"
INVOCATIONS = "failed invocations that no fault explains"
RETRIES = "retries too early or too late"
ORPHANS = "orphaned objects"
LEFTOVERS = "slots, entries, messages, processes left"

CATEGORIES = (
    *(LOST, STUCK, DOUBLE, CONTRADICTIONS, OUTPUTS, FAILURES, RESPONSES, PROMISES),
    *(CURSOR, SLOTS, INDEX, INVOCATIONS, RETRIES, ORPHANS, LEFTOVERS),
)

#: Problems printed per category.
_SHOWN = 12


@dataclass
class Report:
    """Counts of a run, and problems by category. A run without problems has passed.

    `recovery_s` is, by kind of fault, the longest time from a fault to the end of a job that was open during it.
    """

    jobs: Counter[str] = field(default_factory=Counter)
    faults: list[InjectedFault] = field(default_factory=list)
    results: Counter[str] = field(default_factory=Counter)
    attempts: Counter[int] = field(default_factory=Counter)
    recovery_s: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    traffic: list[str] = field(default_factory=list)
    seconds: float = 0.0

    #: Problems by category. A category without any is listed as well.
    problems: dict[str, list[str]] = field(default_factory=lambda: {category: [] for category in CATEGORIES})

    def add(self, category: str, problems: list[str]) -> None:
        """Adds problems to one of CATEGORIES."""
        self.problems[category] += problems

    @property
    def failed(self) -> bool:
        """Whether there is any problem."""
        return any(self.problems.values())

    def print(self) -> None:
        """Prints the counts, then the problems."""
        print(f"\n{sum(self.jobs.values())} jobs ({_list(self.jobs)}) in {self.seconds:.0f} s")
        print(f"  results: {_list(self.results)}; attempts: {_list(self.attempts)}")
        kinds = Counter(fault.kind for fault in self.faults)
        print(f"{len(self.faults)} faults, with the longest time until a job that was open at the fault ended:")
        for kind, count in sorted(kinds.items()):
            recovery = f"{self.recovery_s[kind]:6.1f} s" if self.recovery_s.get(kind) else "no open job"
            print(f"  {count:4} {kind:42} {recovery}")
        for note in self.notes:
            print(f"  {note}")
        for line in self.traffic:
            print(f"  {line}")
        for title, problems in self.problems.items():
            print(f"{title:46} {len(problems)}")
            for problem in problems[:_SHOWN]:
                print(f"    {problem}")
        print("FAILED" if self.failed else "passed", flush=True)


def _list(counts: Counter[Any]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=str))
