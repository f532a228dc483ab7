"""The reckoning: what S3, Redis, RabbitMQ and the process table hold when everything should be over."""

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
from tests.chaos.clients import TERMINAL, People
from tests.chaos.deployment import Deployment

#: Redis keys whose members wait for something; at the end, none may.
WAITING_KEYS = ("open", "cleanups", "inflight:*", "queued:*")


class Audit:
    """Looks at one deployment from outside, as root."""

    def __init__(self, deployment: Deployment, s3: BaseClient) -> None:
        self._deployment = deployment
        self._s3 = s3
        self._bucket = deployment.bucket

    def keys(self, prefix: str) -> list[str]:
        """Every object below a prefix."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def double_endings(self) -> list[str]:
        """Jobs whose `result.json` was written more than once, or removed. The bucket keeps every version."""
        versions = Counter[str]()
        for page in self._s3.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix="ledger/"):
            for entry in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
                if entry["Key"].endswith("/result.json"):
                    versions[entry["Key"].split("/")[1]] += 1
        return [f"{job_id} has {count} results" for job_id, count in versions.items() if count > 1]

    def ledger(self) -> dict[str, dict[str, Any] | None]:
        """Every job that was accepted, known to its owner or not, with its result."""
        found: dict[str, set[str]] = defaultdict(set)
        for key in self.keys("ledger/"):
            _, job_id, name = key.split("/")
            found[job_id].add(name)
        return {
            job_id: self._read(f"ledger/{job_id}/result.json") if "result.json" in names else None
            for job_id, names in found.items()
            if "job.json" in names
        }

    def _read(self, key: str) -> dict[str, Any]:
        return dict(json.loads(self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()))

    def outputs(self, ledger: dict[str, dict[str, Any] | None]) -> list[str]:
        """Outputs of completed jobs that are missing, differ from their checksum or cannot be decoded."""
        wrong = []
        for job_id, result in ledger.items():
            if result is None or result["status"] != "completed":
                continue
            for output in result["outputs"]:
                problem = self._problem(output)
                if problem:
                    wrong.append(f"{job_id}: {output['key']} {problem}")
        return wrong

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

    def orphans(self, ledger: dict[str, dict[str, Any] | None]) -> list[str]:
        """Objects that no result names."""
        named = {output["key"] for result in ledger.values() if result for output in result["outputs"]}
        return [key for key in self.keys("processed/") if key not in named]

    def leftovers(self) -> list[str]:
        """What still waits in Redis or RabbitMQ, and FFmpeg processes that still run."""
        wrong = [f"FFmpeg runs as process {pid}" for pid in self._deployment.encoders()]
        with redis.Redis.from_url(self._deployment.settings.cache_url(), decode_responses=True) as cache:
            for pattern in WAITING_KEYS:
                for key in cache.scan_iter(f"darkroom:{pattern}", count=1000):
                    wrong.append(f"Redis keeps {cache.zcard(key)} in {key}: {cache.zrange(key, 0, 2)}")
        wrong += [f"RabbitMQ keeps {count} messages in {queue}" for queue, count in self._queues() if count]
        return wrong

    def _queues(self) -> Iterator[tuple[str, int]]:
        parameters = pika.URLParameters(self._deployment.settings.broker_url())
        parameters.credentials = pika.PlainCredentials(BROKER_USER, BROKER_PASSWORD)
        connection = pika.BlockingConnection(parameters)
        channel = connection.channel()
        for queue in queues(self._deployment.sources):
            yield queue, channel.queue_declare(queue, passive=True).method.message_count
        connection.close()

    def make_it_late(self) -> None:
        """Everything in Redis that waits for its time is due: the wait itself is not what is tried here."""
        with redis.Redis.from_url(self._deployment.settings.cache_url(), decode_responses=True) as cache:
            for member in cache.zrange("darkroom:cleanups", 0, -1):
                cache.zadd("darkroom:cleanups", {member: 0}, xx=True)

    def told(self, people: People, ledger: dict[str, dict[str, Any] | None]) -> tuple[list[str], list[str], list[str]]:
        """Jobs that are lost, that are stuck, and that are shown otherwise than the ledger has them."""
        lost, stuck, wrong = [], [], []
        with httpx.Client(base_url=self._deployment.settings.api_url, timeout=40) as http:
            for job in people.tracked.values():
                answer = http.get(f"/jobs/{job.job_id}")
                if answer.status_code == 404 or job.job_id not in ledger:
                    lost.append(f"{job.job_id} ({job.kind}): {answer.status_code} {answer.text[:120]}")
                elif answer.status_code != 200:
                    wrong.append(f"GET /jobs/{job.job_id} answers {answer.status_code} {answer.text[:120]}")
                else:
                    status, result = answer.json()["status"], ledger[job.job_id]
                    if status not in TERMINAL or result is None:
                        stuck.append(f"{job.job_id} ({job.kind}) is {status}")
                    elif status != result["status"]:
                        wrong.append(f"{job.job_id} is shown {status}, and the ledger has it {result['status']}")
        unheard = set(ledger) - set(people.tracked)
        stuck += [f"{job_id}, of which nobody was told" for job_id in unheard if ledger[job_id] is None]
        return lost, stuck, wrong


def queues(copy: Path) -> list[str]:
    """The deployed broker module's own list of its queues."""
    code = "from darkroom.services import rabbitmq; print('\\n'.join(rabbitmq._queues()))"
    environment = {"PYTHONPATH": str(copy / "layers" / "core"), "PATH": ""}
    answer = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    return answer.stdout.split()
