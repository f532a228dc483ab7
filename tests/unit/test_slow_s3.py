"""The stand-in for S3 in the benchmark of sweep lists what S3 would list."""

from itertools import islice

import httpx
import pytest

from tests.bench import slow_s3


@pytest.fixture(autouse=True)
def no_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PAGE_S", "DELETE_S", "REQUEST_S"):
        monkeypatch.setattr(slow_s3, name, 0)


def test_ledger_of_ended_jobs_is_in_order_from_any_key_on() -> None:
    ended = slow_s3.EndedJobs(10_000_000, 1_700_000_000_000, 1_700_604_800_000)

    first = list(islice(ended.keys_after(""), 4))
    middle = f"ledger/default/{ended.job_id(7_000_000)}/job.json"

    assert first == sorted(set(first))
    assert first[0] == f"ledger/default/{ended.job_id(0)}/job.json"
    assert next(ended.keys_after(middle)) == f"ledger/default/{ended.job_id(7_000_000)}/result.json"
    assert list(ended.keys_after(f"ledger/default/{ended.job_id(9_999_999)}/result.json")) == []


def test_listing_has_pages_and_requests_are_counted() -> None:
    with slow_s3.slow_s3(slow_s3.EndedJobs(2_000, 1_700_000_000_000, 1_700_000_100_000)) as s3:
        s3.add({f"open/jobs/default/{number:05}": "" for number in range(1_500)}, age_s=60)

        open_jobs = httpx.get(f"{s3.url}/bucket", params={"list-type": "2", "prefix": "open/jobs/"}).text
        ledger = httpx.get(f"{s3.url}/bucket", params={"list-type": "2", "prefix": "ledger/"}).text

        assert open_jobs.count("<Key>") == slow_s3.PAGE_KEYS
        assert "<IsTruncated>true</IsTruncated><NextContinuationToken>open/jobs/default/00999" in open_jobs
        assert ledger.count("/result.json</Key>") == slow_s3.PAGE_KEYS / 2
        assert httpx.get(f"{s3.url}/bucket/open/jobs/default/00001").status_code == 200
        assert httpx.get(f"{s3.url}/bucket/absent").status_code == 404
        assert s3.take_requests() == {"LIST": 2, "GET": 2}
        assert s3.take_requests() == {}
