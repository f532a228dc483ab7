"""The life cycle, stopped before and after each of its writes, one by one, and resumed.

A story is told once to count its writes; then again for every one of them, with the process that makes it killed
there. What Lambda, S3 and the mapping then do again, and sweep, must bring every accepted job to one end and leave
nothing.

To die before a write is to die after the one before it, so each story is told with a death after every write, and with
one before the first. `DARKROOM_EVERY_POINT=1` tells both for all, and lets only sweep find the dead in every story.
"""

import os
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from darkroom import config
from darkroom.jobs import lifecycle
from darkroom.services import aws, rabbitmq
from darkroom.services.redis.client import redis_client
from tests.integration.crash_injection import AFTER, BEFORE, Effects
from tests.integration.simulation import RESIZE, World, channel, copy, corrupt, unlucky

Story = Callable[[World], list[str]]

EVERY_POINT = bool(os.environ.get("DARKROOM_EVERY_POINT"))


@pytest.fixture(autouse=True)
def own_scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(lifecycle, "MAX_ATTEMPTS", 2)  # more would only make the stories longer


def renew() -> None:
    """An empty deployment."""
    os.environ["DARKROOM_BUCKET"] = f"crash-{uuid.uuid4().hex[:16]}"
    config.settings.cache_clear()
    aws.client("s3").create_bucket(Bucket=os.environ["DARKROOM_BUCKET"])
    redis_client().flushdb()
    for queue in (
        rabbitmq.queue_of(RESIZE),
        rabbitmq.DEAD_QUEUE,
        *(rabbitmq.retry_queue_of(RESIZE, s) for s in rabbitmq.RETRY_DELAYS_S),
    ):
        channel().queue_purge(queue)


def accepted_and_done(world: World) -> list[str]:
    job = world.new_job()
    heard = world.accept(job)
    world.drain()
    return [job.job_id] if heard else []


def uploaded_with_two_jobs(world: World) -> list[str]:
    file_id = world.upload_with_jobs(2)
    if not world.announce(file_id):
        world.announce(file_id)  # Lambda tries an asynchronous invocation again
    world.drain()
    return list(world.jobs)


def uploaded_and_never_announced_again(world: World) -> list[str]:
    file_id = world.upload_with_jobs(2)
    world.announce(file_id)
    world.drain()
    return list(world.jobs)


def uploaded_with_jobs_that_it_is_not_fit_for(world: World) -> list[str]:
    file_id = world.upload_with_jobs(2, b"just text, whatever its name")
    if not world.announce(file_id):
        world.announce(file_id)
    world.drain()
    return list(world.jobs)


def bad_media(world: World) -> list[str]:
    world.operation = corrupt
    return accepted_and_done(world)


def trouble_that_passes(world: World) -> list[str]:
    job = world.new_job()
    heard = world.accept(job)
    world.deliver()
    world.operation = unlucky
    world.run()
    world.operation = copy
    world.drain()
    return [job.job_id] if heard else []


def defect(_task, _params):
    raise ZeroDivisionError


def trouble_that_stays(world: World) -> list[str]:
    world.operation = defect
    return accepted_and_done(world)


def canceled_while_queued(world: World) -> list[str]:
    job = world.new_job()
    heard = world.accept(job)
    world.cancel(job.job_id)
    world.drain()
    return [job.job_id] if heard else []


def canceled_during_the_run(world: World) -> list[str]:
    job = world.new_job()

    def unaware(task, params):
        world.cancel(job.job_id)
        return copy(task, params)

    world.operation = unaware
    heard = world.accept(job)
    world.drain()
    return [job.job_id] if heard else []


def delivered_twice(world: World) -> list[str]:
    job = world.new_job()
    heard = world.accept(job)
    world.deliver(keep=True)
    world.run(keep=True)
    world.drain()
    return [job.job_id] if heard else []


def redis_emptied_during_the_run(world: World) -> list[str]:
    job = world.new_job()

    def forgetful(task, params):
        redis_client().flushdb()
        return copy(task, params)

    world.operation = forgetful
    heard = world.accept(job)
    world.deliver()
    world.run()
    world.operation = copy
    world.drain()
    return [job.job_id] if heard else []


def redis_emptied_before_the_run(world: World) -> list[str]:
    job = world.new_job()
    heard = world.accept(job)
    redis_client().flushdb()
    world.drain()
    return [job.job_id] if heard else []


def the_message_lost(world: World) -> list[str]:
    job = world.new_job()
    heard = world.accept(job)
    channel().queue_purge(rabbitmq.queue_of(RESIZE))
    world.drain()
    return [job.job_id] if heard else []


def the_queues_lost(world: World) -> list[str]:
    job = world.new_job()
    heard = world.accept(job)
    for queue in (rabbitmq.queue_of(RESIZE), *(rabbitmq.retry_queue_of(RESIZE, s) for s in rabbitmq.RETRY_DELAYS_S)):
        channel().queue_delete(queue)
    world.sweep()
    world.drain()
    return [job.job_id] if heard else []


STORIES = [
    accepted_and_done,
    uploaded_with_two_jobs,
    uploaded_and_never_announced_again,
    uploaded_with_jobs_that_it_is_not_fit_for,
    bad_media,
    trouble_that_passes,
    trouble_that_stays,
    canceled_while_queued,
    canceled_during_the_run,
    delivered_twice,
    redis_emptied_during_the_run,
    redis_emptied_before_the_run,
    the_message_lost,
    the_queues_lost,
]

UNTOLD = [accepted_and_done, uploaded_and_never_announced_again, canceled_during_the_run, redis_emptied_during_the_run]


def tell(story: Story, number: int, when: str, *, told: bool) -> World:
    renew()
    world = World(Effects(number, when), told=told)
    accepted = story(world)
    wrong = world.reckon(accepted)
    died = f"killed {when} write {number} ({world.effects.victim})" if number else "nobody killed"
    told_text = "settle told" if told else "settle not told"
    assert not wrong, f"{died}, {told_text}: {'; '.join(wrong)}. Writes: {world.effects.made}. {world.last_error!r}"
    return world


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_a_job_survives_a_death_at_every_write(story: Story) -> None:
    die_at_every_write(story, told=True)


@pytest.mark.parametrize("story", STORIES if EVERY_POINT else UNTOLD, ids=lambda story: story.__name__)
def test_a_job_survives_a_death_that_only_sweep_finds(story: Story) -> None:
    die_at_every_write(story, told=False)


def die_at_every_write(story: Story, *, told: bool) -> None:
    undisturbed = tell(story, 0, BEFORE, told=told)
    writes = range(1, len(undisturbed.effects.made) + 1)
    points = [(number, when) for number in writes for when in ((BEFORE, AFTER) if EVERY_POINT else (AFTER,))]
    problems = []
    for number, when in [(1, BEFORE), *points]:
        try:
            world = tell(story, number, when, told=told)
        except AssertionError as error:
            problems.append(str(error))
        else:
            if not world.effects.victim:  # recovery looked around once less than in the undisturbed telling
                assert number > len(writes) - 3, f"there was no write {number} of {len(writes)} the second time"
                break
    assert not problems, "\n".join(problems)


def test_the_crash_points_include_every_write_of_the_way() -> None:
    """So that a seam which no longer sees the writes does not pass for a life cycle without any."""
    made = " ".join(tell(accepted_and_done, 0, BEFORE, told=True).effects.made)

    for write in ("job.json", "redis EVALSHA", "publish darkroom.resize", "Invoke", "processed/", "result.json"):
        assert write in made
