"""Validation and testing, shared by all processes: every image's metrics in a CSV, then their mean and deviation."""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import path as osp
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from basicsr.metrics import calculate_metric
from basicsr.utils import get_root_logger, imwrite, tensor2img
from torch import distributed
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from datasets_prep.common.files import write_file

Row = tuple[int, str, dict[str, float]]  # index in the set, name of the image, metric -> value


def validate(self: Any, dataloader: DataLoader[Any], current_iter: int, tb_logger: Any, save_img: bool) -> None:
    """Stands in for SRModel's validation on one process or several.

    Each process takes every n-th image. The numbers are those of one process: the metrics of all images are put into
    the order of the set, then averaged. A set without HR runs without metrics. The log names infinite and undefined
    values; the mean leaves them out. `metrics/<set>_<iteration>.csv` in the experiment (`metrics/<set>.csv` in the
    results of a test) has a line for each image.
    """
    opt, name = self.opt, dataloader.dataset.opt["name"]  # type: ignore[attr-defined]
    metrics: Mapping[str, Any] = opt["val"].get("metrics") or {}
    rank, world = opt.get("rank", 0), opt.get("world_size", 1) if opt["dist"] else 1
    indices = range(rank, len(dataloader.dataset), world)  # type: ignore[arg-type]
    own = DataLoader(Subset(dataloader.dataset, indices), batch_size=1, generator=dataloader.generator)
    rows: list[Row] = []
    bar = tqdm(total=len(indices), unit="image", disable=not opt["val"].get("pbar", False) or rank != 0)
    with bar:
        for index, data in zip(indices, own, strict=True):
            image, values = _run(self, data, metrics)
            image_name = osp.splitext(osp.basename(data["lq_path"][0]))[0]
            if save_img:
                imwrite(image, _picture_path(opt, name, image_name, current_iter))
            if values is not None:
                rows.append((index, image_name, values))
            bar.update()
            bar.set_description(f"Test {image_name}")
    if world > 1:
        everyone: list[list[Row]] = [[] for _ in range(world)]
        distributed.all_gather_object(everyone, rows)
        rows = sorted(row for process in everyone for row in process)
    if rows and metrics and rank == 0:
        _report(self, name, rows, list(metrics), current_iter, tb_logger)


def _run(model: Any, data: Mapping[str, Any], metrics: Mapping[str, Any]) -> tuple[Any, dict[str, float] | None]:
    """The network's image ([H, W, 3], uint8, BGR), and its metrics where there is HR."""
    model.feed_data(data)
    model.test()
    visuals = model.get_current_visuals()
    image, values = tensor2img([visuals["result"]]), None
    if "gt" in data:
        compared = {"img": image, "img2": tensor2img([visuals["gt"]])}
        values = {name: float(calculate_metric(compared, options)) for name, options in metrics.items()}
        del model.gt
    del model.lq, model.output
    return image, values


def _picture_path(opt: Mapping[str, Any], dataset: str, image: str, current_iter: int) -> str:
    """The path at which BasicSR saves the picture of an image."""
    folder = opt["path"]["visualization"]
    if opt["is_train"]:
        return osp.join(folder, image, f"{image}_{current_iter}.png")
    return osp.join(folder, dataset, f"{image}_{opt['val'].get('suffix') or opt['name']}.png")


def _report(
    model: Any, dataset: str, rows: Sequence[Row], metrics: Sequence[str], current_iter: int, tb_logger: Any
) -> None:
    logger = get_root_logger()
    root = Path(model.opt["path"]["experiments_root" if model.opt["is_train"] else "results_root"])
    file = root / "metrics" / (f"{dataset}_{current_iter}.csv" if model.opt["is_train"] else f"{dataset}.csv")
    file.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["image", *metrics])
    lines.writerows([image, *(values[metric] for metric in metrics)] for _, image, values in rows)
    write_file(file, text.getvalue().encode())  # without this file the set counts as not validated
    model._initialize_best_metric_results(dataset)
    model.metric_results, deviations = {}, []
    for metric in metrics:
        finite = [values[metric] for _, _, values in rows if math.isfinite(values[metric])]
        left_out = [image for _, image, values in rows if not math.isfinite(values[metric])]
        if left_out:
            logger.warning(
                f"{dataset}: {metric} of {len(left_out)} of {len(rows)} images is infinite or undefined, and left out "
                f"of the mean: {', '.join(left_out[:5])}{' …' if len(left_out) > 5 else ''}"
            )
        model.metric_results[metric] = mean(finite) if finite else math.nan
        deviations.append(f"{metric} {stdev(finite) if len(finite) > 1 else 0.0:.4f}")
        model._update_best_metric_result(dataset, metric, model.metric_results[metric], current_iter)
    model._log_validation_metric_values(current_iter, dataset, tb_logger)
    logger.info(f"{dataset}: standard deviation over {len(rows)} images: {', '.join(deviations)}; each is in {file}")


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
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        yield network
    network.train(training)
