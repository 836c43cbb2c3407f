"""Every file below a folder, also in folders that are links."""

import os
from collections.abc import Iterator
from pathlib import Path


def walk(folder: Path, *, hidden: bool = False) -> Iterator[tuple[Path, Path]]:
    """Each file below `folder`, at all depths, and its path in `folder`.

    Links to folders are entered. Each folder is entered once, by its own path where it has one in `folder`, so a loop
    of links ends. A link that leads nowhere is a file here: whoever reads it says so.

    Args:
        folder: the folder.
        hidden: whether files and folders are included whose name begins with a dot.

    Raises:
        OSError: a folder cannot be read.
    """
    entered: set[str] = set()
    folders, linked = [folder], list[Path]()
    while folders or linked:
        here = folders.pop(0) if folders else linked.pop(0)
        real = os.path.realpath(here)
        if real in entered:
            continue
        entered.add(real)
        for name in sorted(os.listdir(here)):
            path = here / name
            if name.startswith(".") and not hidden:
                continue
            if not path.is_dir():
                yield path, path.relative_to(folder)
            elif path.is_symlink():
                linked.append(path)
            else:
                folders.append(path)
