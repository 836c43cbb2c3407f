"""The picture of the data card: splits, resolutions, positions of the patches on the slides, and sample pairs."""

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from datasets_prep.common.errors import UserError
from datasets_prep.common.png import decode_rgb
from datasets_prep.dataset.card_text import Facts, find_warnings, headline
from datasets_prep.dataset.lmdb_reader import LmdbReader, open_images
from datasets_prep.dataset.manifest import Row
from datasets_prep.tissue.geojson import read_drawing

RGBImage: TypeAlias = NDArray[np.uint8]  # [H, W, 3] RGB

# All lengths in inches. The page is _WIDTH wide and as high as its content.
_WIDTH, _MARGIN, _DPI = 14.0, 0.5, 100
_CHART = 2.3
_THUMB, _THUMB_COLUMNS, _THUMBS = 3.0, 4, 8
_SAMPLE, _SAMPLE_SPLITS = 1.5, 12
_CAPTION = 0.45
_EXAMINED = 8  # number of patches of a split; the one with the most detail is the sample
_LEAST_DOT = 5.0  # points, smallest size of a patch, so that it is visible on a large slide
_COLOURS = (
    "#0b5cd6",
    "#ff9500",
    "#00913f",
    "#d0021b",
    "#00b4cc",
    "#222222",
    "#8f7a00",
)  # none of them is a colour of H&E
_WARNINGS, _LINE = 5, 0.24  # largest number of warnings, and height of a line


def draw_card(facts: Facts) -> bytes:
    """The card as PNG: 1400 px wide, at most about 3000 px high. Raises `UserError` when an image cannot be read."""
    thumbs = _choose_slides(facts)
    splits = facts.splits[:_SAMPLE_SPLITS]
    samples = {split: _sample(facts.folder / split) for split in splits}
    across = 2 if max(len(images) for _, images in samples.values()) <= 4 else 1
    thumb_rows, sample_rows = -(-len(thumbs) // _THUMB_COLUMNS), -(-len(samples) // across)
    warnings = find_warnings(facts)
    if len(warnings) > _WARNINGS:
        warnings[_WARNINGS - 1 :] = [f"and {len(warnings) - _WARNINGS + 1} more warnings: see card.md"]
    top = 1.0 + _LINE * len(warnings)
    height = top + _CHART + 0.9 + thumb_rows * (_THUMB + _CAPTION) + sample_rows * (_SAMPLE + _CAPTION) + 0.6
    colours = {split: _COLOURS[index % len(_COLOURS)] for index, split in enumerate(facts.splits)}
    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, facecolor="white")
        page = _Page(figure, height)
        page.text(_MARGIN, 0.45, headline(facts), size=15)
        for index, warning in enumerate(warnings):
            page.text(_MARGIN, 0.75 + _LINE * index, f"! {_short(' '.join(warning.split()), 180)}", color="#b00000")
        half = _WIDTH / 2 - _MARGIN
        _draw_counts(page.axes(_MARGIN + 0.6, top, half - 1.0, _CHART), facts, colours)
        _draw_resolutions(page.axes(_WIDTH / 2 + 0.6, top, half - 0.8, _CHART), facts)
        top += _CHART + 0.95
        _draw_thumbs(page, top, facts, thumbs, colours)
        top += thumb_rows * (_THUMB + _CAPTION) + (0.5 if thumbs else 0)
        page.text(_MARGIN, top - 0.12, "A pair of each split" + _rest(len(facts.splits) - len(splits)), size=12)
        _draw_samples(page, top, samples, colours, across=across)
        with io.BytesIO() as png:
            FigureCanvasAgg(figure).print_png(png)
            return png.getvalue()


_LABEL = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1.5}


class _Page:
    """Puts axes and text on a figure, by their upper left corner in inches from the upper left corner of the page."""

    def __init__(self, figure: Figure, height: float) -> None:
        self._figure = figure
        self._height = height

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        bottom = self._height - top - height
        box = (left / _WIDTH, bottom / self._height, width / _WIDTH, height / self._height)
        return self._figure.add_axes(box)

    def text(self, left: float, baseline: float, text: str, **style: Any) -> None:
        self._figure.text(left / _WIDTH, 1 - baseline / self._height, text, parse_math=False, **style)


