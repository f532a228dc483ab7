"""Runs mixed jobs while services and functions fail at random, and audits the results.

    make chaos N=2000 SEED=7
    .darkroom/venv/bin/python -m tests.chaos --jobs 2000 --seed 7

Deploys a stack of its own, submits jobs over HTTP, injects faults by a seeded plan, and waits until every job has
ended. The audit then reads S3, Redis, RabbitMQ, the logs and the process table. The exit status is 1 if a job is lost,
is stuck or has several results, or if the audit finds any other problem.
"""

import argparse
import json
import os
import random
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from localstack.settings import ROOT
from tests.chaos.clients import KINDS, Clip
from tests.chaos.deployment import NAME, PORT, Deployment
from tests.chaos.experiment import END_TIMEOUT_S, Experiment, Plan
from tests.chaos.guards import MUTATIONS
from tests.chaos.relays import Relays
from tests.chaos.report import Report

#: The videos that clients upload, by the name of the clip, and their widths in pixels.
_VIDEOS = {"video.mp4": 320, "undelayed.mp4": 64}

#: Jobs per fault, and the smallest number of faults: some of each subject. From 600 jobs on, every kind happens.
_JOBS_PER_FAULT = 16
_LEAST_FAULTS = 10

#: From this many jobs on, hangs last longer than every time-out as shipped.
_LONG_RUN_JOBS = 500
_SHORT_HANG_S, _LONG_HANG_S = "2:5", "20:40"


def main() -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=60, help="number of jobs (default: %(default)s)")
    parser.add_argument(
        "--count",
        type=int,
        help=f"number of faults; default: one per {_JOBS_PER_FAULT} jobs, at least {_LEAST_FAULTS}",
    )
    parser.add_argument(
        "--faults", default="", help="parts of the names of kinds of faults, separated by commas (default: all kinds)"
    )
    parser.add_argument(
        "--hang",
        help=f"seconds for which something hangs, shortest:longest (default: {_SHORT_HANG_S}; with "
        f"{_LONG_RUN_JOBS} jobs or more {_LONG_HANG_S})",
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="seed of the jobs and of the plan of faults (default: %(default)s)"
    )
    parser.add_argument(
        "--per-second", type=float, default=4.0, help="most jobs submitted per second (default: %(default)s)"
    )
    parser.add_argument(
        "--pause", type=float, default=0.8, help="mean seconds between two faults (default: %(default)s)"
    )
    parser.add_argument(
        "--as-shipped", action="store_true", help="keep the delays of the sources instead of shorter ones"
    )
    parser.add_argument("--break", dest="mutation", choices=MUTATIONS, help="remove a guard; the audit must then fail")
    # Below the ephemeral ports: an outgoing connection must not take the port of a service that is down.
    parser.add_argument(
        "--port",
        type=int,
        default=PORT,
        help="port of the API; other services use ports up to 700 above it (default: %(default)s)",
    )
    parser.add_argument("--name", default=NAME, help="name of the stack (default: %(default)s)")
    parser.add_argument("--kinds", default="", help=f"kinds of jobs, separated by commas, of {', '.join(KINDS)}")
    parser.add_argument(
        "--end-within",
        type=float,
        default=END_TIMEOUT_S,
        help="seconds after the last fault within which every job must have ended (default: %(default)s)",
    )
    parser.add_argument("--keep", action="store_true", help="leave the stack running")
    parser.add_argument("--summary", type=Path, help="file for the number of problems by category, as JSON")
    options = parser.parse_args()
    report = run(options)
    if options.summary:
        options.summary.write_text(json.dumps({title: len(found) for title, found in report.problems.items()}))
    return int(report.failed)


def run(options: argparse.Namespace) -> Report:
    """Deploys a stack, runs one experiment on it and prints the report."""
    sys.path.append(str(ROOT / "layers" / "core"))  # for Darkroom's operations and its FFmpeg, imported on use
    mutation = MUTATIONS[options.mutation].changes if options.mutation else ()
    deployment = Deployment(quick=not options.as_shipped, mutation=mutation, port=options.port, name=options.name)
    plan = _plan(options)
    print(f"seed {options.seed}: {plan.jobs} jobs, {plan.faults} faults, stack {deployment.name}", flush=True)
    ports = deployment.settings.ports
    services = {"broker": ports.amqp, "cache": ports.redis, "emulator": ports.emulator}
    relays = Relays(deployment.relay_ports, services, random.Random(options.seed))
    relays.start()
    try:
        deployment.down()
        deployment.up()
        with TemporaryDirectory() as folder:
            os.environ.setdefault("DARKROOM_BIN_DIR", str(deployment.settings.build / "FfmpegLayer" / "bin"))
            from tests.media.make_clips import clip

            videos = [Clip(clip(name, Path(folder)).read_bytes(), width_px) for name, width_px in _VIDEOS.items()]
            report = Experiment(deployment, relays, options.seed, (videos[0], videos[1]), plan).run()
        report.print()
        return report
    finally:
        if not options.keep:
            deployment.down()
        relays.close()


def _plan(options: argparse.Namespace) -> Plan:
    is_long = options.as_shipped or options.jobs >= _LONG_RUN_JOBS
    shortest, _, longest = (options.hang or (_LONG_HANG_S if is_long else _SHORT_HANG_S)).partition(":")
    return Plan(
        jobs=options.jobs,
        faults=options.count if options.count is not None else max(_LEAST_FAULTS, options.jobs // _JOBS_PER_FAULT),
        per_s=options.per_second,
        pause_s=options.pause,
        hang_s=(float(shortest), float(longest or shortest)),
        end_within_s=options.end_within,
        only=_parts(options.faults),
        kinds=_parts(options.kinds) or tuple(KINDS),
    )


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


if __name__ == "__main__":
    sys.exit(main())
