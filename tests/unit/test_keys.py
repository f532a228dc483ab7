"""Keys in S3 and Redis carry the tenant: the same id under two tenants is two keys."""

import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any, get_type_hints

import pytest

from darkroom.contracts.jobs import FileSource, Job, JobRef
from darkroom.contracts.operations import Operation
from darkroom.services.redis import keys
from tests.support.code import shipped_modules

ID = "019ab000-0000-7000-8000-000000000001"
TENANTS = ("a-tenant", "another")

#: The names of functions that build keys of objects, or the beginnings of such keys.
BUILDER = re.compile(r"(^|_)(key|prefix)(_of)?$")

#: Values of the parameters that do not identify anything of a tenant.
OTHERS: dict[str, Any] = {
    "attempt": 1,
    "kind": "jobs",
    "month": "2026-11",
    "operation": Operation.RESIZE,
    "run_id": "a-run",
    "written_s": 1,
}

#: The parameters that identify something of a tenant when they stand beside the tenant.
IDS = {
    "file_id": ID,
    "identifier": ID,
    "job_id": ID,
    "key": "an-idempotency-key",
    "key_id": "an-id",
    "link_id": "an-id",
}

Builder = Callable[..., str]


def job_of(tenant: str) -> Job:
    return Job(
        job_id=ID,
        tenant=tenant,
        operation=Operation.RESIZE,
        params={},
        source=FileSource(file_id=ID),
        created_at="2026-11-25T00:00:00.000Z",
        traceparent="",
    )


def built(builder: Builder, tenant: str) -> str:
    """The key that a function builds for this tenant. Fails for a parameter that is not declared above."""
    kinds: dict[type, Any] = {Job: job_of(tenant), JobRef: job_of(tenant).ref}
    named = {"tenant": tenant, **IDS, **OTHERS}
    hints = get_type_hints(builder)
    return builder(**{name: kinds.get(hints[name], named.get(name)) for name in inspect.signature(builder).parameters})


def identifies(builder: Builder) -> bool:
    """Whether a key depends on a tenant, a job or a file."""
    hints = get_type_hints(builder)
    return any(name in {"tenant", *IDS} or kind in (Job, JobRef) for name, kind in hints.items())


def is_shared(builder: Builder) -> bool:
    """Whether two tenants get the same key, or one that does not name them as one of its parts."""
    made = [built(builder, tenant) for tenant in TENANTS]
    parts = [key.replace("/", ":").split(":") for key in made]
    return made[0] == made[1] or any(tenant not in found for tenant, found in zip(TENANTS, parts, strict=True))


def redis_builders() -> Iterator[tuple[str, Builder]]:
    for name, function in inspect.getmembers(keys, inspect.isfunction):
        if get_type_hints(function)["return"] is str and identifies(function):
            yield name, function


def object_builders() -> Iterator[tuple[str, Builder]]:
    for module in shipped_modules().values():
        for name in filter(BUILDER.search, module.definitions):
            function = getattr(importlib.import_module(module.name), name)
            if get_type_hints(function).get("return") is str and identifies(function):
                yield f"{module.name}.{name}", function


REDIS, OBJECTS = dict(redis_builders()), dict(object_builders())


def test_the_builders_are_found() -> None:
    assert {"view_of", "end_channel_of", "jobs_of", "slot_of", "file_of", "ingestion_of", "lookup_of"} <= set(REDIS)
    assert set(OBJECTS) == {
        "api.idempotency._object_key",
        "darkroom.jobs.ledger.job_key",
        "darkroom.jobs.ledger.prefix_of",
        "darkroom.jobs.ledger.result_key",
        "darkroom.jobs.lifecycle.outputs_prefix",
        "darkroom.jobs.open_index._key",
        "darkroom.jobs.uploads.key_of",
        "darkroom.jobs.usage.usage_key",
        "darkroom.jobs.worker._run_prefix",
        "darkroom.tenants.key_uses._key",
        "darkroom.tenants.records.api_key_key",
        "darkroom.tenants.records.link_key",
        "darkroom.tenants.records.links_prefix",
        "darkroom.tenants.records.tenant_prefix",
        "darkroom.tenants.records.quotas_key",
        "darkroom.tenants.records.tenant_key",
    }


@pytest.mark.parametrize("name", REDIS)
def test_key_in_redis_carries_the_tenant(name: str) -> None:
    assert not is_shared(REDIS[name]), f"{name} gives {built(REDIS[name], TENANTS[0])}"


@pytest.mark.parametrize("name", OBJECTS)
def test_key_in_s3_carries_the_tenant(name: str) -> None:
    assert not is_shared(OBJECTS[name]), f"{name} gives {built(OBJECTS[name], TENANTS[0])}"


def without_tenant(job_id: str) -> str:
    return f"darkroom:job:{job_id}"


def with_ref_but_without_tenant(job: JobRef) -> str:
    return f"ledger/{job.job_id}/job.json"


def with_tenant_in_another_part(tenant: str, file_id: str) -> str:
    return f"darkroom:file:{tenant}{file_id}"


@pytest.mark.parametrize("builder", [without_tenant, with_ref_but_without_tenant, with_tenant_in_another_part])
def test_key_without_the_tenant_is_noticed(builder: Builder) -> None:
    assert identifies(builder)
    assert is_shared(builder)


def test_reference_of_a_job_has_a_text_form_that_can_be_parsed() -> None:
    ref = job_of("a-tenant").ref

    assert str(ref) == f"a-tenant/{ID}"
    assert JobRef.parse(str(ref)) == ref
