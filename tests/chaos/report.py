"""The report of a chaos run: its jobs and faults, and every problem that the audit found."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.faults import InjectedFault

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
    seconds: float = 0.0

    lost: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    double_results: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)

    @property
    def problems(self) -> dict[str, list[str]]:
        """Problems by the title of their category."""
        return {
            "lost jobs": self.lost,
            "stuck jobs": self.stuck,
            "jobs with several results": self.double_results,
            "contradictions, bad outputs, errors": self.errors,
            "orphaned objects": self.orphans,
            "slots, entries, messages, processes left": self.leftovers,
        }

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
            print(f"  {count:4} {kind:30} {recovery}")
        for note in self.notes:
            print(f"  {note}")
        for title, problems in self.problems.items():
            print(f"{title:42} {len(problems)}")
            for problem in problems[:_SHOWN]:
                print(f"    {problem}")
        print("FAILED" if self.failed else "passed", flush=True)


def _list(counts: Counter[Any]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=str))
