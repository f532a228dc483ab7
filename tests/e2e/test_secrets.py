"""No secret that the tests used is in a log, in Redis or in S3. This comes last.

tests/unit/test_secret_search.py shows that the search finds what is there.
"""

import base64
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
import redis

from localstack import keys
from localstack.aws.clients import create_client
from localstack.services.processes import Registry
from localstack.settings import CACHE_DATABASES, CALLS, Settings, load
from tests.e2e.conftest import Service
from tests.support.redis_content import content_of
from tests.support.secret_search import Secret, find

Places = Iterator[tuple[str, bytes]]


def files_of(settings: Settings) -> Places:
    """What the processes of the stack and its deployment have written: the emulator, the mapping, the gateway, …"""
    logs = Registry(settings.directory).log("any").parent
    recorded = (settings.home / CALLS).glob(f"{settings.stack}.jsonl")
    paths: list[Path] = [*logs.glob("*.log"), *settings.home.glob(f"*-{settings.stack}.log"), *recorded]
    for path in paths:
        yield f"the file {path.name}", path.read_bytes()


def log_groups_of(settings: Settings) -> Places:
    """The logs of the functions, and the access log."""
    with closing(create_client(settings, "logs")) as logs:
        for page in logs.get_paginator("describe_log_groups").paginate():
            for group in page["logGroups"]:
                name = group["logGroupName"]
                events = logs.get_paginator("filter_log_events").paginate(logGroupName=name)
                lines = [event["message"] for found in events for event in found["events"]]
                yield f"the log {name}", "\n".join(lines).encode()


def cache_of(settings: Settings) -> Places:
    client = redis.Redis.from_url(settings.cache_url(CACHE_DATABASES[0]), decode_responses=True)
    with closing(client):
        for key in client.scan_iter():
            yield f"Redis, {key}", json.dumps([key, content_of(client, key)]).encode()


def bucket_of(settings: Settings) -> Places:
    with closing(create_client(settings, "s3")) as s3, closing(create_client(settings, "cloudformation")) as stacks:
        found = stacks.describe_stack_resource(StackName=settings.stack, LogicalResourceId="MediaBucket")
        bucket = found["StackResourceDetail"]["PhysicalResourceId"]
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for entry in page.get("Contents", []):
                answer = s3.get_object(Bucket=bucket, Key=entry["Key"])
                described = json.dumps([entry["Key"], answer["Metadata"]]).encode()
                yield f"S3, {entry['Key']}", described + answer["Body"].read()


def places_of(settings: Settings) -> Places:
    yield from files_of(settings)
    yield from log_groups_of(settings)
    yield from cache_of(settings)
    yield from bucket_of(settings)


def _link_token(service: Service) -> str:
    """The token of an upload link. An API that is open issues none, so there it is one that nobody knows."""
    answer = service.http.post("/upload-links", json={"media_types": ["image/*"]})
    return (
        str(answer.json()["token"]) if answer.status_code == 201 else f"dl_local_default-abcdefghij23_{'un1ssued' * 5}"
    )


@pytest.fixture
def secrets(service: Service, used_secrets: list[Secret]) -> list[Secret]:
    """Those of the other tests, and credentials in every place where a client may put them, good and bad."""
    good = keys.create(load(), "searched for")
    encoded = [
        base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (b'{"alg":"RS256"}', b'{"sub":"user-1"}')
    ]
    token = ".".join([*encoded, "s1gn4tur3" * 5])
    link = _link_token(service)
    wrong = f"{good.rpartition('_')[0]}_{'wr0ng' * 8}"
    password = "c0rrect-h0rse-battery"
    basic = f"Basic {base64.b64encode(f'user:{password}'.encode()).decode()}"
    with httpx.Client(base_url=service.url, timeout=40) as client:
        for credential in (f"Bearer {good}", f"Bearer {link}", f"Bearer {token}", f"Bearer {wrong}", basic, password):
            for method, path in (("GET", "/jobs"), ("POST", "/jobs"), ("GET", "/nowhere"), ("GET", "/health/parts")):
                client.request(method, path, headers={"authorization": credential})
        form = {"name": "a.jpg", "media_type": "image/jpeg"}
        client.post("/uploads", json=form, headers={"authorization": f"Bearer {link}"})
    keys.revoke(load(), good)
    own = [
        Secret("the token", token),
        Secret("the wrong key", wrong),
        Secret("the token of the link", link),
        Secret("the password of a client", password),
    ]
    return [*used_secrets, *own, *([Secret("the key", service.key)] if service.key else [])]


def test_no_secret_is_in_a_log_in_the_cache_or_in_the_bucket(service: Service, secrets: list[Secret]) -> None:
    places = list(places_of(load()))
    names = " ".join(name for name, _ in places)

    assert sum(secret.text.startswith("dk_") for secret in secrets) >= 2
    for part in ("emulator", "mapping", "-api", "-resize", "Redis, darkroom:", "S3, ledger/", "S3, tenants/"):
        assert part in names, f"{part} was not searched: {names}"
    assert not find(secrets, places)
    if service.key:
        public_id = Secret("the id of the key", service.key.split("_")[2])
        assert any("-api has" in found for found in find([public_id], places)), "the search finds nothing"
