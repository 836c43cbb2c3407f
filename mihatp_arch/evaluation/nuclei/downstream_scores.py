"""The numbers of Table 2 for one image and one row, and over all images."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np

from mihatp_arch.evaluation.nuclei.fidelity import MPP, RADIUS
from mihatp_arch.evaluation.nuclei.segmenter import Segmented
from mihatp_arch.nuclei.detection import Pairs, Points, accuracy, centres, detection_f, pair, pooled, type_f
from mihatp_arch.nuclei.matching import match
from mihatp_arch.nuclei.metrics import aji, aji_plus, dice, overlaps, panoptic

COUNTS = ("annotated", "found", "found_on_hr", "lost", "invented")


def points(nuclei: Segmented) -> Points:
    """Centres and types of the nuclei; the type is -1 where nuclei are not classified."""
    numbers, at = centres(nuclei.labels)
    if nuclei.types is None:
        return Points(at, np.full(len(at), -1))
    table = np.zeros(nuclei.labels.max(initial=0) + 1, np.int64)
    table[nuclei.labels] = nuclei.types  # one type for all pixels of a nucleus
    return Points(at, table[numbers])


@dataclass(frozen=True)
class ImageScores:
    """The numbers of one picture.

    Attributes:
        values: name -> value, for the CSV and for the differences between rows.
        pairs: for the numbers that pool all images.
    """

    values: dict[str, float]
    pairs: Pairs


def score(true: Segmented, pred: Segmented, of_hr: Segmented, *, radius: float) -> ImageScores:
    """Compare the nuclei of a picture with the annotated ones, and with those that are found on HR."""
    table = overlaps(true.labels, pred.labels)
    quality = panoptic(table)
    annotated, predicted, on_hr = points(true), points(pred), points(of_hr)
    known = Points(annotated.centres, np.where(annotated.types > 0, annotated.types, -1))  # 0: nobody has typed it
    pairs = pair(known, predicted, radius=radius)
    on_both = match(on_hr.centres, predicted.centres, radius=RADIUS / MPP)
    values = {
        "dice": dice(true.labels, pred.labels),
        "aji": aji(table),
        "aji_plus": aji_plus(table),
        "dq": quality.dq,
        "sq": quality.sq,
        "pq": quality.pq,
        "f_d": detection_f(pairs),
        "acc": accuracy(pairs) if true.types is not None and pred.types is not None else nan,
        "annotated": float(len(annotated.centres)),
        "found": float(len(predicted.centres)),
        "found_on_hr": float(len(on_hr.centres)),
        "lost": float(len(on_both.only_first)),
        "invented": float(len(on_both.only_second)),
    }
    return ImageScores(values, pairs)


def over_images(images: Sequence[ImageScores], kinds: Sequence[int]) -> dict[str, float]:
    """Means over the images; F_d, ACC and F_c pool the nuclei of all images; counts are sums.

    `lost_per_1000` and `invented_per_1000` are shares of the nuclei that are found on HR.
    """
    result = {
        name: (sum if name in COUNTS else _mean)([image.values[name] for image in images]) for name in images[0].values
    }
    for name in ("lost", "invented"):
        result[f"{name}_per_1000"] = 1000 * result[name] / result["found_on_hr"] if result["found_on_hr"] else nan
    pairs = pooled([image.pairs for image in images])
    result["f_d"] = detection_f(pairs)
    if not np.isnan(result["acc"]):
        result["acc"] = accuracy(pairs)
        result |= {f"f_{kind}": type_f(pairs, kind) for kind in kinds}
    return result


def _mean(values: Sequence[float]) -> float:
    defined = [value for value in values if not np.isnan(value)]
    return sum(defined) / len(defined) if defined else nan
