"""Which patches a data set gets: seeded, in turns over the slides, and the same whoever does the work.

A split asks every slide for an equal share of its limit; the candidates of a slide come in a seeded order. What turns
out unusable (pale, blurred) is made up for in the next round, by the same rule, so that only as many pixels are read
as patches are wanted.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datasets_prep.patches.splits import seeded_order

Places = NDArray[np.int32]  # N×2: x, y of the upper left corners, level-0 px

_BLOCK = 1536  # px; patches are read block by block, so that a stored tile is decoded once


@dataclass
class Part:
    """The candidates that one source has for one split: `start` to `stop` of its places, and how far they are used."""

    source: int
    split: str
    start: int
    stop: int
    examined: int = 0
    accepted: int = 0

    @property
    def left(self) -> int:
        """Candidates that nobody has looked at."""
        return self.stop - self.start - self.examined


def parts_by_patient(counts: Mapping[int, int], splits: Mapping[int, str]) -> list[Part]:
    """Every source whole in the split of its patient; `counts`: source -> candidates."""
    return [Part(source, splits[source], 0, count) for source, count in counts.items()]


def parts_by_patch(counts: Mapping[int, int], limits: Mapping[str, int]) -> list[Part]:
    """Every source cut into one run of places for each split, as long as the split's limit asks in proportion.

    Places come row by row, so that a run is a band of the slide and few patches have neighbours in another split.
    """
    total = max(1, sum(limits.values()))
    parts = []
    for source, count in counts.items():
        ends = np.rint(np.cumsum([0, *limits.values()]) * count / total).astype(int).tolist()
        parts += [
            Part(source, split, start, stop)
            for split, start, stop in zip(limits, ends[:-1], ends[1:], strict=True)
            if stop > start
        ]
    return parts


def fair_shares(limit: int, capacities: Sequence[int]) -> list[int]:
    """What each gets when one after the other takes one, in turns, until `limit` or all capacities are used up."""
    shares, rest = [0] * len(capacities), limit
    while rest > 0 and (open_ := [i for i, capacity in enumerate(capacities) if shares[i] < capacity]):
        step = max(1, min(rest // len(open_), min(capacities[i] - shares[i] for i in open_)))
        for i in open_[:rest]:
            shares[i] += step
            rest -= step
    return shares


def wanted(parts: Sequence[Part], limits: Mapping[str, int], *, per_source: int | None, seed: int) -> dict[int, int]:
    """Part (its place in `parts`) -> candidates to look at in this round; empty when the data set is complete.

    Args:
        parts: with what the rounds before have examined and accepted.
        limits: split -> patches at most.
        per_source: patches of one slide at most, in each split; None: no limit.
        seed: decides who comes first in a turn.
    """
    asked: dict[int, int] = {}
    for split, limit in limits.items():
        mine = {f"{part.source}:{part.start}": index for index, part in enumerate(parts) if part.split == split}
        order = [mine[name] for name in seeded_order(mine, seed=seed)]
        cap = limit if per_source is None else per_source
        capacities = [min(cap, parts[i].accepted + parts[i].left) for i in order]
        for i, share in zip(order, fair_shares(limit, capacities), strict=True):
            if share > parts[i].accepted:
                asked[i] = share - parts[i].accepted
    return asked


def seeded_indices(places: Places, name: str, *, seed: int) -> NDArray[np.intp]:
    """The order of `places`, which depends on the seed, the name and the places alone, not on any library."""
    (first,) = np.frombuffer(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "<u8")
    mixed = (places[:, 0].astype(np.uint64) << np.uint64(32)) | places[:, 1].astype(np.uint64)
    mixed ^= first
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):  # SplitMix64's finaliser
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return np.argsort(mixed, kind="stable")


def pieces(chosen: NDArray[np.intp], places: Places, *, size: int) -> Iterator[NDArray[np.intp]]:
    """`chosen` indices into `places`, block by block of the slide, in runs of `size`: what one task reads."""
    x, y = places[chosen, 0], places[chosen, 1]
    order = np.lexsort((x, y, x // _BLOCK, y // _BLOCK))
    for start in range(0, len(chosen), size):
        yield chosen[order[start : start + size]]
