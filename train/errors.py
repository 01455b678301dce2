"""The one error that the programs show as a line instead of a traceback."""


class InputError(ValueError):
    """A bad option or bad input: the message names it, its value and what is allowed."""
