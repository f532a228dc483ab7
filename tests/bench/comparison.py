"""Measures Darkroom and the baseline in turn, so that other load on the machine affects both equally."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tests.bench import cpu_time
from tests.bench.workloads import Workload

#: Sequential jobs per round, and rounds.
ROUND_JOBS = 10
ROUNDS = 3

#: Jobs before the measurement: enough to start every worker process.
WARM_UP_JOBS = 12

#: Seconds after the last job in which services finish work that no client waits for, such as logging.
_SETTLE_S = 0.3


class Service(Protocol):
    """A service that can be measured."""

    name: str

    def sequential(self, workload: Workload, count: int) -> list[float]: ...

    def concurrent(self, workload: Workload, count: int) -> float: ...

    def cpu_seconds(self) -> cpu_time.Seconds: ...


@dataclass
class Figures:
    """The measurements of one service on one workload: latencies of sequential jobs, the rest of concurrent ones."""

    latencies_s: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    cpu_s: cpu_time.Seconds = field(default_factory=dict)
    jobs: int = 0

    @property
    def p50_ms(self) -> float:
        return statistics.median(self.latencies_s) * 1000

    @property
    def p95_ms(self) -> float:
        return statistics.quantiles(self.latencies_s, n=20, method="inclusive")[-1] * 1000

    @property
    def rate(self) -> float:
        """Jobs per second."""
        return statistics.median(self.rates)

    def cpu_ms(self) -> dict[str, float]:
        """CPU milliseconds per job, by process, largest first."""
        used = sorted(self.cpu_s.items(), key=lambda item: -item[1])
        return {name: seconds * 1000 / self.jobs for name, seconds in used if seconds > 0}

    @property
    def total_cpu_ms(self) -> float:
        return sum(self.cpu_ms().values())


def compare(workloads: Sequence[Workload], services: Sequence[Service], rounds: int) -> None:
    """Measures, and prints a table row by row, then the CPU time of each process."""
    print(
        f"\np50 / p95: milliseconds from submitting a job until it has completed, {rounds * ROUND_JOBS} sequential "
        f"jobs. jobs/s: 100 concurrent jobs, median of {rounds} rounds. CPU: milliseconds per concurrent job, all "
        "processes.\n"
    )
    _print_row(
        "operation",
        *(f"{each.name} {figure}" for each in services for figure in ("p50 / p95", "jobs/s", "CPU")),
        *_ratio_titles(services),
    )
    _print_row("---", *["---:"] * (3 * len(services) + len(_ratio_titles(services))))
    measured = {}
    for workload in workloads:
        measured[workload.operation] = figures = _measure(workload, services, rounds)
        note = "" if workload.concurrent == 100 else f" ({workload.concurrent} concurrent)"
        _print_row(workload.operation + note, *_cells(figures))
    _print_processes(measured, services)


def _ratio_titles(services: Sequence[Service]) -> list[str]:
    return ["p50 ratio", "jobs/s ratio", "CPU ratio"] if len(services) == 2 else []


def _print_row(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


def _measure(workload: Workload, services: Sequence[Service], rounds: int) -> list[Figures]:
    for service in services:
        service.concurrent(workload, min(WARM_UP_JOBS, workload.concurrent))
    figures = [Figures() for _ in services]
    for _ in range(rounds):
        for service, own in zip(services, figures, strict=True):
            own.latencies_s += service.sequential(workload, ROUND_JOBS)
        for service, own in zip(services, figures, strict=True):
            _measure_concurrent(workload, service, own)
    return figures


def _measure_concurrent(workload: Workload, service: Service, figures: Figures) -> None:
    time.sleep(_SETTLE_S)
    before = service.cpu_seconds()
    figures.rates.append(workload.concurrent / service.concurrent(workload, workload.concurrent))
    time.sleep(_SETTLE_S)
    cpu_time.add(figures.cpu_s, cpu_time.difference(service.cpu_seconds(), before))
    figures.jobs += workload.concurrent


def _cells(figures: Sequence[Figures]) -> list[str]:
    cells = []
    for own in figures:
        cells += [f"{own.p50_ms:.0f} / {own.p95_ms:.0f}", f"{own.rate:.1f}", f"{own.total_cpu_ms:.0f}"]
    if len(figures) == 2:
        ours, theirs = figures
        pairs = ((ours.p50_ms, theirs.p50_ms), (ours.rate, theirs.rate), (ours.total_cpu_ms, theirs.total_cpu_ms))
        cells += [f"{own / other:.2f}" for own, other in pairs]
    return cells


def _print_processes(measured: dict[str, list[Figures]], services: Sequence[Service]) -> None:
    print("\nCPU milliseconds per concurrent job, by process:\n")
    for operation, figures in measured.items():
        for service, own in zip(services, figures, strict=True):
            used = ", ".join(f"{name} {milliseconds:.1f}" for name, milliseconds in own.cpu_ms().items())
            print(f"- {operation}, {service.name}: {used}")
