"""Metrics of label maps in pictures (`nuclei/coded_labels.py`), for trainings of HoVer-Net."""

import numpy as np
from basicsr.utils.registry import METRIC_REGISTRY
from numpy.typing import NDArray

from mihatp_arch.metrics.images import BGRImage, crop_pair
from mihatp_arch.nuclei.coded_labels import decode
from mihatp_arch.nuclei.metrics import aji, dice, overlaps, panoptic


@METRIC_REGISTRY.register()
def calculate_nuclei_dice(img: BGRImage, img2: BGRImage, crop_border: int) -> float:
    """Dice of nuclei against background; `img` is the prediction, `img2` the truth, [H, W, 3] coded label maps."""
    return dice(*_label_maps(img, img2, crop_border))


@METRIC_REGISTRY.register()
def calculate_nuclei_aji(img: BGRImage, img2: BGRImage, crop_border: int) -> float:
    """Aggregated Jaccard index; arguments as for `calculate_nuclei_dice`."""
    pred, true = _label_maps(img, img2, crop_border)
    return aji(overlaps(true, pred))


@METRIC_REGISTRY.register()
def calculate_nuclei_pq(img: BGRImage, img2: BGRImage, crop_border: int) -> float:
    """Panoptic quality at IoU above 0.5; arguments as for `calculate_nuclei_dice`."""
    pred, true = _label_maps(img, img2, crop_border)
    return panoptic(overlaps(true, pred)).pq


def _label_maps(img: BGRImage, img2: BGRImage, crop_border: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    pred, true = (decode(picture[..., ::-1])[0] for picture in crop_pair(img, img2, crop_border))
    return pred, true
