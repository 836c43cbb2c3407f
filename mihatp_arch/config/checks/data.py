"""Checks of the data before BasicSR opens them: they exist, form pairs, and fit the scale, the crop and the batch."""

import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from basicsr.utils.registry import ARCH_REGISTRY

from mihatp_arch.config.checks.image_store import (
    ImageStore,
    StoreError,
    names_as_basicsr_reads_them,
    read_folder,
    read_lmdb,
    renamed,
)
from mihatp_arch.config.checks.registries import find
from mihatp_arch.config.read import KeyPath, Options
from mihatp_arch.errors import UserError
from mihatp_arch.training.data.meta_info import read_names


def check_data(options: Options, *, launcher: str, full: bool = False) -> list[str]:
    """One line for each data set, pretrained network and training state that BasicSR could not use.

    With `full`, all images are decoded; else the first one of each folder.
    """
    lines = [*_check_files(options), *_check_roots(options), *_check_shared(options)]
    if lines:
        return lines
    least = _least_side(options)
    for name, dataset in options.section("datasets").items():
        if dataset["type"] == "PairedImageDataset":
            lines += _check_pairs(options, name, world_size(launcher), least, full=full)
        elif dataset["type"] == "SingleImageDataset":
            lines += _check_single(options, name, full=full)
    return lines


def world_size(launcher: str) -> int:
    """The number of processes that train together."""
    if launcher == "none":
        return 1
    return int(os.environ.get("SLURM_NTASKS" if launcher == "slurm" else "WORLD_SIZE", "1"))


def _check_files(options: Options) -> Iterator[str]:
    for key, value in options.section("path").items():
        if value is not None and (key.startswith("pretrain_network") or key == "resume_state"):
            file = Path(value).expanduser()
            if not (file.exists() if key != "resume_state" else file.is_file()):
                stage = "first_stage" in key and re.search(r"([^/]+)/models/[^/]+$", file.as_posix())
                hint = f" (`basicsr train -opt options/train_{stage[1]}.yml` makes one)" if stage else ""
                yield options.problem(
                    ("path", key), f"there is no file '{file}'{hint}; name one that is there, or null"
                )


def _check_roots(options: Options) -> Iterator[str]:
    """One line for all missing data roots: mostly the folder above all of them is missing."""
    paths = [("datasets", name, key) for name in options.section("datasets") for key in ("dataroot_gt", "dataroot_lq")]
    missing = [path for path in paths if options.get(*path) and not Path(options.get(*path)).expanduser().exists()]
    if missing:
        others = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        yield options.problem(
            missing[0],
            f"there are no data at '{options.get(*missing[0])}'{others}: make them with `mihatp prepare`, or name "
            "another folder with --data DIR, or try --data demo",
        )


def _check_shared(options: Options) -> Iterator[str]:
    """A line if two data sets of one process share a database: lmdb opens it only once in a process."""
    opened: dict[str, KeyPath] = {}
    for name, dataset in options.section("datasets").items():
        if options.get("datasets", name, "io_backend", "type") != "lmdb":
            continue
        if name == "train" and dataset.get("num_worker_per_gpu"):
            continue
        for key in ("dataroot_gt", "dataroot_lq"):
            if dataset.get(key) is None:
                continue
            path = ("datasets", name, key)
            other = opened.setdefault(os.path.realpath(Path(dataset[key]).expanduser()), path)
            if other != path:
                hint = ", or give datasets.train.num_worker_per_gpu 1" if other[1] == "train" else ""
                yield options.problem(
                    path, f"'{dataset[key]}' is {'.'.join(other)} too, and one process opens it once; copy it{hint}"
                )
                return


def _check_pairs(options: Options, name: str, processes: int, least: int, *, full: bool) -> Iterator[str]:
    """Lines about one PairedImageDataset: both sides can be read, names and sizes match, a batch can be filled."""
    path = ("datasets", name)
    dataset = options.section(*path)
    sides: dict[str, ImageStore] = {}
    try:
        file = dataset.get("meta_info_file") if dataset["io_backend"]["type"] != "lmdb" else None
        names = None if file is None else read_names(file)
        for side in ("gt", "lq"):
            folder = Path(dataset[f"dataroot_{side}"]).expanduser()
            if dataset["io_backend"]["type"] == "lmdb":
                sides[side] = read_lmdb(folder, full=full)
            else:
                template = dataset.get("filename_tmpl", "{}")  # of the LR names
                named = names and [renamed(template, image) if side == "lq" else image for image in names]
                sides[side] = read_folder(folder, named, full=full)
        template = dataset.get("filename_tmpl", "{}") if dataset["io_backend"]["type"] != "lmdb" else None
        partners = {image: image if template is None else renamed(template, image) for image in sides["gt"].names}
    except (StoreError, UserError) as error:
        yield options.problem(path, str(error))
        return
    gt, lq = sides["gt"], sides["lq"]
    unpaired = sorted(set(partners.values()) ^ set(lq.names))
    if unpaired:
        missing = "dataroot_lq" if unpaired[0] in partners.values() else "dataroot_gt"
        yield options.problem(
            path, f"'{unpaired[0]}' has no partner in {missing} ({len(gt.names)} HR, {len(lq.names)} LR images)"
        )
        return
    yield from _check_sizes(options, name, gt, lq, partners, least)
    yield from _check_names(options, name, partners)
    if name == "train":
        yield from _check_batch(options, len(gt.names), processes)


