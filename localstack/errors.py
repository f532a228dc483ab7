"""The error that the commands of the local stack show to their user."""


class StackError(Exception):
    """A problem that the user can solve. The message tells what is wrong and what to do."""


def last_lines(output: str, count: int) -> str:
    """The end of a program's output, indented, for an error message."""
    return "\n".join(f"    {line}" for line in output.splitlines()[-count:])


class NoResponseError(StackError):
    """The API does not respond."""
