"""What `mihatp check` has to say, at a length that can be read."""

from dataclasses import dataclass
from pathlib import Path

LISTED = 20  # of each kind


class Faults:
    """Faults by kind, in the order in which the kinds turned up; of each kind the first are kept, the rest counted."""

    def __init__(self) -> None:
        self._lines: dict[str, list[str]] = {}
        self._more: dict[str, int] = {}

    def add(self, kind: str, line: str) -> None:
        """Add one; `kind` reads like `LR is not HR reduced`, `line` says which split, role and key."""
        kept = self._lines.setdefault(kind, [])
        if len(kept) < LISTED:
            kept.append(" ".join(line.split()))
        else:
            self._more[kind] = self._more.get(kind, 0) + 1

    def lines(self) -> list[str]:
        """All that are kept, each kind followed by the count of the rest."""
        return [
            line
            for kind, kept in self._lines.items()
            for line in (*kept, *([f"… and {self._more[kind]} more: {kind}"] if kind in self._more else ()))
        ]


@dataclass(frozen=True)
class Report:
    """What a check found.

    Attributes:
        folder: the data set.
        splits: split -> patches.
        faults: a line each, at most 20 of a kind and a line that counts the rest; empty for a sound data set.
        warnings: what is as it was asked for, but should be known.
        unchecked: what could not be checked, and why.
    """

    folder: Path
    splits: dict[str, int]
    faults: list[str]
    warnings: list[str]
    unchecked: list[str]

    def text(self) -> str:
        """For people: what was checked, what could not be, and the faults, line by line."""
        counts = ", ".join(f"{split} {count}" for split, count in self.splits.items())
        lines = [f"{self.folder}: {sum(self.splits.values())} patches ({counts})"]
        lines += [f"warning: {line}" for line in self.warnings]
        lines += [f"not checked: {line}" for line in self.unchecked]
        lines += [f"fault: {line}" for line in self.faults]
        return "\n".join(lines if self.faults else [*lines, "no fault found"])
