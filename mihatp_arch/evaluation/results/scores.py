"""Every image's metrics, by method: the tables that `basicsr test` wrote, and the same for bicubic interpolation."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite, nan
from os import path as osp
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import cv2
import numpy as np
import torch
from basicsr.data import build_dataset
from basicsr.metrics import calculate_metric
from basicsr.utils import tensor2img
from basicsr.utils.matlab_functions import imresize

from datasets_prep.common.processes.progress import progress_bar
from mihatp_arch.archs.layers.consistency import project
from mihatp_arch.config.defaults import expand_home
from mihatp_arch.errors import UserError
from mihatp_arch.evaluation.results.csv_file import write_csv
from mihatp_arch.metrics.images import BGRImage
from mihatp_arch.training.data.sound_images import read_sample, unreadable
from mihatp_arch.training.validation import consistent

Scores = Mapping[str, Mapping[str, Mapping[str, float]]]  # metric -> test set -> image -> value


def over_sets(values: Mapping[str, Mapping[str, float]]) -> tuple[float, float]:
    """Mean and standard deviation over the test sets of each set's mean (paper, section 3.2).

    A value that is infinite or undefined is left out of its set, as in the log of the validation. Without any finite
    value both results are nan.
    """
    finite = [[value for value in per_image.values() if isfinite(value)] for per_image in values.values()]
    means = [mean(in_set) for in_set in finite if in_set]
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
        file = _table_of(results, name)
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


def mean_of(seeds: Sequence[Scores]) -> Scores:
    """The scores of several seeds as one: every image's mean."""
    return {
        metric: {
            name: {image: mean(scores[metric][name][image] for scores in seeds) for image in images}
            for name, images in sets.items()
        }
        for metric, sets in seeds[0].items()
    }


def read_images(dataset: Mapping[str, Any], scale: int) -> Iterator[tuple[str, BGRImage, BGRImage]]:
    """The name, LR and HR of every image of a test set, from the options of the set.

    Raises:
        UserError: the set or one of its images is missing or damaged.
    """
    options = {**dataset, "phase": "val", "scale": scale}
    expand_home(options)
    try:
        images = build_dataset(options)
    except (OSError, ValueError, AssertionError) as error:
        raise UserError(
            f"the test set '{dataset.get('name')}' cannot be read ({error}): make it with `mihatp prepare`, or name "
            "another folder with --data DIR"
        ) from error
    for index in range(len(images)):
        image = read_sample(images, index)
        if reason := unreadable(image):
            raise UserError(reason)
        name = osp.splitext(osp.basename(image["lq_path"]))[0]
        lq, gt = (np.asarray(tensor2img([image[key]])) for key in ("lq", "gt"))
        yield name, lq, gt


def bicubic(lq: BGRImage, scale: int, *, projected: bool = False) -> BGRImage:
    """BasicSR's MATLAB-like bicubic interpolation, `[H, W, 3]` -> `[scale·H, scale·W, 3]`.

    With `projected`, the consistency projection follows, before the image is clipped and rounded.
    """
    enlarged = np.asarray(imresize(lq.astype(np.float32) / 255, scale))
    if projected:
        x, lr = (torch.from_numpy(image).permute(2, 0, 1)[None] for image in (enlarged, lq.astype(np.float32) / 255))
        enlarged = project(x, lr)[0].permute(1, 2, 0).numpy()
    return (enlarged.clip(0, 1) * 255).round().astype(np.uint8)


def measure_bicubic(
    sets: Mapping[str, Mapping[str, Any]],
    scale: int,
    metrics: Mapping[str, Any],
    results: Path,
    *,
    projected: bool = False,
) -> None:
    """Write the tables and pictures of `basicsr test`, for bicubic interpolation instead of a network.

    Args:
        sets: name -> options of each test set; a set that has its table is not measured again.
        scale: of the super-resolution.
        metrics: name -> options, as below `val: metrics`.
        results: folder into which everything is written.
        projected: whether the pictures after the consistency projection are written beside it too.
    """
    folders = {results: False} | ({consistent(results): True} if projected else {})
    for name, dataset in sets.items():
        for folder, is_projected in folders.items():
            if _table_of(folder, name).is_file():
                continue
            rows = []
            label = f"{'bicubic ' + name:<16}"
            for image, lq, gt in progress_bar(read_images(dataset, scale), desc=label, unit="image"):
                sr = bicubic(lq, scale, projected=is_projected)
                both = {"img": sr, "img2": gt}
                rows.append([image, *(calculate_metric(both, dict(options)) for options in metrics.values())])
                picture = picture_of(folder, name, image)
                picture.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(picture), sr)
            write_csv(_table_of(folder, name), ["image", *metrics], rows)


def picture_of(results: Path, name: str, image: str) -> Path:
    """The path of a restored image of the test set `name`, as BasicSR names it."""
    return results / "visualization" / name / f"{image}_{results.name}.png"


def read_picture(results: Path, name: str, image: str) -> BGRImage:
    """A restored image. Raises `UserError` where it is missing or damaged."""
    path = picture_of(results, name, image)
    picture = cv2.imread(str(path))
    if picture is None:
        raise UserError(f"'{path}' is missing or damaged: delete '{results}', and test again")
    return picture.astype(np.uint8)


def _table_of(results: Path, name: str) -> Path:
    return results / "metrics" / f"{name}.csv"
