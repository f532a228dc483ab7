"""Runs mixed jobs while services and functions fail at random, and audits the results.

    make chaos N=2000 SEED=7
    .darkroom/venv/bin/python -m tests.chaos --jobs 2000 --seed 7

Deploys a stack of its own, submits jobs over HTTP, injects faults by a seeded plan, and waits until every job has
ended. The audit then reads S3, Redis, RabbitMQ and the process table. The exit status is 1 if a job is lost, is stuck
or has several results, or if the audit finds any other problem.
"""

import argparse
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from localstack.settings import ROOT
from tests.chaos.deployment import GUARDS, Deployment
from tests.chaos.experiment import Experiment

#: Jobs per fault, and the smallest number of faults: enough for each kind once.
_JOBS_PER_FAULT = 16
_LEAST_FAULTS = 16


def main() -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=90, help="number of jobs (default: %(default)s)")
    parser.add_argument(
        "--faults",
        type=int,
        help=f"number of faults; default: one per {_JOBS_PER_FAULT} jobs, at least {_LEAST_FAULTS}",
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
    parser.add_argument(
        "--break", dest="removed_guard", choices=GUARDS, help="remove a guard; the audit must then fail"
    )
    # Below the ephemeral ports: an outgoing connection must not take the port of a service that is down.
    parser.add_argument(
        "--port",
        type=int,
        default=23_000,
        help="port of the API; other services use ports up to 700 above it (default: %(default)s)",
    )
    parser.add_argument("--keep", action="store_true", help="leave the stack running")
    options = parser.parse_args()
    faults = options.faults if options.faults is not None else max(_LEAST_FAULTS, options.jobs // _JOBS_PER_FAULT)
    sys.path.append(str(ROOT / "layers" / "core"))  # for Darkroom's operations and its FFmpeg, imported on use
    deployment = Deployment(quick=not options.as_shipped, removed_guard=options.removed_guard, port=options.port)
    print(f"seed {options.seed}: {options.jobs} jobs, {faults} faults, stack {deployment.name}", flush=True)
    try:
        deployment.down()
        deployment.up()
        with TemporaryDirectory() as folder:
            os.environ.setdefault("DARKROOM_BIN_DIR", str(deployment.settings.build / "FfmpegLayer" / "bin"))
            from tests.media.make_clips import clip

            experiment = Experiment(deployment, options.seed, clip("video.mp4", Path(folder)))
            report = experiment.run(options.jobs, faults, options.per_second, options.pause)
    finally:
        if not options.keep:
            deployment.down()
    report.print()
    return int(report.failed)


if __name__ == "__main__":
    sys.exit(main())