def _check_single(options: Options, name: str, *, full: bool) -> Iterator[str]:
    """Lines about one SingleImageDataset."""
    dataset = options.section("datasets", name)
    folder = Path(dataset.get("dataroot_lq") or "").expanduser()
    try:
        if (dataset.get("io_backend") or {}).get("type") == "lmdb":
            names = read_lmdb(folder, full=full).names
        else:
            listed = names_as_basicsr_reads_them(dataset.get("meta_info_file"))
            names = listed or [path.name for path in folder.iterdir() if path.is_file()]
            names = read_folder(folder, listed, full=True).names if full else names
    except (OSError, StoreError, UserError) as error:
        yield options.problem(("datasets", name), str(error))
        return
    yield from _check_names(options, name, {image: image for image in names})


def _check_names(options: Options, name: str, partners: Mapping[str, str]) -> Iterator[str]:
    """A line if two images of a set (`partners`: HR -> LR) share what must be their own.

    BasicSR looks for LR without the folder of HR: two HR images may have one LR image. Results of a validated set are
    called by the name of LR without folder and ending.
    """
    before: dict[str, str] = {}
    for image, lr in partners.items():
        other = before.setdefault(lr if name == "train" else Path(lr).stem, image)
        if other != image:
            shared = f"the LR image '{lr}'" if partners[other] == lr else "one name in the tables and pictures"
            yield options.problem(
                ("datasets", name), f"'{other}' and '{image}' would have {shared}: rename one of them"
            )
            return


def _check_sizes(
    options: Options, name: str, gt: ImageStore, lq: ImageStore, partners: dict[str, str], least: int
) -> Iterator[str]:
    scale = options.get("scale") or 1
    train = name == "train"
    for image, (height, width) in gt.sizes.items():
        small = lq.sizes.get(partners[image])
        # In validation BasicSR crops HR to a multiple of the scale. In training it needs exact sizes.
        fits = small is not None and (small[0] * scale, small[1] * scale) == (
            (height, width) if train else (height - height % scale, width - width % scale)
        )
        if small is not None and not fits:
            yield options.problem(
                ("datasets", name),
                f"'{image}': HR is {height}x{width} and LR {small[0]}x{small[1]}, which is not scale {scale}",
            )
            return
    gt_size = options.get("datasets", name, "gt_size")
    smallest = min(gt.sizes, key=lambda image: min(gt.sizes[image]))
    if train and isinstance(gt_size, int) and gt_size > min(gt.sizes[smallest]):
        height, width = gt.sizes[smallest]
        yield options.problem(
            ("datasets", name, "gt_size"), f"{gt_size} is larger than '{smallest}', which is {height}x{width}"
        )
    if not train:
        yield from _check_borders(options, smallest, *gt.sizes[smallest])
        height, width = gt.sizes[smallest]
        if min(height, width) < least:
            yield options.problem(
                ("datasets", name),
                f"'{smallest}' is {height}x{width}, too small for {options.get('network_g', 'type')}: "
                f"it needs {least} a side",
            )


def _check_borders(options: Options, image: str, height: int, width: int) -> Iterator[str]:
    for metric in options.section("val", "metrics"):
        path = ("val", "metrics", str(metric), "crop_border")
        border = options.get(*path)
        if isinstance(border, int) and 2 * border >= min(height, width):
            yield options.problem(
                path, f"{border} from each side leaves nothing of '{image}', which is {height}x{width}"
            )


def _least_side(options: Options) -> int:
    """The smallest HR width that the network accepts, in pixels; 0: any.

    A network that pads by reflection has an attribute `smallest`, the LR width that its padding needs.
    """
    network = find(ARCH_REGISTRY, options.get("network_g", "type"))
    if not hasattr(network, "smallest"):
        return 0
    arguments = {key: value for key, value in options.section("network_g").items() if key != "type"}
    try:
        with torch.device("meta"):
            smallest: int = network(**arguments).smallest  # type: ignore[misc]
    except (TypeError, ValueError, UserError):
        return 0  # the network cannot be built: try_build.py says why
    return smallest * (options.get("scale") or 1)


def _check_batch(options: Options, images: int, processes: int) -> Iterator[str]:
    """BasicSR drops an incomplete batch. If that is the only batch, it trains nothing and reports success."""
    dataset = options.section("datasets", "train")
    gpus = options.values["num_gpu"]
    if gpus == "auto":
        gpus = torch.cuda.device_count()
    ratio = dataset.get("dataset_enlarge_ratio", 1)
    batch = dataset["batch_size_per_gpu"] * (max(gpus, 1) if processes == 1 else 1)
    if batch > math.ceil(images * ratio / processes):
        enlarge = math.ceil(batch * processes / images)
        yield options.problem(
            ("datasets", "train", "batch_size_per_gpu"),
            f"a batch of {batch * processes} is larger than the data set of {images} images; lower it, or set "
            f"dataset_enlarge_ratio: {enlarge}",
        )
