"""Every image's metrics, by method: what `basicsr test` wrote, and the same for bicubic interpolation."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from math import isfinite, nan
from os import path as osp
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import cv2
import numpy as np
from basicsr.data import build_dataset
from basicsr.metrics import calculate_metric
from basicsr.utils import tensor2img
from basicsr.utils.matlab_functions import imresize
from numpy.typing import NDArray
from tqdm import tqdm

from datasets_prep.common.files import write_file
from mihatp_arch.errors import UserError

Image = NDArray[np.uint8]  # HxWx3, BGR as in BasicSR's files
Scores = Mapping[str, Mapping[str, Mapping[str, float]]]  # metric -> test set -> image -> value


def over_sets(values: Mapping[str, Mapping[str, float]]) -> tuple[float, float]:
    """Mean and standard deviation over the test sets of each set's mean (paper, section 3.2).

    What is infinite or undefined for an image is left out of its set, as in the validation's log; nan where nothing is
    left.
    """
    sound = [[value for value in per_image.values() if isfinite(value)] for per_image in values.values()]
    means = [mean(one) for one in sound if one]
    if not means:
        return nan, nan
    return mean(means), stdev(means) if len(means) > 1 else 0.0


def read_scores(results: Path, sets: Sequence[str]) -> Scores:
    """The metrics of every image below `results`, the folder of one tested experiment.

    Raises:
        UserError: a table is missing or damaged.
    """
    scores: dict[str, dict[str, dict[str, float]]] = {}
    for name in sets:
        file = results / "metrics" / f"{name}.csv"
        try:
            with file.open(encoding="utf-8", newline="") as text:
                rows = list(csv.DictReader(text))
                if not rows:
                    raise ValueError("no image")
                for row in rows:
                    image = row.pop("image")
                    for metric, value in row.items():
                        scores.setdefault(metric, {}).setdefault(name, {})[image] = float(value)
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"'{file}' is missing or damaged: delete '{results}', and test again") from error
    return scores


def mean_of(many: Sequence[Scores]) -> Scores:
    """The scores of several seeds as one: every image's mean."""
    first = many[0]
    return {
        metric: {
            name: {image: mean(one[metric][name][image] for one in many) for image in images}
            for name, images in sets.items()
        }
        for metric, sets in first.items()
    }


def pairs(dataset: Mapping[str, Any], scale: int) -> Iterator[tuple[str, Image, Image]]:
    """The name, LR and HR of every image of a test set, from its options."""
    images = build_dataset({**dataset, "phase": "val", "scale": scale})
    for index in range(len(images)):
        one = images[index]
        name = osp.splitext(osp.basename(one["lq_path"]))[0]
        yield name, tensor2img([one["lq"]]), tensor2img([one["gt"]])  # type: ignore[misc]


def bicubic(lq: Image, scale: int) -> Image:
    """BasicSR's MATLAB-like bicubic interpolation, HxWx3 -> (scale·H)x(scale·W)x3."""
    enlarged = np.asarray(imresize(lq.astype(np.float32) / 255, scale))
    return (enlarged.clip(0, 1) * 255).round().astype(np.uint8)


def measure_bicubic(
    sets: Mapping[str, Mapping[str, Any]], scale: int, metrics: Mapping[str, Any], results: Path
) -> None:
    """What `basicsr test` writes for a network, for bicubic interpolation: tables and pictures below `results`."""
    for name, dataset in sets.items():
        table = results / "metrics" / f"{name}.csv"
        if table.is_file():
            continue
        rows = []
        for image, lq, gt in tqdm(pairs(dataset, scale), desc=f"{'bicubic ' + name:<16}", unit="image"):
            sr = bicubic(lq, scale)
            compared = {"img": sr, "img2": gt}
            rows.append([image, *(calculate_metric(compared, dict(options)) for options in metrics.values())])
            picture = picture_of(results, name, image)
            picture.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(picture), sr)
        table.parent.mkdir(parents=True, exist_ok=True)
        text = StringIO(newline="")
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(["image", *metrics])
        lines.writerows(rows)
        write_file(table, text.getvalue().encode())


def picture_of(results: Path, name: str, image: str) -> Path:
    """Where the restored image of a test set lies, by BasicSR's names."""
    return results / "visualization" / name / f"{image}_{results.name}.png"


def read_picture(results: Path, name: str, image: str) -> Image:
    """A restored image. Raises `UserError` where it is missing or damaged."""
    path = picture_of(results, name, image)
    picture = cv2.imread(str(path))
    if picture is None:
        raise UserError(f"'{path}' is missing or damaged: delete '{results}', and test again")
    return picture.astype(np.uint8)
