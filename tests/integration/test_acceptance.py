"""Accepting a job during an outage: the ledger alone decides."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from darkroom.contracts.jobs import Status
from darkroom.errors import StorageUnavailableError
from darkroom.jobs import acceptance, ledger
from darkroom.services import rabbitmq
from darkroom.services.redis import deadlines, leases, open_jobs, views
from functions.sweep import app as sweep
from functions.sweep import reconciling
from tests.integration.conftest import MakeJob, Take, forget_clients, view_of
from tests.support.lambda_context import LambdaContext

NOWHERE = {
    "cache": ("DARKROOM_CACHE_URL", "redis://127.0.0.1:1/1"),
    "broker": ("DARKROOM_BROKER_URL", "amqp://127.0.0.1:1/%2F"),
    "storage": ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
}

Outage = Callable[[str], AbstractContextManager[None]]


@pytest.fixture
def outage() -> Outage:
    """Makes one dependency unavailable for the length of a block."""

    @contextlib.contextmanager
    def outage(dependency: str) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(*NOWHERE[dependency])
            forget_clients()
            yield
        forget_clients()

    return outage


@pytest.mark.parametrize("dependency", ["cache", "broker"])
def test_job_that_is_accepted_during_an_outage_is_queued_later(
    make_job: MakeJob, take: Take, outage: Outage, monkeypatch: pytest.MonkeyPatch, dependency: str
) -> None:
    job = make_job()
    with outage(dependency):
        acceptance.accept(job)
    assert ledger.read_job(job.ref) == job
    monkeypatch.setattr(reconciling, "ACCEPTING_S", -10)
    monkeypatch.setattr(deadlines, "START_WITHIN_S", 0)

    sweep.handler({}, LambdaContext())
    if dependency == "broker":
        open_jobs.postpone([job.ref], 0, published=False)
    sweep.handler({}, LambdaContext())

    assert take("darkroom.resize")["body"]["job_id"] == job.job_id
    assert view_of(job.job_id).status is Status.QUEUED


def test_job_that_is_accepted_again_while_it_runs_and_the_broker_is_unavailable_keeps_its_run(
    make_job: MakeJob, outage: Outage
) -> None:
    job = make_job()
    acceptance.accept(job)
    leases.claim(job.ref, job.operation, attempt=1, run="run-1", lease_ms=60_000)

    with outage("broker"):
        acceptance.accept(job)  # a client repeats its request with the same Idempotency-Key
    sweep.handler({}, LambdaContext())

    assert view_of(job.job_id).status is Status.RUNNING


def test_no_job_is_accepted_without_the_ledger(make_job: MakeJob, take: Take, outage: Outage) -> None:
    job = make_job()
    with outage("storage"), pytest.raises(StorageUnavailableError):
        acceptance.accept(job)

    assert ledger.read_job(job.ref) is None
    assert views.fetch(job.ref) is None
    assert take("darkroom.resize") is None
    assert rabbitmq.depth(job.operation) == 0
