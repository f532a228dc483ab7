"""Places where a guard is removed from the sources, and the faults and checks that notice its absence."""

from dataclasses import dataclass

from tests.chaos import report
from tests.support.copied_stack import Change

_CLAIM = "layers/core/darkroom/services/redis/scripts/claim_job.lua"
_ACQUIRE = "layers/core/darkroom/services/redis/scripts/acquire_slot.lua"


@dataclass(frozen=True)
class Mutation:
    """A guard that is removed. `faults` are the kinds that suffice to show it, `caught_by` the category that does."""

    guard: str
    changes: tuple[Change, ...]
    faults: tuple[str, ...]
    caught_by: tuple[str, ...]


MUTATIONS: dict[str, Mutation] = {
    "fencing": Mutation(
        "the condition on the write of a result, and the fencing token of a claim",
        (
            Change("layers/core/darkroom/services/s3.py", r', IfNoneMatch="\*"', ""),
            Change(_CLAIM, r"^if status == 'running' then return \{'leased'\} end$", ""),
            Change(_CLAIM, r"^if TERMINAL\[status\] then$", "if false then"),
            Change(_CLAIM, r"^if attempt <= tonumber\(last_attempt\) then$", "if false then"),
            Change(_ACQUIRE, r"^  if TERMINAL\[status\] then return 'ended' end$", ""),
            Change(_ACQUIRE, r"^  if status == 'running' or .*$", ""),
        ),
        ("messages repeated",),
        (report.DOUBLE,),
    ),
    "sweep": Mutation(
        "sweep recovers due jobs",
        (Change("functions/sweep/app.py", r"^    while batch := open_jobs\.due\(.*$", "    while batch := []:"),),
        ("RabbitMQ killed",),
        (report.STUCK,),
    ),
    "cleanup": Mutation(
        "sweep removes the outputs of runs that did not end their job",
        (
            Change(
                "functions/sweep/app.py", r"^    for job_id in open_jobs\.due_for_cleanup.*$", "    for job_id in []:"
            ),
        ),
        ("running worker killed",),
        (report.ORPHANS, report.LEFTOVERS),
    ),
}
