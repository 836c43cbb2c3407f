"""How every command of this package ends: nothing, or one clear line and an exit code."""

import argparse
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from mihatp_arch.errors import UserError


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are `UserError`: one line, without the usage above it."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see {self.prog} --help)")


def run(prog: str, body: Callable[[], int | None], *, debug: bool) -> int:
    """Call `body` and turn its end into an exit code: its own or 0, 2 a mistake of the user, 130 interrupted.

    `UserError` becomes one line on stderr, `<prog>: error: <message>`; with `debug` the traceback stands
    above it. Every other exception is a fault of ours and passes through.
    """
    try:
        return body() or 0
    except UserError as error:
        if debug:
            traceback.print_exc()
        print(f"{prog}: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{prog}: interrupted", file=sys.stderr)
        return 130
