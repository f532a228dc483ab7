"""The part of Lambda's context object that handlers use."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LambdaContext:
    """The context of an invocation that may still run for `remaining_ms`."""

    remaining_ms: int = 60_000

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_ms
