"""Structured logs: one JSON object a line, the same fields everywhere."""

from functools import lru_cache

from aws_lambda_powertools import Logger


@lru_cache(maxsize=1)
def logger() -> Logger:
    """This process's logger. Service name and level come from Powertools' own variables."""
    return Logger(utc=True)
