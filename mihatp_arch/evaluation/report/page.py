"""The report: tables, crops under a before/after slider and figures, in one HTML file that needs nothing else."""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from importlib.resources import files
from math import isnan
from pathlib import Path
from string import Template

import cv2
import numpy as np

from datasets_prep.common.files import write_file
from mihatp_arch.errors import UserError
from mihatp_arch.evaluation.report.table import Table
from mihatp_arch.evaluation.results.scores import Image

PNG = b"\x89PNG\r\n\x1a\n"
ZOOMS = (1, 2, 4)
NUMBER = re.compile(r"([-+]?(?:\d+(?:[ ,]\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?|inf|nan))(?=$|[ %±(*])", re.IGNORECASE)
SPACES = str.maketrans("\N{MINUS SIGN}\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{THIN SPACE}", "-   ")


@dataclass(frozen=True)
class Crop:
    """One place of one patch as every method shows it: label -> HxWx3 BGR, all of one size, in order of display."""

    title: str
    images: Mapping[str, Image]
    captions: Mapping[str, str]  # label -> '27.31 dB'; one that is missing is left blank


def write_report(
    path: Path,
    *,
    title: str,
    summary: Sequence[str],
    tables: Sequence[Table],
    crops: Sequence[Crop],
    figures: Mapping[str, Path],
    left: str,
    right: str,
) -> None:
    """Write one HTML file without a reference to anything outside it; there whole or not at all.

    Args:
        path: of the HTML.
        title: of the page.
        summary: the lines below the title.
        tables: each sortable by a click on a header.
        crops: the slider's; all of the same labels.
        figures: title -> PNG.
        left: label shown left of the divider at first.
        right: label shown right of it.
    """
    _check(crops, left, right)
    css, js, page = (_part(name) for name in ("page.css", "page.js", "page.html"))
    sections = [
        _section("Results", "".join(_table(table) for table in tables)) if tables else "",
        _crops(crops, left, right) if crops else "",
        _section("Figures", "".join(_figure(*item) for item in figures.items())) if figures else "",
    ]
    text = Template(page).substitute(
        title=escape(title),
        summary="".join(f"<li>{escape(line)}</li>\n" for line in summary),
        sections="".join(sections),
        css=css,
        css_hash=_csp_hash(css),
        js=js,
        js_hash=_csp_hash(js),
    )
    try:
        write_file(path, text.encode())
    except OSError as error:
        raise UserError(f"cannot write '{path}': {error.strerror or error}") from error


def number(cell: str) -> float | None:
    """The number that a cell begins with (27.31 of '27.31 ± 0.42', 20815321 of '20 815 321'); None without one."""
    match = NUMBER.match(cell.translate(SPACES).strip())
    value = float(re.sub("[ ,]", "", match[1])) if match else None
    return None if value is None or isnan(value) else value


def _check(crops: Sequence[Crop], left: str, right: str) -> None:
    """Every crop: the same labels in the same order, HxWx3 uint8 of one size, `left` and `right` among them."""
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


def _part(name: str) -> str:
    return (files("mihatp_arch.evaluation.report") / name).read_text(encoding="utf-8")


def _csp_hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{b64encode(png).decode()}"


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{title}</h2>\n{content}</section>\n"


