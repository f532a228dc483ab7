"""The one error that the local stack shows to a person."""


class StackError(Exception):
    """Something the user can act on. The text says what is wrong and what to do about it."""
