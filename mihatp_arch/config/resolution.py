"""The resolution of the images that a network learnt from."""

from collections.abc import Mapping
from statistics import median
from typing import Any

from mihatp_arch.config.kernels import recorded_rows


def mpp_of_data(dataset: Mapping[str, Any], scale: int) -> float | None:
    """µm per HR pixel: the median of the patches in the `manifest.csv` of `mihatp prepare`; None without a record.

    Args:
        dataset: the options of one data set, as below `datasets`.
        scale: HR width / LR width.
    """
    known = [row.mpp for row in recorded_rows(dataset, scale) if row.mpp is not None]
    return round(median(known), 4) if known else None
