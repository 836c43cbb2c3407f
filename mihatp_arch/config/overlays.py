"""Overlays of one method: `tiny_MiHATP.yml` and `tiny_MiHATP_x4.yml` belong to `tiny.yml`."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from datasets_prep.common.packaged_options import find_option_file

_OPTION_FILE = re.compile(r"(?:train|test)_(?P<method>.+)_x(?P<scale>\d+)\.yml")


def method_of(file: str, scale: int) -> str | None:
    """The method of an option file `train_<method>_x<scale>.yml`; None for another name."""
    match = re.fullmatch(rf"train_(.+)_x{scale}\.yml", file)
    return match[1] if match else None


def own_overlays(overlay: Path, methods: Iterable[str], scale: int) -> list[Path]:
    """The overlays beside `overlay` that are for the first of `methods` that has some, the one of the scale last."""
    for method in methods:
        paths = [overlay.with_name(f"{overlay.stem}_{method}{more}{overlay.suffix}") for more in ("", f"_x{scale}")]
        there = [path for path in paths if path.is_file()]
        if there:
            return there
    return []


def with_own_overlays(files: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Option files with the overlays of the method of the first file, and those of them that were not given.

    Each follows the overlay to which it belongs, so that files after that overlay still win.

    Raises:
        UserError: there is no such file.
    """
    with_overlays = [find_option_file(file) for file in files]
    match = _OPTION_FILE.fullmatch(with_overlays[0].name)
    added: list[Path] = []
    if match is None:
        return with_overlays, added
    for overlay in with_overlays[1:]:
        last = with_overlays.index(overlay)
        for own in own_overlays(overlay, [match["method"]], int(match["scale"])):
            given = next((index for index, file in enumerate(with_overlays) if file.resolve() == own.resolve()), None)
            if given is None:
                with_overlays.insert(last + 1, own)
                added.append(own)
                given = last + 1
            last = max(last, given)
    return with_overlays, added
