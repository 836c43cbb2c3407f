"""The text of the data card: warnings first, then splits, slides and protocol."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets_prep.common.errors import UserError
from datasets_prep.common.text import markdown_table
from datasets_prep.dataset.manifest import Row, read_manifest, read_rejected, read_settings, read_slides
from datasets_prep.dataset.small_splits import small_splits
from datasets_prep.patches.splits import split_order

_SLIDES = 40  # largest number of rows in the table of slides
_FAILED = 20  # largest number of rows in the table of slides that could not be used
_LONGEST = 200  # characters of a reason or a setting
_FEW = 10  # patches; a smaller split is too small for numbers

_LEFT_OUT = ("failed", "unnamed", "excluded")
_REST = ("pen", "black", "candidates", "patches", "LR shift, px", "LR spread, px", "LR PSNR, dB", "note")
_ORIGINS = {
    "assumed": "was assumed",
    "objective": "was estimated from the power of the objective",
    "overridden": "is not that of the file: the user says so",
}
_SETTINGS = {
    "patch_size": "patch size, HR px",
    "scales": "scales",
    "lr": "LR asked for",
    "seed": "seed",
    "split_by": "split by",
    "preset": "tissue preset",
}


@dataclass(frozen=True)
class Facts:
    """The facts that a card is made of.

    Attributes:
        folder: the data set.
        rows: the manifest.
        slides: slide -> its row of `slides.csv`; empty when there is no such file.
        settings: the content of `build.json`.
        rejected: slide -> (x, y, flaw) of each patch that the quality filter rejected.
    """

    folder: Path
    rows: list[Row]
    slides: dict[str, dict[str, str]]
    settings: Mapping[str, Any]
    rejected: dict[str, list[tuple[int, int, str]]] = field(default_factory=dict)

    @property
    def splits(self) -> list[str]:
        """Names of the splits, in the order train, val, test1, …"""
        return sorted({row.split for row in self.rows}, key=split_order)

    @property
    def failed(self) -> list[dict[str, str]]:
        """Rows of `slides.csv` of the slides that could not be used."""
        return self.of_status("failed")

    def of_status(self, status: str) -> list[dict[str, str]]:
        """Rows of `slides.csv` with a status (`SourceState.status`)."""
        return [slide for slide in self.slides.values() if slide.get("status") == status]

    def origin(self, slide: str) -> tuple[int, int]:
        """(x, y) where the outline of a slide begins to count, level-0 px."""
        x, y = self.settings.get("sources", {}).get(slide, {}).get("origin", (0, 0))
        return int(x), int(y)

    def mpp(self) -> dict[str, float | None]:
        """Slide -> µm per pixel, of the slides with patches."""
        return {row.slide: row.mpp for row in self.rows}


def read_facts(folder: Path) -> Facts:
    """Read the files beside the LMDBs. Raises `UserError` when there is no manifest, or a file is damaged."""
    rows = read_manifest(folder)
    if rows is None:
        raise UserError(f"{folder} has no manifest.csv, so there is nothing to make a data card of")
    slides = {slide.get("slide", ""): slide for slide in read_slides(folder)}
    return Facts(folder, rows, slides, read_settings(folder), read_rejected(folder))


def card_text(facts: Facts) -> str:
    """The content of `card.md`."""
    return "\n".join(_lines(facts)) + "\n"


def headline(facts: Facts) -> str:
    """The size of the data set, in one line."""
    patients, slides = ({getattr(row, name) for row in facts.rows} for name in ("patient", "slide"))
    return f"{_count(len(facts.rows), 'patch', 'es')} from {_count(len(slides), 'slide')} of " + _count(
        len(patients), "patient"
    )


def _lines(facts: Facts) -> Iterator[str]:
    yield from ("# Data card", "", f"{headline(facts)}.", "")
    warnings = find_warnings(facts)
    if warnings:
        yield from ("## Warnings", "", *(f"* **{_cell(warning, 1000)}**" for warning in warnings), "")
    yield from ("## Splits", "", *_table(("split", "patches", "slides", "patients"), _split_rows(facts)), "")
    yield from ("![slides and sample pairs](card.png)", "")
    yield from _slide_lines(facts)
    if facts.failed:
        rows = [(_cell(slide["slide"]), _cell(slide.get("reason", ""))) for slide in facts.failed]
        yield from ("## Slides that could not be used", "", *_table(("slide", "reason"), rows, most=_FAILED), "")
    yield from ("## Protocol", "", *_table(("what", "how"), _protocol(facts)))


def find_warnings(facts: Facts) -> list[str]:
    """Warnings for readers of results on this data set, most important first."""
    warnings = [str(warning) for warning in facts.settings.get("warnings", ())]
    if facts.settings.get("split_by") == "patch" and not any("patch" in warning for warning in warnings):
        warnings.append("split by patch: the same patients are in training and test")
    used = facts.mpp()
    if facts.failed:
        warnings.append(
            f"{len(facts.failed)} of {_count(len(facts.slides), 'slide')} could not be used: card.md says why"
        )
    unnamed = len(facts.of_status("unnamed"))
    if unnamed:
        warnings.append(f"{unnamed} of {_count(len(facts.slides), 'slide')} were left out: the manifest names them not")
    sources = Counter(facts.slides.get(slide, {}).get("mpp_source", "") for slide in used)
    for source, origin in _ORIGINS.items():
        if sources[source]:
            warnings.append(f"the resolution of {sources[source]} of {_count(len(used), 'slide')} {origin}")
    unknown = sum(mpp is None for mpp in used.values())
    if unknown:
        warnings.append(f"the resolution of {unknown} of {_count(len(used), 'slide')} is not known")
    patches = Counter(row.split for row in facts.rows)
    few = ", ".join(f"{split} ({patches[split]})" for split in facts.splits if patches[split] < _FEW)
    if few:
        warnings.append(f"fewer than {_FEW} patches, too few for numbers: {few}")
    warnings += small_splits(facts.rows, facts.settings)
    recipes = Counter(row.lr_source for row in facts.rows)
    if len(recipes) > 1:
        made = "; ".join(f"{recipe} ({count})" for recipe, count in recipes.most_common(4))
        warnings.append(f"LR was not made in one way for all patches: {made}" + ("; …" if len(recipes) > 4 else ""))
    return warnings


def _split_rows(facts: Facts) -> Iterator[tuple[str, ...]]:
    for split in facts.splits:
        rows = [row for row in facts.rows if row.split == split]
        slides, patients = len({row.slide for row in rows}), len({row.patient for row in rows})
        yield _cell(split), str(len(rows)), str(slides), str(patients)


def _slide_lines(facts: Facts) -> Iterator[str]:
    patches: dict[str, Counter[str]] = defaultdict(Counter)
    patients: dict[str, str] = {}
    for row in facts.rows:
        patches[row.slide][row.split] += 1
        patients[row.slide] = row.patient
    mpp = facts.mpp()
    names = dict.fromkeys(
        [*(name for name, slide in facts.slides.items() if slide.get("status") not in _LEFT_OUT), *patches]
    )
    rows = []
    for name in names:
        slide = facts.slides.get(name, {})
        size = f"{slide['width']}x{slide['height']}" if slide.get("width") else ""
        resolution = slide.get("mpp") or (f"{mpp[name]:g}" if mpp.get(name) else "")
        source = f" ({slide['mpp_source']})" if slide.get("mpp_source") and resolution else ""
        shares = [_percent(slide.get(column, "")) for column in ("pen_share", "black_share")]
        splits = ", ".join(f"{split} {patches[name][split]}" for split in sorted(patches[name], key=split_order))
        patient = patients.get(name) or slide.get("patient", "")
        rows.append(
            (
                *(_cell(name), _cell(patient), size, f"{resolution}{source}", _rounded(slide.get("tissue_mm2", ""))),
                *(*shares, slide.get("candidates", ""), splits or "none"),
                *(_cell(slide.get(column, "")) for column in ("lr_shift", "lr_mad", "lr_psnr", "reason")),
            )
        )
    header = ("slide", "patient", "size, px", "mpp, µm/px", "tissue, mm²", *_REST)
    # Columns without any value are left out: image tiles have many of them.
    filled = [index for index in range(len(header)) if any(row[index] for row in rows)]
    table = [tuple(row[index] for index in filled) for row in rows]
    yield from ("## Slides", "", *_table([header[index] for index in filled], table, most=_SLIDES), "")


def _protocol(facts: Facts) -> Iterator[tuple[str, str]]:
    settings = dict(facts.settings)
    recipes = Counter(row.lr_source for row in facts.rows)
    made = "; ".join(f"{recipe}: {count}" for recipe, count in recipes.most_common(4))
    yield "LR source: patches", _cell(made + ("; …" if len(recipes) > 4 else ""))
    flaws = Counter(flaw for rejected in facts.rejected.values() for _, _, flaw in rejected)
    yield "patches rejected", _cell(", ".join(f"{count} {flaw}" for flaw, count in flaws.most_common()) or "none")
    versions = settings.pop("versions", {})
    for name in ("warnings", "sources", "failures", "inputs"):  # shown above, or too long for a card
        settings.pop(name, None)
    for name, title in _SETTINGS.items():
        if name in settings:
            yield title, _value(settings.pop(name))
    for name, value in settings.items():
        yield _cell(name.replace("_", " ")), _value(value)
    if versions:
        yield "versions", _value(versions)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], most: int = 100) -> list[str]:
    """The lines of a Markdown table of at most `most` rows; a last line counts the others."""
    rows = list(rows)
    lines = markdown_table(header, rows[:most], rule=" --- ").split("\n")
    return lines if len(rows) <= most else [*lines, "", f"… and {len(rows) - most} more."]


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return _cell(", ".join(f"{name} {_value(item)}" for name, item in value.items()))
    if isinstance(value, list | tuple):
        return _cell(", ".join(map(_value, value)) or "none")
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else _cell(str(value))


def _cell(text: str, longest: int = _LONGEST) -> str:
    """Escape and shorten text for one cell of a Markdown table."""
    text = " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _percent(share: str) -> str:
    number = _number(share)
    return "" if number is None else f"{number:.1%}"


def _rounded(text: str) -> str:
    number = _number(text)
    return "" if number is None else f"{number:.4g}"


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _count(number: int, noun: str, plural: str = "s") -> str:
    return f"{number} {noun}{'' if number == 1 else plural}"
