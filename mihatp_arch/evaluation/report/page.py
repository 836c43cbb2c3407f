"""The report: tables, crops under a before/after slider and figures, in one HTML file that needs nothing else."""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from math import isnan
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np

from datasets_prep.common.files import write_file
from mihatp_arch.errors import UserError, reason_of
from mihatp_arch.evaluation.report.table import Table
from mihatp_arch.metrics.images import BGRImage

PNG = b"\x89PNG\r\n\x1a\n"
ZOOMS = (1, 2, 4)
NUMBER = re.compile(r"([-+]?(?:\d+(?:[ ,]\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?|inf|nan))(?=$|[ %±(*])", re.IGNORECASE)
SPACES = str.maketrans("\N{MINUS SIGN}\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{THIN SPACE}", "-   ")
_BLANK = {"", "-", "\N{EN DASH}", "\N{EM DASH}", "nan"}
_MARKS = ("<!-- nuclei -->", "<!-- end of nuclei -->")  # around the tables that are added later


def _resource(name: str) -> str:
    return (files("mihatp_arch.evaluation.report") / name).read_text(encoding="utf-8")


_TEMPLATES = jinja2.Environment(
    loader=jinja2.FunctionLoader(_resource),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    undefined=jinja2.StrictUndefined,
)


@dataclass(frozen=True)
class Crop:
    """One crop of one patch as every method shows it.

    Attributes:
        title: above it.
        images: label -> `[H, W, 3]`, all of one size, in the order in which they are shown.
        captions: label -> a text such as '27.31 dB'; a label that is missing has none.
    """

    title: str
    images: Mapping[str, BGRImage]
    captions: Mapping[str, str]


def write_report(
    path: Path,
    *,
    title: str,
    summary: Sequence[str],
    tables: Sequence[Table],
    crops: Sequence[Crop],
    figures: Mapping[str, Path],
    views: Mapping[str, str] | None = None,
    left: str,
    right: str,
    added: Sequence[Table] = (),
) -> None:
    """Write one HTML file, whole or not at all. It needs nothing outside it; only the links to views lead elsewhere.

    Args:
        path: of the HTML.
        title: of the page.
        summary: the lines below the title.
        tables: a click on a header sorts its table.
        crops: under the slider; all with the same labels.
        figures: title -> PNG.
        views: title -> link to a view, relative to `path`.
        left: label of the image that is left of the divider at first.
        right: label of the image right of it.
        added: tables of nuclei, below the others (`added_tables.py`).

    Raises:
        UserError: crops that cannot be compared, a figure that cannot be read, or `path` cannot be written.
    """
    _check(crops, left, right)
    css, js = _resource("page.css"), _resource("page.js")
    page = _TEMPLATES.get_template("page.html").render(
        title=title,
        summary=summary,
        tables=[_table(table) for table in tables],
        added=[_table(table) for table in added],
        marks=_MARKS,
        crops=[_crop(crop) for crop in crops],
        figures=[_figure(*figure) for figure in figures.items()],
        views=views or {},
        labels=list(crops[0].images) if crops else [],
        left=left,
        right=right,
        zooms=ZOOMS,
        css=css,
        css_hash=_csp_hash(css),
        js=js,
        js_hash=_csp_hash(js),
    )
    try:
        write_file(path, page.encode())
    except OSError as error:
        raise UserError(f"cannot write '{path}': {reason_of(error)}") from error


def with_added(page: str, tables: Sequence[Table]) -> str:
    """The text of a report with other tables of nuclei; a report of an older version, without their place, as it is."""
    before, begin, rest = page.partition(_MARKS[0])
    _, end, after = rest.partition(_MARKS[1])
    if not end:
        return page
    macros: Any = _TEMPLATES.get_template("tables.html").module
    section = macros.section_of("Nuclei", [_table(table) for table in tables])
    return f"{before}{begin}\n{section}{end}{after}"


def number(cell: str) -> float | None:
    """The number at the beginning of a cell (27.31 of '27.31 ± 0.42', 20815321 of '20 815 321'); None without one."""
    match = NUMBER.match(cell.translate(SPACES).strip())
    value = float(re.sub("[ ,]", "", match[1])) if match else None
    return None if value is None or isnan(value) else value


def _check(crops: Sequence[Crop], left: str, right: str) -> None:
    """Every crop: the same labels in the same order, `[H, W, 3]` uint8 of one size, `left` and `right` among them."""
    for crop in crops:
        labels = list(crop.images)
        for label in (left, right):
            if label not in crop.images:
                raise UserError(
                    f"crop '{crop.title}' has no image '{label}': name one of {', '.join(labels) or 'none'}"
                )
        if labels != list(crops[0].images):
            of_first = ", ".join(crops[0].images)
            raise UserError(f"crop '{crop.title}' shows {', '.join(labels)}, but '{crops[0].title}' {of_first}")
        size = crop.images[labels[0]].shape[:2]
        for label, image in crop.images.items():
            if image.shape != (*size, 3) or image.dtype != np.uint8 or not image.size:
                is_a, wanted = (" x ".join(map(str, shape)) for shape in (image.shape, (*size, 3)))
                raise UserError(
                    f"crop '{crop.title}': '{label}' is {is_a} {image.dtype}, not {wanted} uint8 as '{labels[0]}':"
                    " cut the same place of every method at the same scale"
                )


def _csp_hash(text: str) -> str:
    """The hash by which the page's Content-Security-Policy allows this style or script."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{b64encode(png).decode()}"


def _table(table: Table) -> dict[str, Any]:
    """The table for page.html. A column is numeric if each of its cells is blank or begins with a number."""
    columns = list(zip(*table.rows, strict=True)) or [()] * len(table.columns)
    numeric = [
        any(number(cell) is not None for cell in cells)
        and all(number(cell) is not None or cell.strip() in _BLANK for cell in cells)
        for cells in columns
    ]
    rows = [
        [
            {
                "text": text,
                "numeric": numeric[column],
                "value": _sort_value(text) if numeric[column] else None,
                "best": (row, column) in table.best,
            }
            for column, text in enumerate(cells)
        ]
        for row, cells in enumerate(table.rows)
    ]
    heads = [
        {"text": head, "numeric": is_number, "caption": table.captions.get(head, "")}
        for head, is_number in zip(table.columns, numeric, strict=True)
    ]
    below = {"note": table.note, "remarks": table.remarks, "captions": table.captions}
    return {"title": table.title, "heads": heads, "rows": rows, **below}


def _sort_value(cell: str) -> str | None:
    """The number of a cell as JavaScript reads it."""
    value = number(cell)
    return None if value is None else repr(value).replace("inf", "Infinity")


def _crop(crop: Crop) -> dict[str, Any]:
    """The crop for page.html."""
    height, width = next(iter(crop.images.values())).shape[:2]
    images = [
        {
            "label": label,
            "caption": crop.captions.get(label, ""),
            "uri": _data_uri(cv2.imencode(".png", image)[1].tobytes()),
        }
        for label, image in crop.images.items()
    ]
    return {"title": crop.title, "width": width, "height": height, "images": images}


def _figure(title: str, path: Path) -> dict[str, str]:
    """The figure for page.html."""
    try:
        png = path.read_bytes()
    except OSError as error:
        raise UserError(f"figure '{title}': cannot read '{path}': {reason_of(error)}") from error
    if not png.startswith(PNG):
        raise UserError(f"figure '{title}': '{path}' is not a PNG")
    return {"title": title, "uri": _data_uri(png)}
