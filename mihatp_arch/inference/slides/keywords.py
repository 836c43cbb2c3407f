"""Messages of `mihatp upscale` and `mihatp nuclei segment` in the words of Python: `force=True`, not `--force`."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields

from mihatp_arch.errors import UserError
from mihatp_arch.inference.slides.options import SlideOptions

_OPTION = re.compile(r"(?<![\w-])--([a-z]+(?:-[a-z]+)*)")
_OUTPUT = re.compile(r"(?<![\w-])-o (?=\S)")
_OTHER = {"format": "flavour"}
_SWITCHES = {option.name for option in fields(SlideOptions) if option.default is False}


@contextmanager
def errors_in_python() -> Iterator[None]:
    """Within the block, the line of a `UserError` names keywords."""
    try:
        yield
    except UserError as error:
        raise UserError(in_python(str(error)), option=error.option) from error


def in_python(line: str) -> str:
    """The line with a keyword in place of each option of the command."""
    return _OPTION.sub(_keyword, _OUTPUT.sub("output ", line))


def _keyword(option: re.Match[str]) -> str:
    name = _OTHER.get(option[1], option[1].replace("-", "_"))
    return f"{name}=True" if name in _SWITCHES else name
