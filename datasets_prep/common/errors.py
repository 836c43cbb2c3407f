"""The one error of data preparation that a user sees as a line, without a traceback."""


class DataError(Exception):
    """Data or a request that cannot be used: one line that says what is wrong, where, and what to do.

    The commands print it and exit with code 2; `--debug` shows where it was raised.
    """
