"""Validation and testing, shared by all processes: every image's metrics in a CSV, then their mean and deviation."""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from basicsr.metrics import calculate_metric
from basicsr.utils import get_root_logger, imwrite, tensor2img
from torch import distributed
from torch.utils.data import DataLoader

from datasets_prep.common.files import write_file
from mihatp_arch.archs.layers.consistency import project
from mihatp_arch.training.data.validation_images import images_of_process, name_of
from mihatp_arch.training.stopping import stop_if_requested
from mihatp_arch.training.training_logger import flush_tensorboard
from mihatp_arch.training.unfinished_validation import Row, UnfinishedValidation

_CONSISTENT = "_consistent"  # ends the names of results after the consistency projection


@dataclass(frozen=True)
class _Variant:
    """The output as it is measured and written: as the network gives it, or projected.

    Attributes:
        projected: whether the consistency projection comes first.
        root: of the experiment or of the results; `metrics/` lies below it.
        visualization: folder of the pictures.
        suffix: ends the names of the pictures of a test.
    """

    projected: bool
    root: Path
    visualization: Path
    suffix: str


def _variants(opt: Mapping[str, Any]) -> list[_Variant]:
    """The variants that `val.consistency` asks for; the first one decides which network is the best."""
    root = Path(opt["path"]["experiments_root" if opt["is_train"] else "results_root"])
    mode, suffix = opt["val"].get("consistency", "off"), opt["val"].get("suffix") or opt.get("name", "")
    plain = _Variant(mode == "area", root, Path(opt["path"]["visualization"]), suffix)
    if mode != "both" or opt["is_train"]:
        return [plain]
    beside = consistent(root)
    return [plain, _Variant(True, beside, beside / "visualization", f"{suffix}{_CONSISTENT}")]


def consistent(results: Path) -> Path:
    """The folder beside `results` with the same test after the consistency projection."""
    return results.with_name(f"{results.name}{_CONSISTENT}")


def validate(self: Any, dataloader: DataLoader[Any], current_iter: int, tb_logger: Any, save_img: bool) -> None:
    """Stands in for SRModel's validation on one process or several.

    Each process takes every n-th image. The numbers are those of one process: the metrics of all images are put into
    the order of the set, then averaged. A training validates a set once after an iteration. A set without HR runs
    without metrics. The log names infinite and undefined
    values; the mean leaves them out. After a signal, and at an image that cannot be read, a training saves and ends
    before the next image; it resumes with this image.

    `metrics/<set>_<iteration>.csv` in the experiment (`metrics/<set>.csv` in the results of a test) has a line for each
    image.

    With `val.consistency: area` the output is projected (archs/layers/consistency.py) before it is clamped, rounded,
    measured and written. With `both`, a test does this beside its other results, in the folder `<results>_consistent`;
    a training validates the output as it is.
    """
    opt, name = self.opt, dataloader.dataset.opt["name"]  # type: ignore[attr-defined]
    if opt["is_train"] and validated_sets(self).get(name) == current_iter:
        return  # BasicSR's loop validates at its end what it may have validated in its last iteration
    metrics: Mapping[str, Any] = opt["val"].get("metrics") or {}
    variants = _variants(opt)
    rank, world = opt.get("rank", 0), opt.get("world_size", 1) if opt["dist"] else 1
    waiting = UnfinishedValidation(self, dataloader.dataset.opt, current_iter, len(variants))  # type: ignore[attr-defined]
    rows, first = waiting.read()
    for step, index, data in images_of_process(dataloader, rank, world, first, shown=opt["val"].get("pbar", False)):
        stop_if_requested(
            self,
            current_iter if opt["is_train"] else 0,
            before_end=lambda rows=rows, done=step: waiting.write(rows, done),
        )
        if data is None:  # the other processes have one image more
            continue
        image_name = name_of(data)
        for number, (image, values) in enumerate(_run(self, data, metrics, variants)):
            if save_img:
                imwrite(image, _picture_path(opt, variants[number], name, image_name, current_iter))
            if values is not None:
                rows[number].append((index, image_name, values))
    if world > 1:
        everyone: list[list[list[Row]]] = [[] for _ in range(world)]
        distributed.all_gather_object(everyone, rows)
        rows = [sorted(row for process in parts for row in process) for parts in zip(*everyone, strict=True)]
    if rows[0] and metrics and rank == 0:
        # The table of the first variant is the last file: a set that has it counts as tested.
        for variant, measured in reversed([*zip(variants, rows, strict=True)]):
            file, means = _table_path(opt, variant, name, current_iter), _means(name, measured)
            if variant is variants[0]:
                # The best results come first: a set that has a table is not validated again after a kill.
                _report(self, name, means, file, len(measured), current_iter, tb_logger)
                flush_tensorboard()
            else:
                numbers = ", ".join(f"{metric}: {value:.4f}" for metric, (value, _) in means.items())
                get_root_logger().info(f"{name}, after the consistency projection: {numbers}; each is in {file}")
            _write_table(file, measured)
    waiting.remove()
    validated_sets(self)[name] = current_iter


