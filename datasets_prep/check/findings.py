"""The findings of `mihatp check`, in a report of readable length."""

from dataclasses import dataclass
from pathlib import Path

LISTED = 20  # number of findings of each kind that are listed; the others are counted


class Findings:
    """Collects findings by kind, in the order in which the kinds first appear."""

    def __init__(self) -> None:
        self._listed: dict[str, list[str]] = {}
        self._counted: dict[str, int] = {}

    def add(self, kind: str, line: str) -> None:
        """Add one finding.

        Args:
            kind: for example `LR is not that of its HR`.
            line: the finding in one line, with split, role and key.
        """
        listed = self._listed.setdefault(kind, [])
        if len(listed) < LISTED:
            listed.append(" ".join(line.split()))
        else:
            self._counted[kind] = self._counted.get(kind, 0) + 1

    def lines(self) -> list[str]:
        """The listed findings; each kind is followed by the number of its other findings."""
        lines = []
        for kind, listed in self._listed.items():
            lines += listed
            if kind in self._counted:
                lines.append(f"… and {self._counted[kind]} more: {kind}")
        return lines


@dataclass(frozen=True)
class Report:
    """The result of checking a data set.

    Attributes:
        folder: the data set.
        splits: split -> number of patches.
        findings: what is wrong, one line each: at most 20 of a kind, and one line with the number of the others. Empty
            for a data set without a fault.
        warnings: properties that were asked for, but that a user of the data should know.
        unchecked: what could not be checked, and why.
    """

    folder: Path
    splits: dict[str, int]
    findings: list[str]
    warnings: list[str]
    unchecked: list[str]

    def text(self) -> str:
        """The report as text: what was checked, what could not be checked, and the findings, line by line."""
        counts = ", ".join(f"{split} {count}" for split, count in self.splits.items())
        lines = [f"{self.folder}: {sum(self.splits.values())} patches ({counts})"]
        lines += [f"warning: {line}" for line in self.warnings]
        lines += [f"not checked: {line}" for line in self.unchecked]
        lines += [f"fault: {line}" for line in self.findings]
        return "\n".join(lines if self.findings else [*lines, "no fault found"])
