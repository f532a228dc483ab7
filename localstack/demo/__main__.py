"""Runs all seven operations on sample media, with both ways to upload, on the running stack.

A photo is uploaded through the API, then its jobs are submitted one by one. A video is uploaded directly to S3 with a
presigned form; its jobs start when it arrives. The results are saved, and shown together on a contact sheet.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from localstack import keys
from localstack.demo import contact_sheet, engines, jobs, report, terminal
from localstack.demo.api_client import Client
from localstack.errors import NoResponseError, StackError
from localstack.settings import ROOT, Settings, load


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python3 -m localstack.demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--api", help=f"address of the API, which may need a key in {keys.VARIABLE}; default: local")
    parser.add_argument("--results", type=Path, default=ROOT / "results", help="default: results/ in this checkout")
    options = parser.parse_args(arguments)
    try:
        settings = load()
        for engine, version in engines.versions(settings).items():
            print(f"  {engine:<10} {version}")
        address = (options.api or settings.api_url).rstrip("/")
        with keys.temporary(settings, address, "demo") as key:
            return run(settings, Client(address, key), options.results)
    except KeyboardInterrupt:
        return 130
    except NoResponseError as error:
        print(f"\n{error}\nIs the stack running? `make up` starts it.", file=sys.stderr)
    except StackError as error:
        print(f"\n{error}\n`make logs` shows the logs of the functions.", file=sys.stderr)
    return 1


def run(settings: Settings, api: Client, folder: Path) -> int:
    """Runs the demo; returns its exit code. Raises StackError when a request fails or a job takes too long."""
    started = time.monotonic()
    api.get("/health")
    submitted = [*jobs.submit_photo(api), *jobs.submit_video(api)]
    print(f"\n{len(submitted)} jobs submitted:")
    documents = jobs.wait(api, submitted)
    folder.mkdir(parents=True, exist_ok=True)
    finished = [jobs.save(api, job, document, folder) for job, document in zip(submitted, documents, strict=True)]
    print(f"\n{report.table(finished)}\n\n{report.waiting(finished)}")
    _print_links(api, finished)
    sheet = contact_sheet.make(settings, finished, folder / "contact-sheet.png")
    _print_next_steps(api, folder, sheet, time.monotonic() - started)
    return 0 if all(job.completed for job in finished) else 1


def _print_links(api: Client, finished: Sequence[jobs.Finished]) -> None:
    key = " They need a key." if api.has_key else ""
    print(f"\nDownload links; each redirects to a presigned URL.{key}")
    for job in finished:
        if job.completed:
            print(f"  {job.submitted.operation:<16} {api.address}/jobs/{job.submitted.job_id}/download")


def _print_next_steps(api: Client, folder: Path, sheet: Path, total_s: float) -> None:
    print(f"\nDone in {terminal.seconds(total_s)}.")
    print(f"  All results at once  {sheet}")
    print(f"  The results          {folder}")
    print(f"  Try the API          {api.address}/docs")
    print("  Read the logs        make logs")
    print("  Stop the stack       make down")


if __name__ == "__main__":
    sys.exit(main())
