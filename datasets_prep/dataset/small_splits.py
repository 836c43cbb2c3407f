"""Splits that are too small for what was asked: of one patient, or with a tenth of the patches; and what would fit."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from datasets_prep.dataset.manifest import Row
from datasets_prep.patches.splits import held_out_patients, patients_needed, split_order

_SHARE = 0.1  # of the patches that were asked for; a split with less is named


def small_splits(rows: Sequence[Row], settings: Mapping[str, Any]) -> list[str]:
    """Lines on test sets of one patient, and on splits with less than a tenth of the patches that were asked for.

    Args:
        rows: the manifest.
        settings: the content of `build.json`.
    """
    patients: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        patients[row.split].add(row.patient)
    lines = [_few_patients(patients)] if settings.get("split_by", "patient") == "patient" else []
    lines.append(_few_patches(Counter(row.split for row in rows), settings.get("limits") or {}))
    return [line for line in lines if line]


def _few_patients(patients: Mapping[str, set[str]]) -> str:
    tests = sorted((split for split in patients if split.startswith("test")), key=split_order)
    single = [split for split in tests if len(patients[split]) == 1]
    if not single:
        return ""
    count = len(set().union(*patients.values()))
    fewer = next((t for t in range(len(tests) - 1, 0, -1) if held_out_patients(count, tests=t) > 1), None)
    fits = f"--tests {fewer} gives two or more, or " if fewer else ""
    return (
        f"one patient in {_named(single)}: such numbers say little about other patients; {fits}"
        f"{patients_needed(len(tests))} patients give {len(tests)} test sets of two (there are {count}), or divide the "
        "patients yourself: column split of --manifest"
    )


def _few_patches(counts: Mapping[str, int], limits: Mapping[str, Any]) -> str:
    few = []
    for split in sorted(counts, key=split_order):
        kind = "test" if split.startswith("test") else split
        asked = limits.get(kind)
        if isinstance(asked, int) and counts[split] < _SHARE * asked:
            few.append((split, counts[split], asked, f"--{kind}-patches {counts[split]}"))
    if not few:
        return ""
    named = ", ".join(f"{split} ({count} of {asked})" for split, count, asked, _ in few)
    fits = ", ".join(dict.fromkeys(option for *_, option in few))
    return f"less than a tenth of the patches that were asked for: {named}; add slides, or ask for what fits: {fits}"


def _named(splits: Sequence[str]) -> str:
    return ", ".join(splits[:8]) + (", …" if len(splits) > 8 else "")
