"""Integration tests run Darkroom in this process with a real RabbitMQ, Redis and S3. All three are required.

Their addresses come from the environment. Each test has a bucket of its own, empty queues and an empty Redis database,
which must not be that of a running stack (database 0). With several processes, each has a virtual host and a database
of its own, as localstack/settings.py lists them.
"""

import json
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from darkroom import config, ids
from darkroom.contracts.jobs import FileSource, Job, JobResult
from darkroom.contracts.operations import Operation
from darkroom.jobs import acceptance, ledger, uploads
from darkroom.services import aws, rabbitmq, s3
from darkroom.services.redis import memory, views
from darkroom.services.redis.client import redis_client
from darkroom.services.redis.views import View
from darkroom.timeouts import BACKGROUND, use_timeouts
from darkroom.timestamps import utc_now
from darkroom.tracing import new_traceparent
from localstack.settings import CACHE_DATABASES, VIRTUAL_HOSTS
from tests.support.broker import close_connections
from tests.support.broker import on_channel as on_channel
from tests.support.redis_server import RedisServer
from tests.support.tenants import TENANT, ref_of, upload_key

REQUIRED = {
    "AWS_ENDPOINT_URL": "the S3 API",
    "DARKROOM_CACHE_URL": "Redis, with a database of its own such as …/1",
    "DARKROOM_BROKER_URL": "RabbitMQ",
    "DARKROOM_BROKER_SECRET_ARN": "the secret with RabbitMQ's credentials",
}

#: The beginning of a PNG file, which suffices to detect the type.
PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 64

#: An address where nothing listens.
NOWHERE = "127.0.0.1:9"

PROCESS = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
PREFIX = f"integration-{PROCESS}"

#: What the fixtures `take`, `upload`, `make_job` and `break_service` return.
Take = Callable[[str], Any]
Upload = Callable[..., str]
MakeJob = Callable[..., Job]
BreakService = Callable[[str], None]


def pytest_configure() -> None:
    for name, numbers in (("DARKROOM_BROKER_URL", VIRTUAL_HOSTS), ("DARKROOM_CACHE_URL", CACHE_DATABASES)):
        url = os.environ.get(name, "")
        if PROCESS and url.endswith(f"/{numbers[1]}"):
            os.environ[name] = url.removesuffix(str(numbers[1])) + str(numbers[1 + PROCESS])


def forget_clients() -> None:
    """Makes the next call read the environment and connect again, as after a cold start."""
    forget_connections()
    aws.secret.cache_clear()


def forget_connections() -> None:
    """Makes the next call read the environment and connect again, with the secrets that are known.

    The limits are those of a function, until a test calls the API.
    """
    use_timeouts(BACKGROUND)
    rabbitmq.close()
    config.settings.cache_clear()
    aws.client.cache_clear()
    redis_client.cache_clear()
    memory._recent_share.cache_clear()


@pytest.fixture(scope="session", autouse=True)
def bucket() -> Iterator[str]:
    """A bucket for the whole session, to which functions in the emulator write."""
    missing = [f"{name} ({meaning})" for name, meaning in REQUIRED.items() if not os.environ.get(name)]
    assert not missing, f"`make test` starts the services; without it, set {', '.join(missing)}"
    assert not os.environ["DARKROOM_CACHE_URL"].endswith("/0"), "these tests empty their Redis database"
    name = f"{PREFIX}-{uuid.uuid4().hex[:12]}"
    os.environ["DARKROOM_ACCESS"] = "open"
    os.environ["DARKROOM_BUCKET"] = name
    os.environ["DARKROOM_FUNCTION_PREFIX"] = PREFIX
    forget_clients()
    aws.client("s3").create_bucket(Bucket=name)
    rabbitmq.declare_topology()
    yield name
    rabbitmq.close()
    close_connections()


