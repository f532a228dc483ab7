"""The demo's jobs: submitted in both ways, awaited, and their results saved."""

import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from localstack.demo import samples, terminal
from localstack.demo.api_client import Client, Json, Upload, post_form
from localstack.errors import StackError
from localstack.settings import ROOT

#: Seconds that one request waits for the end of a job, and after which the demo fails.
WAIT_S = 1
TIMEOUT_S = 240

TERMINAL = ("completed", "failed", "canceled")


@dataclass(frozen=True)
class Submitted:
    """A submitted job: its operation, how its file was uploaded, and that file."""

    job_id: str
    operation: str
    upload: str
    source: Path


@dataclass(frozen=True)
class Finished:
    """A job in a terminal state: its document in the API, and its saved outputs, the main one first."""

    submitted: Submitted
    document: Json
    files: tuple[Path, ...]

    @property
    def completed(self) -> bool:
        """Whether it has a result."""
        return bool(self.document["status"] == "completed")

    @property
    def waited_s(self) -> float:
        """Seconds from its creation until its run started; until its end when it never ran."""
        return self._moment_s("started_at", "finished_at") - self._moment_s("created_at")

    @property
    def worked_s(self) -> float:
        """Seconds that its run took."""
        return self._moment_s("finished_at") - self._moment_s("started_at", "finished_at")

    @property
    def starting_s(self) -> float:
        """Seconds of `waited_s` after the job had left the queue, in which its function was starting."""
        moments = [moment["at"] for moment in self.document.get("timeline", []) if moment["event"] == "dispatched"]
        if not moments or not self.document["started_at"]:
            return 0.0
        return min(max(self._moment_s("started_at") - _seconds(moments[-1]), 0.0), self.waited_s)

    def _moment_s(self, *names: str) -> float:
        return _seconds(next(self.document[name] for name in names if self.document[name]))


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()


def submit_photo(api: Client) -> list[Submitted]:
    """Uploads the photo through the API and submits its jobs one by one."""
    photo = _read(ROOT / samples.PHOTO, "image/jpeg")
    print(
        f"\nREST        {photo.name} ({terminal.size(len(photo.content))}): POST /upload, then POST /jobs for each job"
    )
    file_id = api.post_file("/upload", photo)["file_id"]
    submitted = []
    for operation, params in samples.PHOTO_JOBS.items():
        job = api.post("/jobs", {"file_id": file_id, "operation": operation, "params": params})
        submitted.append(Submitted(job["job_id"], operation, "REST", ROOT / samples.PHOTO))
    return submitted


def submit_video(api: Client) -> list[Submitted]:
    """Uploads the video to S3 with a presigned form that carries its jobs."""
    video = _read(ROOT / samples.VIDEO, "video/mp4")
    print(f"presigned   {video.name} ({terminal.size(len(video.content))}): POST /uploads, then POST the form to S3")
    jobs = [{"operation": operation, "params": params} for operation, params in samples.VIDEO_JOBS.items()]
    response = api.post("/uploads", {"name": video.name, "media_type": video.media_type, "jobs": jobs})
    post_form(response["upload"]["url"], response["upload"]["fields"], video)
    return [Submitted(job["job_id"], job["operation"], "presigned", ROOT / samples.VIDEO) for job in response["jobs"]]


def _read(path: Path, media_type: str) -> Upload:
    try:
        return Upload(path.name, media_type, path.read_bytes())
    except OSError as error:
        raise StackError(f"The demo's media is missing: {error}") from error


def wait(api: Client, submitted: list[Submitted]) -> list[Json]:
    """Shows the jobs until all have ended. Returns their documents. Raises StackError when they take too long."""
    bars = terminal.ProgressBars()
    documents: dict[str, Json] = {}
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        for job in submitted:
            if documents.get(job.job_id, {}).get("status") not in TERMINAL:
                documents[job.job_id] = api.get(f"/jobs/{job.job_id}")
        bars.show([_state(job, documents[job.job_id]) for job in submitted])
        unfinished = [job for job in submitted if documents[job.job_id]["status"] not in TERMINAL]
        if not unfinished:
            return [documents[job.job_id] for job in submitted]
        if time.monotonic() > deadline:
            states = "\n".join(f"  {job.operation}: {_problem(documents[job.job_id])}" for job in unfinished)
            raise StackError(f"Not finished within {TIMEOUT_S} s:\n{states}")
        api.get(f"/jobs/{unfinished[0].job_id}", wait_s=WAIT_S)


def _state(job: Submitted, document: Json) -> tuple[str, str, float]:
    retried = document["errors"] and document["status"] not in TERMINAL
    return job.operation, f"{document['status']}{' (retry)' if retried else ''}", float(document["progress"])


def _problem(document: Json) -> str:
    """Why a job has not finished: its latest failed attempt, if there was one."""
    if document["errors"]:
        return str(document["errors"][-1]["message"])
    return f"{document['status']}, without a failed attempt"


def save(api: Client, job: Submitted, document: Json, folder: Path) -> Finished:
    """Downloads every output of a finished job into the folder."""
    files = []
    for number, output in enumerate(document["outputs"]):
        path = folder / output["name"]
        path.write_bytes(api.download(f"/jobs/{job.job_id}/download?output={number}"))
        files.append(path)
    return Finished(job, document, tuple(files))
