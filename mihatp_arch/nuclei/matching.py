"""The same nucleus in two images: pairs of near centres, for any number of nuclei."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

_FAR = 1e6  # radii: the cost of a pair that is too far apart


@dataclass(frozen=True)
class Match:
    """Pairs of nuclei, and the nuclei without a partner, as positions.

    Attributes:
        first, second: the nuclei of each pair, [P] each.
        only_first, only_second: nuclei without a partner.
    """

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    only_first: NDArray[np.intp]
    only_second: NDArray[np.intp]


def match(first: NDArray[np.float64], second: NDArray[np.float64], *, radius: float) -> Match:
    """Pair centres one to one: as many pairs as possible, and among those the smallest sum of distances.

    Centres farther apart than `radius` are no pair. Groups of near nuclei are solved one by one, so that the time grows
    with the number of nuclei, and not with its third power as that of one assignment problem.

    Args:
        first, second: centres, [N, 2] and [M, 2].
        radius: in the unit of the centres.
    """
    rows, columns = _near(first, second, radius)
    alone = (np.bincount(rows, minlength=1)[rows] == 1) & (np.bincount(columns, minlength=1)[columns] == 1)
    clear = np.stack([rows[alone], columns[alone]], axis=1)  # most pairs of two segmentations of one field
    rows, columns = rows[~alone], columns[~alone]
    total = len(first) + len(second)
    links = coo_array((np.ones(len(rows)), (rows, columns + len(first))), shape=(total, total))
    _, group = connected_components(links, directed=False)
    order = np.argsort(group[rows], kind="stable")
    bounds = np.flatnonzero(np.diff(group[rows][order])) + 1
    chosen = [_assigned(first, second, rows[part], columns[part], radius) for part in np.split(order, bounds)]
    pairs = np.concatenate([clear, *chosen])
    pairs = pairs[np.argsort(pairs[:, 0])]
    only = (np.delete(np.arange(len(side)), pairs[:, index]) for index, side in enumerate((first, second)))
    return Match(pairs[:, 0], pairs[:, 1], *only)


def _near(
    first: NDArray[np.float64], second: NDArray[np.float64], radius: float
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """All pairs within the radius, as positions."""
    if not len(first) or not len(second):
        return np.empty(0, np.intp), np.empty(0, np.intp)
    near = KDTree(second).query_ball_point(first, radius)
    rows = np.repeat(np.arange(len(first)), [len(others) for others in near])
    return rows, np.fromiter((other for others in near for other in others), np.intp, len(rows))


def _assigned(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    radius: float,
) -> NDArray[np.intp]:
    """The best pairs of a group of near nuclei, [P, 2]."""
    left, at_left = np.unique(rows, return_inverse=True)
    right, at_right = np.unique(columns, return_inverse=True)
    costs = np.full((len(left), len(right)), _FAR * radius)
    costs[at_left, at_right] = np.hypot(*(first[rows] - second[columns]).T)
    best = linear_sum_assignment(costs)
    near = costs[best] <= radius
    return np.stack([left[best[0][near]], right[best[1][near]]], axis=1)
