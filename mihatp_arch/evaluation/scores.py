"""Per-image PSNR and SSIM, BasicSR's own, of what `basicsr test` saved or bicubic interpolation makes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite, nan
from pathlib import Path
from statistics import mean, stdev

import cv2
import numpy as np
from basicsr.metrics import calculate_psnr, calculate_ssim
from basicsr.utils.matlab_functions import imresize
from numpy.typing import NDArray

from datasets_prep.lmdb_reader import decode_rgb, open_images
from mihatp_arch.errors import UserError

Image = NDArray[np.uint8]  # HxWx3, BGR as in BasicSR's files


@dataclass(frozen=True)
class Scores:
    """PSNR in dB and SSIM of one method: test set -> patch key -> value."""

    psnr: Mapping[str, Mapping[str, float]]
    ssim: Mapping[str, Mapping[str, float]]


def over_sets(values: Mapping[str, Mapping[str, float]]) -> tuple[float, float]:
    """Mean and standard deviation over the test sets of each set's mean (paper, section 3.2).

    One image that equals its HR has an infinite PSNR, and then so has the mean; the deviation is then nan.
    """
    means = [mean(per_image.values()) for per_image in values.values()]
    average = mean(means)
    if not isfinite(average):  # stdev would stop with an AttributeError
        return average, nan
    return average, stdev(means) if len(means) > 1 else 0.0


def read_lmdb(path: Path) -> dict[str, Image]:
    """All images of a BasicSR LMDB by key."""
    with open_images(path) as reader:
        return {key: np.ascontiguousarray(decode_rgb(value)[..., ::-1]) for key, value in reader}


def bicubic(lq: Image, scale: int) -> Image:
    """BasicSR's MATLAB-like bicubic interpolation, HxWx3 -> (scale·H)x(scale·W)x3."""
    enlarged = np.asarray(imresize(lq.astype(np.float32) / 255, scale))
    return (enlarged.clip(0, 1) * 255).round().astype(np.uint8)


def score(data: Path, sets: list[str], scale: int, restore: Callable[[str, str, Image], Image]) -> Scores:
    """PSNR and SSIM (RGB, no border cropped) over the test sets below `data`.

    Args:
        data: data set folder, `<set>/HR.lmdb` and `<set>/LR_x<scale>.lmdb`.
        sets: names of the test sets.
        scale: of the LR images.
        restore: (set, key, lq) -> the HR-sized image to score.
    """
    psnr: dict[str, dict[str, float]] = {}
    ssim: dict[str, dict[str, float]] = {}
    for name in sets:
        gt, lq = (read_lmdb(data / name / f"{role}.lmdb") for role in ("HR", f"LR_x{scale}"))
        psnr[name], ssim[name] = {}, {}
        for key in sorted(gt):
            image = restore(name, key, lq[key])
            psnr[name][key] = float(calculate_psnr(image, gt[key], crop_border=0))
            ssim[name][key] = float(calculate_ssim(image, gt[key], crop_border=0))
    return Scores(psnr, ssim)


def saved_result(results: Path, experiment: str) -> Callable[[str, str, Image], Image]:
    """A `restore` for `score` that reads what `basicsr test` saved below `results` with `save_img`."""

    def restore(name: str, key: str, _: Image) -> Image:
        path = results / experiment / "visualization" / name / f"{key}_{experiment}.png"
        image = cv2.imread(str(path))
        if image is None:
            raise UserError(f"{path}: missing or damaged; run `basicsr test` again with val.save_img: true")
        return image.astype(np.uint8)

    return restore
