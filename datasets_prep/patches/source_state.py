"""State of one source in a build: its scan, and how many of its candidates were examined and accepted."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from datasets_prep.patches.extract import ShardResult
from datasets_prep.patches.scan_results import Scan
from datasets_prep.patches.sources import NOT_NAMED, Source


@dataclass
class SourceState:
    """State of one source.

    Attributes:
        source: the slide or image tile.
        mask: GeoJSON file with its corrected tissue outline; None segments the tissue.
        coords: HDF5 file with the coordinates of its patches; None lays a grid over the tissue.
        results: path of its scan results in the work folder, without an ending.
        scan: its scan.
        examined: number of candidates that were read.
        accepted: number of candidates that passed the quality filter.
        rejected: flaw -> number of candidates that were rejected for it.
        rejected_at: (x, y, flaw) of each rejected candidate.
    """

    source: Source
    mask: Path | None = None
    coords: Path | None = None
    results: Path = Path()
    scan: Scan = field(default_factory=Scan)
    examined: int = 0
    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    rejected_at: list[tuple[int, int, str]] = field(default_factory=list)

    @property
    def status(self) -> str:
        """`ok`, `unused` (it has no patch in the data set), `failed`, or left out: `unnamed` or `excluded`."""
        if self.source.omitted:
            return "unnamed" if self.source.omitted == NOT_NAMED else "excluded"
        if self.scan.failed:
            return "failed"
        return "ok" if self.accepted else "unused"

    @property
    def reason(self) -> str:
        """Why the source failed or has no patch, and the notes of its scan; empty when there is nothing to say."""
        if self.scan.failed:
            return self.scan.failed
        return "; ".join([*self.scan.notes, *([] if self.accepted else [self._why_unused()])])

    def _why_unused(self) -> str:
        if not self.examined:
            return "no patch was needed: its split was full"
        flaws = ", ".join(f"{count} {flaw}" for flaw, count in sorted(self.rejected.items()))
        return f"no patch was accepted ({flaws})"

    def fail(self, reason: str) -> None:
        """Record that the source cannot be used, and discard its counts."""
        self.scan = Scan(failed=reason)
        self.examined = self.accepted = 0
        self.rejected.clear()
        self.rejected_at.clear()

    def count(self, shard: ShardResult) -> None:
        """Add the counts of one shard."""
        self.examined += shard.examined
        self.accepted += shard.accepted
        self.rejected.update(shard.rejected)
        self.rejected_at += shard.rejected_at


def omitted_state(source: Source) -> SourceState:
    """The state of a source that is left out."""
    return SourceState(source, scan=Scan(failed=source.omitted))
