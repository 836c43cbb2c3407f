"""The one error that a user sees as a line, without a traceback."""


class UserError(ValueError):
    """A mistake that the user can correct: one line that says what is wrong, where, and what to do.

    The commands print the line and exit with code 2; with `--debug` they print the traceback too.

    Args:
        message: the line.
        option: the option that the mistake is about, for example `train.optim_g.lr`.
    """

    def __init__(self, message: str, *, option: str | None = None) -> None:
        super().__init__(message)
        self.option = option
