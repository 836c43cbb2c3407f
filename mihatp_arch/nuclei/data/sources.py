"""Find the images of a data set, their labels, and their patient and split where the data set states them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets_prep.source_table.cells import mpp_of, read_rows
from datasets_prep.source_table.heads import read_heads
from datasets_prep.source_table.table import SPLIT_SYNONYMS
from mihatp_arch.errors import UserError, reason_of

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


def find_sources(path: Path) -> tuple[list[Source], list[str]]:
    """The images of a data set, in the order of its CSV, or of their names; and lines that the user should read.

    Args:
        path: a CSV, a folder with manifest.csv, a folder with the folders Images and Labels, or a folder with the
            folders Train and Test (and Val) that have them.

    Raises:
        UserError: there is no such data set, a file is missing, a file is named twice, or a split has another name.
    """
    notes: list[str] = []
    if path.is_file():
        return _of_csv(path, notes), notes
    if not path.is_dir():
        raise UserError(f"{path}: no such file or folder")
    if (path / _MANIFEST).is_file():
        return _of_csv(path / _MANIFEST, notes), notes
    splits = {name: folder for folder in _folders(path).values() if (name := _SPLITS.get(folder.name.lower()))}
    sources = [source for name in ("train", "val", "test") if name in splits for source in _of(splits[name], name)]
    return sources or list(_of(path, "")), notes


def _folders(path: Path) -> dict[str, Path]:
    """The folders in `path` by their names in lower case."""
    try:
        return {entry.name.lower(): entry for entry in sorted(path.iterdir()) if entry.is_dir()}
    except OSError as error:
        raise UserError(f"{path} cannot be read: {reason_of(error)}") from error


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


def _of_csv(path: Path, notes: list[str]) -> list[Source]:
    rows = read_rows(path, _names_labels)
    columns, unread = _columns(rows[0][1], path) if rows else ({}, ())
    if "image" not in columns or not set(_LABEL_COLUMNS) & set(columns):
        heads = ", ".join(head.strip() for head in rows[0][1]) if rows else "none"
        raise UserError(f"{path} needs the columns image and instances; it has {heads}")
    if len(rows) < 2:
        raise UserError(f"{path} has no rows")
    notes += unread
    column = next(name for name in _LABEL_COLUMNS if name in columns)
    return [_row(path, line, _by_name(cells, columns, column), column) for line, cells in rows[1:]]


def _names_labels(head: Sequence[str]) -> bool:
    """Whether a first row has a column of images and one of labels."""
    try:
        columns, _ = _columns(head, Path())
    except UserError:
        return False
    return "image" in columns and bool(set(_LABEL_COLUMNS) & set(columns))


def _by_name(cells: Sequence[str], columns: Mapping[str, int], labels: str) -> dict[str, str]:
    row = {name: cells[index].strip() if index < len(cells) else "" for name, index in columns.items()}
    return {**row, "label file": row[labels]}


def _columns(heads: Sequence[str], path: Path) -> tuple[dict[str, int], tuple[str, ...]]:
    """Name -> index of a column, and notes: images, patients, splits and resolutions as `mihatp prepare` reads them.

    Raises:
        UserError: there are two columns of one name, or none of images.
    """
    names = [head.strip().casefold() for head in heads]
    repeated = next((name for name in _LABEL_COLUMNS if names.count(name) > 1), None)
    if repeated is not None:
        raise UserError(f"{path} has two columns '{repeated}': rename one of them, or remove it")
    own = {name: names.index(name) for name in _LABEL_COLUMNS if name in names}
    unread = ("slide",) if "image" in names else ()  # of which the image was cut
    others = [index for index, name in enumerate(names) if name not in own and name not in unread]
    read = read_heads([heads[index] for index in others], path)
    columns = {"image" if name == "file" else name: others[index] for name, index in read.columns.items()}
    return columns | own, read.notes


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
        mpp_of(row.get("mpp", ""), file=row["image"], where=where),
    )
