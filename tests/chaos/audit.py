"""Checks S3, Redis, RabbitMQ and the process table after every job has ended."""

import hashlib
import io
import json
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pika
import redis
from botocore.client import BaseClient
from PIL import Image

from localstack.settings import BROKER_PASSWORD, BROKER_USER
from tests.chaos.deployment import Deployment
from tests.chaos.tracking import TERMINAL, Tracker

#: Redis keys of jobs that still need work. At the end, all must be empty.
OPEN_KEYS = ("open", "cleanups", "inflight:*", "queued:*", "ready:*", "delayed:*")

#: The ledger of the tenant whose jobs the run starts.
LEDGER_PREFIX = "ledger/default/"

#: What the ledger lists as open, so that nobody has to search for it.
OPEN_JOBS_PREFIX, OPEN_UPLOADS_PREFIX = "open/jobs/", "open/uploads/"

#: The actions that change an object.
_CHANGING = ("s3:PutObject", "s3:DeleteObject")

#: The result of each accepted job, by job id; None without one.
Ledger = dict[str, dict[str, Any] | None]


class Audit:
    """Inspects one deployment from outside, with the credentials of the emulator's root user."""

    def __init__(self, deployment: Deployment, s3: BaseClient) -> None:
        self._deployment = deployment
        self._s3 = s3
        self._bucket = deployment.bucket

    def keys(self, prefix: str) -> list[str]:
        """The key of every object under a prefix."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def has_open_jobs(self) -> bool:
        """Whether the ledger has a job without a result."""
        names = {tuple(key.split("/")[2:]) for key in self.keys(LEDGER_PREFIX)}
        return any((job_id, "result.json") not in names for job_id, name in names if name == "job.json")

    def unindexed(self) -> list[str]:
        """Open jobs that are not in the index of open jobs."""
        names: dict[str, set[str]] = defaultdict(set)
        for key in self.keys(LEDGER_PREFIX):
            job_id, name = key.removeprefix(LEDGER_PREFIX).split("/")
            names[job_id].add(name)
        open_jobs = {job_id for job_id, found in names.items() if found == {"job.json"}}
        indexed = {key.rpartition("/")[2] for key in self.keys(OPEN_JOBS_PREFIX)}
        return [job_id for job_id in open_jobs - indexed if not self._exists(f"{LEDGER_PREFIX}{job_id}/result.json")]

    def _exists(self, key: str) -> bool:
        return key in self.keys(key)

    def double_results(self) -> list[str]:
        """Jobs whose `result.json` a function wrote more than once, or deleted, by the recorded calls."""
        changes = Counter[str]()
        for call in self._deployment.calls():
            key = call["resource"].partition("/")[2]
            if call["status"] < 300 and key.endswith("/result.json") and call["action"] in _CHANGING:
                changes[key.split("/")[-2]] += 1
        return [f"{job_id} has {count} results" for job_id, count in changes.items() if count > 1]

    def ledger(self) -> Ledger:
        """Every accepted job, also one whose client got no response."""
        found: dict[str, set[str]] = defaultdict(set)
        for key in self.keys(LEDGER_PREFIX):
            job_id, name = key.removeprefix(LEDGER_PREFIX).split("/")
            found[job_id].add(name)
        return {
            job_id: self._read(f"{LEDGER_PREFIX}{job_id}/result.json") if "result.json" in names else None
            for job_id, names in found.items()
            if "job.json" in names
        }

    def _read(self, key: str) -> dict[str, Any]:
        return dict(json.loads(self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()))

    def bad_outputs(self, ledger: Ledger) -> list[str]:
        """Outputs of completed jobs that are missing, differ from their checksum or cannot be decoded."""
        problems = []
        for job_id, result in ledger.items():
            if result is None or result["status"] != "completed":
                continue
            for output in result["outputs"]:
                problem = self._problem(output)
                if problem:
                    problems.append(f"{job_id}: {output['key']} {problem}")
        return problems

    def mixed_sources(self, ledger: Ledger, widths_px: dict[int, int]) -> list[str]:
        """Descriptions of a video that mix two files, one of which replaced the other. `widths_px` is by size."""
        problems = []
        for job_id, result in ledger.items():
            document = (result or {}).get("document") or {}
            size_bytes = document.get("size_bytes")
            widths = {stream.get("width_px") for stream in document.get("streams", []) if stream["type"] == "video"}
            if size_bytes in widths_px and widths != {widths_px[size_bytes]}:
                problems.append(f"{job_id}: a file of {size_bytes} bytes is described as {widths} pixels wide")
        return problems

    def _problem(self, output: dict[str, Any]) -> str:
        try:
            content = self._s3.get_object(Bucket=self._bucket, Key=output["key"])["Body"].read()
        except self._s3.exceptions.NoSuchKey:
            return "is missing"
        if hashlib.sha256(content).hexdigest() != output["sha256"]:
            return "has another checksum"
        try:
            self._decode(content, output["media_type"])
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            return f"cannot be decoded: {error}"
        return ""

    def _decode(self, content: bytes, media_type: str) -> None:
        if media_type.startswith("image/"):
            with Image.open(io.BytesIO(content)) as image:
                image.load()
        elif media_type.startswith(("video/", "audio/")):
            ffprobe = self._deployment.settings.build / "FfmpegLayer" / "bin" / "ffprobe"
            argv = [str(ffprobe), "-v", "error", "-show_entries", "format=duration", "-i", "pipe:0"]
            subprocess.run(argv, input=content, check=True, capture_output=True)
        else:
            json.loads(content)

    def orphans(self, ledger: Ledger) -> list[str]:
        """Output objects that no result names."""
        named = {output["key"] for result in ledger.values() if result for output in result["outputs"]}
        return [key for key in self.keys("processed/") if key not in named]

    def leftovers(self) -> list[str]:
        """What is left in Redis, RabbitMQ and the index of open jobs, and FFmpeg processes."""
        problems = self._indexed()
        problems += [f"FFmpeg runs as process {pid}" for pid in self._deployment.ffmpeg_processes()]
        with redis.Redis.from_url(self._deployment.settings.cache_url(), decode_responses=True) as cache:
            for pattern in OPEN_KEYS:
                for key in cache.scan_iter(f"darkroom:{pattern}", count=1000):
                    problems.append(f"Redis has {cache.zcard(key)} members in {key}: {cache.zrange(key, 0, 2)}")
        problems += [f"RabbitMQ has {count} messages in {queue}" for queue, count in self._depths() if count]
        return problems

    def _indexed(self) -> list[str]:
        """Entries of the index of jobs that were accepted and of uploads that have arrived. Others are awaited."""
        jobs = {key.split("/")[-2] for key in self.keys(LEDGER_PREFIX) if key.endswith("/job.json")}
        files = {key.rpartition("/")[2] for key in self.keys("uploads/")}
        known = {OPEN_JOBS_PREFIX: jobs, OPEN_UPLOADS_PREFIX: files}
        return [
            f"the index has {key}"
            for prefix, identifiers in known.items()
            for key in self.keys(prefix)
            if key.rpartition("/")[2] in identifiers
        ]

    def _depths(self) -> Iterator[tuple[str, int]]:
        parameters = pika.URLParameters(self._deployment.settings.broker_url())
        parameters.credentials = pika.PlainCredentials(BROKER_USER, BROKER_PASSWORD)
        connection = pika.BlockingConnection(parameters)
        channel = connection.channel()
        for queue in deployed_queues(self._deployment.sources):
            yield queue, channel.queue_declare(queue, passive=True).method.message_count
        connection.close()

    def make_cleanups_due(self) -> None:
        """Makes every cleanup due now, since the run does not test the wait before it."""
        with redis.Redis.from_url(self._deployment.settings.cache_url(), decode_responses=True) as cache:
            for member in cache.zrange("darkroom:cleanups", 0, -1):
                cache.zadd("darkroom:cleanups", {member: 0}, xx=True)

    def compare_with_api(self, tracker: Tracker, ledger: Ledger) -> tuple[list[str], list[str], list[str]]:
        """Jobs that are lost, jobs that are stuck, and jobs whose status differs between the API and the ledger."""
        lost, stuck, different = [], [], []
        address, headers = self._deployment.settings.api_url, self._deployment.headers
        with httpx.Client(base_url=address, headers=headers, timeout=40) as http:
            for job in tracker.all_jobs():
                response = http.get(f"/jobs/{job.job_id}")
                if response.status_code == 404 or job.job_id not in ledger:
                    lost.append(f"{job.job_id} ({job.kind}): {response.status_code} {response.text[:120]}")
                elif response.status_code != 200:
                    different.append(f"GET /jobs/{job.job_id} returns {response.status_code} {response.text[:120]}")
                else:
                    job.document = response.json()
                    status, result = job.document["status"], ledger[job.job_id]
                    if status not in TERMINAL or result is None:
                        stuck.append(f"{job.job_id} ({job.kind}) is {status}")
                    elif status != result["status"]:
                        different.append(f"{job.job_id} is {status} in the API, {result['status']} in the ledger")
        unknown = set(ledger) - set(tracker.jobs)
        stuck += [f"{job_id}, which no client knows" for job_id in unknown if ledger[job_id] is None]
        return lost, stuck, different


def deployed_queues(sources: Path) -> list[str]:
    """The names of the queues, from the deployed sources: changed delays change the names."""
    code = "from darkroom.services import rabbitmq; print('\\n'.join(rabbitmq._queues()))"
    environment = {"PYTHONPATH": str(sources / "layers" / "core"), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    return done.stdout.split()
