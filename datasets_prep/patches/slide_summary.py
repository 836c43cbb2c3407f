"""Write `slides.csv`, `slides/` and `build.json` of a data set: what is known of each slide, and the settings."""

import csv
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from datasets_prep.coordinates.h5 import write_coordinates
from datasets_prep.patches.scan_results import IMAGE_ENDINGS, Scan, read_candidates
from datasets_prep.patches.source_state import SourceState

COLUMNS = (
    *("slide", "patient", "status", "reason", "width", "height", "mpp", "mpp_source", "vendor", "preset"),
    *("tissue_mm2", "pen_share", "black_share", "candidates", "examined", "accepted"),
    *("hr_reduction", "lr_source", "lr_shift", "lr_mad", "lr_psnr"),
)


def write_summary(folder: Path, states: Sequence[SourceState], settings: Mapping[str, Any]) -> None:
    """Write `slides.csv`, `rejected.csv`, `build.json`, and the files of each slide (`IMAGE_ENDINGS`) in `slides/`.

    Args:
        folder: the data set.
        states: all sources, also the ones that cannot be used.
        settings: the content of `build.json`.
    """
    with (folder / "slides.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        rows.writerows(_row(state) for state in states)
    with (folder / "rejected.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("slide", "x", "y", "flaw"))
        for state in states:
            rows.writerows((state.source.name, *rejected) for rejected in sorted(state.rejected_at))
    slides = [state for state in states if state.source.kind == "slide" and not state.scan.failed]
    if slides:
        (folder / "slides").mkdir()
    for state in slides:
        coordinates, _ = read_candidates(state.results)
        size = (state.scan.width or 0, state.scan.height or 0)
        side = int(settings["patch_size"]) * state.scan.reduction
        file = folder / "slides" / f"{state.source.key}.h5"
        write_coordinates(file, coordinates, side=side, size=size, name=state.source.key)
        for ending in IMAGE_ENDINGS:
            image = state.results.with_name(state.results.name + ending)
            shutil.copyfile(image, folder / "slides" / f"{state.source.key}{ending}")
    text = msgspec.json.format(msgspec.json.encode(settings), indent=2)
    (folder / "build.json").write_bytes(text + b"\n")


def _row(state: SourceState) -> tuple[object, ...]:
    """The row of one source, in the order of COLUMNS."""
    source, scan = state.source, state.scan
    numbers = (scan.tissue_mm2, scan.pen_share, scan.black_share)
    return (
        *(source.name, source.patient, state.status, state.reason),
        *(scan.width, scan.height, scan.mpp and round(scan.mpp, 4), scan.mpp_source, scan.vendor),
        *(scan.preset, *(number if number is None else round(number, 4) for number in numbers)),
        *(scan.candidates, state.examined, state.accepted),
        *(scan.reduction, scan.lr_source),
        *(_by_scale(scan, index, digits) for index, digits in ((0, 3), (1, 3), (2, 1))),
    )


def _by_scale(scan: Scan, index: int, digits: int) -> str:
    """One measurement of each scale that was to be read from a level, as in `x2:0.031 x4:0.052`."""
    values = {k: measured[index] for k, measured in scan.registrations.items()}
    return " ".join(f"x{k}:{'inf' if value is None else format(value, f'.{digits}f')}" for k, value in values.items())
