"""Presigned forms and links of a tenant, bent to something of another one: S3 refuses them.

Each is accepted as it was issued, so that nothing else is the reason of a refusal.
"""

import base64
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

import httpx
import pytest

from darkroom import ids
from darkroom.config import settings
from darkroom.jobs import uploads
from darkroom.services import aws, s3
from tests.integration.api_jobs import complete
from tests.integration.conftest import PNG
from tests.support.gateway import acting_as, call, multipart

OURS, THEIRS = "acme", "acme-labs"


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client() as client:
        yield client


def objects() -> dict[str, str]:
    """Everything in the bucket."""
    pages = aws.client("s3").get_paginator("list_objects_v2").paginate(Bucket=settings().bucket)
    return {entry["Key"]: entry["ETag"] for page in pages for entry in page.get("Contents", [])}


def stored_file(tenant: str) -> str:
    file_id = ids.new_id()
    s3.put(uploads.key_of(tenant, file_id), PNG, media_type="image/png", metadata=uploads.metadata_of("a.png", []))
    return file_id


# Forms -------------------------------------------------------------------------------------------------------------


def issued_form() -> dict[str, Any]:
    job = {"operation": "thumbnail", "params": {"width": 100, "height": 100}}
    body = {"name": "a.png", "media_type": "image/png", "size_bytes": len(PNG), "jobs": [job]}
    with acting_as(OURS):
        form: dict[str, Any] = call("POST", "/uploads", json_body=body).json["upload"]
    return form


def rewritten(policy: str, **changes: Any) -> str:
    """The policy of a form with other conditions, or another expiry."""
    document = json.loads(base64.b64decode(policy))
    for name, value in changes.items():
        if name == "expiration":
            document[name] = value
            continue
        document["conditions"] = [
            entry for entry in document["conditions"] if not (isinstance(entry, dict) and name in entry)
        ]
        document["conditions"].append({name: value})
    return base64.b64encode(json.dumps(document).encode()).decode()


def bent_forms(fields: dict[str, str]) -> dict[str, dict[str, str]]:
    """What an attacker may change in the fields of a form, by what it is to achieve."""
    their_key, policy, signature = uploads.key_of(THEIRS, stored_file(THEIRS)), fields["policy"], "x-amz-signature"
    jobs = fields["x-amz-meta-jobs"]
    return {
        "a file of the other tenant": {"key": their_key},
        "the same file of the other tenant": {"key": fields["key"].replace(f"/{OURS}/", f"/{THEIRS}/")},
        "another file of the tenant": {"key": uploads.key_of(OURS, ids.new_id())},
        "a path out of the tenant": {"key": f"uploads/{OURS}/../{THEIRS}/{ids.new_id()}"},
        "a document of the tenant": {"key": f"tenants/{OURS}/tenant.json"},
        "another type": {"Content-Type": "text/html"},
        "other jobs": {"x-amz-meta-jobs": jobs.replace("thumbnail", "resize")},
        "another name": {"x-amz-meta-name": "b.png"},
        "more metadata": {"x-amz-meta-tenant": THEIRS},
        "a public object": {"acl": "public-read"},
        "another policy": {"key": their_key, "policy": rewritten(policy, key=their_key)},
        "a longer life": {"policy": rewritten(policy, expiration="2099-01-01T00:00:00Z")},
        "another signature": {signature: fields[signature][::-1]},
    }


def post(client: httpx.Client, form: dict[str, Any], changes: dict[str, str], content: bytes = PNG) -> int:
    body, headers = multipart(form["fields"] | changes, name="a", media_type="image/png", content=content)
    return client.post(form["url"], content=body, headers=headers).status_code


def test_form_cannot_be_bent(client: httpx.Client) -> None:
    form = issued_form()
    attacks = bent_forms(form["fields"])
    before = objects()

    statuses = {goal: post(client, form, changes) for goal, changes in attacks.items()}

    assert statuses == dict.fromkeys(attacks, 403)
    assert post(client, form, {}, PNG + b"1") == 400, "a larger file"
    assert objects() == before
    assert post(client, form, {}) == 204
    assert objects().keys() - before.keys() == {form["fields"]["key"]}


def test_form_without_a_field_that_was_signed_is_refused(client: httpx.Client) -> None:
    form = issued_form()
    before = objects()
    for field in form["fields"]:
        shorter = form | {"fields": {name: value for name, value in form["fields"].items() if name != field}}

        assert post(client, shorter, {}) in (400, 403), field
    assert objects() == before


# Links -------------------------------------------------------------------------------------------------------------


def output_link(tenant: str) -> str:
    """The link to an output of a job."""
    with acting_as(tenant):
        body = {"file_id": stored_file(tenant), "operation": "resize", "params": {"width": 10}}
        job_id = call("POST", "/jobs", json_body=body).json["job_id"]
        complete(job_id, "a.webp", tenant=tenant)
        return str(call("GET", f"/jobs/{job_id}/download").headers["location"])


def with_query(link: str, **changes: str) -> str:
    parts = urlsplit(link)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()} | changes
    return urlunsplit(parts._replace(query=urlencode(query)))


def test_link_cannot_be_bent(client: httpx.Client) -> None:
    ours, theirs = urlsplit(output_link(OURS)), urlsplit(output_link(THEIRS))
    link = urlunsplit(ours)
    their_upload = f"/{settings().bucket}/{uploads.key_of(THEIRS, stored_file(THEIRS))}"
    their_key = urlunsplit(ours._replace(path=theirs.path))
    attacks = {
        "an output of the other tenant": ("GET", their_key),
        "an upload of the other tenant": ("GET", urlunsplit(ours._replace(path=their_upload))),
        "a path out of the tenant": ("GET", link.replace(f"/{OURS}/", f"/{OURS}/../{THEIRS}/")),
        "a list of the bucket": ("GET", urlunsplit(ours._replace(path=f"/{settings().bucket}"))),
        "their query": ("GET", urlunsplit(ours._replace(query=theirs.query))),
        "a longer life": ("GET", with_query(link, **{"X-Amz-Expires": "604800"})),
        "a later time": ("GET", with_query(link, **{"X-Amz-Date": "20990101T000000Z"})),
        "another type": ("GET", with_query(link, **{"response-content-type": "text/html"})),
        "another signature": ("GET", with_query(link, **{"X-Amz-Signature": "0" * 64})),
        "no signature": ("GET", urlunsplit(ours._replace(query=""))),
        "a write": ("PUT", link),
        "a deletion": ("DELETE", link),
    }
    before = objects()

    statuses = {goal: client.request(method, url).status_code for goal, (method, url) in attacks.items()}

    assert statuses == dict.fromkeys(attacks, 403)
    assert objects() == before
    assert client.get(link).status_code == client.get(urlunsplit(theirs)).status_code == 200
