"""Runs one deployed function alone, on the running stack: no queue, no API, no Docker.

    python3 -m localstack.invoke thumbnail
    python3 -m localstack.invoke thumbnail --file photo.jpg --params '{"width": 100}'
    python3 -m localstack.invoke sweep tests/events/sweep.json

An operation works on a job of the ledger, ingest on an uploaded file, topology answers at a presigned address: these are
made first, with new ids.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from localstack import samples
from localstack.failure import StackError
from localstack.settings import ACCOUNT, REGION, ROOT, Settings, load

sys.path.insert(0, str(ROOT / "layers" / "core"))
from darkroom.ids import new_id

EVENTS = ROOT / "tests" / "events"
TENANT = "default"

Event = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("function", nargs="?", help="such as thumbnail, ingest or sweep")
    parser.add_argument("event", nargs="?", type=Path, help="default: tests/events/<function>.json")
    parser.add_argument("--file", type=Path, help="the file to work on; default: one of tests/media")
    parser.add_argument("--params", help="the operation's parameters as JSON; default: the demo's")
    parser.add_argument("--print-event", action="store_true", help="prepare, then print the event instead of invoking")
    parser.add_argument("--print-environment", action="store_true", help="print what `sam local invoke` needs to know")
    options = parser.parse_args(arguments)
    try:
        settings = load()
        if options.print_environment:
            print(json.dumps({"Parameters": environment(settings)}, indent=2))
            return 0
        if not options.function:
            parser.error("which function?")
        event = json.loads((options.event or EVENTS / f"{options.function}.json").read_text())
        file = options.file or ROOT / samples.source_of(options.function)
        params = json.loads(options.params) if options.params else samples.params_of(options.function)
        event = _prepare(settings, event, file, params)
        if options.print_event:
            print(json.dumps(event))
            return 0
        return _invoke(settings, options.function, event)
    except (OSError, ValueError, StackError) as error:
        print(error, file=sys.stderr)
        return 1


def environment(settings: Settings) -> dict[str, str]:
    """The variables of a function that runs outside the emulator, beside it."""
    return settings.aws_environment() | {
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
    os.environ.update(settings.aws_environment())
    import botocore.session  # only the tools' Python has it

    return botocore.session.get_session().create_client(service)


def _prepare(settings: Settings, event: Event, file: Path, params: dict[str, Any]) -> Event:
    """The event with what is new for it: the ids of a file and a job, or an address. They exist when this returns."""
    file_id, job_id = new_id(), new_id()
    if "message" in event:
        _put(settings, f"uploads/{TENANT}/{file_id}", file.read_bytes(), name=file.name)
        job = _job(job_id, file_id, event, params)
        _put(settings, f"ledger/{job_id}/job.json", json.dumps(job).encode())
        return event | {"message": event["message"] | {"job_id": job_id}}
    for record in event.get("Records", []):
        record["s3"]["object"]["key"] = f"uploads/{TENANT}/{file_id}"
        _put(settings, record["s3"]["object"]["key"], file.read_bytes(), name=file.name)
    if "ResponseURL" in event:
        put = {"Bucket": _bucket(settings), "Key": f"work/{job_id}.json", "ContentType": ""}
        event["ResponseURL"] = _client(settings, "s3").generate_presigned_url("put_object", Params=put)
    return event


def _job(job_id: str, file_id: str, event: Event, params: dict[str, Any]) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "tenant": TENANT,
        "operation": event["message"]["operation"],
        "params": params,
        "source": {"type": "file", "file_id": file_id},
        "created_at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "traceparent": event["traceparent"],
    }


def _put(settings: Settings, key: str, content: bytes, **metadata: str) -> None:
    _client(settings, "s3").put_object(Bucket=_bucket(settings), Key=key, Body=content, Metadata=metadata)


def _invoke(settings: Settings, function: str, event: Event) -> int:
    answer = _client(settings, "lambda").invoke(FunctionName=f"{settings.stack}-{function}", Payload=json.dumps(event))
    print(json.dumps(json.load(answer["Payload"]), indent=2))
    if "message" in event:
        key = f"ledger/{event['message']['job_id']}/result.json"
        found = _client(settings, "s3").get_object(Bucket=_bucket(settings), Key=key)
        print(json.dumps(json.load(found["Body"]), indent=2))
    return 1 if "FunctionError" in answer else 0


def _with_tools() -> None:
    """Goes on with the Python that `make up` has installed, which has an AWS client."""
    tools = load().tools
    if Path(sys.executable) != tools:
        if not tools.exists():
            sys.exit("Nothing is installed yet. Run `make up` first.")
        os.execv(tools, [str(tools), "-m", "localstack.invoke", *sys.argv[1:]])  # noqa: S606 - the same program


if __name__ == "__main__":
    _with_tools()
    sys.exit(main())
