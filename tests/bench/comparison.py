"""Measures Darkroom and the baseline in turn, so that other load on the machine affects both alike."""

import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tests.bench.workloads import Case

#: Jobs per turn and turns: 30 jobs each, one after another.
TURN = 10
TURNS = 3

#: Jobs before anything counts, enough for every process that will work to have started.
WARM_UP = 12

#: Seconds after the last job in which parts finish what no client waits for, such as their logs.
_AFTERMATH_S = 0.3


class Contestant(Protocol):
    """Who is measured."""

    name: str

    def one_by_one(self, case: Case, count: int) -> list[float]: ...

    def at_once(self, case: Case, count: int) -> float: ...

    def processor_seconds(self) -> Counter[str]: ...


@dataclass
class Figures:
    """What was measured of one contestant in one case. `processor` is of the jobs at once."""

    latencies_s: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    processor_s: Counter[str] = field(default_factory=Counter)
    jobs: int = 0

    @property
    def p50_ms(self) -> float:
        return statistics.median(self.latencies_s) * 1000

    @property
    def p95_ms(self) -> float:
        return statistics.quantiles(self.latencies_s, n=20, method="inclusive")[-1] * 1000

    @property
    def rate(self) -> float:
        """Jobs a second."""
        return statistics.median(self.rates)

    def processor_ms(self) -> dict[str, float]:
        """Milliseconds on the processor per job, by part, the largest first."""
        return {part: seconds * 1000 / self.jobs for part, seconds in self.processor_s.most_common() if seconds > 0}


def compare(cases: Sequence[Case], contestants: Sequence[Contestant], turns: int) -> None:
    """Measures and prints: a table, a row as soon as it is there, and where the processor time went."""
    print(
        f"\nOne job after another ({turns * TURN}): ms from submitted to completed. 100 at once: jobs a second, median "
        f"of {turns} times, and ms on the processor per job, all parts together. Turn by turn.\n"
    )
    _row(
        "operation",
        *(f"{each.name} {what}" for each in contestants for what in ("p50 / p95", "jobs/s", "CPU")),
        *_ratios(contestants),
    )
    _row("---", *["---:"] * (3 * len(contestants) + len(_ratios(contestants))))
    measured = {}
    for case in cases:
        measured[case.operation] = figures = _measure(case, contestants, turns)
        _row(case.operation + ("" if case.at_once == 100 else f" ({case.at_once} at once)"), *_cells(figures))
    _print_parts(measured, contestants)


def _ratios(contestants: Sequence[Contestant]) -> list[str]:
    return ["p50 ratio", "jobs/s ratio", "CPU ratio"] if len(contestants) == 2 else []


def _row(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


def _measure(case: Case, contestants: Sequence[Contestant], turns: int) -> list[Figures]:
    for contestant in contestants:
        contestant.at_once(case, min(WARM_UP, case.at_once))
    figures = [Figures() for _ in contestants]
    for _ in range(turns):
        for contestant, own in zip(contestants, figures, strict=True):
            own.latencies_s += contestant.one_by_one(case, TURN)
        for contestant, own in zip(contestants, figures, strict=True):
            _throw_in(case, contestant, own)
    return figures


def _throw_in(case: Case, contestant: Contestant, figures: Figures) -> None:
    time.sleep(_AFTERMATH_S)
    before = contestant.processor_seconds()
    figures.rates.append(case.at_once / contestant.at_once(case, case.at_once))
    time.sleep(_AFTERMATH_S)
    figures.processor_s += contestant.processor_seconds() - before
    figures.jobs += case.at_once


def _cells(figures: Sequence[Figures]) -> list[str]:
    cells = []
    for own in figures:
        cells += [f"{own.p50_ms:.0f} / {own.p95_ms:.0f}", f"{own.rate:.1f}", f"{_total_ms(own):.0f}"]
    if len(figures) == 2:
        one, other = figures
        pairs = ((one.p50_ms, other.p50_ms), (one.rate, other.rate), (_total_ms(one), _total_ms(other)))
        cells += [f"{own / others:.2f}" for own, others in pairs]
    return cells


def _total_ms(figures: Figures) -> float:
    return sum(figures.processor_ms().values())


def _print_parts(measured: dict[str, list[Figures]], contestants: Sequence[Contestant]) -> None:
    print("\nMilliseconds on the processor per job, by part, of the jobs at once:\n")
    for operation, figures in measured.items():
        for contestant, own in zip(contestants, figures, strict=True):
            parts = ", ".join(f"{part} {spent:.1f}" for part, spent in own.processor_ms().items())
            print(f"- {operation}, {contestant.name}: {parts}")