@pytest.fixture(autouse=True)
def clean(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DARKROOM_BUCKET", f"{bucket}-{uuid.uuid4().hex[:12]}")
    forget_clients()
    aws.client("s3").create_bucket(Bucket=os.environ["DARKROOM_BUCKET"])
    redis_client().flushdb()
    purge()
    yield
    redis_client().close()


@pytest.fixture(autouse=True)
def own_temporary_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Runs of other processes leave nothing where a test looks for what its own have left."""
    before = tempfile.tempdir
    tempfile.tempdir = str(tmp_path_factory.mktemp("runs"))
    yield
    tempfile.tempdir = before


def every_queue() -> list[str]:
    names = [rabbitmq.DEAD_QUEUE, rabbitmq.PARKED_QUEUE]
    for operation in Operation:
        names.append(rabbitmq.queue_of(operation))
        names += [rabbitmq.retry_queue_of(operation, delay_s) for delay_s in rabbitmq.RETRY_DELAYS_S]
    return names


def purge() -> None:
    for name in every_queue():
        on_channel("queue_purge", name)


def view_of(job_id: str) -> View:
    """The view of a job that must have one."""
    view = views.fetch(ref_of(job_id))
    assert view is not None, f"job {job_id} has no view"
    return view


def result_of(job_id: str) -> JobResult:
    """The result of a job that must have ended."""
    result = ledger.read_result(ref_of(job_id))
    assert result is not None, f"job {job_id} has not ended"
    return result


def failure_code_of(job_id: str) -> str:
    """The code of the error with which a job must have failed."""
    error = result_of(job_id).error
    assert error is not None, f"job {job_id} has not failed"
    return error.code


@pytest.fixture
def take() -> Take:
    """Takes one message from a queue: its body, headers and properties. Returns None when the queue is empty."""

    def take(queue: str) -> dict[str, Any] | None:
        method, properties, body = on_channel("basic_get", queue, auto_ack=True)
        if method is None:
            return None
        return {
            "body": json.loads(body) if body[:1] == b"{" else body,
            "headers": properties.headers,
            "properties": properties,
        }

    return take


@pytest.fixture
def upload() -> Upload:
    """Puts bytes into the bucket as an upload. Returns the id of the file."""

    def upload(content: bytes | Path, media_type: str = "application/octet-stream", name: str = "photo.jpg") -> str:
        file_id = ids.new_id()
        body = content.read_bytes() if isinstance(content, Path) else content
        s3.put(upload_key(file_id), body, media_type=media_type, metadata=uploads.metadata_of(name, []))
        return file_id

    return upload


@pytest.fixture
def make_job() -> MakeJob:
    """Makes a job that was not accepted yet."""

    def make_job(
        operation: Operation = Operation.RESIZE,
        file_id: str | None = None,
        params: dict[str, Any] | None = None,
        job_id: str | None = None,
        tenant: str = TENANT,
    ) -> Job:
        return Job(
            job_id=job_id or ids.new_id(),
            tenant=tenant,
            operation=operation,
            params={"width": 100} if params is None else params,
            source=FileSource(file_id=file_id or ids.new_id()),
            created_at=utc_now(),
            traceparent=new_traceparent(),
        )

    return make_job


@pytest.fixture
def accepted(make_job: MakeJob, upload: Upload) -> Job:
    """An accepted job on a file that exists. Its message is in the queue."""
    job = make_job(file_id=upload(PNG, "image/png", "Łódź.png"))
    acceptance.accept(job)
    return job


@pytest.fixture
def own_redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisServer]:
    """A Redis of the test's own, which it may stop, fill and reconfigure. Darkroom uses it for the rest of the test."""
    with RedisServer() as server:
        monkeypatch.setenv("DARKROOM_CACHE_URL", f"redis://127.0.0.1:{server.port}/0")
        forget_connections()
        yield server
    monkeypatch.undo()
    forget_connections()


@pytest.fixture
def break_service(monkeypatch: pytest.MonkeyPatch) -> Iterator[BreakService]:
    """Makes a service unavailable for the rest of the test: cache, broker or storage."""
    settings = {
        "cache": ("DARKROOM_CACHE_URL", f"redis://{NOWHERE}/1"),
        "broker": ("DARKROOM_BROKER_URL", f"amqp://{NOWHERE}/%2F"),
        "storage": ("AWS_ENDPOINT_URL", f"http://{NOWHERE}"),
    }

    def break_service(name: str) -> None:
        aws.secret(config.settings().broker_secret_arn)  # known before the outage, as in a warm environment
        monkeypatch.setenv(*settings[name])
        forget_connections()

    yield break_service
    monkeypatch.undo()
    forget_connections()
