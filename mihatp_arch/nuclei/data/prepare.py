"""Write a data set of nuclei as pairs of pictures: tissue, and coded label maps (`nuclei/coded_labels.py`)."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets_prep.common.atomic_folder import atomic_folder, refuse_existing
from datasets_prep.common.png import encode_png
from datasets_prep.common.text import markdown_table
from datasets_prep.signatures import MANIFEST, NUCLEI, NUCLEI_COLUMNS
from mihatp_arch.errors import UserError
from mihatp_arch.inference.images import read_picture
from mihatp_arch.nuclei.coded_labels import encode
from mihatp_arch.nuclei.data.annotation import RADIUS, Annotation, ReadOptions
from mihatp_arch.nuclei.data.consep import read_consep
from mihatp_arch.nuclei.data.outlines import read_label_picture, read_outlines
from mihatp_arch.nuclei.data.points import discs, with_types
from mihatp_arch.nuclei.data.sources import Source, find_sources
from mihatp_arch.nuclei.data.splits import with_splits
from mihatp_arch.nuclei.postprocess import types_of

SPLITS = ("train", "val", "test")
# The files that it writes. `--overwrite` deletes no folder with any other file.
_FILES = r"manifest\.csv|(train|val|test)/(images|labels)/[^/]+\.png"
_MPP = (0.2, 0.3)  # µm/px, of about 40x


@dataclass(frozen=True)
class PrepareOptions(ReadOptions):
    """How a data set is prepared.

    Attributes:
        allow_empty: whether an image may have no nuclei.
        seed: of splits that the data set does not state.
    """

    allow_empty: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Report:
    """What was written.

    Attributes:
        rows: the rows of manifest.csv, by column.
        notes: lines that the user should read.
    """

    rows: list[dict[str, str]]
    notes: list[str]

    def text(self) -> str:
        """A table of the splits."""
        lines = []
        for split in SPLITS:
            rows = [row for row in self.rows if row["split"] == split]
            if rows:
                nuclei = sum(int(row["nuclei"]) for row in rows)
                patients = len({row["patient"] for row in rows})
                lines.append((split, str(patients), str(len(rows)), str(nuclei), _added(row["types"] for row in rows)))
        return markdown_table(("split", "patients", "images", "nuclei", "types"), lines)


def prepare(path: Path, output: Path, *, options: PrepareOptions, overwrite: bool = False) -> Report:
    """Write `output`/{train,val,test}/{images,labels}/NAME.png and `output`/manifest.csv; whole, or not at all.

    Args:
        path: the data set, as for `find_sources`.
        output: the new folder.
        options: how it is read.
        overwrite: whether a folder of this function at `output` may be replaced.

    Raises:
        UserError: an option is out of range, a file cannot be used, or `output` cannot be written.
    """
    if not 0.5 <= options.radius <= 100:
        raise UserError(f"--radius {options.radius:g}: give 0.5 to 100 px")
    if options.classes is not None and len(set(options.classes)) < len(options.classes):
        raise UserError(f"--classes {' '.join(options.classes)}: a name is given twice")
    refuse_existing(output, overwrite=overwrite, signature=NUCLEI, files=_FILES)
    undivided, notes = find_sources(path)
    sources, more = with_splits(undivided, seed=options.seed)
    notes += more
    _refuse_unused(sources, options)
    twice = [name for name, count in Counter(source.name for source in sources).items() if count > 1]
    if twice:
        raise UserError(f"{path}: {len(twice)} names of images occur twice, for example {twice[0]}: rename them")
    rows = []
    with atomic_folder(output, overwrite=overwrite, signature=NUCLEI, files=_FILES) as partial:
        for source in sources:
            for folder in ("images", "labels"):
                (partial / source.split / folder).mkdir(parents=True, exist_ok=True)
            rows.append(_write(source, partial, options, notes))
        (partial / MANIFEST).write_text(_manifest(rows), encoding="utf-8")
    return Report(rows, notes)


def _refuse_unused(sources: Sequence[Source], options: PrepareOptions) -> None:
    """Raise `UserError` for an option that no label file is read by."""
    endings = {source.labels.suffix.lower() for source in sources}
    named = {".csv", ".json", ".geojson"} & endings or any(source.points for source in sources)
    for option, is_unused, labels in (
        ("--radius", options.radius != RADIUS and ".csv" not in endings, "points (.csv) without outlines"),
        ("--classes", options.classes is not None and not named, "points (.csv) or GeoJSON"),
        ("--raw-types", options.raw_types and ".mat" not in endings, "labels of CoNSeP (.mat)"),
    ):
        if is_unused:
            raise UserError(f"{option} is for {labels}, and the labels are {', '.join(sorted(endings))}: leave it out")


def _write(source: Source, folder: Path, options: PrepareOptions, notes: list[str]) -> dict[str, str]:
    """Write one pair; its row of manifest.csv."""
    rgb = read_picture(source.image).rgb
    annotation = read_annotation(source, (rgb.shape[0], rgb.shape[1]), options)
    notes += annotation.notes
    if annotation.labels.shape != rgb.shape[:2]:
        raise UserError(
            f"{source.labels} has {annotation.labels.shape[1]}×{annotation.labels.shape[0]} px, and {source.image} "
            f"{rgb.shape[1]}×{rgb.shape[0]}: a label map is as large as its image"
        )
    if not annotation.labels.any() and not options.allow_empty:
        raise UserError(f"{source.labels} has no nuclei: check it, or use its image as background with --allow-empty")
    if source.mpp is not None and not _MPP[0] <= source.mpp <= _MPP[1]:
        notes.append(f"{source.image} has {source.mpp:g} µm/px: HoVer-Net's constants are those of 0.25")
    numbers, types = types_of(annotation.labels, annotation.types)
    _, dense = np.unique(annotation.labels, return_inverse=True)
    dense = dense.reshape(annotation.labels.shape) + int(annotation.labels.min(initial=1) > 0)
    files = {kind: f"{source.split}/{kind}/{source.name}.png" for kind in ("images", "labels")}
    (folder / files["images"]).write_bytes(encode_png(rgb))
    (folder / files["labels"]).write_bytes(encode_png(encode(dense, annotation.types)))
    counts = Counter(int(kind) for kind in types if kind)
    return {
        "image": files["images"],
        "labels": files["labels"],
        "split": source.split,
        "patient": source.patient,
        "nuclei": str(len(numbers)),
        "types": " ".join(f"{kind}:{count}" for kind, count in sorted(counts.items())),
        "mpp": "" if source.mpp is None else f"{source.mpp:g}",
        "source": source.labels.name,
    }


def read_annotation(source: Source, size: tuple[int, int], options: ReadOptions) -> Annotation:
    """The nuclei of an image of `size` (height, width), by the ending of its label file.

    Raises:
        UserError: the file cannot be used.
    """
    ending = source.labels.suffix.lower()
    if ending == ".mat":
        annotation = read_consep(source.labels, options)
    elif ending in (".json", ".geojson"):
        annotation = read_outlines(source.labels, size, options)
    elif ending == ".csv":
        annotation = discs(source.labels, size, options)
    elif ending in (".png", ".tif", ".tiff"):
        annotation = read_label_picture(source.labels)
    else:
        raise UserError(f"{source.labels}: labels are .mat, .png, .tif, .geojson or .csv files")
    typed = source.points is not None and options.typed and annotation.labels.shape == size
    return with_types(annotation, source.points, options) if typed and source.points else annotation


def _manifest(rows: list[dict[str, str]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(NUCLEI_COLUMNS)
    writer.writerows([row[column] for column in NUCLEI_COLUMNS] for row in rows)
    return text.getvalue()


def _added(types: Iterable[str]) -> str:
    total: Counter[int] = Counter()
    for text in types:
        for part in text.split():
            kind, _, count = part.partition(":")
            total[int(kind)] += int(count)
    return " ".join(f"{kind}:{count}" for kind, count in sorted(total.items())) or "none"
