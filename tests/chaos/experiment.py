"""One chaos run: clients submit jobs, faults are injected, sweep runs, and the audit checks the results."""

import random
import threading
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

from botocore.config import Config

from localstack.aws.clients import create_client
from tests.chaos.audit import Audit, Ledger
from tests.chaos.clients import Clients
from tests.chaos.deployment import NAME, Deployment
from tests.chaos.faults import Faults
from tests.chaos.report import Report

#: Seconds between two invocations of sweep. A deployment invokes it every minute.
SWEEP_INTERVAL_S = 4.0

#: Seconds after the last fault within which every job must have ended.
END_TIMEOUT_S = 420.0

#: Passes of sweep after the last job has ended, for cleanups that are due later.
CLEANUP_PASSES = 10


class Experiment:
    """One run on a deployment that is up. `clip` is the video that clients upload."""

    def __init__(self, deployment: Deployment, seed: int, clip: Path) -> None:
        config = Config(retries={"mode": "standard", "max_attempts": 4}, read_timeout=70)
        s3 = create_client(deployment.settings, "s3", config)
        self._random = random.Random(seed)
        self._lambda = create_client(deployment.settings, "lambda", config)
        s3.put_bucket_versioning(Bucket=deployment.bucket, VersioningConfiguration={"Status": "Enabled"})
        self._audit = Audit(deployment, s3)
        self._clients = Clients(deployment.settings.api_url, seed, clip)
        self._faults = Faults(deployment, s3, random.Random(seed + 1))
        self._ended = threading.Event()
        self.report = Report()

    def run(self, jobs: int, faults: int, per_s: float, pause_s: float) -> Report:
        """Submits `jobs` at up to `per_s` a second and injects `faults` at a mean interval of `pause_s`."""
        started = time.time()
        threads = [threading.Thread(target=work, daemon=True) for work in (self._clients.watch, self._keep_sweeping)]
        for thread in threads:
            thread.start()
        self._clients.allowed_share = 1 / max(1, faults)
        submitting = threading.Thread(target=self._clients.submit, args=(jobs, per_s), daemon=True)
        submitting.start()
        self._inject_faults(faults, pause_s, submitting)
        self._clients.allowed_share = 1.0
        submitting.join()
        self._wait_until_all_ended()
        self._check(started)
        self._ended.set()
        self._clients.stop.set()
        for thread in threads:
            thread.join(60)
        return self.report

    def _inject_faults(self, count: int, pause_s: float, submitting: threading.Thread) -> None:
        """Causes faults of every kind in shuffled order, repeatedly, while there are jobs that they can affect."""
        faults, plan = self.report.faults, list[str]()
        while len(faults) < count and (submitting.is_alive() or self._clients.open_jobs()):
            self._clients.allowed_share = (len(faults) + 1) / count
            time.sleep(self._random.uniform(0.3, 1.7) * pause_s)
            if not plan:
                plan = list(self._faults.kinds)
                self._random.shuffle(plan)
            fault = self._faults.inject(plan.pop())
            if fault is not None:
                faults.append(fault)
                jobs = f"{len(self._clients.jobs)} jobs, {len(self._clients.open_jobs())} open"
                print(f"  {fault.ended - fault.started:5.1f} s  {fault.kind:32} {jobs}", flush=True)

    def _keep_sweeping(self) -> None:
        while not self._ended.wait(SWEEP_INTERVAL_S):
            self._sweep()

    def _sweep(self) -> None:
        try:
            self._lambda.invoke(FunctionName=f"{NAME}-sweep", Payload=b"{}")
        except Exception as error:  # noqa: BLE001 - the fault may be in the function or in the emulator
            print(f"  sweep: {type(error).__name__}", flush=True)

    def _wait_until_all_ended(self) -> None:
        deadline = time.monotonic() + END_TIMEOUT_S
        while time.monotonic() < deadline and (self._clients.open_jobs() or self._audit.has_open_jobs()):
            time.sleep(1)

    def _check(self, started: float) -> None:
        report, audit, clients = self.report, self._audit, self._clients
        for _ in range(CLEANUP_PASSES):
            audit.make_cleanups_due()
            self._sweep()
            if not audit.leftovers():
                break
            time.sleep(2)
        ledger = audit.ledger()
        report.seconds = time.time() - started
        report.lost, report.stuck, report.errors = audit.compare_with_api(clients, ledger)
        report.errors += clients.errors + audit.bad_outputs(ledger) + _unexpected_failures(clients, ledger)
        report.double_results = audit.double_results()
        report.orphans = audit.orphans(ledger)
        report.leftovers = audit.leftovers()
        report.jobs = Counter(job.kind for job in clients.jobs.values())
        report.results = Counter(_outcome(result) for result in ledger.values() if result)
        report.attempts = Counter(result["attempt"] for result in ledger.values() if result)
        report.recovery_s = self._recovery_s(ledger)
        missed = set(self._faults.kinds) - {fault.kind for fault in report.faults}
        if len(report.faults) >= len(self._faults.kinds):
            report.notes += [f"never injected, because there was nothing to affect: {kind}" for kind in sorted(missed)]
        report.notes.append(
            f"{clients.unavailable} responses were 429 or 5xx, {clients.given_up} requests were given up, "
            f"{len(set(ledger) - set(clients.jobs))} jobs were accepted without a response to their client"
        )

    def _recovery_s(self, ledger: Ledger) -> dict[str, float]:
        """By kind of fault: the longest time from the start of a fault to the end of a job that was open during it."""
        longest: dict[str, float] = {}
        spans = [
            (job.accepted_at, datetime.fromisoformat(result["finished_at"]).timestamp())
            for job in self._clients.jobs.values()
            if (result := ledger.get(job.job_id))
        ]
        for fault in self.report.faults:
            times = [end - fault.started for start, end in spans if start < fault.ended and end > fault.started]
            longest[fault.kind] = max([longest.get(fault.kind, 0.0), *times])
        return longest


def _unexpected_failures(clients: Clients, ledger: Ledger) -> list[str]:
    """Jobs on good files that failed."""
    return [
        f"{job.job_id} ({job.kind}) failed: {result['error']}"
        for job in clients.jobs.values()
        if job.kind != "bad" and (result := ledger.get(job.job_id)) and result["status"] == "failed"
    ]


def _outcome(result: dict[str, Any]) -> str:
    return result["status"] if not result.get("error") else f"failed ({result['error']['code']})"
