"""The one error that a user sees as a line, without a traceback."""


class UserError(Exception):
    """A mistake that the user can mend: one line that says what is wrong, where, and what to do.

    The commands print it and exit with code 2; `--debug` shows where it was raised.
    """
