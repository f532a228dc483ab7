"""Watches the jobs through the API: by id and in lists, with and without filters, while parts of the stack fail."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from tests.chaos.clients import Clients
from tests.chaos.tracking import TERMINAL, UNAVAILABLE, TrackedJob

#: One job in this many is only listed: a GET by id would restore a view that Redis lost, which sweep must do by itself.
_ONLY_LISTED_ONE_IN = 3

#: Jobs polled in one round: open ones, and ended ones, which must not change.
_OPEN_POLLED, _ENDED_POLLED = 30, 4

#: Seconds between two rounds of polling, and between two lists.
_POLL_PAUSE_S, _LIST_PAUSE_S = 0.3, 0.7

#: One poll in this many waits for the end of the job, for this long.
_WAITS_ONE_IN, _WAIT_S = 12, 3

#: Jobs per page, and the most pages that are read of a list.
_PAGE, _PAGES = 100, 4

#: The filters of the lists.
_FILTERS: tuple[dict[str, str], ...] = (
    {},
    {"status": "canceled"},
    {"status": "completed"},
    {"status": "failed"},
    {"status": "queued"},
    {"status": "running"},
    {"operation": "resize"},
    {"operation": "thumbnail", "status": "completed"},
)


class Watcher:
    """Polls and lists jobs on two threads until the clients stop. Contradictions are errors of the tracker."""

    def __init__(self, clients: Clients, seed: int) -> None:
        self._clients = clients
        self._tracker = clients.tracker
        self._random = random.Random(seed)
        #: Set when the ledger has no open job any more: then nothing is left that a GET could restore.
        self.polls_all = False
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._poll_all, self._list_all)]

    def start(self) -> None:
        """Starts both threads."""
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Waits for both threads."""
        for thread in self._threads:
            thread.join(60)

    def _poll_all(self) -> None:
        with self._clients.connect() as http:
            while not self._clients.stop.is_set():
                jobs = [job for job in self._tracker.all_jobs() if self.polls_all or _is_polled(job)]
                open_jobs = [job for job in jobs if job.status not in TERMINAL]
                ended = [job for job in jobs if job.status in TERMINAL]
                for job in [
                    *self._random.sample(open_jobs, min(_OPEN_POLLED, len(open_jobs))),
                    *self._random.sample(ended, min(_ENDED_POLLED, len(ended))),
                ]:
                    self._poll(http, job.job_id)
                self._clients.stop.wait(_POLL_PAUSE_S)

    def _poll(self, http: httpx.Client, job_id: str) -> None:
        sent_at = time.time()
        waiting = f"?wait={_WAIT_S}" if self._random.randrange(_WAITS_ONE_IN) == 0 else ""
        try:
            response = http.get(f"/jobs/{job_id}{waiting}")
        except httpx.HTTPError:
            return
        if response.status_code == 200:
            document = response.json()
            self._tracker.update(job_id, document["status"], document, sent_at)
            if document["status"] != "queued" and document["waiting_for"] is not None:
                self._tracker.add_error(f"{job_id} is {document['status']} and waits for its {document['waiting_for']}")
        elif response.status_code == 404 and not self._tracker.must_be_known(job_id):
            pass  # the file has landed but is not ingested yet, and Redis has lost the record of its form
        elif response.status_code not in UNAVAILABLE:
            self._tracker.add_error(f"GET /jobs/{job_id} returned {response.status_code} {response.text[:200]}")

    def _list_all(self) -> None:
        with self._clients.connect() as http:
            while not self._clients.stop.is_set():
                wanted = self._random.choice(_FILTERS)
                for summary, sent_at in self._listed(http, wanted):
                    name = f"GET /jobs {wanted or ''}".strip()
                    self._tracker.update(summary["job_id"], summary["status"], {}, sent_at, name)
                    problem = filter_problem(summary, wanted)
                    if problem:
                        self._tracker.add_error(problem)
                self._clients.stop.wait(_LIST_PAUSE_S)

    def _listed(self, http: httpx.Client, wanted: dict[str, str]) -> Iterator[tuple[dict[str, Any], float]]:
        """The jobs of the first pages, each with the time at which its page was requested."""
        path: str | None = "/jobs?" + "&".join([f"limit={_PAGE}", *(f"{name}={text}" for name, text in wanted.items())])
        for _ in range(_PAGES):
            sent_at = time.time()
            try:
                response = http.get(str(path))
            except httpx.HTTPError:
                return
            if response.status_code != 200:
                if response.status_code not in UNAVAILABLE:
                    self._tracker.add_error(f"GET {path} returned {response.status_code} {response.text[:200]}")
                return
            for summary in response.json()["jobs"]:
                yield summary, sent_at
            path = response.json()["next"]
            if path is None:
                return


def _is_polled(job: TrackedJob) -> bool:
    return int(job.job_id[-4:], 16) % _ONLY_LISTED_ONE_IN > 0


def filter_problem(summary: dict[str, Any], wanted: dict[str, str]) -> str:
    """Why a job does not belong in a list, or an empty text."""
    wrong = {name: summary[name] for name, text in wanted.items() if summary[name] != text}
    return f"GET /jobs {wanted} lists {summary['job_id']}, whose {wrong} differs" if wrong else ""


def list_completely(http: httpx.Client, wanted: dict[str, str]) -> dict[str, str] | str:
    """The status of every listed job, by job id; or what was wrong with a response."""
    found: dict[str, str] = {}
    path: str | None = "/jobs?" + "&".join([f"limit={_PAGE}", *(f"{name}={text}" for name, text in wanted.items())])
    while path:
        response = http.get(path)
        if response.status_code != 200:
            return f"GET {path} returned {response.status_code} {response.text[:120]}"
        found |= {summary["job_id"]: summary["status"] for summary in response.json()["jobs"]}
        path = response.json()["next"]
    return found


def list_problems(connect: Callable[[], httpx.Client], jobs: list[TrackedJob]) -> list[str]:
    """How complete lists differ from what the clients know, when every job has ended.

    The lists are read in parallel, because each takes minutes when Redis has lost thousands of jobs.
    """
    filters: list[dict[str, str]] = [{}, *({"status": status} for status in [*sorted(TERMINAL), "queued"])]

    def read(wanted: dict[str, str]) -> dict[str, str] | str:
        with connect() as http:
            return list_completely(http, wanted)

    with ThreadPoolExecutor(len(filters)) as threads:
        found = list(threads.map(read, filters))
    return [
        problem for wanted, listed in zip(filters, found, strict=True) for problem in _differences(wanted, listed, jobs)
    ]


def _differences(wanted: dict[str, str], listed: dict[str, str] | str, jobs: list[TrackedJob]) -> Iterator[str]:
    if isinstance(listed, str):
        yield listed
        return
    for job in jobs:
        if wanted.get("status") in (None, job.status) and listed.get(job.job_id) != job.status:
            yield f"GET /jobs {wanted or ''}: {job.job_id} is {listed.get(job.job_id, 'missing')}, not {job.status}"
    for job_id, status in listed.items():
        if wanted.get("status") not in (None, status):
            yield f"GET /jobs {wanted} lists {job_id}, which is {status}"
