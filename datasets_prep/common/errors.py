"""The one error that a user sees as a line, without a traceback, and what such a line says of other errors."""

from pathlib import Path


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


def reason_of(error: Exception) -> str:
    """What went wrong, for the line of a `UserError`: of an error of the system without its number and file.

    Libraries such as Pillow raise `OSError` with a message alone; its `strerror` is None.
    """
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def failure_of(path: Path, error: Exception) -> str:
    """One line that says why a file failed. It begins with the name of the file where the message lacks it."""
    line = " ".join(str(error).split()) or type(error).__name__
    return line if path.name in line else f"{path.name}: {line}"
