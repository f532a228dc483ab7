"""The times after which a run, a slot or a message counts as lost."""

#: Seconds that a queued job waits before sweep checks it, and that a slot waits for its run to start.
START_WITHIN_S = 300

#: Seconds that a restored job waits before sweep publishes it. A run in flight reports progress within them and owns
#: the job again. A message of the same attempt would start a second run, and the first one would give up.
REPORT_WITHIN_S = 30

#: Seconds between the end of a run's lease and sweep's check: the function ends and settle acts within them.
LEASE_GRACE_S = 15

#: Seconds between two passes of sweep, one a minute, above which Redis or S3 was unavailable in between.
LONGEST_GAP_S = 150

#: Seconds that a run may take when its lease is unknown: Lambda's maximum.
LONGEST_RUN_S = 900

#: Seconds after the end of a restored job within which runs that are not in Redis may leave outputs.
UNKNOWN_RUNS_S = 7200
