"""The slides on the data card: tissue, artefacts, patches, and rejected patches on the overviews of some slides."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from numpy.typing import NDArray

from datasets_prep.common.errors import UserError
from datasets_prep.common.png import decode_rgb
from datasets_prep.dataset.card_page import CAPTION, MARGIN, WIDTH, Page, short
from datasets_prep.dataset.card_text import Facts
from datasets_prep.dataset.manifest import Row
from datasets_prep.tissue.geojson import read_drawing

THUMB, THUMB_COLUMNS = 3.0, 4
_THUMBS = 8
_LEAST_DOT = 5.0  # points, smallest size of a patch, so that it is visible on a large slide
_TITLE = "Tissue (outlined), artefacts (dotted), patches (in the colours of the splits), and rejected patches (×)"


def draw_thumbs(
    page: Page, top: float, facts: Facts, thumbs: Sequence[tuple[str, list[Row]]], colours: dict[str, str]
) -> None:
    """Draw the overviews of the chosen slides, in a grid whose upper border is at `top`."""
    if thumbs:
        page.text(MARGIN, top - 0.12, _TITLE, size=12)
    for index, (name, rows) in enumerate(thumbs):
        row, column = divmod(index, THUMB_COLUMNS)
        left = MARGIN + column * (WIDTH - 2 * MARGIN) / THUMB_COLUMNS
        axes = page.axes(left, top + CAPTION + row * (THUMB + CAPTION), THUMB, THUMB)
        _draw_slide(axes, facts, name, rows, colours)


def choose_slides(facts: Facts) -> list[tuple[str, list[Row]]]:
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
    """Draw the overview of a slide; all marks are outlines, through which the tissue shows."""
    path = _slide_file(facts, rows[0], "_overview.jpg")
    try:
        overview = decode_rgb(path.read_bytes())
    except (OSError, UserError) as error:
        raise UserError(f"{path} cannot be read: {error}; prepare the data set again") from error
    height, width, _ = overview.shape
    scale = width / int(facts.slides[name]["width"])  # overview px per level-0 px
    axes.imshow(overview)
    for ending, style in ((".geojson", "solid"), ("_artefacts.json", "dotted")):
        rings = [ring * scale for ring in _rings(_slide_file(facts, rows[0], ending), facts.origin(name))]
        axes.add_collection(LineCollection(rings, colors="black", linewidths=0.8, linestyles=style))
    side = (facts.settings.get("patch_size") or 192) * rows[0].reduction
    points = 72 * THUMB / max(width, height)  # per overview px
    size = max(side * scale * points, _LEAST_DOT)
    rejected = [(x, y) for x, y, _ in facts.rejected.get(name, ())]
    for at, style in (
        (rejected, {"marker": "x", "s": min(size, _LEAST_DOT) ** 2, "c": "black", "linewidths": 0.6}),
        (
            [(row.x, row.y) for row in rows],
            {
                "marker": "s",
                "s": size**2,
                "facecolors": "none",
                "linewidths": 0.9,
                "edgecolors": [colours[row.split] for row in rows],
            },
        ),
    ):
        if at:
            axes.scatter(*((np.array(at) + side / 2) * scale).T, **style)
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    axes.set_anchor("NW")
    axes.set_title(f"{short(name, 40)}\n{_counts(facts, name, rows)}", size=8, loc="left", parse_math=False)


def _counts(facts: Facts, name: str, rows: Sequence[Row]) -> str:
    """Patches by split, and rejected patches by flaw."""
    splits = Counter(row.split for row in rows)
    taken = ", ".join(f"{split} {count}" for split, count in splits.most_common(3)) + ("…" if len(splits) > 3 else "")
    flaws = Counter(flaw for _, _, flaw in facts.rejected.get(name, ()))
    return taken + "".join(f", × {count} {flaw}" for flaw, count in flaws.most_common())


def _rings(path: Path, origin: tuple[int, int]) -> Iterator[NDArray[np.int32]]:
    """The closed outlines of tissue and holes, each [N, 2] in level-0 px; none when the file does not exist."""
    polygons = read_drawing(path, origin=origin).polygons if path.is_file() else []
    for _, region in polygons:
        for ring in (region.outer, *region.holes):
            yield np.concatenate([ring, ring[:1]])
