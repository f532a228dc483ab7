"""Structured logs: one JSON object per line, with the same fields in every function."""

from functools import lru_cache

from aws_lambda_powertools import Logger


@lru_cache(maxsize=1)
def logger() -> Logger:
    """This process's logger. Powertools reads its service name and level from `POWERTOOLS_*` variables."""
    return Logger(utc=True)
