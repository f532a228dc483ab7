"""What belongs to a tenant is removed with it: no key of Redis and no folder of the bucket is forgotten."""

import inspect
import re
from pathlib import Path

from darkroom.contracts.jobs import JobRef
from darkroom.jobs.open_index import Kind
from darkroom.services.redis import keys, tenants
from functions.sweep import deletion
from tests.support.template import new_network

#: Keys that need not be removed: a channel stores nothing, a slot is a member of a set that jobs leave, and the
#: script finds views by their prefix.
NOT_STORED = {"end_channel_of", "slot_of", "view_of"}


def test_every_key_of_a_tenant_is_removed_with_it() -> None:
    source = Path(inspect.getfile(tenants)).read_text()
    of_tenants = {
        name
        for name, function in inspect.getmembers(keys, inspect.isfunction)
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name == "tenant" or parameter.annotation is JobRef
    }

    removed = set(re.findall(r"keys\.(\w+_of)\b", source))
    assert "jobs_of" in of_tenants
    assert of_tenants - removed == NOT_STORED


def test_every_set_that_lists_jobs_of_all_tenants_is_left_by_those_of_a_deleted_one() -> None:
    source = Path(inspect.getfile(tenants)).read_text()
    shared = {"OPEN_JOBS", "CLEANUPS", "QUEUED_COUNTS", "CHANGED_USAGE", "UNSAVED_KEY_USES"}
    others = {"LAST_SWEEP", "GAP_END", "DATASET_ID", "LISTED_USAGE", "VIEW_PREFIX", "MOST_IN_FLIGHT_PREFIX"}

    texts = {name for name, value in inspect.getmembers(keys) if name.isupper() and isinstance(value, str)}
    assert texts == shared | others, "say here what a new key has of tenants"
    assert all(f"keys.{name}" in source for name in shared)


def test_every_folder_of_a_tenant_is_removed_with_it() -> None:
    bucket = new_network().resources["MediaBucket"]["Properties"]
    rules = bucket["LifecycleConfiguration"]["Rules"]
    prefixes = {rule["Prefix"].rstrip("/") for rule in rules if "Prefix" in rule}
    source = Path(inspect.getfile(deletion)).read_text()

    removed = set(re.findall(r'_remove\(f"([\w/]+)/\{tenant\}/"', source))
    assert removed == (prefixes - {"open", "links"}) | {f"open/{kind}" for kind in Kind} | {"work/idempotency"}
    assert "_remove(records.tenant_prefix(tenant)" in source
    assert "_remove(records.links_prefix(tenant)" in source
