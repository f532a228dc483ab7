"""The demo's report: a table of the results, and an explanation of the longest wait."""

from collections.abc import Sequence
from typing import Any

from localstack.demo import terminal
from localstack.demo.jobs import Finished

#: Seconds. Waiting that is shorter needs no explanation.
NOTICEABLE_S = 1.0

_COLUMNS = ("operation", "upload", "input", "output", "type", "waited", "worked", "size")
_RIGHT_ALIGNED = (5, 6, 7)


def table(jobs: Sequence[Finished]) -> str:
    """One row per job."""
    return terminal.table(_COLUMNS, [_row(job) for job in jobs], right=_RIGHT_ALIGNED)


def _row(job: Finished) -> list[str]:
    submitted = [job.submitted.operation, job.submitted.upload, job.submitted.source.name]
    times = [terminal.seconds(job.waited_s), terminal.seconds(job.worked_s)]
    if not job.completed:
        return [*submitted, job.document["status"], failure(job), *times, ""]
    output = job.document["outputs"][0]
    return [*submitted, output["name"], describe(output), *times, terminal.size(output["size_bytes"])]


def failure(job: Finished) -> str:
    """Why a job has no result."""
    error = job.document.get("error") or {"code": job.document["status"], "message": ""}
    return f"{error['code']}: {error['message']}".removesuffix(": ")


def describe(output: dict[str, Any]) -> str:
    """An output's media type, and its dimensions and duration if it has them."""
    facts = [output["media_type"]]
    if output.get("width_px"):
        facts.append(f"{output['width_px']}x{output['height_px']}")
    if output.get("duration_s"):
        facts.append(f"{output['duration_s']:.1f} s")
    return ", ".join(facts)


def waiting(jobs: Sequence[Finished]) -> str:
    """Explains the columns of times, and the wait of the job that waited longest."""
    meaning = "waited: in the queue and until the function had started. worked: processing, transfers included."
    longest = max(jobs, key=lambda job: job.waited_s)
    if longest.waited_s < NOTICEABLE_S:
        return meaning
    queued = longest.waited_s - longest.starting_s
    starting = terminal.seconds(longest.starting_s)
    return (
        f"{meaning}\n{longest.submitted.operation} waited longest: {terminal.seconds(queued)} in the queue and "
        f"{starting} for its function to start.\nThe first run of every function, also of dispatch, is a cold start: "
        "its code and layers are unpacked and imported.\nRun `make demo` again to see the times of warm functions."
    )
