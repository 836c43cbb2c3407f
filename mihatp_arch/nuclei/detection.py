"""Detection and classification of nuclei by their centres: F_d, ACC and F_c over all images of a set.

Source: HoVer-Net, section 4.2, and the official compute_stats.py. Unlike there, an image without nuclei adds none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from mihatp_arch.nuclei.matching import match

RADIUS = 12.0  # px at 40x: largest distance between the centres of a pair


@dataclass(frozen=True)
class Points:
    """The nuclei of an image.

    Attributes:
        centres: [N, 2], x and y, px.
        types: [N] int64; -1 where the truth does not say the type.
    """

    centres: NDArray[np.float64]
    types: NDArray[np.int64]


@dataclass(frozen=True)
class Pairs:
    """The types of the nuclei of one or more images: those of pairs, and those without a partner.

    Attributes:
        true, pred: types of the pairs, [P] each.
        lost, invented: types of true and of predicted nuclei without a partner.
    """

    true: NDArray[np.int64]
    pred: NDArray[np.int64]
    lost: NDArray[np.int64]
    invented: NDArray[np.int64]


def pair(true: Points, pred: Points, *, radius: float = RADIUS, gated: bool = False) -> Pairs:
    """Pair the nuclei of an image one to one, for the smallest sum of distances.

    Args:
        true, pred: the nuclei.
        radius: pairs that are farther apart do not count, px.
        gated: as many nuclei as possible find a partner within the radius (`matching.match`). The official code
            chooses among all distances, and drops far pairs afterwards.
    """
    if gated:
        matched = match(true.centres, pred.centres, radius=radius)
        rows, columns = matched.first, matched.second
    else:
        distances = cdist(true.centres.reshape(-1, 2), pred.centres.reshape(-1, 2))
        rows, columns = linear_sum_assignment(distances)
        near = distances[rows, columns] <= radius
        rows, columns = rows[near], columns[near]
    return Pairs(true.types[rows], pred.types[columns], np.delete(true.types, rows), np.delete(pred.types, columns))


def pooled(images: Sequence[Pairs]) -> Pairs:
    """The pairs of all images together."""
    parts = ([getattr(image, name) for image in images] for name in ("true", "pred", "lost", "invented"))
    return Pairs(*(np.concatenate([np.empty(0, np.int64), *part]) for part in parts))


def detection_f(pairs: Pairs) -> float:
    """F_d = 2·TP / (2·TP + FP + FN); 1 where there is nothing to find and nothing is found."""
    total = 2 * len(pairs.true) + len(pairs.lost) + len(pairs.invented)
    return 2 * len(pairs.true) / total if total else 1.0


def accuracy(pairs: Pairs) -> float:
    """ACC: the share of the pairs with the right type. Lost nuclei do not lower it: read F_d beside it.

    Pairs whose true type is not known are left out; without any pair it is not defined (NaN).
    """
    known = pairs.true >= 0
    return float((pairs.true[known] == pairs.pred[known]).mean()) if known.any() else float("nan")


def type_f(pairs: Pairs, kind: int) -> float:
    """F_c of one type: 2·TP / (2·TP + 2·FP + 2·FN + FP_d + FN_d); NaN where nobody has the type.

    TP, FP and FN are pairs; FP_d and FN_d are nuclei of the type without a partner.
    """
    known = pairs.true >= 0
    true, pred = pairs.true[known] == kind, pairs.pred[known] == kind
    hits = 2 * int((true & pred).sum())
    wrong = 2 * int((true ^ pred).sum())
    alone = int((pairs.lost == kind).sum() + (pairs.invented == kind).sum())
    total = hits + wrong + alone
    return hits / total if total else float("nan")


def centres(labels: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The numbers of the nuclei of a label map, [N], and their centres of mass, [N, 2] x and y."""
    rows, columns = np.nonzero(labels)
    at = labels[rows, columns]
    areas = np.bincount(at)
    numbers = np.flatnonzero(areas)
    sums = (np.bincount(at, positions, len(areas)) for positions in (columns, rows))
    return numbers, np.stack([total[numbers] / areas[numbers] for total in sums], axis=1)
