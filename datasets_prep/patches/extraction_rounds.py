"""The patches of a data set, cut round after round until every split has what it can get."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from datasets_prep.common.errors import UserError
from datasets_prep.common.work_folder import VERSION, digest, read_result
from datasets_prep.patches.extract import Cut, Record, cut, read_patches
from datasets_prep.patches.quality import Quality
from datasets_prep.patches.scan import ScanOptions, read_candidates
from datasets_prep.patches.selection import Part, pieces, seeded_indices, wanted
from datasets_prep.patches.slide_summary import SourceState
from datasets_prep.patches.splits import split_order

_PIECE = 64  # patches that one task cuts: a fraction of a second of work, seven megabytes of PNG


@dataclass(frozen=True)
class Limits:
    """Patches at most, of each split and of each slide in a split (None: no limit)."""

    train: int = 2000
    val: int = 100
    test: int = 100  # each test set
    per_slide: int | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and value < 1:
                raise UserError(f"at most {value} patches ({name.replace('_', ' ')}): give 1 or more")

    def of(self, split: str) -> int:
        return {"train": self.train, "val": self.val}.get(split, self.test)


@dataclass
class Rounds:
    """What is asked of which source, and what has come of it.

    Attributes:
        states: the sources.
        parts: their candidates, split by split.
        work: folder of the results.
        options, quality, limits, seed: which patches are wanted.
    """

    states: Sequence[SourceState]
    parts: Sequence[Part]
    work: Path
    options: ScanOptions
    quality: Quality
    limits: Limits
    seed: int

    def __post_init__(self) -> None:
        self._files: list[list[Path]] = [[] for _ in self.parts]
        self.splits = sorted({part.split for part in self.parts}, key=split_order)

    def cut(self, run: Callable[..., Iterator[tuple[int, Cut]]], bar: Callable[..., Any]) -> None:
        """Cut patches, by `run` (executors.run_all), until nothing is missing; what an earlier run has cut is taken.

        Raises `UserError` where a split stays empty.
        """
        limits = {split: self.limits.of(split) for split in self.splits}
        with bar(desc="cutting", unit="patch") as progress:
            while asked := wanted(self.parts, limits, per_source=self.limits.per_slide, seed=self.seed):
                progress.total = self.total + sum(asked.values())
                progress.refresh()
                for index, done in run(cut, self._tasks(asked, progress)):
                    self._account(index, done, progress)
                for part in self.parts:
                    if self.states[part.source].found.failed:
                        part.stop, part.examined, part.accepted = part.start, 0, 0
        for split in self.splits:
            if not any(part.accepted for part in self._of(split)):
                raise UserError(f"{split} would be empty: none of its patches is usable")

    @property
    def total(self) -> int:
        """Patches so far."""
        return sum(part.accepted for part in self.parts)

    def _of(self, split: str) -> list[Part]:
        return [part for part in self.parts if part.split == split]

    def _tasks(self, asked: Mapping[int, int], progress: Any) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """The pieces that nobody has cut yet; their order in `_files` does not depend on who is done first."""
        for index, count in asked.items():
            part, state = self.parts[index], self.states[self.parts[index].source]
            places, shares = read_candidates(state.results)
            order = part.start + seeded_indices(places[part.start : part.stop], state.source.name, seed=self.seed)
            for chosen in pieces(order[part.examined : part.examined + count], places, size=_PIECE):
                named = (state.source.name, state.source.patient)
                key = digest(VERSION, state.results.name, named, self.options, self.quality, chosen.tolist())
                results = self.work / f"cut-{key}"
                self._files[index].append(results)
                done = read_result(results.with_suffix(".json"), Cut)
                if done is not None:
                    self._account(index, done, progress)
                elif not state.found.failed:
                    where = (places[chosen], shares[chosen])
                    yield index, (state.source, state.found, *where, self.options, self.quality, results)

    def _account(self, index: int, done: Cut, progress: Any) -> None:
        part, state = self.parts[index], self.states[self.parts[index].source]
        if done.failed:
            state.fail(done.failed)
        elif not state.found.failed:
            part.examined += done.examined
            part.accepted += done.accepted
            state.count(done)
            progress.update(done.accepted)

    def patches(self, split: str) -> Iterator[Record]:
        """The patches of a split, source by source, one piece in memory at a time."""
        for part, files in zip(self.parts, self._files, strict=True):
            if part.split == split and part.accepted:
                for results in files:
                    yield from read_patches(results)

    def patients(self, split: str) -> int:
        """How many patients a split has patches of."""
        return len({self.states[part.source].source.patient for part in self._of(split) if part.accepted})
