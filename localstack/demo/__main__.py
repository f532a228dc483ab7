"""Shows the running stack at work: real media, all seven operations, both ways in.

A photo goes through the API and gets its jobs one by one. A video goes straight to S3 with a presigned form that
carries its jobs, and they start by themselves. The results are saved, so that they can be looked at.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from localstack.demo import board, engines, samples
from localstack.demo.api_client import Client, Json, NoAnswerError, Upload, post_form
from localstack.failure import StackError
from localstack.settings import ROOT, load

#: Seconds that one request holds on for a job's end, and after which the demo gives the jobs up.
WAIT_S = 1
LIMIT_S = 240

ENDED = ("completed", "failed", "canceled")


@dataclass(frozen=True)
class Work:
    """One job under way."""

    job_id: str
    operation: str
    way_in: str
    source: str


def main(arguments: Sequence[str] | None = None) -> int:
    """The demo as a command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--api", help="address of the API; default: that of the local stack")
    parser.add_argument("--results", type=Path, default=ROOT / "results", help="folder for the results")
    options = parser.parse_args(arguments)
    try:
        settings = load()
        for engine, version in engines.versions(settings).items():
            print(f"  {engine:<10} {version}")
        return run(Client(options.api or settings.api_url), options.results)
    except KeyboardInterrupt:
        return 130
    except NoAnswerError as error:
        print(f"\n{error}\nIs the stack running? `make up` starts it.", file=sys.stderr)
    except StackError as error:
        print(f"\n{error}\n`make logs` shows what the functions say.", file=sys.stderr)
    return 1


def run(api: Client, results: Path) -> int:
    """Uploads, waits, saves and tells. Raises StackError when a request fails or the jobs do not end."""
    began = time.monotonic()
    api.get("/health")
    works = [*_through_the_api(api), *_straight_to_s3(api)]
    print(f"\n{len(works)} jobs under way:")
    jobs = _wait(api, works)
    saved = _save(api, works, jobs, results)
    _report(api, works, jobs, saved)
    _say_what_is_next(api, results, time.monotonic() - began)
    return 0 if all(job["status"] == "completed" for job in jobs) else 1


def _through_the_api(api: Client) -> list[Work]:
    photo = _read(ROOT / samples.PHOTO, "image/jpeg")
    print(f"\nREST        {photo.name} ({board.size(len(photo.content))}): POST /upload, then POST /jobs for each job")
    file_id = api.post_file("/upload", photo)["file_id"]
    works = []
    for operation, params in samples.PHOTO_JOBS.items():
        job = api.post("/jobs", {"file_id": file_id, "operation": operation, "params": params})
        works.append(Work(job["job_id"], operation, "REST", photo.name))
    return works


def _straight_to_s3(api: Client) -> list[Work]:
    video = _read(ROOT / samples.VIDEO, "video/mp4")
    print(f"presigned   {video.name} ({board.size(len(video.content))}): POST /uploads, then the form goes to S3")
    jobs = [{"operation": operation, "params": params} for operation, params in samples.VIDEO_JOBS.items()]
    answer = api.post("/uploads", {"name": video.name, "media_type": video.media_type, "jobs": jobs})
    post_form(answer["upload"]["url"], answer["upload"]["fields"], video)
    return [Work(job["job_id"], job["operation"], "presigned", video.name) for job in answer["jobs"]]


def _read(path: Path, media_type: str) -> Upload:
    try:
        return Upload(path.name, media_type, path.read_bytes())
    except OSError as error:
        raise StackError(f"The demo's media is missing: {error}") from error


def _wait(api: Client, works: list[Work]) -> list[Json]:
    """The jobs' documents, once all have ended. One request at a time: each waits for the first job still open."""
    shown = board.Board()
    jobs: dict[str, Json] = {}
    deadline = time.monotonic() + LIMIT_S
    while True:
        for work in works:
            if jobs.get(work.job_id, {}).get("status") not in ENDED:
                jobs[work.job_id] = api.get(f"/jobs/{work.job_id}")
        shown.show([_state(work, jobs[work.job_id]) for work in works])
        still_open = [work for work in works if jobs[work.job_id]["status"] not in ENDED]
        if not still_open:
            return [jobs[work.job_id] for work in works]
        if time.monotonic() > deadline:
            told = "\n".join(f"  {work.operation}: {_trouble(jobs[work.job_id])}" for work in still_open)
            raise StackError(f"Not ended within {LIMIT_S} s:\n{told}")
        api.get(f"/jobs/{still_open[0].job_id}", wait_s=WAIT_S)


def _state(work: Work, job: Json) -> tuple[str, str, float]:
    status = job["status"] if not job["errors"] or job["status"] in ENDED else f"{job['status']} again"
    return work.operation, status, float(job["progress"])


def _trouble(job: Json) -> str:
    """What keeps a job open: its latest failure, where there was one."""
    return job["errors"][-1]["message"] if job["errors"] else f"{job['status']}, and nothing failed so far"


def _save(api: Client, works: list[Work], jobs: list[Json], results: Path) -> list[Path | None]:
    """Where each job's first result was saved."""
    results.mkdir(parents=True, exist_ok=True)
    saved: list[Path | None] = []
    for work, job in zip(works, jobs, strict=True):
        if job["status"] != "completed":
            saved.append(None)
            continue
        path = results / job["outputs"][0]["name"]
        path.write_bytes(api.download(f"/jobs/{work.job_id}/download"))
        saved.append(path)
    return saved


def _report(api: Client, works: list[Work], jobs: list[Json], saved: list[Path | None]) -> None:
    heads = ["operation", "way in", "input", "output", "is", "time", "size"]
    rows = [
        [work.operation, work.way_in, work.source, *_result(job, path)]
        for work, job, path in zip(works, jobs, saved, strict=True)
    ]
    print("\n" + board.table(heads, rows, right=(5, 6)))
    print("\nDownload links; each leads to a presigned one:")
    for work, path in zip(works, saved, strict=True):
        if path is not None:
            print(f"  {work.operation:<16} {api.address}/jobs/{work.job_id}/download")


def _result(job: Json, path: Path | None) -> list[str]:
    if path is None:
        error = job.get("error") or {}
        return [job["status"], f"{error.get('code', '')}: {error.get('message', '')}", "", ""]
    output = job["outputs"][0]
    return [path.name, describe(output), board.seconds(_took_s(job)), board.size(output["size_bytes"])]


def describe(output: dict[str, Any]) -> str:
    """What a result is: its type, and its dimensions or duration."""
    facts = [output["media_type"]]
    if output.get("width_px"):
        facts.append(f"{output['width_px']}x{output['height_px']}")
    if output.get("duration_s"):
        facts.append(f"{output['duration_s']:.1f} s")
    return ", ".join(facts)


def _took_s(job: Json) -> float:
    """Seconds from the job's acceptance to its end, by the service's own times."""
    return (datetime.fromisoformat(job["finished_at"]) - datetime.fromisoformat(job["created_at"])).total_seconds()


def _say_what_is_next(api: Client, results: Path, total_s: float) -> None:
    print(f"\nDone in {board.seconds(total_s)}. The results are in {results}")
    print(f"  Try it yourself      {api.address}/docs")
    print("  See what it logs     make logs")
    print("  Stop everything      make down")


if __name__ == "__main__":
    sys.exit(main())