def validated_sets(model: Any) -> dict[str, int]:
    """Name of each validation set -> the iteration after which it was validated last."""
    validated: dict[str, int] = model.__dict__.setdefault("_validated_sets", {})
    return validated


def _run(
    model: Any, data: Mapping[str, Any], metrics: Mapping[str, Any], variants: Sequence[_Variant]
) -> list[tuple[Any, dict[str, float] | None]]:
    """For each variant its image ([H, W, 3], uint8, BGR), and the metrics of the image where there is HR."""
    model.feed_data(data)
    model.test()
    visuals = model.get_current_visuals()
    gt = tensor2img([visuals["gt"]]) if "gt" in data else None
    images: list[tuple[Any, dict[str, float] | None]] = []
    for variant in variants:
        # LR comes from the data, because a model may get another input (a first stage gets HR).
        result = project(visuals["result"], data["lq"]) if variant.projected else visuals["result"]
        image, values = tensor2img([result]), None
        if gt is not None:
            compared = {"img": image, "img2": gt}
            values = {name: float(calculate_metric(compared, options)) for name, options in metrics.items()}
        images.append((image, values))
    if "gt" in data:
        del model.gt
    del model.lq, model.output
    return images


def _picture_path(opt: Mapping[str, Any], variant: _Variant, dataset: str, image: str, current_iter: int) -> str:
    """The path at which BasicSR saves the picture of an image.

    Where a training validates several sets, each set has a folder: images of two sets may have the same name.
    """
    if opt["is_train"]:
        several = sum(phase.startswith("val") for phase in opt.get("datasets", {})) > 1
        folder = variant.visualization / dataset if several else variant.visualization
        return str(folder / image / f"{image}_{current_iter}.png")
    return str(variant.visualization / dataset / f"{image}_{variant.suffix}.png")


def _table_path(opt: Mapping[str, Any], variant: _Variant, dataset: str, current_iter: int) -> Path:
    return variant.root / "metrics" / (f"{dataset}_{current_iter}.csv" if opt["is_train"] else f"{dataset}.csv")


def _write_table(file: Path, rows: Sequence[Row]) -> None:
    """Write the metrics of all images as CSV."""
    file.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["image", *rows[0][2]])
    lines.writerows([image, *values.values()] for _, image, values in rows)
    write_file(file, text.getvalue().encode())  # without this file the set counts as not validated


def _means(dataset: str, rows: Sequence[Row]) -> dict[str, tuple[float, float]]:
    """Metric -> mean and standard deviation of its finite values; a warning names the images with others."""
    means: dict[str, tuple[float, float]] = {}
    for metric in rows[0][2]:
        finite = [values[metric] for _, _, values in rows if math.isfinite(values[metric])]
        left_out = [image for _, image, values in rows if not math.isfinite(values[metric])]
        if left_out:
            get_root_logger().warning(
                f"{dataset}: {metric} of {len(left_out)} of {len(rows)} images is infinite or undefined, and left out "
                f"of the mean: {', '.join(left_out[:5])}{' …' if len(left_out) > 5 else ''}"
            )
        means[metric] = (mean(finite) if finite else math.nan, stdev(finite) if len(finite) > 1 else 0.0)
    return means


def _report(
    model: Any,
    dataset: str,
    means: Mapping[str, tuple[float, float]],
    file: Path,
    images: int,
    current_iter: int,
    tb_logger: Any,
) -> None:
    """Give the means to the model, which remembers the best, and log them."""
    model._initialize_best_metric_results(dataset)
    model.metric_results = {metric: value for metric, (value, _) in means.items()}
    for metric, value in model.metric_results.items():
        model._update_best_metric_result(dataset, metric, value, current_iter)
    model._log_validation_metric_values(current_iter, dataset, tb_logger)
    deviations = ", ".join(f"{metric} {deviation:.4f}" for metric, (_, deviation) in means.items())
    get_root_logger().info(f"{dataset}: standard deviation over {images} images: {deviations}; each is in {file}")


def test(self: Any) -> None:
    """SRModel's test: run the network of `network_in_eval_mode` on `lq`."""
    with network_in_eval_mode(self) as network:
        self.output = network(self.lq)


@contextmanager
def network_in_eval_mode(model: Any) -> Iterator[Any]:
    """Gives the averaged network, else `net_g`: in eval mode, without gradients, uncompiled.

    After the block the network is in the mode in which it was before.
    """
    network = getattr(model, "net_g_ema", model.net_g)
    training = network.training
    network.eval()
    # Uncompiled, because torch would compile the network anew for every size of image.
    try:
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
            yield network
    finally:
        network.train(training)
