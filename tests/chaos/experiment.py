"""One chaos run: clients submit jobs, faults are injected, sweep runs, and the audit checks the results."""

import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
from botocore.config import Config

from localstack.aws.clients import create_client
from tests.chaos import function_logs, report, timelines, watching
from tests.chaos.audit import Audit, Ledger
from tests.chaos.clients import Clients, Clip
from tests.chaos.deployment import Deployment
from tests.chaos.faults.injection import Faults
from tests.chaos.faults.kinds import API, CACHE, EMULATOR, GATEWAY, VIEWS, Context
from tests.chaos.monitor import Monitor
from tests.chaos.probes import Prober
from tests.chaos.relays import Relays
from tests.chaos.report import Report
from tests.chaos.traffic import Exchange
from tests.chaos.watching import Watcher

#: Seconds between two invocations of sweep. A deployment invokes it every minute.
SWEEP_INTERVAL_S = 4.0

#: Seconds after the last fault within which every job must have ended.
END_TIMEOUT_S = 420.0

#: Passes of sweep after the last job has ended, for cleanups that are due later.
CLEANUP_PASSES = 10

#: Seconds after a loss of data in Redis in which runs that it does not know may claim slots.
UNKNOWN_RUNS_S = 75.0

#: Seconds that a request takes in the API if the API is why its response is too slow, and within which it is logged.
SLOW_IN_API_S = 8.0
_LOGGED_WITHIN_S = 3.0

#: Environments of the API that are started before the clients.
_WARM_ENVIRONMENTS = 6

#: The functions whose failed invocations are listed, beside those of the operations.
_FUNCTIONS = ("api", "ingest", "dispatch", "settle", "sweep")


@dataclass(frozen=True)
class Plan:
    """What a run does. `only` are parts of the names of kinds of faults; none means all. `kinds` are those of jobs."""

    jobs: int
    faults: int
    per_s: float
    pause_s: float
    hang_s: tuple[float, float]
    end_within_s: float
    only: tuple[str, ...]
    kinds: tuple[str, ...]


