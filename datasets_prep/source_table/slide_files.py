"""Which of the user's files (outlines, coordinates) belongs to which slide: every file to exactly one."""

import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from datasets_prep.common.errors import UserError, reason_of
from datasets_prep.common.text import did_you_mean, with_hint

_ZOOM = re.compile("-(20|10)x$")  # end of the keys with --hr-mpp; outlines are the same for every resolution of HR


def slide_files(
    given: Path,
    slides: Mapping[str, str],
    *,
    whole: Mapping[str, str],
    ending: str,
    option: str,
    omitted: Mapping[str, str] | None = None,
) -> dict[str, Path]:
    """Name of a slide -> its file.

    Args:
        given: file of the only slide, or a folder of files. The name of a file is that of a slide, or its key, with
            `ending` in place of the slide's ending or behind it.
        slides: name -> key of each slide.
        whole: name -> key of each image tile; tiles have no such files.
        ending: such as `.geojson`.
        option: of the command line, for error messages.
        omitted: name -> key of each slide that is left out; its files are passed over.

    Raises:
        UserError: `given` is no such file or folder, a file belongs to no slide or to several, or a slide has two.
    """
    if not os.path.lexists(given):
        raise UserError(f"{option} {given} does not exist: name a file, or a folder of <slide>{ending}")
    if not given.is_dir():
        if not given.is_file() or len(slides) != 1 or whole:
            raise UserError(f"{option} {given}: name a file for a single slide, or a folder of <slide>{ending}")
        return dict.fromkeys(slides, given)
    try:
        files = sorted(file for file in given.iterdir() if file.suffix.lower() == ending and file.name[0] != ".")
    except OSError as error:
        raise UserError(f"{option} {given} cannot be read: {reason_of(error)}") from error
    if not files:
        raise UserError(f"{option} {given} holds no {ending} file: name the folder that does")
    owners, others = _by_short_name(slides), _by_short_name(omitted or {})
    mine: dict[str, Path] = {}
    for file in files:
        names = owners.get(file.name[: -len(ending)], [])
        if not names and file.name[: -len(ending)] in others:
            continue
        if len(names) != 1:
            raise UserError(f"{option}: {_why_not(file, names, owners, _by_short_name(whole))}")
        other = mine.setdefault(names[0], file)
        if other is not file:
            raise UserError(f"{option}: {other.name} and {file.name} are both of {names[0]}: keep one of them")
    return mine


def _by_short_name(sources: Mapping[str, str]) -> dict[str, list[str]]:
    """Name of a file without its ending -> names of the sources that it may belong to."""
    short: dict[str, list[str]] = {}
    for name, key in sources.items():
        path = PurePosixPath(name)
        plain = _ZOOM.sub("", key)
        own = {key, plain, path.name, path.stem}
        for text in own | {f"{text}_patches" for text in (key, plain, path.stem)}:  # the last: of TRIDENT
            short.setdefault(text, []).append(name)
    return short


def _why_not(file: Path, names: list[str], slides: Mapping[str, list[str]], whole: Mapping[str, list[str]]) -> str:
    own, ending = file.stem, file.suffix
    if names:
        return f"{file} fits several slides ({', '.join(names)}): name the file after the slide's key in slides.csv"
    if own in whole:
        return f"{file} is of an image tile, which is used whole: remove the file"
    return with_hint(f"{file} fits no slide: rename it to <slide>{ending}, or remove it", did_you_mean(own, slides))
