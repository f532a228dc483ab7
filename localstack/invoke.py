"""Invokes one deployed function of the running stack directly, without the API and the queue.

    python3 -m localstack.invoke thumbnail
    python3 -m localstack.invoke thumbnail --file photo.jpg --params '{"width": 100}'
    python3 -m localstack.invoke sweep tests/events/sweep.json

First it creates what the event refers to, with new ids: the job of a message, the file of an upload, or the URL to
which topology sends its response. Then it prints the function's response and the job's result.
"""

import argparse
import base64
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from localstack.demo import samples
from localstack.errors import StackError
from localstack.settings import ACCOUNT, REGION, ROOT, Settings, load

sys.path.insert(0, str(ROOT / "layers" / "core"))
from darkroom.ids import new_id

EVENTS = ROOT / "tests" / "events"
TENANT = "default"

Event = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    from botocore.exceptions import BotoCoreError, ClientError  # only the tools' Python has it

    parser = argparse.ArgumentParser(
        prog="python3 -m localstack.invoke", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("function", nargs="?", help="name of the function, such as thumbnail, ingest or sweep")
    parser.add_argument("event", nargs="?", type=Path, help="JSON file; default: tests/events/<function>.json")
    parser.add_argument("--file", type=Path, help="the file to process; default: one of tests/media")
    parser.add_argument(
        "--params", type=json.loads, help="the operation's parameters as JSON; default: those of the demo"
    )
    parser.add_argument("--print-event", action="store_true", help="prepare the event and print it instead of invoking")
    parser.add_argument(
        "--print-environment", action="store_true", help="print the variables for `sam local invoke --env-vars`"
    )
    options = parser.parse_args(arguments)
    try:
        settings = load()
        if options.print_environment:
            print(json.dumps({"Parameters": environment(settings)}, indent=2))
            return 0
        if not options.function:
            parser.error("the name of a function is missing")
        event = json.loads((options.event or EVENTS / f"{options.function}.json").read_text())
        event = Preparation(settings, options.file, options.params).prepare(event)
        if options.print_event:
            print(json.dumps(event))
            return 0
        return _invoke(settings, options.function, event)
    except BotoCoreError as error:
        print(f"{error}\nIs the stack running? `make up` starts it.", file=sys.stderr)
    except (ClientError, OSError, ValueError, StackError) as error:
        print(error, file=sys.stderr)
    return 1


def environment(settings: Settings) -> dict[str, str]:
    """The environment variables of a function that runs outside the emulator and uses this stack."""
    return {
        "AWS_ENDPOINT_URL": settings.endpoint_url,
        "DARKROOM_ACCESS": "open",
        "DARKROOM_BUCKET": _bucket(settings),
        "DARKROOM_CACHE_URL": settings.cache_url(),
        "DARKROOM_CACHE_SECRET_ARN": "",
        "DARKROOM_BROKER_URL": settings.broker_url(),
        "DARKROOM_BROKER_SECRET_ARN": settings.secret_name,
        "DARKROOM_FUNCTION_PREFIX": settings.stack,
    }


def _bucket(settings: Settings) -> str:
    return f"{settings.stack}-{ACCOUNT}-{REGION}"


def _client(settings: Settings, service: str) -> Any:
    from localstack.aws.clients import create_client  # only the tools' Python has botocore

    return create_client(settings, service)


@dataclass(frozen=True)
class Preparation:
    """Creates what an event refers to. Where `file` or `params` is None, the demo's is used."""

    settings: Settings
    file: Path | None
    params: dict[str, Any] | None

    def prepare(self, event: Event) -> Event:
        """The event with the ids and addresses of what was created for it."""
        if "message" in event:
            event["message"] = self._with_job(event["message"])
        for messages in event.get("rmqMessagesByQueue", {}).values():
            for raw in messages:
                message = self._with_job(json.loads(base64.b64decode(raw["data"])))
                raw["data"] = base64.b64encode(json.dumps(message).encode()).decode()
        for record in event.get("Records", []):
            record["s3"]["object"]["key"] = self._upload(new_id(), samples.PHOTO)
        if "ResponseURL" in event:
            put = {"Bucket": _bucket(self.settings), "Key": f"work/{new_id()}.json", "ContentType": ""}
            event["ResponseURL"] = _client(self.settings, "s3").generate_presigned_url("put_object", Params=put)
        return event

    def _with_job(self, message: Event) -> Event:
        """The message of a new job with the same operation, on a new file."""
        operation, job_id, file_id = message["operation"], new_id(), new_id()
        self._upload(file_id, samples.source_of(operation))
        job = {
            "job_id": job_id,
            "tenant": TENANT,
            "operation": operation,
            "params": samples.params_of(operation) if self.params is None else self.params,
            "source": {"type": "file", "file_id": file_id},
            "created_at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "traceparent": f"00-{os.urandom(16).hex()}-{os.urandom(8).hex()}-01",
        }
        self._put(f"ledger/{TENANT}/{job_id}/job.json", json.dumps(job).encode())
        return message | {"job_id": job_id}

    def _upload(self, file_id: str, sample: str) -> str:
        """Uploads the file under this id; returns its key."""
        file, key = self.file or ROOT / sample, f"uploads/{TENANT}/{file_id}"
        self._put(key, file.read_bytes(), name=file.name)
        return key

    def _put(self, key: str, content: bytes, **metadata: str) -> None:
        bucket = _bucket(self.settings)
        _client(self.settings, "s3").put_object(Bucket=bucket, Key=key, Body=content, Metadata=metadata)


def _invoke(settings: Settings, function: str, event: Event) -> int:
    response = _client(settings, "lambda").invoke(
        FunctionName=f"{settings.stack}-{function}", Payload=json.dumps(event)
    )
    print(json.dumps(json.load(response["Payload"]), indent=2))
    if "message" in event:
        print(_result(settings, event["message"]["job_id"]))
    return 1 if "FunctionError" in response else 0


def _result(settings: Settings, job_id: str) -> str:
    """The job's result in the ledger."""
    s3 = _client(settings, "s3")
    try:
        found = s3.get_object(Bucket=_bucket(settings), Key=f"ledger/{TENANT}/{job_id}/result.json")
    except s3.exceptions.NoSuchKey:
        return f"Job {job_id} has no result yet: GET /jobs/{job_id} shows its status."
    return json.dumps(json.load(found["Body"]), indent=2)


def _with_tools() -> None:
    """Restarts this command with the Python that `make up` installed, which has an AWS client."""
    tools = load().tools
    if Path(sys.executable) != tools:
        if not tools.exists():
            sys.exit("Nothing is installed yet. Run `make up` first.")
        os.execv(tools, [str(tools), "-m", "localstack.invoke", *sys.argv[1:]])  # noqa: S606 - the same program


if __name__ == "__main__":
    _with_tools()
    sys.exit(main())
