"""Find the images of a data set, their labels, and their patient and split where the data set states them."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from datasets_prep.source_table.heads import read_heads
from datasets_prep.source_table.table import SPLIT_SYNONYMS
from mihatp_arch.errors import UserError

IMAGES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
LABELS = (".mat", ".png", ".tif", ".tiff", ".geojson", ".json", ".csv")
_LABEL_FOLDERS = ("labels", "instances", "annotations", "geojson")
_LABEL_COLUMNS = ("instances", "labels", "annotations", "points")
_SPLITS = {name: name for name in ("train", "val", "test")} | SPLIT_SYNONYMS
_MANIFEST = "manifest.csv"


@dataclass(frozen=True)
class Source:
    """An image and its labels.

    Attributes:
        image, labels: the files.
        points: a CSV with the types of the nuclei in `labels`; None: there is none.
        patient, split: as the data set states them; empty where it does not.
        mpp: µm per pixel; None where the data set does not state it.
    """

    image: Path
    labels: Path
    points: Path | None = None
    patient: str = ""
    split: str = ""
    mpp: float | None = None

    @property
    def name(self) -> str:
        """Name of the image without its ending."""
        return self.image.stem


def find_sources(path: Path) -> list[Source]:
    """The images of a data set, in the order of its CSV, or of their names.

    Args:
        path: a CSV, a folder with manifest.csv, a folder with the folders Images and Labels, or a folder with the
            folders Train and Test (and Val) that have them.

    Raises:
        UserError: there is no such data set, a file is missing, a file is named twice, or a split has another name.
    """
    if path.is_file():
        return _of_csv(path)
    if not path.is_dir():
        raise UserError(f"{path}: no such file or folder")
    if (path / _MANIFEST).is_file():
        return _of_csv(path / _MANIFEST)
    splits = {name: folder for folder in _folders(path).values() if (name := _SPLITS.get(folder.name.lower()))}
    sources = [source for name in ("train", "val", "test") if name in splits for source in _of(splits[name], name)]
    return sources or list(_of(path, ""))


def _folders(path: Path) -> dict[str, Path]:
    """The folders in `path` by their names in lower case."""
    try:
        return {entry.name.lower(): entry for entry in sorted(path.iterdir()) if entry.is_dir()}
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error


def _of(path: Path, split: str) -> Iterator[Source]:
    """The images of a folder with a folder of images and a folder of labels."""
    folders = _folders(path)
    images = folders.get("images")
    labels = next((folders[name] for name in _LABEL_FOLDERS if name in folders), folders.get("points"))
    if images is None or labels is None:
        raise UserError(
            f"{path} has no folders Images and Labels: give a folder of CoNSeP, a folder with {_MANIFEST}, or a CSV "
            "with the columns image and instances"
        )
    of_labels = _by_stem(labels, LABELS)
    of_points = _by_stem(folders["points"], (".csv",)) if "points" in folders else {}
    pictures = _by_stem(images, IMAGES)
    if not pictures:
        raise UserError(f"{images} has no images ({', '.join(IMAGES)})")
    for these, those, where in ((pictures, of_labels, labels), (of_labels, pictures, images)):
        lonely = sorted(these.keys() - those.keys())
        if lonely:
            raise UserError(f"{where} has no file for {these[lonely[0]]} ({len(lonely)} are missing): name them alike")
    for name, image in pictures.items():
        points = of_points.get(name)
        yield Source(image, of_labels[name], points if points != of_labels[name] else None, split=split)


def _by_stem(folder: Path, endings: tuple[str, ...]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() in endings and not file.name.startswith("."):
            if file.stem in files:
                raise UserError(f"{files[file.stem]} and {file.name} have one name: keep one of them")
            files[file.stem] = file
    return files


def _of_csv(path: Path) -> list[Source]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="")
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as CSV: {error}; save it as CSV in UTF-8") from error
    columns = _named(list(reader.fieldnames or []), path)
    rows = [(line, {columns.get(head, head): text for head, text in row.items()}) for line, row in rows]
    columns = list(columns.values())
    if "image" not in columns or not set(_LABEL_COLUMNS) & set(columns):
        raise UserError(f"{path} needs the columns image and instances; it has {', '.join(columns) or 'none'}")
    if not rows:
        raise UserError(f"{path} has no rows")
    column = next(name for name in _LABEL_COLUMNS if name in columns)
    return [_row(path, line, {**row, "label file": row[column]}, column) for line, row in rows]


def _named(heads: list[str], path: Path) -> dict[str, str]:
    """Head -> its name here: those of patients, splits and resolutions as `mihatp prepare` reads them.

    Raises:
        UserError: there are two columns of one name.
    """
    named = {head: head.strip().casefold() for head in heads if head.strip().casefold() in (*_LABEL_COLUMNS, "points")}
    others = [head for head in heads if head not in named]
    if heads:
        repeated = next((head for head in named if heads.count(head) > 1), None)
        if repeated is not None:
            raise UserError(f"{path} has two columns '{repeated}': rename one of them, or remove it")
        meanings = read_heads(["image" if head.strip().casefold() == "image" else head for head in others], path)
        known = {
            others[index]: "image" if meaning == "file" else meaning for meaning, index in meanings.columns.items()
        }
        named |= {head: known.get(head, head) for head in others}
    return named


def _row(path: Path, line: int, row: Mapping[str, str], column: str) -> Source:
    where = f"{path} line {line}"
    files = {name: path.parent / row[name].strip() for name in ("image", "label file", "points") if row.get(name)}
    for name in ("image", "label file"):
        if name not in files:
            raise UserError(f"{where}: {column if name != 'image' else name} is empty")
    for file in files.values():
        if not file.is_file():
            raise UserError(f"{where}: there is no file {file}")
    split = row.get("split", "").strip().lower()
    if split and split not in _SPLITS:
        raise UserError(f"{where}: split '{split}': use train, val or test")
    return Source(
        files["image"],
        files["label file"],
        files.get("points") if column != "points" else None,
        row.get("patient", "").strip(),
        _SPLITS.get(split, ""),
        _mpp(row.get("mpp", "").strip(), where),
    )


def _mpp(text: str, where: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 100:
        raise UserError(f"{where}: mpp '{text}' is no resolution in µm/px, such as 0.25")
    return value