class Experiment:
    """One run on a deployment that is up. `clips` are the two videos that clients upload."""

    def __init__(self, deployment: Deployment, relays: Relays, seed: int, clips: tuple[Clip, Clip], plan: Plan) -> None:
        config = Config(retries={"mode": "standard", "max_attempts": 4}, read_timeout=70)
        s3 = create_client(deployment.settings, "s3", config)
        self._plan = plan
        self._deployment = deployment
        self._random = random.Random(seed)
        self._lambda = create_client(deployment.settings, "lambda", config)
        self._logs = create_client(deployment.settings, "logs", config)
        self._audit = Audit(deployment, s3)
        self._clients = Clients(
            deployment.settings.api_url, deployment.headers, seed, clips, deployment.form_life_s, plan.kinds
        )
        self._widths = {len(clip.content): clip.width_px for clip in clips}
        self._watcher = Watcher(self._clients, seed)
        prober = Prober(self._clients, random.Random(seed + 1))
        self._faults = Faults(
            Context(deployment, relays, s3, self._lambda, self._clients, prober, random.Random(seed + 2), plan.hang_s),
            plan.only,
        )
        self._monitor = Monitor(
            deployment.settings, self._audit.unindexed, self._redis_lost_data, deployment.start_within_s
        )
        self._ended = threading.Event()
        self._api_requests: list[tuple[float, float]] = []
        self.report = Report()

    def run(self) -> Report:
        """Submits jobs and injects faults as planned, then audits."""
        started, plan = time.time(), self._plan
        self._warm_up()
        self._faults.prepare()
        sweeping = threading.Thread(target=self._keep_sweeping, daemon=True)
        sweeping.start()
        self._watcher.start()
        self._monitor.start()
        self._clients.allowed_share = 1 / max(1, plan.faults)
        submitting = threading.Thread(target=self._clients.submit, args=(plan.jobs, plan.per_s), daemon=True)
        submitting.start()
        self._inject_faults(submitting)
        self._clients.allowed_share = 1.0
        submitting.join()
        self._wait_until_all_ended()
        self._monitor.stop()
        self._check(started)
        self._ended.set()
        self._clients.stop.set()
        sweeping.join(60)
        self._watcher.join()
        return self.report

    def _warm_up(self) -> None:
        """Starts environments of the API at the same time, so that the first clients do not measure that."""
        url, headers = f"{self._deployment.settings.api_url}/jobs?limit=1", self._deployment.headers
        with ThreadPoolExecutor(_WARM_ENVIRONMENTS) as threads:
            list(threads.map(lambda _: httpx.get(url, headers=headers, timeout=60), range(_WARM_ENVIRONMENTS)))

    def _inject_faults(self, submitting: threading.Thread) -> None:
        """Causes faults of every kind in shuffled order, repeatedly, while there are jobs that they can affect."""
        count, tracker = self._plan.faults, self._clients.tracker
        faults, order = self.report.faults, list[str]()
        while len(faults) < count and (submitting.is_alive() or tracker.open_jobs()):
            self._clients.allowed_share = (len(faults) + 1) / count
            time.sleep(self._random.uniform(0.3, 1.7) * self._plan.pause_s)
            order = order or self._faults.shuffled(self._random)
            fault = self._faults.inject(order.pop())
            if fault is not None:
                faults.append(fault)
                jobs = f"{len(tracker.jobs)} jobs, {len(tracker.open_jobs())} open"
                print(f"  {fault.ended - fault.started:5.1f} s  {fault.kind:42} {jobs}", flush=True)

    def _redis_lost_data(self) -> bool:
        """Whether Redis lost data a short time ago, or a fault that may make it do so is being injected."""
        recent = [fault for fault in self.report.faults if fault.ended > time.time() - UNKNOWN_RUNS_S]
        return any(VIEWS in fault.affects or CACHE in fault.affects for fault in recent)

    def _keep_sweeping(self) -> None:
        while not self._ended.wait(SWEEP_INTERVAL_S):
            self._sweep()

    def _sweep(self) -> None:
        try:
            self._lambda.invoke(FunctionName=f"{self._deployment.name}-sweep", Payload=b"{}")
        except Exception as error:  # noqa: BLE001 - the fault may be in the function or in the emulator
            print(f"  sweep: {type(error).__name__}", flush=True)

    def _wait_until_all_ended(self) -> None:
        deadline = time.monotonic() + self._plan.end_within_s
        while time.monotonic() < deadline:
            has_open_jobs = self._audit.has_open_jobs()
            self._watcher.polls_all = self._watcher.polls_all or not has_open_jobs
            if not has_open_jobs and not self._clients.tracker.open_jobs():
                return
            time.sleep(1)

    def _check(self, started: float) -> None:
        result, audit, clients = self.report, self._audit, self._clients
        for _ in range(CLEANUP_PASSES):
            audit.make_cleanups_due()
            self._sweep()
            if not audit.leftovers():
                break
            time.sleep(2)
        ledger = audit.ledger()
        result.seconds = time.time() - started
        self._check_jobs(ledger)
        self._check_run()
        result.jobs = Counter(job.kind for job in clients.tracker.all_jobs())
        result.results = Counter(_outcome(entry) for entry in ledger.values() if entry)
        result.attempts = Counter(entry["attempt"] for entry in ledger.values() if entry)
        result.recovery_s = self._recovery_s()
        result.traffic = clients.traffic.summary()
        missed = set(self._faults.kinds) - {fault.kind for fault in result.faults}
        if len(result.faults) >= len(self._faults.kinds):
            result.notes += [f"never injected, because there was nothing to affect: {kind}" for kind in sorted(missed)]
        result.notes.append(
            f"{clients.unavailable} responses were 429 or 5xx, {clients.given_up} requests were given up, "
            f"{len(set(ledger) - set(clients.tracker.jobs))} jobs were accepted without a response to their client"
        )

    def _check_jobs(self, ledger: Ledger) -> None:
        """The state at the end."""
        result, audit, tracker = self.report, self._audit, self._clients.tracker
        lost, stuck, different = audit.compare_with_api(tracker, ledger)
        result.add(report.LOST, lost)
        result.add(report.STUCK, stuck)
        different += watching.list_problems(self._clients.connect, [job for job in tracker.all_jobs() if job.document])
        result.add(report.CONTRADICTIONS, tracker.errors + different)
        result.add(report.DOUBLE, audit.double_results())
        result.add(report.OUTPUTS, audit.bad_outputs(ledger) + audit.mixed_sources(ledger, self._widths))
        result.add(report.FAILURES, _unexpected_failures(self._clients, ledger))
        result.add(report.ORPHANS, audit.orphans(ledger))
        result.add(report.LEFTOVERS, audit.leftovers())

    def _check_run(self) -> None:
        """What happened in between."""
        from darkroom.contracts.operations import Operation

        result, monitor = self.report, self._monitor
        self._api_requests = function_logs.api_requests(self._logs, self._deployment.name)
        result.add(report.RESPONSES, [problem for e in self._clients.traffic.exchanges() if (problem := self._bad(e))])
        result.add(report.PROMISES, self._faults.problems)
        result.add(report.CURSOR, monitor.cursor_problems)
        result.add(report.SLOTS, monitor.slot_problems)
        result.add(report.INDEX, monitor.index_problems)
        functions = [*_FUNCTIONS, *(operation.value for operation in Operation)]
        failed = function_logs.failures(self._logs, self._deployment.name, functions)
        result.add(report.INVOCATIONS, [one.text for one in failed if not one.explained(result.faults)])
        early, late = timelines.timeline_problems(
            self._clients.tracker.all_jobs(), result.faults, self._deployment.retry_delays_s
        )
        result.add(report.RETRIES, early + late)
        result.notes.append(f"{monitor.samples} samples of Redis, {len(failed)} failed invocations and steps of sweep")

    def _bad(self, exchange: Exchange) -> str:
        """What is wrong with a response, unless the API itself was killed or could not be reached.

        One that is only slow must have taken as long in the API: on a busy machine, starting an environment takes long.
        """
        excuses = {API, GATEWAY, EMULATOR}
        excused = any(
            fault.overlaps(exchange.started, exchange.ended, slack_s=1) and fault.affects & excuses
            for fault in self.report.faults
        )
        is_slow_in_api = any(
            seconds > SLOW_IN_API_S + exchange.wait_s and exchange.started < at < exchange.ended + _LOGGED_WITHIN_S
            for at, seconds in self._api_requests
        )
        return "" if excused or (exchange.is_slow and not is_slow_in_api) else exchange.problem

    def _recovery_s(self) -> dict[str, float]:
        """By kind of fault: the longest time from the start of a fault to the end of a job that was open during it."""
        longest: dict[str, float] = {}
        spans = [(job.accepted_at, job.ended_at) for job in self._clients.tracker.all_jobs() if job.ended_at]
        for fault in self.report.faults:
            times = [end - fault.started for start, end in spans if start < fault.ended and end > fault.started]
            longest[fault.kind] = max([longest.get(fault.kind, 0.0), *times])
        return longest


def _unexpected_failures(clients: Clients, ledger: Ledger) -> list[str]:
    """Jobs on good files that failed."""
    return [
        f"{job.job_id} ({job.kind}) failed: {result['error']}"
        for job in clients.tracker.all_jobs()
        if job.kind != "bad" and (result := ledger.get(job.job_id)) and result["status"] == "failed"
    ]


def _outcome(result: dict[str, Any]) -> str:
    return result["status"] if not result.get("error") else f"failed ({result['error']['code']})"
