"""`mihatp options`: the option files that come with this package."""

import argparse
import re
import shutil
from pathlib import Path

from datasets_prep.common.errors import UserError
from datasets_prep.common.packaged_options import packaged_options
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
        copy_options(args.folder)
        print(f"{args.folder}: {len(packaged_options())} option files")
        return 0
    width = max(map(len, packaged_options()))
    for name, file in packaged_options().items():
        print(f"{name:{width}}  {summary(file.read_text(encoding='utf-8'))}")
    return 0


def summary(text: str) -> str:
    """The first sentence of the comment at the head of an option file."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# yaml-language-server:"):
            lines.append(line.lstrip("# "))
    return re.split(r"(?<=\.)\s", " ".join(lines), maxsplit=1)[0]


def copy_options(folder: Path) -> None:
    """Copy every packaged option file below `folder`.

    Raises:
        UserError: one of the files exists, or `folder` cannot be written.
    """
    targets = {file: folder / name for name, file in packaged_options().items()}
    for target in targets.values():
        if target.exists():
            raise UserError(f"'{target}' exists: name another folder")
    with write_errors():
        for file, target in targets.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
