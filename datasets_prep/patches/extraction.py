"""Extract the patches of a data set: shards are requested in passes until every split has all patches it can get."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets_prep.common.errors import UserError
from datasets_prep.common.png import encoder
from datasets_prep.common.work_folder import VERSION, digest, read_result
from datasets_prep.patches.extract import Patch, Shard, ShardResult, extract_shards, read_shard
from datasets_prep.patches.options import Limits, QualityFilter, ScanOptions
from datasets_prep.patches.scan_results import read_candidates
from datasets_prep.patches.selection import CandidateRange, requested, seeded_indices, shards
from datasets_prep.patches.source_state import SourceState

_SHARD = 64  # coordinates of a shard: a fraction of a second of work, seven megabytes of PNG
_MOST = 8  # shards of one job


@dataclass
class Extraction:
    """The extraction of all patches of a data set.

    Attributes:
        states: the sources.
        ranges: the candidates of each source, split by split.
        scratch: the work folder.
        options: the options of the scan.
        quality: the quality filter.
        limits: the largest number of patches.
        seed: seed of the choice of patches.
        splits: the splits that were asked for.
        at_once: number of jobs at the same time: each gets its share of the shards.
    """

    states: Sequence[SourceState]
    ranges: Sequence[CandidateRange]
    scratch: Path
    options: ScanOptions
    quality: QualityFilter
    limits: Limits
    seed: int
    splits: Sequence[str]
    at_once: int = 1

    def __post_init__(self) -> None:
        self._shards: list[list[Path]] = [[] for _ in self.ranges]  # results of each range, in the order of the request

    def run(self, run: Callable[..., Iterator[tuple[int, list[ShardResult]]]], bar: Callable[..., Any]) -> None:
        """Extract patches until every split is full or its candidates are used up.

        Shards that a killed build has finished are read from the work folder.

        Args:
            run: runs the jobs (`executors.run_all`).
            bar: makes a progress bar (`progress_bar`).

        Raises:
            UserError: a split has no patch.
        """
        limits = {split: self.limits.of(split) for split in self.splits}
        with bar(desc="extracting", unit="patch") as progress:
            while counts := self._requested(limits):
                progress.total = self.total + sum(counts.values())
                progress.refresh()
                for index, results in run(extract_shards, self._jobs(counts, progress)):
                    for shard in results:
                        self._account(index, shard, progress)
                for candidates in self.ranges:
                    if self.states[candidates.source].scan.failed:
                        candidates.clear()
        for split in self.splits:
            if not any(candidates.accepted for candidates in self._ranges_of(split)):
                failed = [state.scan.failed for state in self.states if state.scan.failed]
                more = (
                    f"; {len(failed)} of {len(self.states)} sources cannot be used, the first: {failed[0]}"
                    if failed
                    else ""
                )
                raise UserError(f"{split} would be empty: none of its patches is usable{more}")

    def _requested(self, limits: Mapping[str, int]) -> dict[int, int]:
        patients = [self.states[candidates.source].source.patient for candidates in self.ranges]
        caps = {"per_source": self.limits.per_slide, "per_patient": self.limits.per_patient}
        return requested(self.ranges, limits, seed=self.seed, patients=patients, **caps)

    @property
    def total(self) -> int:
        """Number of accepted patches so far."""
        return sum(candidates.accepted for candidates in self.ranges)

    def _ranges_of(self, split: str) -> list[CandidateRange]:
        return [candidates for candidates in self.ranges if candidates.split == split]

    def _jobs(self, counts: Mapping[int, int], progress: Any) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """The extraction jobs of the shards that are not in the work folder.

        The order of the shards in `_shards` does not depend on the order in which the jobs end.
        """
        most = min(max(sum(counts.values()) // (2 * _SHARD * self.at_once), 1), _MOST)
        for index, count in counts.items():
            candidates = self.ranges[index]
            state = self.states[candidates.source]
            coordinates, shares = read_candidates(state.results)
            own = coordinates[candidates.start : candidates.stop]
            order = candidates.start + seeded_indices(own, state.source.name, seed=self.seed)
            chosen = order[candidates.examined : candidates.examined + count]
            job: list[Shard] = []
            for shard in shards(chosen, coordinates, size=_SHARD):
                named = (state.source.name, state.source.key, state.source.patient)
                key = digest(VERSION, encoder(), state.results.name, named, self.options, self.quality, shard.tolist())
                results = self.scratch / f"shard-{key}"
                self._shards[index].append(results)
                finished = read_result(results.with_suffix(".json"), ShardResult)
                if finished is not None:
                    self._account(index, finished, progress)
                else:
                    job.append(Shard(coordinates[shard], shares[shard], results))
                if len(job) == most and not state.scan.failed:
                    yield index, (state.source, state.scan, job, self.options, self.quality)
                    job = []
            if job and not state.scan.failed:
                yield index, (state.source, state.scan, job, self.options, self.quality)

    def _account(self, index: int, shard: ShardResult, progress: Any) -> None:
        candidates = self.ranges[index]
        state = self.states[candidates.source]
        if shard.failed:
            state.fail(shard.failed)
        elif not state.scan.failed:
            candidates.examined += shard.examined
            candidates.accepted += shard.accepted
            state.count(shard)
            progress.update(shard.accepted)

    def patches(self, split: str) -> Iterator[Patch]:
        """The patches of a split, source by source; one shard is in memory at a time."""
        for candidates, files in zip(self.ranges, self._shards, strict=True):
            if candidates.split == split and candidates.accepted:
                for results in files:
                    yield from read_shard(results)

    def patients(self, split: str) -> int:
        """Number of patients with patches in a split."""
        usable = [candidates for candidates in self._ranges_of(split) if candidates.accepted]
        return len({self.states[candidates.source].source.patient for candidates in usable})
