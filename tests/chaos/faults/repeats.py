"""What is delivered twice, out of order, late or never: messages, events, sweeps, uploads and requests."""

import http
import json
import threading
import time
import uuid
from dataclasses import dataclass
from typing import Any

import httpx
import pika
import pika.exceptions

from localstack.settings import BROKER_PASSWORD, BROKER_USER
from tests.chaos.clients import Form, GaveUpError
from tests.chaos.faults.kinds import BROKER, CACHE, CLOCK, MESSAGES, STORAGE, Context, Kind, kind
from tests.chaos.faults.refusals import SLOW_DOWN
from tests.chaos.relays import Refusal
from tests.chaos.tracking import TrackedJob

#: Jobs whose messages are repeated, uploads whose events are, and copies of each.
_REPEATED, _COPIES = 12, 3

#: Messages that are taken from a queue and put back in another order.
_REORDERED = 10

#: Passes of sweep at the same time, and how often.
_SWEEPS, _ROUNDS = 3, 2

#: Seconds by which requests to S3 are delayed while a file is replaced, less than the API waits for a response, and
#: within which a run begins to read it.
_READ_DELAY_S, _READ_WITHIN_S = 0.8, 20.0

#: How old an id is that was reserved long ago: longer than a form as shipped is valid.
_HOURS_S = 7200

_NO_JOB_ACCEPTED = Refusal(SLOW_DOWN, applies=lambda method, path: method == "PUT" and path.endswith("/job.json"))


@dataclass(frozen=True)
class ReservedRequest:
    """A request that was refused after its idempotency key had been stored."""

    body: dict[str, Any]
    key: str


