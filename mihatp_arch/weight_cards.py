"""The model cards of weights, as text: they lie in the metadata of the files."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datasets_prep.common.text import did_you_mean, markdown_table
from mihatp_arch.bundled_weights import bundled_weights, read_metadata
from mihatp_arch.errors import UserError

_UNITS = {"mpp": " µm per SR pixel", "scale": " times along each axis"}


def overview() -> str:
    """A Markdown table of the weights in this package."""
    rows = []
    for name, path in bundled_weights().items():
        metadata = read_metadata(path)
        card = json.loads(metadata["card"])
        scale, size = int(metadata["scale"]), f"{path.stat().st_size / 2**20:.1f} MB"
        task = "nuclei" if scale == 1 else f"x{scale}"
        rows.append([name, task, metadata["kernel"], _result(card), size, str(path)])
    return markdown_table(["name", "for", "LR kernel", "on patients of no training", "size", "file"], rows)


def _result(card: dict[str, Any]) -> str:
    """The numbers of the test in one cell."""
    if "gain_over_bicubic_dB" in card:
        return f"{card['gain_over_bicubic_dB']} dB over bicubic"
    return ", ".join(f"{name} {value}" for name, value in card.get("mean_of_the_test_images", {}).items())


def card(name: str) -> str:
    """The card of bundled weights, or of a file of `mihatp export`, a line for each fact.

    Raises:
        UserError: there are no such weights, or the file has no metadata of this package.
    """
    names = bundled_weights()
    path = names.get(name) or Path(name).expanduser()
    if not path.is_file():
        hint = did_you_mean(name, names) or f"those are {', '.join(names)}"
        raise UserError(f"weights '{name}': no such file, and no bundled weights: {hint}")
    metadata = read_metadata(path)
    if "network_g" not in metadata:
        raise UserError(f"'{path}' has no card: it is no file of `mihatp export`")
    facts = {key: metadata.get(key) or "not known" for key in ("scale", "kernel", "mpp", "network_g")}
    try:
        facts |= json.loads(metadata.get("card") or "{}")
    except ValueError as error:
        raise UserError(f"'{path}' has a damaged card ({error}): export it again") from error
    return "\n".join([f"# {path.stem}", "", *_lines(facts)])


def _lines(facts: dict[str, Any]) -> Iterator[str]:
    for key, value in facts.items():
        title = key.replace("_", " ")
        if isinstance(value, dict):
            yield f"{title}:"
            yield from (f"    {inner}: {fact}" for inner, fact in value.items())
        elif isinstance(value, list):
            yield f"{title}:"
            yield from (f"    {fact}" for fact in value)
        else:
            yield f"{title}: {value}{_UNITS.get(key, '') if value != 'not known' else ''}"
