"""The files that are written for inputs: their names, and mistakes that would lose a file."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from datasets_prep.slides.find_slides import real_path
from mihatp_arch.errors import UserError


def name_in_output(path: Path, given: Sequence[Path]) -> Path:
    """The name of a file in the folder of the outputs: its path in the folder that was given, or its own name."""
    for folder in given:
        named = Path(os.path.abspath(folder)), Path(os.path.abspath(path))
        for whole, part in (named, (folder.resolve(), path.resolve())):
            if folder.is_dir() and part.is_relative_to(whole):
                return part.relative_to(whole)
    return Path(path.name)


def refuse_inside(paths: Sequence[Path], output: Path) -> None:
    """Raise `UserError` where the output is one of the given folders, or lies in it: it would be an input next time."""
    for path in paths:
        if path.is_dir() and followed(output).is_relative_to(followed(path)):
            raise UserError(f"the output {output} lies in the input {path}: give a folder outside of it")


def refuse_no_folder(output: Path) -> None:
    """Raise `UserError` where something else than a folder is at `output`, which is to be a folder."""
    if os.path.lexists(output) and not output.is_dir():
        kind = "a link that leads to no folder" if output.is_symlink() else "a file"
        raise UserError(f"the output {output} is {kind}: a folder is needed, give another name")


def refuse_unwritable(folder: Path) -> None:
    """Raise `UserError` where no file can be written in `folder`, which need not exist yet."""
    there = next(part for part in (folder, *folder.absolute().parents) if os.path.lexists(part))
    if not there.is_dir():
        raise UserError(f"the output cannot lie in {there}, which is no folder: give another name")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"cannot write in {there}: it is write-protected, give another folder")


def refuse_clashes(
    outputs: Mapping[Path, Path], *, beside: Mapping[Path, Sequence[Path]] | None = None, read: Sequence[Path] = ()
) -> None:
    """Raise `UserError` where one file would be written for two inputs, or over an input.

    Args:
        outputs: input -> output.
        beside: input -> the files that are written beside its output.
        read: other files that are read.
    """
    written = list(outputs.items())
    written += [(source, file) for source, files in (beside or {}).items() for file in files]
    source_of: dict[Path, Path] = {}
    for source, file in written:
        other = source_of.setdefault(followed(file), source)
        if other is not source:
            raise UserError(
                f"{other} and {source} have the same output {file}: rename one of them, or give them one after another"
            )
    inputs = set(map(followed, (*outputs, *read)))
    for _, file in written:
        if followed(file) in inputs:
            raise UserError(f"the output {file} is an input too: give another folder or name")


def followed(path: Path) -> Path:
    """`path` with every link followed. Raises `UserError` for an impossible path."""
    try:
        return real_path(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{str(path)!r} is no path of a file ({error})") from error
