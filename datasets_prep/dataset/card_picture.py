"""The picture of the data card: splits, resolutions, positions of the patches on the slides, and sample pairs."""

import io
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from datasets_prep.common.errors import UserError
from datasets_prep.common.png import decode_rgb
from datasets_prep.dataset.card_page import CAPTION, MARGIN, WIDTH, Page, short
from datasets_prep.dataset.card_slides import THUMB, THUMB_COLUMNS, choose_slides, draw_thumbs
from datasets_prep.dataset.card_text import Facts, find_warnings, headline
from datasets_prep.dataset.lmdb_reader import LmdbReader, open_images

RGBImage: TypeAlias = NDArray[np.uint8]  # [H, W, 3] RGB

# All lengths in inches. The page is as high as its content.
_DPI = 100
_CHART = 2.3
_SAMPLE, _SAMPLE_SPLITS = 1.5, 12
_EXAMINED = 8  # number of patches of a split; the one with the most detail is the sample
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
    thumbs = choose_slides(facts)
    splits = facts.splits[:_SAMPLE_SPLITS]
    samples = {split: _sample(facts.folder / split) for split in splits}
    across = 2 if max(len(images) for _, images in samples.values()) <= 4 else 1
    thumb_rows, sample_rows = -(-len(thumbs) // THUMB_COLUMNS), -(-len(samples) // across)
    warnings = find_warnings(facts)
    if len(warnings) > _WARNINGS:
        warnings[_WARNINGS - 1 :] = [f"and {len(warnings) - _WARNINGS + 1} more warnings: see card.md"]
    top = 1.0 + _LINE * len(warnings)
    height = top + _CHART + 0.9 + thumb_rows * (THUMB + CAPTION) + sample_rows * (_SAMPLE + CAPTION) + 0.6
    colours = {split: _COLOURS[index % len(_COLOURS)] for index, split in enumerate(facts.splits)}
    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(WIDTH, height), dpi=_DPI, facecolor="white")
        page = Page(figure, height)
        page.text(MARGIN, 0.45, headline(facts), size=15)
        for index, warning in enumerate(warnings):
            page.text(MARGIN, 0.75 + _LINE * index, f"! {short(' '.join(warning.split()), 180)}", color="#b00000")
        half = WIDTH / 2 - MARGIN
        _draw_counts(page.axes(MARGIN + 0.6, top, half - 1.0, _CHART), facts, colours)
        _draw_resolutions(page.axes(WIDTH / 2 + 0.6, top, half - 0.8, _CHART), facts)
        top += _CHART + 0.95
        draw_thumbs(page, top, facts, thumbs, colours)
        top += thumb_rows * (THUMB + CAPTION) + (0.5 if thumbs else 0)
        page.text(MARGIN, top - 0.12, "A pair of each split" + _rest(len(facts.splits) - len(splits)), size=12)
        _draw_samples(page, top, samples, colours, across=across)
        with io.BytesIO() as png:
            FigureCanvasAgg(figure).print_png(png)
            return png.getvalue()


_LABEL = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1.5}


def _draw_samples(
    page: Page,
    top: float,
    samples: dict[str, tuple[str, dict[str, RGBImage]]],
    colours: dict[str, str],
    *,
    across: int,
) -> None:
    """Draw one patch of each split in all its roles, `across` splits in a row."""
    for index, (split, (key, images)) in enumerate(samples.items()):
        row, column = divmod(index, across)
        left, upper = MARGIN + column * (WIDTH / 2 - 0.2), top + CAPTION + row * (_SAMPLE + CAPTION)
        page.text(left, upper - 0.07, f"{split}: {short(key, 60)}", size=9, color=colours[split])
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
    axes.set_xticks(range(len(splits)), [short(split, 10) for split in splits], rotation=90 if len(splits) > 12 else 0)
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


def _rest(count: int) -> str:
    return f" (and {count} more)" if count > 0 else ""
