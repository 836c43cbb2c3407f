"""Table 2 as Markdown, LaTeX, CSV and a page: a table for each scale, and differences to bicubic by patient."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path

from mihatp_arch.evaluation.nuclei.downstream_images import SET, TestImage, patients_of
from mihatp_arch.evaluation.nuclei.downstream_options import DownstreamOptions
from mihatp_arch.evaluation.nuclei.downstream_rows import BICUBIC, HR, DownstreamRow
from mihatp_arch.evaluation.nuclei.downstream_scores import COUNTS, ImageScores, over_images
from mihatp_arch.evaluation.report.added_tables import add_tables
from mihatp_arch.evaluation.report.comparison import interval
from mihatp_arch.evaluation.report.page import write_report
from mihatp_arch.evaluation.report.table import Table, write
from mihatp_arch.evaluation.results.csv_file import write_csv
from mihatp_arch.evaluation.results.differences import FEWEST, Difference, difference
from mihatp_arch.evaluation.results.patients import Patients

_COLUMNS = {
    "dice": ("Dice", ".3f", "nuclei against background, mean over the images"),
    "acc": ("ACC", ".3f", "share of the paired nuclei with the right type; lost nuclei do not lower it"),
    "pq": ("PQ", ".3f", "panoptic quality, IoU above 0.5, mean over the images"),
    "f_d": ("F_d", ".3f", "detection: pairs of centres within the radius, over all nuclei"),
    "aji": ("AJI", ".3f", "aggregated Jaccard index, mean over the images"),
    "found": ("nuclei found", ".0f", "number of them; the annotation's is below the table"),
    "lost_per_1000": ("lost", ".0f", "per 1000 nuclei that are found on HR"),
    "invented_per_1000": ("invented", ".0f", "nuclei that are not found on HR, per 1000 that are"),
}
_GAIN = "PQ minus bicubic"


@dataclass(frozen=True)
class RowScores:
    """The scores of one row.

    Attributes:
        row: the row.
        images: name of the image -> its scores.
    """

    row: DownstreamRow
    images: dict[str, ImageScores]


def write_tables(
    scores: Sequence[RowScores], images: Sequence[TestImage], options: DownstreamOptions, about: str, output: Path
) -> Path:
    """Write `table2.md`, `.tex`, `.csv`, `downstream_images.csv` and `downstream.html`; returns the Markdown file.

    Each benchmark gets the tables of its scales in its own report.

    Args:
        scores: of all rows.
        images: the test images.
        options: of the run.
        about: a line about the segmentation network.
        output: an existing folder.

    Raises:
        OSError: a file cannot be written.
        UserError: the report of a benchmark cannot be written.
    """
    patients = patients_of(images)
    by_scale = {scale: _table(scale, scores, patients) for scale in options.scales}
    tables = list(by_scale.values())
    path = output / "table2.md"
    _write_csv(scores, images, output)  # first: it says that the others are results too
    write(tables, path)
    summary = [
        f"{_counted(len(images), 'image')} of {_counted(patients.count, 'patient')} in {options.data}.",
        about,
        f"LR is made from HR by the kernel of the training, else by {options.kernel}; centres pair within "
        f"{options.radius:g} px.",
    ]
    write_report(
        output / "downstream.html",
        title="Nuclei on HR, bicubic interpolation and super-resolution",
        summary=summary,
        tables=tables,
        crops=[],
        figures={},
        left=BICUBIC,
        right=HR,
    )
    for folder in options.benchmarks:
        of_folder = {each.row.scale for each in scores if each.row.benchmark == folder}
        add_tables(folder, [table for scale, table in by_scale.items() if scale in of_folder])
    return path


def _table(scale: int, scores: Sequence[RowScores], patients: Patients) -> Table:
    of_scale = [each for each in scores if each.row.scale in (1, scale)]
    reference = next(each for each in of_scale if each.row.method == BICUBIC)
    means = [over_images(list(each.images.values()), _kinds(scores)) for each in of_scale]
    names = [name for name in _COLUMNS if not all(isnan(values[name]) for values in means)]
    rows = []
    for each, values in zip(of_scale, means, strict=True):
        cells = ["" if isnan(values[name]) else f"{values[name]:{_COLUMNS[name][1]}}" for name in names]
        gain = None if each is reference else _difference(each, reference, patients)
        mean = "" if gain is None else f"{gain.mean:+.3f}"
        rows.append([each.row.method, *cells, mean, interval(gain)])
    captions = {_COLUMNS[name][0]: _COLUMNS[name][2] for name in names}
    captions |= {_GAIN: "mean over the patients", "95 % interval": "of this difference, for other patients"}
    note = f"The annotation has {means[0]['annotated']:.0f} nuclei; {means[0]['found_on_hr']:.0f} are found on HR."
    remarks = [f"Every image counts as a patient of its own: {patients.missing}."] if patients.missing else []
    if patients.count < FEWEST:
        are = "is" if patients.count == 1 else "are"
        remarks.append(f"{_counted(patients.count, 'patient')} {are} too few for an interval: {FEWEST} are needed.")
    empty = sum(not image.values["annotated"] for image in scores[0].images.values())
    if empty:
        have = "has" if empty == 1 else "have"
        remarks.append(
            f"{_counted(empty, 'image')} {have} no annotated nucleus: there, a row without nuclei counts as perfect."
        )
    return Table(f"Table 2, x{scale}", ["method", *captions], rows, note=note, captions=captions, remarks=remarks)


def _difference(each: RowScores, reference: RowScores, patients: Patients) -> Difference:
    first, second = ({"pq": {SET: {n: s.values["pq"] for n, s in row.images.items()}}} for row in (each, reference))
    return difference(first, second, patients, metric="pq")


def _kinds(scores: Sequence[RowScores]) -> list[int]:
    """The types of nuclei in the annotation."""
    return sorted(
        {
            int(kind)
            for image in scores[0].images.values()
            for kind in (*image.pairs.true, *image.pairs.lost)
            if kind > 0
        }
    )


def _write_csv(scores: Sequence[RowScores], images: Sequence[TestImage], output: Path) -> None:
    per_image, per_row, numbers = [], [], []
    patient_of = {image.name: image.patient for image in images}
    kinds = _kinds(scores)
    for each in scores:
        head = [each.row.method, each.row.scale, each.row.kernel]
        for name, image in each.images.items():
            per_image.append([*head, name, patient_of[name], *map(_number, image.values, image.values.values())])
        values = over_images(list(each.images.values()), kinds)
        numbers = list(values)
        per_row.append([*head, *map(_number, values, values.values())])
    names = list(next(iter(scores[0].images.values())).values)
    write_csv(output / "downstream_images.csv", ["method", "scale", "kernel", "image", "patient", *names], per_image)
    write_csv(output / "table2.csv", ["method", "scale", "kernel", *numbers], per_row)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _number(name: str, value: float) -> str:
    if isnan(value):
        return ""
    return f"{value:.0f}" if name in COUNTS else f"{value:.6f}"
