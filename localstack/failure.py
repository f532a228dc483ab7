"""The error that commands of the local stack show to their user."""


class StackError(Exception):
    """A problem that the user can solve. The message says what is wrong and what to do."""