def _draw_thumbs(
    page: _Page, top: float, facts: Facts, thumbs: Sequence[tuple[str, list[Row]]], colours: dict[str, str]
) -> None:
    """Draw the overviews of the chosen slides, in a grid whose upper border is at `top`."""
    if thumbs:
        page.text(_MARGIN, top - 0.12, "Tissue (outlined) and patches (in the colours of the splits)", size=12)
    for index, (name, rows) in enumerate(thumbs):
        row, column = divmod(index, _THUMB_COLUMNS)
        left = _MARGIN + column * (_WIDTH - 2 * _MARGIN) / _THUMB_COLUMNS
        axes = page.axes(left, top + _CAPTION + row * (_THUMB + _CAPTION), _THUMB, _THUMB)
        _draw_slide(axes, facts, name, rows, colours)


def _draw_samples(
    page: _Page,
    top: float,
    samples: dict[str, tuple[str, dict[str, RGBImage]]],
    colours: dict[str, str],
    *,
    across: int,
) -> None:
    """Draw one patch of each split in all its roles, `across` splits in a row."""
    for index, (split, (key, images)) in enumerate(samples.items()):
        row, column = divmod(index, across)
        left, upper = _MARGIN + column * (_WIDTH / 2 - 0.2), top + _CAPTION + row * (_SAMPLE + _CAPTION)
        page.text(left, upper - 0.07, f"{split}: {_short(key, 60)}", size=9, color=colours[split])
        for number, (role, image) in enumerate(images.items()):
            axes = page.axes(left + number * (_SAMPLE + 0.08), upper, _SAMPLE, _SAMPLE)
            axes.imshow(image, interpolation="nearest")
            axes.text(0.03, 0.97, role, transform=axes.transAxes, va="top", size=8, bbox=_LABEL)
            axes.set_axis_off()


def _draw_counts(axes: Axes, facts: Facts, colours: dict[str, str]) -> None:
    counts = Counter(row.split for row in facts.rows)
    splits = facts.splits[: 2 * _SAMPLE_SPLITS]
    bars = axes.bar(range(len(splits)), [counts[split] for split in splits], color=[colours[split] for split in splits])
    axes.bar_label(bars, fontsize=9)
    axes.set_xticks(range(len(splits)), [_short(split, 10) for split in splits], rotation=90 if len(splits) > 12 else 0)
    axes.set_title("Patches of each split" + _rest(len(facts.splits) - len(splits)))


def _draw_resolutions(axes: Axes, facts: Facts) -> None:
    known = [mpp for mpp in facts.mpp().values() if mpp is not None]
    unknown = len(facts.mpp()) - len(known)
    axes.set_title("Slides by resolution" + (f" ({unknown} not known)" if unknown else ""))
    if not known:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "not stated", ha="center", va="center", transform=axes.transAxes, color="grey")
        return
    low, high = min(known), max(known)
    wanted = facts.settings.get("hr_mpp") or 0.25
    low, high = min(low, 0.8 * wanted), max(high, 1.2 * wanted)  # the resolutions that count as 40x, 20x or 10x
    axes.hist(known, bins=20, range=(low, high), color="0.45")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("µm per pixel")


def _choose_slides(facts: Facts) -> list[tuple[str, list[Row]]]:
    """Slides with an overview, and their patches; chosen in turns over the splits, so that every split is shown."""
    patches: dict[str, list[Row]] = {}
    for row in facts.rows:
        patches.setdefault(row.slide, []).append(row)
    by_split: dict[str, list[str]] = {split: [] for split in facts.splits}
    for slide, rows in patches.items():
        wide = facts.slides.get(slide, {}).get("width", "")
        if wide.isdecimal() and int(wide) and _slide_file(facts, rows[0], "_overview.jpg").is_file():
            by_split[rows[0].split].append(slide)
    turns = [slides[turn] for turn in range(_THUMBS) for slides in by_split.values() if turn < len(slides)]
    chosen = set(turns[:_THUMBS])
    return [(slide, patches[slide]) for slides in by_split.values() for slide in slides if slide in chosen]


