"""Accepting a job while a part is down: the ledger alone decides."""

import contextlib

import pytest

from darkroom.contracts.jobs import Status
from darkroom.errors import StorageUnavailableError
from darkroom.jobs import ledger, lifecycle
from darkroom.services import rabbitmq
from darkroom.services.redis import deadlines, open_jobs, views
from functions.sweep import app as sweep
from tests.integration.conftest import forget_clients

NOWHERE = {
    "cache": ("DARKROOM_CACHE_URL", "redis://127.0.0.1:1/1"),
    "broker": ("DARKROOM_BROKER_URL", "amqp://127.0.0.1:1/%2F"),
    "storage": ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
}


class Context:
    def get_remaining_time_in_millis(self):
        return 60_000


@pytest.fixture
def outage(monkeypatch):
    """Takes one part away for the length of a block."""

    @contextlib.contextmanager
    def outage(part):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(*NOWHERE[part])
            forget_clients()
            yield
        forget_clients()

    return outage


@pytest.mark.parametrize("part", ["cache", "broker"])
def test_a_job_is_accepted_while_a_part_is_down_and_reaches_its_queue_later(make_job, take, outage, monkeypatch, part):
    job = make_job()
    with outage(part):
        lifecycle.accept(job)
    assert ledger.read_job(job.job_id) == job
    monkeypatch.setattr(sweep, "ACCEPTING_S", 0)
    monkeypatch.setattr(deadlines, "START_WITHIN_S", 0)

    sweep.handler({}, Context())
    if part == "broker":
        open_jobs.postpone(job.job_id, 0, published=False)
    sweep.handler({}, Context())

    assert take("darkroom.resize")["body"]["job_id"] == job.job_id
    assert views.fetch(job.job_id).status is Status.QUEUED


def test_without_the_ledger_nothing_is_accepted(make_job, take, outage):
    job = make_job()
    with outage("storage"), pytest.raises(StorageUnavailableError):
        lifecycle.accept(job)

    assert ledger.read_job(job.job_id) is None
    assert views.fetch(job.job_id) is None
    assert take("darkroom.resize") is None
    assert rabbitmq.depth(job.operation) == 0
