"""Refusals: S3 and Lambda answer some or all requests with an error."""

import json
import time

from tests.chaos.faults.kinds import FUNCTIONS, STORAGE, Context, Kind, kind
from tests.chaos.probes import PROBED
from tests.chaos.relays import HttpRelay, Refusal, http_response

_XML = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{0}</Code><Message>{0}</Message></Error>'

#: What S3 answers when it is overloaded, or does not know whether the request took effect.
SLOW_DOWN = http_response("503 Slow Down", _XML.format("SlowDown"), "application/xml")
INTERNAL_ERROR = http_response("500 Internal Server Error", _XML.format("InternalError"), "application/xml")

#: What Lambda answers when too many requests are made.
THROTTLED = http_response(
    "429 Too Many Requests",
    json.dumps({"Type": "User", "message": "Rate Exceeded.", "Reason": "CallerRateLimitExceeded"}),
    "application/json",
    x_amzn_ErrorType="TooManyRequestsException",
)

#: Jobs that are started meanwhile. While Lambda throttles they end within `ENDS_WITHIN_S`, or other jobs do, which were
#: queued before; and at last within `LONGEST_WAITS` times as long.
_PROBES, ENDS_WITHIN_S, LONGEST_WAITS = 4, 30.0, 5

#: Half of the requests that S3 refuses have taken effect.
PARTLY_FAILING = Refusal(INTERNAL_ERROR, share=0.2, late_share=0.5)
UPLOADS_UNREADABLE = Refusal(SLOW_DOWN, applies=lambda method, path: method == "GET" and "/uploads/" in path)
HALF_THROTTLED = Refusal(THROTTLED, share=0.5, applies=lambda _, path: path.endswith("/invocations"))


class Refusals:
    """Injects refusals into one deployment."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def kinds(self) -> dict[str, Kind]:
        """The kinds of faults, by name."""
        relays = self._context.relays
        return {
            "S3 access denied": kind(self._deny_s3, STORAGE),
            "S3 fails a fifth of the requests": kind(
                lambda: self._refuse(relays.storage, PARTLY_FAILING, self._context.brief_s() + 2), STORAGE
            ),
            "uploads cannot be read": kind(
                lambda: self._refuse(relays.storage, UPLOADS_UNREADABLE, self._context.hang_time_s()), STORAGE
            ),
            "Lambda throttles half of the requests": kind(self._throttle, FUNCTIONS),
        }

    def _refuse(self, relay: HttpRelay, refusal: Refusal, seconds: float) -> bool:
        before, relay.refusal = relay.refused, refusal
        until = time.monotonic() + seconds
        try:
            self._context.prober.start(_PROBES)
            time.sleep(max(0.0, until - time.monotonic()))
        finally:
            relay.refusal = None
        return relay.refused > before

    def _throttle(self) -> bool:
        """Jobs that are started meanwhile end meanwhile, after those before them: half of the calls succeed."""
        functions = self._context.relays.functions
        before, functions.refusal = functions.refused, HALF_THROTTLED
        try:
            probes = self._context.prober.start(_PROBES)
            left = self._outlast_queue(probes)
        finally:
            functions.refusal = None
        if left:
            problem = f"Lambda throttles half of the requests: {len(left)} of {len(probes)} jobs did not end"
            self._context.problems.append(problem)
        return functions.refused > before

    def _outlast_queue(self, probes: list[str]) -> list[str]:
        """Waits for the probes while other jobs of their operation end. Returns those that have not ended."""
        left = probes
        for _ in range(LONGEST_WAITS):
            before = self._others_open(probes)
            left = self._context.prober.still_open(left, ENDS_WITHIN_S)
            if not left or not before - self._others_open(probes):
                break
        return left

    def _others_open(self, probes: list[str]) -> set[str]:
        jobs = self._context.clients.tracker.open_jobs()
        return {job.job_id for job in jobs if job.operation == PROBED} - set(probes)

    def _deny_s3(self) -> bool:
        bucket = self._context.deployment.bucket
        resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
        statement = {"Sid": "Chaos", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": resources}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self._context.s3.put_bucket_policy(Bucket=bucket, Policy=policy)
        try:
            time.sleep(self._context.random.uniform(1, 6))
        finally:
            self._context.s3.delete_bucket_policy(Bucket=bucket)
        return True
