"""Fair shares, passes that replace rejected patches, and an order that depends on seed and names alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_prep.patches.selection import (
    CandidateRange,
    fair_shares,
    ranges_by_patch,
    ranges_by_patient,
    requested,
    seeded_indices,
    shards,
    shares_by_group,
)


def in_turns(limit, capacities):
    """The rule of fair shares written as a loop: all take one in turns."""
    shares = [0] * len(capacities)
    open_ = [i for i, capacity in enumerate(capacities) if capacity]
    while limit and open_:
        for i in list(open_):
            if limit:
                shares[i] += 1
                limit -= 1
                if shares[i] == capacities[i]:
                    open_.remove(i)
    return shares


@given(st.integers(0, 60), st.lists(st.integers(0, 20), max_size=8))
def test_fair_shares_are_turns(limit, capacities):
    assert fair_shares(limit, capacities) == in_turns(limit, capacities)


def run_passes(counts, usable, limits, *, per_source=None):
    """Accepted candidates of each source; `usable(source, candidate)` decides one by one."""
    ranges = ranges_by_patient(counts, dict.fromkeys(counts, "train"))
    taken = {source: [] for source in counts}
    looked_at = 0
    while counts_of := requested(ranges, limits, per_source=per_source, seed=0):
        for index, count in counts_of.items():
            part = ranges[index]
            for candidate in range(part.examined, part.examined + count):
                looked_at += 1
                if usable(part.source, candidate):
                    taken[part.source].append(candidate)
                    part.accepted += 1
            part.examined += count
    return taken, looked_at


@given(
    st.lists(st.lists(st.booleans(), max_size=30), min_size=1, max_size=6),
    st.integers(1, 60),
    st.none() | st.integers(1, 10),
)
def test_passes_end_with_the_fair_shares_of_what_is_usable(slides, limit, per_source):
    counts = {index: len(flags) for index, flags in enumerate(slides) if flags}
    taken, looked_at = run_passes(counts, lambda s, p: slides[s][p], {"train": limit}, per_source=per_source)
    sums = sorted(len(coordinates) for coordinates in taken.values())
    cap = limit if per_source is None else per_source
    capacities = [min(cap, sum(slides[index])) for index in counts]
    assert sum(sums) == min(limit, sum(capacities))
    assert sums == sorted(fair_shares(limit, sorted(capacities, reverse=True)))
    for source, coordinates in taken.items():  # the first usable ones, none left out
        assert coordinates == [p for p, flag in enumerate(slides[source]) if flag][: len(coordinates)]
    assert looked_at <= sum(counts.values())


def test_nothing_is_read_in_vain():
    taken, looked_at = run_passes({0: 1000, 1: 1000}, lambda *_: True, {"train": 50})
    assert looked_at == 50 and [len(coordinates) for coordinates in taken.values()] == [25, 25]


def test_bands_of_a_slide_cover_it_once_in_proportion():
    limits = {"train": 200, "val": 10, "test1": 10}
    ranges = ranges_by_patch({0: 440, 1: 7}, limits)
    for source, count in ((0, 440), (1, 7)):
        mine = [part for part in ranges if part.source == source]
        assert [candidate for part in mine for candidate in range(part.start, part.stop)] == list(range(count))
    assert [part.stop - part.start for part in ranges if part.source == 0] == [400, 20, 20]


@pytest.fixture
def coordinates():
    xs, ys = np.meshgrid(np.arange(0, 9600, 192), np.arange(0, 7680, 192))
    return np.stack([xs.ravel(), ys.ravel()], axis=-1).astype(np.int32)


def test_seeded_order_is_a_permutation_that_names_and_seeds_change(coordinates):
    order = seeded_indices(coordinates, "a.svs", seed=0)
    assert sorted(order.tolist()) == list(range(len(coordinates)))
    shuffled = np.random.default_rng(0).permutation(len(coordinates))
    again = seeded_indices(coordinates[shuffled], "a.svs", seed=0)
    np.testing.assert_array_equal(coordinates[order], coordinates[shuffled][again])
    assert order[:5].tolist() == [1750, 859, 1805, 1115, 524]  # the same on every machine and in every version
    for other in (seeded_indices(coordinates, "b.svs", seed=0), seeded_indices(coordinates, "a.svs", seed=1)):
        assert (other == order).mean() < 0.01


def test_seeded_order_spreads_over_the_slide(coordinates):
    chosen = coordinates[seeded_indices(coordinates, "a.svs", seed=3)[:200]]
    assert abs(chosen[:, 0].mean() - coordinates[:, 0].mean()) < 500
    assert abs(chosen[:, 1].mean() - coordinates[:, 1].mean()) < 400
    assert abs(np.corrcoef(chosen.T)[0, 1]) < 0.2


def _corners(coordinates):
    return np.concatenate([coordinates + offset for offset in ((0, 0), (191, 0), (0, 191), (191, 191))])


def test_shards_hold_all_coordinates_once_and_neighbours_together(coordinates):
    chosen = seeded_indices(coordinates, "a.svs", seed=0)
    runs = list(shards(chosen, coordinates, size=64))
    assert sorted(np.concatenate(runs).tolist()) == sorted(chosen.tolist())
    assert {len(run) for run in runs[:-1]} == {64}
    decoded = sum(len({(int(x) // 256, int(y) // 256) for x, y in _corners(coordinates[run])}) for run in runs)

    needed = len({(int(x) // 256, int(y) // 256) for x, y in _corners(coordinates)})
    assert decoded < 1.15 * needed  # stored tiles, of 256 px, that are read more than once


def test_the_first_in_a_turn_are_drawn_not_the_first_in_the_list():
    ranges = [CandidateRange(index, "train", 0, 5) for index in range(20)]
    firsts = {tuple(sorted(requested(ranges, {"train": 3}, per_source=None, seed=seed))) for seed in range(10)}
    assert len(firsts) > 5


def test_patients_take_turns_under_their_own_limit():
    assert shares_by_group(10, [9, 9, 9], ["a", "a", "b"], per_group=None) == fair_shares(10, [9, 9, 9])
    assert shares_by_group(10, [9, 9, 9], ["a", "a", "b"], per_group=4) == [2, 2, 4]
    assert shares_by_group(6, [9, 1, 9], ["a", "b", "a"], per_group=4) == [2, 1, 2]
    ranges = [CandidateRange(0, "train", 0, 9), CandidateRange(1, "train", 0, 9), CandidateRange(2, "train", 0, 9)]
    counts = requested(ranges, {"train": 100}, per_source=None, seed=0, patients=["a", "a", "b"], per_patient=5)
    assert counts[0] + counts[1] == 5 and counts[2] == 5
