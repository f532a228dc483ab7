"""GET /jobs/{job_id}/download, through the handler, with real Redis and S3."""

import urllib.request

from darkroom.services import s3
from tests.integration.api_jobs import JPEG, OUTPUT, complete, fail, start
from tests.integration.conftest import Upload
from tests.support.gateway import call


def test_download_redirects_to_the_requested_output(upload: Upload) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    complete(job_id, "first.webp", "second.webp")

    for query, name in (("", "first.webp"), ("?output=0", "first.webp"), ("?output=1", "second.webp")):
        reply = call("GET", f"/jobs/{job_id}/download{query}")
        assert reply.status == 307
        with urllib.request.urlopen(reply.headers["location"], timeout=10) as answer:  # noqa: S310
            assert answer.read() == OUTPUT
            assert name in answer.headers["Content-Disposition"]


def test_download_of_an_output_that_the_job_does_not_have_is_refused(upload: Upload) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    complete(job_id, "a.webp")

    assert call("GET", f"/jobs/{job_id}/download?output=1").json["code"] == "invalid_request"
    assert call("GET", f"/jobs/{job_id}/download?output=-1").json["code"] == "invalid_request"


def test_download_from_a_job_without_outputs_is_refused(upload: Upload) -> None:
    job_id = start(upload(JPEG)).json["job_id"]

    queued = call("GET", f"/jobs/{job_id}/download")
    fail(job_id)
    failed = call("GET", f"/jobs/{job_id}/download")

    assert (queued.status, queued.json["code"]) == (failed.status, failed.json["code"]) == (409, "job_not_completed")


def test_download_of_a_removed_output_is_refused_as_gone(upload: Upload) -> None:
    job_id = start(upload(JPEG)).json["job_id"]
    result = complete(job_id, "a.webp")
    s3.delete([result.outputs[0].key])

    reply = call("GET", f"/jobs/{job_id}/download")

    assert (reply.status, reply.json["code"]) == (410, "result_gone")
