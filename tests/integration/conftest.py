"""Integration tests run the code in this process against real RabbitMQ, Redis and S3: none is replaced, none may miss.

Where they are comes from the environment. Every test has a bucket of its own, empty queues and an empty Redis database,
which must not be the one of a running stack (database 0). Of several processes each has a virtual host and a database
of its own, as localstack/settings.py lists them.
"""

import json
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from darkroom import config, ids
from darkroom.contracts.jobs import FileSource, Job
from darkroom.contracts.operations import Operation
from darkroom.jobs import uploads
from darkroom.services import aws, rabbitmq, s3
from darkroom.services.redis.client import redis_client
from darkroom.timestamps import utc_now
from darkroom.tracing import new_traceparent
from localstack.settings import CACHE_DATABASES, VIRTUAL_HOSTS

REQUIRED = {
    "AWS_ENDPOINT_URL": "the S3 API",
    "DARKROOM_CACHE_URL": "Redis, with a database of its own such as …/1",
    "DARKROOM_BROKER_URL": "RabbitMQ",
    "DARKROOM_BROKER_SECRET_ARN": "the secret with the broker's account",
}
PROCESS = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
PREFIX = f"integration-{PROCESS}"


def pytest_configure() -> None:
    for name, own in (("DARKROOM_BROKER_URL", VIRTUAL_HOSTS), ("DARKROOM_CACHE_URL", CACHE_DATABASES)):
        given = os.environ.get(name, "")
        if PROCESS and given.endswith(f"/{own[1]}"):
            os.environ[name] = given.removesuffix(str(own[1])) + str(own[1 + PROCESS])


def forget_clients() -> None:
    """Makes the next call read the environment and connect anew, as a cold start does."""
    rabbitmq.close()
    for cached in (config.settings, aws.client, aws.secret, redis_client):
        cached.cache_clear()


@pytest.fixture(scope="session", autouse=True)
def bucket() -> Iterator[str]:
    """A bucket that outlives a test, for what functions in the emulator write."""
    missing = [f"{name} ({what})" for name, what in REQUIRED.items() if not os.environ.get(name)]
    assert not missing, f"`make test` starts the services; by hand, set {', '.join(missing)}"
    assert not os.environ["DARKROOM_CACHE_URL"].endswith("/0"), "these tests empty the Redis database they are given"
    name = f"{PREFIX}-{uuid.uuid4().hex[:12]}"
    os.environ["DARKROOM_BUCKET"] = name
    os.environ["DARKROOM_FUNCTION_PREFIX"] = PREFIX
    forget_clients()
    aws.client("s3").create_bucket(Bucket=name)
    rabbitmq.declare_topology()
    yield name
    rabbitmq.close()


@pytest.fixture(autouse=True)
def clean(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DARKROOM_BUCKET", f"{bucket}-{uuid.uuid4().hex[:12]}")
    forget_clients()
    aws.client("s3").create_bucket(Bucket=os.environ["DARKROOM_BUCKET"])
    redis_client().flushdb()
    purge()
    yield
    redis_client().close()


def every_queue() -> list[str]:
    names = [rabbitmq.DEAD_QUEUE, rabbitmq.PARKED_QUEUE]
    for operation in Operation:
        names.append(rabbitmq.queue_of(operation))
        names += [rabbitmq.retry_queue_of(operation, delay_s) for delay_s in rabbitmq.RETRY_DELAYS_S]
    return names


def purge() -> None:
    for name in every_queue():
        rabbitmq._on_channel(lambda channel, name=name: channel.queue_purge(name))


@pytest.fixture
def take() -> Callable[[str], dict | None]:
    """Takes one message from a queue: its body, headers and expiration, or None."""

    def take(queue: str) -> dict | None:
        method, properties, body = rabbitmq._on_channel(lambda channel: channel.basic_get(queue, auto_ack=True))
        if method is None:
            return None
        return {
            "body": json.loads(body) if body[:1] == b"{" else body,
            "headers": properties.headers,
            "properties": properties,
        }

    return take


@pytest.fixture
def upload() -> Callable[..., str]:
    """Puts bytes into the bucket as an upload and returns the file's id."""

    def upload(content: bytes | Path, media_type: str = "application/octet-stream", name: str = "photo.jpg") -> str:
        file_id = ids.new_id()
        body = content.read_bytes() if isinstance(content, Path) else content
        s3.put(uploads.key_of(file_id), body, media_type=media_type, metadata=uploads.metadata_of(name, []))
        return file_id

    return upload


@pytest.fixture
def make_job() -> Callable[..., Job]:
    def make_job(
        operation: Operation = Operation.RESIZE,
        file_id: str | None = None,
        params: dict | None = None,
        job_id: str | None = None,
    ) -> Job:
        return Job(
            job_id=job_id or ids.new_id(),
            operation=operation,
            params={"width": 100} if params is None else params,
            source=FileSource(file_id=file_id or ids.new_id()),
            created_at=utc_now(),
            traceparent=new_traceparent(),
        )

    return make_job
