"""What is known of each slide of a data set: `slides.csv`, `slides/` with its pictures, and `build.json`."""

import csv
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from datasets_prep.patches.extract import Cut
from datasets_prep.patches.scan import Scan
from datasets_prep.patches.sources import Source

COLUMNS = (
    *("slide", "patient", "status", "reason", "width", "height", "mpp", "mpp_source", "vendor", "preset"),
    *("tissue_mm2", "pen_share", "black_share", "candidates", "examined", "accepted"),
)
_PICTURES = (".geojson", "_mask.png", "_overview.jpg")


@dataclass
class SourceState:
    """How far one source is: what was found in it, where that is filed, and what became of its candidates."""

    source: Source
    mask: Path | None = None  # GeoJSON of its tissue, corrected by hand
    results: Path = Path()
    found: Scan = field(default_factory=Scan)
    examined: int = 0
    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)

    def fail(self, reason: str) -> None:
        """It cannot be used after all."""
        self.found = Scan(failed=reason)
        self.examined = self.accepted = 0
        self.rejected.clear()

    def count(self, done: Cut) -> None:
        """Add what became of some candidates."""
        self.examined += done.examined
        self.accepted += done.accepted
        self.rejected.update(done.rejected)

    def row(self) -> tuple[object, ...]:
        """In the order of COLUMNS."""
        found = self.found
        reason = found.failed or "; ".join(found.notes)
        numbers = (found.tissue_mm2, found.pen_share, found.black_share)
        return (
            *(self.source.name, self.source.patient, "failed" if found.failed else "ok", reason),
            *(found.width, found.height, found.mpp and round(found.mpp, 4), found.mpp_source, found.vendor),
            *(found.preset, *(number if number is None else round(number, 4) for number in numbers)),
            *(found.candidates, self.examined, self.accepted),
        )


def write_summary(folder: Path, states: Sequence[SourceState], settings: Mapping[str, Any]) -> None:
    """Write `slides.csv`, `slides/<key>.geojson`, `<key>_mask.png`, `<key>_overview.jpg`, and `build.json`."""
    with (folder / "slides.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        rows.writerows(state.row() for state in states)
    slides = [state for state in states if state.source.kind == "slide" and not state.found.failed]
    if slides:
        (folder / "slides").mkdir()
    for state in slides:
        for ending in _PICTURES:
            picture = state.results.with_name(state.results.name + ending)
            shutil.copyfile(picture, folder / "slides" / f"{state.source.key}{ending}")
    text = msgspec.json.format(msgspec.json.encode(settings), indent=2)
    (folder / "build.json").write_bytes(text + b"\n")
