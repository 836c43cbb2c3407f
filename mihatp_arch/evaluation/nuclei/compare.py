"""Two slides of the same field, without any truth: the nuclei of one against those of the other."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets_prep.common.errors import UserError, reason_of
from datasets_prep.common.files import make_folder, refuse_foreign
from datasets_prep.slides.protocol import Levels
from mihatp_arch.evaluation.nuclei.fidelity import RADIUS, Comparison, Fidelity, Names
from mihatp_arch.evaluation.nuclei.fidelity_report import MARKS, TABLES, refuse_foreign_fidelity, write_fidelity
from mihatp_arch.evaluation.nuclei.worst_fields import ReadField
from mihatp_arch.inference.nuclei.geojson import INVENTED, LOST, MARK, MATCHED, NucleusClass, write_nuclei
from mihatp_arch.inference.nuclei.level import NucleiLevel, nuclei_level
from mihatp_arch.inference.nuclei.morphometry import Nuclei
from mihatp_arch.inference.nuclei.options import NucleiOptions
from mihatp_arch.inference.nuclei.segment_slide import SlideNuclei, find_nuclei
from mihatp_arch.inference.pyramid.database import delete_database
from mihatp_arch.inference.slides.tissue import Frame

_GEOJSON = ("A.geojson", "B.geojson")
_NAMES = Names("A", "B")
_IMAGE = "slide"
_SHARE, _LEAST = 0.02, 20.0  # of the size, and µm: larger differences of the sizes are other fields
_SHIFTED = 0.5  # µm, a median shift that the user should read


@dataclass(frozen=True)
class Compared:
    """The comparison of two slides.

    Attributes:
        result: the summary.
        tables: Markdown file of the tables.
        notes: lines that the user should read.
    """

    result: Fidelity
    tables: Path
    notes: tuple[str, ...]


def compare_slides(
    first: Path, second: Path, folder: Path, options: NucleiOptions, *, overwrite: bool = False, progress: bool = True
) -> Compared:
    """Segment two slides of the same field, and compare their nuclei by physical position.

    The folder then has what `write_fidelity` writes, and `A.geojson` and `B.geojson` with the nuclei of each slide.
    A killed run resumes with the finished tiles of both.

    Args:
        first: slide A, the reference, such as a scan.
        second: slide B, such as a super-resolved slide.
        folder: where; it is made.
        options: how both are segmented.
        overwrite: replace the files of an earlier comparison.
        progress: whether to show progress bars on a terminal.

    Raises:
        UserError: a slide cannot be used, the slides are not of the same field, neither has nuclei, or a file cannot
            be written.
    """
    existing = next((name for name in (*MARKS, *_GEOJSON) if (folder / name).exists()), None)
    if existing is not None and not overwrite:
        raise UserError(f"{folder} has a {existing} already: name another folder, or give --overwrite")
    for name in _GEOJSON:
        refuse_foreign(folder / name, MARK)
    refuse_foreign_fidelity(folder, ["B"])
    options = replace(options, frame=_frame_of_both(first, second, options))
    stores = [folder / f".{name}.tiles" for name in ("A", "B")]
    try:
        make_folder(folder)
        a, b = (
            find_nuclei(path, store, options, progress=progress)
            for path, store in zip((first, second), stores, strict=True)
        )
        compared = Comparison(_IMAGE, _in_both(a, b), _in_both(b, a))
        if not len(compared.hr) and not len(compared.sr):
            raise UserError(f"{first} and {second} have no nuclei where both have tissue: nothing to compare")
        with ExitStack() as stack:
            slides = [stack.enter_context(options.open(path)) for path in (first, second)]
            kinds = {kind: each.name for kind, each in enumerate(a.classes)}
            read = _reader(slides, [a.level, b.level])
            _write_geojson(folder, compared, a, b)  # nuclei.md comes last: it says that all is there
            results = write_fidelity(folder, {"B": [compared]}, {"B": read}, names=_NAMES, kinds=kinds, mpp=None)
        for store in stores:
            delete_database(store)
    except OSError as error:
        raise UserError(f"cannot write into {folder}: {reason_of(error)}") from error
    notes = [*(f"{slide.path.name}: {note}" for slide in (a, b) for note in slide.notes), *_shift(compared)]
    return Compared(results["B"], folder / TABLES, tuple(notes))


def _frame_of_both(first: Path, second: Path, options: NucleiOptions) -> Frame:
    """The frame of slide A. Raises `UserError` where a slide has no usable level, or their sizes in µm differ."""
    sizes, frames = [], []
    for path in (first, second):
        with options.open(path) as slide:
            mpp = nuclei_level(slide, force=options.force, resolution=options.resolution_of(slide)).mpp
            sizes.append(np.array(slide.level_sizes[0]) * mpp)
            frames.append(Frame(mpp, slide.facts.origin))
    if (np.abs(sizes[0] - sizes[1]) > np.maximum(_SHARE * sizes[0], _LEAST)).any():
        (width, height), (other_width, other_height) = sizes[0].tolist(), sizes[1].tolist()
        raise UserError(
            f"{first} shows {width:.0f}×{height:.0f} µm and {second} shows {other_width:.0f}×{other_height:.0f} µm: "
            "give two slides of the same field"
        )
    return frames[0]


def _in_both(slide: SlideNuclei, other: SlideNuclei) -> Nuclei:
    """The nuclei of a slide where the other slide was computed too."""
    return slide.nuclei.chosen(other.covers(slide.nuclei.centres))


def _reader(slides: Sequence[Levels], levels: Sequence[NucleiLevel]) -> ReadField:
    def read(name: str, x: float, y: float, side: float) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        fields = []
        for slide, level in zip(slides, levels, strict=True):
            left, top, width = (round(length / level.plan.mpp) for length in (x, y, side))
            fields.append(level.read(slide, (left, top, width, width)))
        return fields[0], fields[1]

    return read


def _shift(compared: Comparison) -> list[str]:
    """A note where the nuclei of B lie elsewhere than those of A."""
    if not len(compared.match.first):
        return [f"no nucleus of B lies within {RADIUS:g} µm of one of A: are the slides of the same field?"]
    offsets = compared.sr.centres[compared.match.second] - compared.hr.centres[compared.match.first]
    x, y = np.median(offsets, axis=0).tolist()
    if max(abs(x), abs(y)) < _SHIFTED:
        return []
    return [
        f"the nuclei of B lie x {x:+.2f}, y {y:+.2f} µm from those of A (median): register the slides first, for "
        "shifted nuclei count as lost and invented"
    ]


def _write_geojson(folder: Path, compared: Comparison, a: SlideNuclei, b: SlideNuclei) -> None:
    """Write the nuclei of each slide in its own level-0 px."""
    match = compared.match
    for name, slide, nuclei, index, only, alone in (
        ("A", a, compared.hr, match.first, match.only_first, LOST),
        ("B", b, compared.sr, match.second, match.only_second, INVENTED),
    ):
        groups: list[tuple[Nuclei, list[NucleusClass]]] = [
            (nuclei.chosen(index), [MATCHED]),
            (nuclei.chosen(only), [alone]),
        ]
        write_nuclei(folder / f"{name}.geojson", groups, mpp=slide.level.mpp, origin=slide.origin)
