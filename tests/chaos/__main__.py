"""Chaos: mixed jobs while everything fails at random moments. `python -m tests.chaos --jobs 2000 --seed 7`.

Brings a stack of its own, hands in jobs over HTTP, kills and restarts every part by a seeded plan, waits until all is
over and reckons up. The exit status is 1 when anything is lost, stuck, ended twice or left behind.
"""

import argparse
import os
import random
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import botocore.session
from botocore.config import Config

from localstack.settings import ROOT
from tests.chaos.audit import Audit
from tests.chaos.clients import People
from tests.chaos.deployment import BREAKS, NAME, Deployment
from tests.chaos.faults import Event, Faults

#: Seconds between two calls of sweep, which a deployment calls once a minute, and in which everything must end at last.
SWEEP_EVERY_S = 4.0
PATIENCE_S = 420.0


@dataclass
class Report:
    """What the run did and what is wrong."""

    jobs: Counter[str] = field(default_factory=Counter)
    faults: list[Event] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    doubles: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    results: Counter[str] = field(default_factory=Counter)
    attempts: Counter[int] = field(default_factory=Counter)
    recovery: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether anything is wrong."""
        return any([self.lost, self.stuck, self.doubles, self.wrong, self.orphans, self.left])

    def print(self) -> None:
        """For people."""
        print(f"\n{sum(self.jobs.values())} jobs ({_list(self.jobs)}) in {self.seconds:.0f} s")
        print(f"  ended: {_list(self.results)}; attempts: {_list(self.attempts)}")
        kinds = Counter(event.kind for event in self.faults)
        print(f"{len(self.faults)} faults; the longest that a job which was open at one took to end after it:")
        for kind, count in sorted(kinds.items()):
            recovery = f"{self.recovery[kind]:6.1f} s" if self.recovery.get(kind) else "no job was open"
            print(f"  {count:4} {kind:26} {recovery}")
        for note in self.notes:
            print(f"  {note}")
        for name in ("lost", "stuck", "doubles", "wrong", "orphans", "left"):
            found: list[str] = getattr(self, name)
            print(f"{TITLES[name]:42} {len(found)}")
            for line in found[:12]:
                print(f"    {line}")
        print("FAILED" if self.failed else "passed", flush=True)


TITLES = {
    "lost": "lost",
    "stuck": "stuck",
    "doubles": "double results",
    "wrong": "contradictions, bad outputs, errors",
    "orphans": "orphan objects",
    "left": "slots, entries, messages, processes left",
}


def _list(counts: Counter[Any]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=str))


class Chaos:
    """One run against one deployment that is up."""

    def __init__(self, deployment: Deployment, seed: int, clip: Path) -> None:
        environment = deployment.settings.aws_environment()
        session = botocore.session.Session()

        def client(service: str) -> Any:
            return session.create_client(
                service,
                region_name=environment["AWS_REGION"],
                endpoint_url=environment["AWS_ENDPOINT_URL"],
                aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
                config=Config(retries={"mode": "standard", "max_attempts": 4}, read_timeout=70),
            )

        self._deployment = deployment
        self._chance = random.Random(seed)
        self._s3, self._lambda = client("s3"), client("lambda")
        self._s3.put_bucket_versioning(Bucket=deployment.bucket, VersioningConfiguration={"Status": "Enabled"})
        self._audit = Audit(deployment, self._s3)
        self._people = People(deployment.settings.api_url, seed, clip)
        self._faults = Faults(deployment, client("s3"), random.Random(seed + 1))
        self._over = threading.Event()
        self.report = Report()

    def run(self, jobs: int, faults: int, per_s: float, pause_s: float) -> Report:
        """Everything from the first job to the reckoning."""
        began = time.time()
        threads = [threading.Thread(target=work, daemon=True) for work in (self._people.watch, self._keep_sweeping)]
        for thread in threads:
            thread.start()
        self._people.share = 1 / max(1, faults)
        submitting = threading.Thread(target=self._people.submit, args=(jobs, per_s), daemon=True)
        submitting.start()
        self._strike(faults, pause_s, submitting)
        self._people.share = 1.0
        submitting.join()
        self._wait_for_the_end()
        self._reckon(began)
        self._over.set()
        self._people.done.set()
        for thread in threads:
            thread.join(60)
        return self.report

    def _strike(self, count: int, pause_s: float, submitting: threading.Thread) -> None:
        """Faults of every kind in a shuffled order, again and again, as long as there is somebody to hit."""
        plan: list[str] = []
        while len(self.report.faults) < count and (submitting.is_alive() or self._people.open()):
            self._people.share = (len(self.report.faults) + 1) / count
            time.sleep(self._chance.uniform(0.3, 1.7) * pause_s)
            if not plan:
                plan = list(self._faults.kinds)
                self._chance.shuffle(plan)
            event = self._faults.strike(plan.pop())
            if event is not None:
                self.report.faults.append(event)
                state = f"{len(self._people.tracked)} jobs, {len(self._people.open())} open"
                print(f"  {event.over - event.began:5.1f} s  {event.kind:28} {state}", flush=True)

    def _keep_sweeping(self) -> None:
        while not self._over.wait(SWEEP_EVERY_S):
            self._sweep()

    def _sweep(self) -> None:
        try:
            self._lambda.invoke(FunctionName=f"{NAME}-sweep", Payload=b"{}")
        except Exception as error:  # noqa: BLE001 - the function or the emulator may be what is being killed
            print(f"  sweep: {type(error).__name__}", flush=True)

    def _wait_for_the_end(self) -> None:
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until and (self._people.open() or self._unended()):
            time.sleep(1)

    def _unended(self) -> bool:
        names = {tuple(key.split("/")[1:]) for key in self._audit.keys("ledger/")}
        return any((job_id, "result.json") not in names for job_id, name in names if name == "job.json")

    def _reckon(self, began: float) -> None:
        report, audit = self.report, self._audit
        for _ in range(10):  # what waits for its time, after the last job's end
            audit.make_it_late()
            self._sweep()
            if not audit.leftovers():
                break
            time.sleep(2)
        ledger = audit.ledger()
        report.seconds = time.time() - began
        report.lost, report.stuck, report.wrong = audit.told(self._people, ledger)
        report.wrong += self._people.wrong + audit.outputs(ledger)
        report.doubles = audit.double_endings()
        report.orphans = audit.orphans(ledger)
        report.left = audit.leftovers()
        report.jobs = Counter(job.kind for job in self._people.tracked.values())
        report.results = Counter(_word(result) for result in ledger.values() if result)
        report.attempts = Counter(result["attempt"] for result in ledger.values() if result)
        report.recovery = self._recovery(ledger)
        report.wrong += self._unjust(ledger)
        missed = set(self._faults.kinds) - {event.kind for event in report.faults}
        if len(report.faults) >= len(self._faults.kinds):
            report.notes += [f"never happened: {kind}" for kind in sorted(missed)]
        report.notes.append(
            f"{self._people.refused} answers said 'not now', {self._people.given_up} requests were given up, "
            f"{len(set(ledger) - set(self._people.tracked))} jobs were accepted without their owner hearing of it"
        )

    def _unjust(self, ledger: dict[str, dict[str, Any] | None]) -> list[str]:
        """Jobs on good files that failed, unless their process was killed too often."""
        return [
            f"{job.job_id} ({job.kind}) failed: {result['error']}"
            for job in self._people.tracked.values()
            if job.kind != "bad" and (result := ledger.get(job.job_id)) and result["status"] == "failed"
        ]

    def _recovery(self, ledger: dict[str, dict[str, Any] | None]) -> dict[str, float]:
        """Per kind of fault, the longest time from a fault's beginning to the end of a job that was open at it."""
        longest: dict[str, float] = {}
        spans = [
            (job.accepted, datetime.fromisoformat(result["finished_at"]).timestamp())
            for job in self._people.tracked.values()
            if (result := ledger.get(job.job_id))
        ]
        for event in self.report.faults:
            times = [ended - event.began for accepted, ended in spans if accepted < event.over and ended > event.began]
            longest[event.kind] = max([longest.get(event.kind, 0.0), *times])
        return longest