class Repeats:
    """Injects repetitions into one deployment."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._deployment = context.deployment
        #: Kept from early in the run, because what is old is what is forgotten.
        self._requests: list[ReservedRequest] = []

    def prepare(self) -> None:
        """Keeps a reserved request for later. Nothing else may run yet."""
        self._reserve_key()

    def kinds(self) -> dict[str, Kind]:
        """The kinds of faults, by name."""
        return {
            "messages repeated and reordered": kind(self._repeat_messages, MESSAGES),
            "upload events repeated and reordered": kind(self._repeat_events),
            "upload events lost": kind(self._lose_events, CLOCK),
            "file replaced while a run reads it": kind(self._replace_file, STORAGE),
            "several sweeps at once": kind(self._sweep_at_once),
            "key used again without RabbitMQ and Redis": kind(self._use_key_again, BROKER, CACHE, STORAGE),
        }

    def _repeat_messages(self) -> bool:
        """Publishes messages of earlier attempts again, of open and of ended jobs, and shuffles what is queued.

        Affects nothing while the broker has no queues: it lost its data, and sweep has not declared them yet.
        """
        try:
            return self._shuffle_messages()
        except pika.exceptions.ChannelClosedByBroker as error:
            if error.reply_code == http.HTTPStatus.NOT_FOUND:
                return False
            raise

    def _shuffle_messages(self) -> bool:
        random = self._context.random
        jobs = self._context.clients.tracker.all_jobs()
        chosen = random.sample(jobs, min(_REPEATED, len(jobs)))
        messages = [(job.operation, self._message(job)) for job in chosen for _ in range(random.randint(1, _COPIES))]
        settings = self._deployment.settings
        parameters = pika.URLParameters(settings.broker_url())
        parameters.credentials = pika.PlainCredentials(BROKER_USER, BROKER_PASSWORD)
        with pika.BlockingConnection(parameters) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            taken = []
            for operation in {job.operation for job in jobs}:
                for _ in range(_REORDERED):
                    method, properties, body = channel.basic_get(f"darkroom.{operation}")
                    if method is None:
                        break
                    taken.append(method.delivery_tag)
                    messages += [(operation, (properties, body))] * random.randint(1, 2)
            random.shuffle(messages)
            for operation, (properties, body) in messages:
                channel.basic_publish("darkroom", f"darkroom.{operation}", body, properties, mandatory=True)
            for tag in taken:
                channel.basic_ack(tag)
        return bool(messages)

    def _message(self, job: TrackedJob) -> tuple[pika.BasicProperties, bytes]:
        attempt = self._context.random.randint(1, max(1, job.document.get("attempt", 1)))
        body = {"job_id": job.job_id, "tenant": "default", "operation": job.operation, "attempt": attempt}
        properties = pika.BasicProperties(
            content_type="application/json",
            delivery_mode=2,
            message_id=job.job_id,
            headers={"traceparent": f"00-{uuid.uuid4().hex}-{uuid.uuid4().hex[:16]}-01"},
        )
        return properties, json.dumps(body).encode()

    def _repeat_events(self) -> bool:
        """S3 reports uploads again, old and new ones, in any order."""
        uploads = list(self._context.clients.tracker.uploads)
        events = self._context.random.choices(uploads, k=_REPEATED) if uploads else []
        for file_id in events:
            record = {
                "s3": {"bucket": {"name": self._deployment.bucket}, "object": {"key": f"uploads/default/{file_id}"}}
            }
            payload = json.dumps({"Records": [record]}).encode()
            self._context.functions.invoke(
                FunctionName=f"{self._deployment.name}-ingest", InvocationType="Event", Payload=payload
            )
        return bool(events)

    def _lose_events(self) -> bool:
        """S3 reports no upload, among them one whose id is old: a large file can take longer than its form is valid."""
        s3, bucket = self._context.s3, self._deployment.bucket
        kept = s3.get_bucket_notification_configuration(Bucket=bucket)
        kept.pop("ResponseMetadata", None)
        s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
        try:
            self._context.clients.post_form(self._old_form(), self._context.prober.image(), "late")
            time.sleep(self._context.brief_s())
        except GaveUpError:
            pass  # the form was not posted, so no job was accepted
        finally:
            s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=kept)
        return True

    def _old_form(self) -> Form:
        """A form that is valid although its file was requested hours ago, as if its upload had taken that long.

        The clock of the functions is behind while the form is made, but not the clock that signs it.
        """
        self._deployment.shift_clock(-_HOURS_S)
        try:
            with self._context.clients.connect() as http:
                return self._context.clients.request_form(http, [{"operation": "resize", "params": {"width": 40}}])
        finally:
            self._deployment.shift_clock(0)

    def _replace_file(self) -> bool:
        """Another file takes the place of a video between the first request for it and the next."""
        clients, storage, s3 = self._context.clients, self._context.relays.storage, self._context.s3
        first, second = clients.clips
        is_read = threading.Event()

        def observe(method: str, path: str) -> bool:
            if method == "GET" and f"/{file_id}" in path and "/uploads/" in path:
                is_read.set()
            return False

        with clients.connect() as http:
            try:
                file_id = clients.upload(http, "clip.mp4", first, "video/mp4")
                storage.delay_s, storage.refusal = _READ_DELAY_S, Refusal(SLOW_DOWN, applies=observe)
                clients.start_job(http, {"file_id": file_id, "operation": "video_metadata", "params": {}}, "video")
                if not is_read.wait(_READ_WITHIN_S):
                    return False
                time.sleep(_READ_DELAY_S / 3)  # until the response is there
                place = {"Bucket": self._deployment.bucket, "Key": f"uploads/default/{file_id}"}
                metadata = s3.head_object(**place)["Metadata"]
                s3.put_object(**place, Body=second, ContentType="video/mp4", Metadata=metadata)
                time.sleep(2 * _READ_DELAY_S)
            except GaveUpError:
                return False
            finally:
                storage.delay_s, storage.refusal = 0.0, None
        return True

    def _sweep_at_once(self) -> bool:
        """Several passes of sweep at the same time, as when a scheduled pass is late."""
        for _ in range(_ROUNDS):
            threads = [threading.Thread(target=self._sweep, daemon=True) for _ in range(_SWEEPS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        return True

    def _sweep(self) -> None:
        self._context.functions.invoke(FunctionName=f"{self._deployment.name}-sweep", Payload=b"{}")

    def _reserve_key(self) -> None:
        """A request for a job that stored its idempotency key hours ago, and was then refused because S3 failed."""
        clients, storage = self._context.clients, self._context.relays.storage
        key = uuid.uuid4().hex
        self._deployment.shift_clock(-_HOURS_S)
        with clients.connect() as http:
            try:
                file_id = clients.upload(http, "old.png", self._context.prober.image(), "image/png")
                body = self._context.prober.body(file_id)
                storage.refusal = _NO_JOB_ACCEPTED
                response = http.post("/jobs", json=body, headers={"Idempotency-Key": key})
            except (GaveUpError, httpx.HTTPError):
                return
            finally:
                storage.refusal = None
                self._deployment.shift_clock(0)
        if response.status_code == 503:
            self._requests.append(ReservedRequest(body, key))

    def _use_key_again(self) -> bool:
        """A job is accepted with an old key, so with an old id, while only the ledger can store it."""
        if not self._requests:
            self._reserve_key()
            return False
        request = self._requests.pop(0)
        relays = self._context.relays
        for relay in (relays.broker, relays.cache):
            relay.refuse()
        try:
            with self._context.clients.connect() as http:
                job_id = self._context.clients.start_job(http, request.body, "repeated", key=request.key)
        except GaveUpError:
            return False
        finally:
            for relay in (relays.broker, relays.cache):
                relay.accept()
        self._reserve_key()
        return job_id is not None