def _slide_file(facts: Facts, row: Row, ending: str) -> Path:
    """A file of the slide of `row` in `slides/`."""
    return facts.folder / "slides" / f"{row.slide_key}{ending}"


def _draw_slide(axes: Axes, facts: Facts, name: str, rows: Sequence[Row], colours: dict[str, str]) -> None:
    path = _slide_file(facts, rows[0], "_overview.jpg")
    try:
        overview = decode_rgb(path.read_bytes())
    except (OSError, UserError) as error:
        raise UserError(f"{path} cannot be read: {error}; prepare the data set again") from error
    height, width, _ = overview.shape
    scale = width / int(facts.slides[name]["width"])  # overview px per level-0 px
    axes.imshow(overview)
    rings = [ring * scale for ring in _rings(_slide_file(facts, rows[0], ".geojson"), facts.origin(name))]
    axes.add_collection(LineCollection(rings, colors="black", linewidths=0.8))
    side = (facts.settings.get("patch_size") or 192) * rows[0].reduction
    points = 72 * _THUMB / max(width, height)  # per overview px
    size = max(side * scale * points, _LEAST_DOT)
    centres = (np.array([(row.x, row.y) for row in rows]) + side / 2) * scale
    faces = [to_rgba(colours[row.split], 0.4 if size > 2 * _LEAST_DOT else 1) for row in rows]
    edges = "white" if size <= 2 * _LEAST_DOT else [colours[row.split] for row in rows]
    axes.scatter(*centres.T, s=size**2, marker="s", c=faces, edgecolors=edges, linewidths=0.6)
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    axes.set_anchor("NW")
    splits = Counter(row.split for row in rows)
    counts = ", ".join(f"{split} {count}" for split, count in splits.most_common(3)) + ("…" if len(splits) > 3 else "")
    axes.set_title(f"{_short(name, 40)}\n{counts}", size=8, loc="left", parse_math=False)


def _rings(path: Path, origin: tuple[int, int]) -> Iterator[NDArray[np.int32]]:
    """The closed outlines of tissue and holes, each [N, 2] in level-0 px; none when the file does not exist."""
    polygons = read_drawing(path, origin=origin).polygons if path.is_file() else []
    for _, region in polygons:
        for ring in (region.outer, *region.holes):
            yield np.concatenate([ring, ring[:1]])


def _sample(folder: Path) -> tuple[str, dict[str, RGBImage]]:
    """The sample of a split: its key, and role -> image, all enlarged to the size of HR."""
    with ExitStack() as stack:
        paths = [*folder.glob("HR.lmdb"), *sorted(folder.glob("LR_x*.lmdb"), key=lambda path: (len(path.name), path))]
        readers = {path.stem: stack.enter_context(open_images(path)) for path in paths}
        hr = readers.get("HR")
        if hr is None:
            raise UserError(f"{folder} has no HR.lmdb: prepare the data set again")
        names = hr.names[:: max(1, len(hr) // _EXAMINED)][:_EXAMINED]
        key = max(names, key=lambda name: _detail(_load(hr, name)))
        images = {role: _load(reader, key) for role, reader in readers.items()}
    height, width, _ = images["HR"].shape
    return key, {
        role: cv2.resize(image, (width, height), interpolation=cv2.INTER_NEAREST).astype(np.uint8, copy=False)
        for role, image in images.items()
    }


def _detail(image: RGBImage) -> float:
    """Mean difference of neighbouring pixels: high for nuclei, low for the border of the tissue."""
    return float(np.abs(np.diff(image.mean(axis=-1), axis=1)).mean())


def _load(reader: LmdbReader, key: str) -> RGBImage:
    try:
        return decode_rgb(reader.get(key))
    except UserError as error:
        raise UserError(f"{reader.path}: {key} cannot be read ({error}); prepare the data set again") from error


def _short(text: str, longest: int) -> str:
    """The first and last part of a long text, because the names of slides often begin alike."""
    return text if len(text) <= longest else f"{text[: longest // 2]}…{text[-(longest - longest // 2 - 1) :]}"


def _rest(count: int) -> str:
    return f" (and {count} more)" if count > 0 else ""