def _table(table: Table) -> str:
    """A column is numeric if all its cells that are not blank (or a dash) begin with a number."""
    blank = {"", "-", "\N{EN DASH}", "\N{EM DASH}", "nan"}
    columns = list(zip(*table.rows, strict=True)) or [()] * len(table.columns)
    numeric = [
        any(number(cell) is not None for cell in cells)
        and all(number(cell) is not None or cell.strip() in blank for cell in cells)
        for cells in columns
    ]

    def cell(row: int, column: int, text: str) -> str:
        value = number(text) if numeric[column] else None
        start = '<th scope="row"' if column == 0 else "<td"
        start += ' class="number"' if numeric[column] else ""
        start += "" if value is None else f' data-value="{value!r}"'.replace("inf", "Infinity")
        inner = f"<strong>{escape(text)}</strong>" if (row, column) in table.best else escape(text)
        return f"{start}>{inner}</{'th' if column == 0 else 'td'}>"

    heads = "".join(
        f'<th scope="col"{" class=number" if is_number else ""}><button type="button">{escape(name)}</button></th>'
        for name, is_number in zip(table.columns, numeric, strict=True)
    )
    body = "".join(
        f"<tr>{''.join(cell(row, column, text) for column, text in enumerate(cells))}</tr>\n"
        for row, cells in enumerate(table.rows)
    )
    note = f'<p class="note">{escape(table.note)}</p>\n' if table.note else ""
    return (
        f'<div class="table">\n<h3>{escape(table.title)}</h3>\n'
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(table.title)}">\n'
        f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n</div>\n{note}</div>\n"
    )


def _crops(crops: Sequence[Crop], left: str, right: str) -> str:
    labels = list(crops[0].images)
    link = '<label class="link"><input type="checkbox" name="link" checked> Same on every crop</label>'
    shared = _controls("Every crop", labels, left, right, link if len(crops) > 1 else "")
    each = "".join(_crop(crop, _controls(crop.title, labels, left, right)) for crop in crops)
    return _section("Side by side", f'<div class="shared">{shared}</div>\n<div class="crops">\n{each}</div>\n')


def _controls(name: str, labels: Sequence[str], left: str, right: str, more: str = "") -> str:
    """Two selects, whose values are places in `labels`, and the zoom."""

    def select(side: str, chosen: str) -> str:
        options = "".join(
            f'<option value="{i}"{" selected" if label == chosen else ""}>{escape(label)}</option>'
            for i, label in enumerate(labels)
        )
        return f'<label>{side.capitalize()} <select name="{side}">{options}</select></label>\n'

    zooms = "".join(
        f'<label><input type="radio" name="zoom" value="{zoom}"{" checked" if zoom == 2 else ""}>{zoom}&times;</label>'
        for zoom in ZOOMS
    )
    return (
        f'<form class="controls" aria-label="{escape(name)}">\n{select("left", left)}'
        '<button type="button" name="swap" aria-label="Swap left and right" title="Swap left and right">⇄</button>\n'
        f"{select('right', right)}<fieldset><legend>Zoom</legend>{zooms}</fieldset>\n{more}</form>"
    )


def _crop(crop: Crop, controls: str) -> str:
    """All images, one over the other on a screen with scripts, side by side on paper."""
    height, width = next(iter(crop.images.values())).shape[:2]
    images = "".join(
        f'<figure><img src="{_data_uri(cv2.imencode(".png", image)[1].tobytes())}" width="{width}" height="{height}"'
        f' alt="{escape(crop.title)}: {escape(label)}" draggable="false">'
        f"<figcaption><b>{escape(label)}</b> <span>{escape(crop.captions.get(label, ''))}</span></figcaption>"
        "</figure>\n"
        for label, image in crop.images.items()
    )
    return (
        f'<article class="crop">\n<h3>{escape(crop.title)}</h3>\n{controls}\n'
        '<div class="shown"><p></p><p></p></div>\n'
        f'<div class="frame"><div class="stage">\n{images}<div class="divider"><i></i></div>\n</div></div>\n'
        f'<div class="range"><input type="range" min="0" max="{width}" value="{width // 2}"'
        f' aria-label="Divider of {escape(crop.title)}"></div>\n</article>\n'
    )


def _figure(title: str, path: Path) -> str:
    try:
        png = path.read_bytes()
    except OSError as error:
        raise UserError(f"figure '{title}': cannot read '{path}': {error.strerror or error}") from error
    if not png.startswith(PNG):
        raise UserError(f"figure '{title}': '{path}' is not a PNG")
    return (
        f'<figure class="figure"><div class="scroll"><img src="{_data_uri(png)}" alt="Figure: {escape(title)}"></div>'
        f"<figcaption>{escape(title)}</figcaption></figure>\n"
    )
