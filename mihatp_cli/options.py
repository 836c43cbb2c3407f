"""`mihatp options`: the option files that come with this package."""

import argparse
import errno
import re
import shutil
from pathlib import Path

from datasets_prep.common.errors import UserError
from datasets_prep.common.packaged_options import options_folder, packaged_options
from mihatp_cli.data_root import write_errors

SUMMARY = "List the option files of this package, or copy them out."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.set_defaults(folder=None)
    commands = parser.add_subparsers(metavar="{copy}")
    copy = commands.add_parser("copy", help="copy all of them into DIR", description="Copy all option files into DIR.")
    copy.add_argument("folder", type=Path, metavar="DIR", help="new folder, or one without files of these names")


def run(args: argparse.Namespace) -> int:
    """List the option files, or copy them."""
    if args.folder is not None:
        print(f"{args.folder}: {copy_options(args.folder)} files")
        return 0
    width = max(map(len, packaged_options()))
    lines = [
        f"{name:{width}}  {summary(file.read_text(encoding='utf-8'))}" for name, file in packaged_options().items()
    ]
    print("\n".join(lines))
    return 0


def summary(text: str) -> str:
    """The first sentence of the comment at the head of an option file; a colon at the end of a line ends it too."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# yaml-language-server:"):
            lines.append(line.lstrip("# "))
    return re.split(r"(?<=\.)\s|:\n", "\n".join(lines), maxsplit=1)[0].replace("\n", " ")


def copy_options(folder: Path) -> int:
    """Copy every packaged option file, and the schema that editors check them by, below `folder`.

    Returns:
        The number of files.

    Raises:
        UserError: one of the files exists, or `folder` cannot be written.
    """
    source = options_folder()
    names = [file.relative_to(source) for file in source.rglob("*") if file.suffix in (".yml", ".json")]
    with write_errors(errno.ENOENT):  # what /proc says
        for name in names:
            if (folder / name).exists():
                raise UserError(f"'{folder / name}' exists: name another folder")
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, folder / name)
    return len(names)
