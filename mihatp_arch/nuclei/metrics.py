"""How well nuclei are segmented: Dice, AJI, AJI+, DQ, SQ and PQ from one table of overlaps.

The numbers are those of the official code (vqdang/hover_net, metrics/stats_utils.py), a hundred times as fast. Unlike
there, empty label maps are defined: nothing found where nothing is gives 1, everything else without a match gives 0.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_MATCH = 0.5  # IoU above which two nuclei are the same: then each has one partner at most


@dataclass(frozen=True)
class Overlaps:
    """The overlaps of the nuclei of two label maps.

    Attributes:
        true_numbers, pred_numbers: numbers of the nuclei, [N] and [M].
        true_areas, pred_areas: px, [N] and [M].
        true_index, pred_index: the nuclei of each overlap, positions in `true_areas` and `pred_areas`, [K].
        shared: px of each overlap, [K].
    """

    true_numbers: NDArray[np.int64]
    pred_numbers: NDArray[np.int64]
    true_areas: NDArray[np.int64]
    pred_areas: NDArray[np.int64]
    true_index: NDArray[np.int64]
    pred_index: NDArray[np.int64]
    shared: NDArray[np.int64]

    @property
    def union(self) -> NDArray[np.int64]:
        """px of the union of the two nuclei of each overlap, [K]."""
        return self.true_areas[self.true_index] + self.pred_areas[self.pred_index] - self.shared

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union of each overlap, [K]."""
        return self.shared / self.union


def overlaps(true: NDArray[np.integer], pred: NDArray[np.integer]) -> Overlaps:
    """The overlaps of two label maps of one size, [H, W]. Raises `ValueError` for two sizes."""
    if true.shape != pred.shape:
        raise ValueError(f"label maps of {true.shape} and {pred.shape} px cannot be compared")
    true_numbers, true_areas, true_at = _nuclei(true)
    pred_numbers, pred_areas, pred_at = _nuclei(pred)
    both = (true > 0) & (pred > 0)
    pairs, shared = np.unique(true_at[true[both]] * len(pred_numbers) + pred_at[pred[both]], return_counts=True)
    rows, columns = np.divmod(pairs, max(1, len(pred_numbers)))
    return Overlaps(true_numbers, pred_numbers, true_areas, pred_areas, rows, columns, shared)


def _nuclei(labels: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The numbers of the nuclei [N], their areas [N], and the position of each number in them."""
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    numbers = np.flatnonzero(areas)
    position = np.zeros(len(areas), np.int64)
    position[numbers] = np.arange(len(numbers))
    return numbers, areas[numbers], position


@dataclass(frozen=True)
class Panoptic:
    """Panoptic quality (Kirillov et al., CVPR 2019) of nuclei whose IoU is above 0.5.

    Attributes:
        dq: detection quality, TP / (TP + FP/2 + FN/2).
        sq: segmentation quality, the mean IoU of the matches.
        pairs: numbers of the matched nuclei, [TP, 2]: true, predicted.
        lost, invented: numbers of the nuclei without a match: true, and predicted.
    """

    dq: float
    sq: float
    pairs: NDArray[np.int64]
    lost: NDArray[np.int64]
    invented: NDArray[np.int64]

    @property
    def pq(self) -> float:
        """DQ·SQ."""
        return self.dq * self.sq


def panoptic(table: Overlaps) -> Panoptic:
    """DQ, SQ and the matches."""
    same = table.iou > _MATCH
    rows, columns = table.true_index[same], table.pred_index[same]
    total = len(table.true_areas) + len(table.pred_areas)
    if not total:
        dq, sq = 1.0, 1.0
    else:
        dq = 2 * len(rows) / total
        sq = float(table.iou[same].mean()) if len(rows) else 0.0
    return Panoptic(
        dq,
        sq,
        np.stack([table.true_numbers[rows], table.pred_numbers[columns]], axis=1),
        np.delete(table.true_numbers, rows),
        np.delete(table.pred_numbers, columns),
    )


def dice(true: NDArray[np.integer], pred: NDArray[np.integer]) -> float:
    """Dice of nuclei against background: 2·|A∩B| / (|A|+|B|)."""
    a, b = true > 0, pred > 0
    total = int(a.sum()) + int(b.sum())
    return 2 * float((a & b).sum()) / total if total else 1.0


def aji(table: Overlaps) -> float:
    """Aggregated Jaccard index (Kumar et al., 2017): each true nucleus takes the one of best IoU, taken or not."""
    order = np.lexsort((table.pred_index, -table.iou, table.true_index))
    _, first = np.unique(table.true_index[order], return_index=True)
    return _aggregated(table, order[first])


def aji_plus(table: Overlaps) -> float:
    """AJI with pairs of one to one, chosen for the largest sum of IoU."""
    from scipy.optimize import linear_sum_assignment  # an eighth of the time of `import mihatp_arch`

    iou = np.zeros((len(table.true_areas), len(table.pred_areas)))
    at = np.full(iou.shape, -1)
    iou[table.true_index, table.pred_index] = table.iou
    at[table.true_index, table.pred_index] = np.arange(len(table.shared))
    chosen = at[linear_sum_assignment(-iou)]
    return _aggregated(table, chosen[chosen >= 0])


def _aggregated(table: Overlaps, chosen: NDArray[np.int64]) -> float:
    """Sum of intersections / sum of unions over the chosen overlaps and all nuclei without one."""
    union = int(table.union[chosen].sum())
    for areas, used in ((table.true_areas, table.true_index), (table.pred_areas, table.pred_index)):
        union += int(np.delete(areas, np.unique(used[chosen])).sum())
    return float(table.shared[chosen].sum()) / union if union else 1.0
