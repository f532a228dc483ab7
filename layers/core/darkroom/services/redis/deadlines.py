"""How long Redis' records and sweep wait before they treat something as lost."""

#: Seconds that a queued job waits before sweep checks it, and that a slot waits for its run to start.
START_WITHIN_S = 300

#: Seconds between the end of a run's lease and sweep's check: the function ends and settle acts within them.
LEASE_GRACE_S = 15

#: Seconds that a run may take when its lease is unknown: Lambda's maximum.
LONGEST_RUN_S = 900

#: Seconds after its end in which a restored job may have outputs of runs that are unknown.
UNKNOWN_RUNS_S = 7200
