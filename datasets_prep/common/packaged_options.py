"""The option files that come with the packages: `options/` of a checkout, `mihatp_options/` of an installed wheel."""

from functools import cache
from pathlib import Path

from datasets_prep.common.errors import UserError
from datasets_prep.common.text import did_you_mean

_ROOT = Path(__file__).resolve().parents[2]


def options_folder() -> Path:
    """The folder of the packaged option files. It lies beside the packages, in a checkout and in an installation."""
    installed = _ROOT / "mihatp_options"
    return installed if installed.is_dir() else _ROOT / "options"


@cache
def packaged_options() -> dict[str, Path]:
    """Name (`train_HAT_x4.yml`, `overlays/tiny.yml`) -> file of every packaged option file, sorted by name."""
    folder = options_folder()
    return {file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*.yml"))}


def find_option_file(name: Path, *, folder: Path | None = None) -> Path:
    """The option file that a user calls `name`: an existing file, else the packaged file of that name.

    Args:
        name: a path, or the name of a packaged file with or without its `.yml`.
        folder: a relative path starts here; None is the current folder.

    Raises:
        UserError: there is neither; the message has the packaged name that is most like it.
    """
    path = name if folder is None else folder / name
    if path.exists():
        return path
    packaged = packaged_options()
    for key in (name.as_posix(), f"{name.as_posix()}.yml"):
        if key in packaged:
            return packaged[key]
    near = did_you_mean(name.as_posix(), packaged)
    raise UserError(f"there is no option file '{path}'{f'; {near}' if near else ''}")
