"""Which candidates become patches: chosen by seed, equally from all slides, and the same with any number of workers.

A split requests an equal share of its limit from every slide. The candidates of a slide are taken in a seeded order.
The next pass replaces the patches that the quality filter rejected, by the same rule. So only as many patches are read
as are needed.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datasets_prep.common.errors import UserError
from datasets_prep.patches.grid import Coordinates
from datasets_prep.patches.splits import seeded_order

_BLOCK = 1536  # px; patches are read block by block, so that each stored tile of the slide is decoded once


@dataclass
class CandidateRange:
    """The candidates that one source has for one split: a range of the source's candidates.

    Attributes:
        source: index of the source.
        split: name of the split.
        start, stop: the range.
        examined: number of its candidates that were read.
        accepted: number of its candidates that passed the quality filter.
    """

    source: int
    split: str
    start: int
    stop: int
    examined: int = 0
    accepted: int = 0

    @property
    def left(self) -> int:
        """Number of candidates that were not read yet."""
        return self.stop - self.start - self.examined

    def clear(self) -> None:
        """Remove all candidates, because the source cannot be used."""
        self.stop, self.examined, self.accepted = self.start, 0, 0


def ranges_by_patient(counts: Mapping[int, int], splits: Mapping[int, str]) -> list[CandidateRange]:
    """One range for each source: all its candidates, in the split of its patient.

    Args:
        counts: index of a source -> number of its candidates.
        splits: index of a source -> split of its patient.
    """
    return [CandidateRange(source, splits[source], 0, count) for source, count in counts.items()]


def ranges_by_patch(counts: Mapping[int, int], limits: Mapping[str, int]) -> list[CandidateRange]:
    """One range for each source and split, with a length in proportion to the limit of the split.

    Candidates are sorted row by row, so a range is a band of the slide, and few patches have a neighbour in another
    split. Sources with too few candidates for every split are joined in their order, and divided as one source. So each
    split gets its share of all candidates, within two, and at least one.

    Args:
        counts: index of a source -> number of its candidates.
        limits: split -> largest number of patches.

    Raises:
        UserError: there are fewer candidates than splits.
    """
    shares = np.cumsum([0, *limits.values()])
    large = {source: count for source, count in counts.items() if np.diff(_bounds(count, shares)).min() > 0}
    small = {source: count for source, count in counts.items() if source not in large}
    bounds: dict[int, list[int]] = {}
    before = 0
    for source, count in large.items():
        # Rounded for all candidates so far, because the rounding of each source alone would add up.
        own = _bounds(before + count, shares) - _bounds(before, shares)
        bounds[source] = np.maximum.accumulate(own).tolist()
        before += count
    joined = _filled(_bounds(sum(small.values()), shares), limits, at_least=0 if large else 1)
    before = 0
    for source, count in small.items():
        bounds[source] = [min(max(bound - before, 0), count) for bound in joined]
        before += count
    return [
        CandidateRange(source, split, first, last)
        for source in counts
        for split, first, last in zip(limits, bounds[source][:-1], bounds[source][1:], strict=True)
        if last > first
    ]


def _bounds(count: int, shares: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the range of each split begins, and the last one ends; `shares`: sums of the limits so far."""
    return np.rint(shares * count / max(1, shares[-1])).astype(np.int64)


def _filled(bounds: NDArray[np.int64], limits: Mapping[str, int], *, at_least: int) -> list[int]:
    """The bounds, where the largest splits give to those that would get less than `at_least`."""
    if bounds[-1] < at_least * len(limits):
        raise UserError(
            f"{bounds[-1]} candidate patches cannot fill {', '.join(limits)}: at least {len(limits)} are needed; "
            "use fewer --tests, a smaller --patch-size or --min-tissue, or more slides"
        )
    sizes = np.diff(bounds).tolist()
    while min(sizes) < at_least:
        sizes[sizes.index(max(sizes))] -= 1
        sizes[sizes.index(min(sizes))] += 1
    return np.cumsum([0, *sizes]).tolist()


def fair_shares(limit: int, capacities: Sequence[int]) -> list[int]:
    """The share of each, when all take one in turns until `limit` is reached or all capacities are used up."""
    shares, rest = [0] * len(capacities), limit
    while rest > 0 and (open_ := [i for i, capacity in enumerate(capacities) if shares[i] < capacity]):
        step = max(1, min(rest // len(open_), min(capacities[i] - shares[i] for i in open_)))
        for i in open_[:rest]:
            shares[i] += step
            rest -= step
    return shares


def shares_by_group(
    limit: int, capacities: Sequence[int], groups: Sequence[str], *, per_group: int | None
) -> list[int]:
    """As `fair_shares`, with at most `per_group` for the members of one group together; None: no such limit.

    With a limit, the groups take turns, and within a group its members.
    """
    if per_group is None:
        return fair_shares(limit, capacities)
    members: dict[str, list[int]] = {}
    for i, group in enumerate(groups):
        members.setdefault(group, []).append(i)
    of_groups = fair_shares(limit, [min(per_group, sum(capacities[i] for i in own)) for own in members.values()])
    shares = [0] * len(capacities)
    for own, share in zip(members.values(), of_groups, strict=True):
        for i, part in zip(own, fair_shares(share, [capacities[i] for i in own]), strict=True):
            shares[i] = part
    return shares


def requested(
    ranges: Sequence[CandidateRange],
    limits: Mapping[str, int],
    *,
    per_source: int | None,
    seed: int,
    patients: Sequence[str] = (),
    per_patient: int | None = None,
) -> dict[int, int]:
    """Index into `ranges` -> number of candidates to read in the next pass; empty when the data set is complete.

    Args:
        ranges: the candidates, with the counts of the passes so far.
        limits: split -> largest number of patches.
        per_source: largest number of patches of one source in each split; None: no limit.
        seed: decides which source is the first in a turn.
        patients: the patient of each range; needed for `per_patient`.
        per_patient: largest number of patches of one patient in each split; None: no limit.
    """
    counts: dict[int, int] = {}
    for split, limit in limits.items():
        own = {f"{of.source}:{of.start}": index for index, of in enumerate(ranges) if of.split == split}
        order = [own[name] for name in seeded_order(own, seed=seed)]
        cap = limit if per_source is None else per_source
        capacities = [min(cap, ranges[i].accepted + ranges[i].left) for i in order]
        groups = [patients[i] for i in order] if per_patient is not None else []
        shares = shares_by_group(limit, capacities, groups, per_group=per_patient)
        for i, share in zip(order, shares, strict=True):
            if share > ranges[i].accepted:
                counts[i] = share - ranges[i].accepted
    return counts


def seeded_indices(coordinates: Coordinates, name: str, *, seed: int) -> NDArray[np.intp]:
    """A random order of `coordinates`, [N] indices; it depends only on the seed, the name and the coordinates."""
    (first,) = np.frombuffer(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "<u8")
    mixed = (coordinates[:, 0].astype(np.uint64) << np.uint64(32)) | coordinates[:, 1].astype(np.uint64)
    mixed ^= first
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):  # SplitMix64's finaliser
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return np.argsort(mixed, kind="stable")


def shards(chosen: NDArray[np.intp], coordinates: Coordinates, *, size: int) -> Iterator[NDArray[np.intp]]:
    """Divide `chosen`, indices into `coordinates`, into shards of `size`, sorted by blocks of the slide."""
    x, y = coordinates[chosen, 0], coordinates[chosen, 1]
    order = np.lexsort((x, y, x // _BLOCK, y // _BLOCK))
    for start in range(0, len(chosen), size):
        yield chosen[order[start : start + size]]
