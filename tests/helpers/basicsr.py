"""A tiny stock training for the tests of `basicsr`: LMDBs of random images and the options that train on them."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from basicsr.utils.lmdb_util import LmdbMaker

NAME = "tiny_EDSR_x4"


def write_lmdb(folder: Path, sizes: list[tuple[int, int]], prefix: str = "im") -> None:
    """An LMDB of random images of these (height, width), made by BasicSR's own maker."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    maker = LmdbMaker(str(folder), map_size=2**24)
    for index, size in enumerate(sizes):
        image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        maker.put(cv2.imencode(".png", image)[1].tobytes(), f"{prefix}{index}", image.shape)
    maker.close()


def write_data(root: Path) -> None:
    """Six training and two validation pairs, HR 48x48 and LR 12x12."""
    for split, count in (("train", 6), ("val", 2)):
        write_lmdb(root / split / "HR.lmdb", [(48, 48)] * count)
        write_lmdb(root / split / "LR_x4.lmdb", [(12, 12)] * count)


def dataset(split: str, **more: Any) -> dict[str, Any]:
    roots = {f"dataroot_{key}": f"datasets/toy/{split}/{role}.lmdb" for key, role in (("gt", "HR"), ("lq", "LR_x4"))}
    return {"name": f"toy_{split}", "type": "PairedImageDataset", **roots, "io_backend": {"type": "lmdb"}, **more}


def edsr() -> dict[str, Any]:
    """Options that train a small stock EDSR at x4 for two iterations."""
    augment = {"gt_size": 32, "use_hflip": True, "use_rot": True}
    return {
        "name": NAME,
        "model_type": "SRModel",
        "scale": 4,
        "num_gpu": 0,
        "datasets": {
            "train": dataset("train", **augment, num_worker_per_gpu=0, batch_size_per_gpu=2),
            "val": dataset("val"),
        },
        "network_g": {
            "type": "EDSR",
            "num_in_ch": 3,
            "num_out_ch": 3,
            "num_feat": 4,
            "num_block": 1,
            "upscale": 4,
            "rgb_mean": [0.5, 0.5, 0.5],
        },
        "train": {
            "ema_decay": 0.9,
            "optim_g": {"type": "Adam", "lr": 1e-3, "weight_decay": 0, "betas": [0.9, 0.99]},
            "scheduler": {"type": "MultiStepLR", "milestones": [10, 20], "gamma": 0.5},
            "total_iter": 2,
            "pixel_opt": {"type": "L1Loss", "loss_weight": 1.0, "reduction": "mean"},
        },
        "val": {"val_freq": 2, "metrics": {"psnr": {"type": "calculate_psnr", "crop_border": 4}}},
        "logger": {"print_freq": 1, "save_checkpoint_freq": 1},
    }


def swinir() -> dict[str, Any]:
    """The same with a small stock SwinIR, whose constructor swallows what it does not know."""
    options = edsr()
    options["network_g"] = {
        "type": "SwinIR",
        "upscale": 4,
        "img_size": 8,
        "window_size": 4,
        "depths": [1],
        "embed_dim": 8,
        "num_heads": [2],
        "mlp_ratio": 2,
        "upsampler": "pixelshuffle",
    }
    return options


def changed(options: dict[str, Any], *path: str, to: Any) -> dict[str, Any]:
    """A copy with one value set."""
    copy = deepcopy(options)
    section = copy
    for key in path[:-1]:
        section = section[key]
    section[path[-1]] = to
    return copy


def without(options: dict[str, Any], *path: str) -> dict[str, Any]:
    """A copy with one value left out."""
    copy = deepcopy(options)
    section = copy
    for key in path[:-1]:
        section = section[key]
    del section[path[-1]]
    return copy


def write_options(file: Path, options: dict[str, Any]) -> Path:
    file.write_text(yaml.safe_dump(options, sort_keys=False), encoding="utf-8")
    return file