def _word(result: dict[str, Any]) -> str:
    return result["status"] if not result.get("error") else f"failed ({result['error']['code']})"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--jobs", type=int, default=90)
    parser.add_argument("--faults", type=int, help="default: one for 16 jobs, and at least one of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--per-second", type=float, default=4.0, help="jobs handed in")
    parser.add_argument("--pause", type=float, default=0.8, help="mean seconds between two faults")
    parser.add_argument("--as-shipped", action="store_true", help="with the real waiting times instead of short ones")
    parser.add_argument("--break", dest="broken", choices=BREAKS, help="without a guard, to see the run fail")
    # Below the ports of outgoing connections, one of which might take that of a part that is down.
    parser.add_argument("--port", type=int, default=23_000, help="of the API; the others follow up to 700 above it")
    parser.add_argument("--keep", action="store_true", help="leave the stack up")
    options = parser.parse_args()
    sys.path.append(str(ROOT / "layers" / "core"))  # the film is made with Darkroom's own FFmpeg
    deployment = Deployment(quick=not options.as_shipped, broken=options.broken, port=options.port)
    faults = options.faults if options.faults is not None else max(16, options.jobs // 16)
    print(f"seed {options.seed}: {options.jobs} jobs, {faults} faults, on a stack of its own", flush=True)
    try:
        deployment.down()
        deployment.up()
        with TemporaryDirectory() as folder:
            os.environ.setdefault("DARKROOM_BIN_DIR", str(deployment.settings.build / "FfmpegLayer" / "bin"))
            from tests.media.make_clips import clip

            chaos = Chaos(deployment, options.seed, clip("film.mp4", Path(folder)))
            report = chaos.run(options.jobs, faults, options.per_second, options.pause)
    finally:
        if not options.keep:
            deployment.down()
    report.print()
    return int(report.failed)


if __name__ == "__main__":
    sys.exit(main())
