"""The types and ranges of the options that BasicSR's own pipeline reads, in one table."""

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from msgspec import Meta

from mihatp_arch.config.arguments import annotation_mistake
from mihatp_arch.config.option_keys import ANY
from mihatp_arch.config.read import KeyPath, Options

Positive = Annotated[int, Meta(gt=0)]
Count = Annotated[int, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, lt=1)]

CORE_TYPES: dict[str, Any] = {
    "name": str,
    "model_type": str,
    "scale": Literal[1, 2, 3, 4, 8],
    "num_gpu": Literal["auto"] | Count,
    "manual_seed": Annotated[int, Meta(ge=0, lt=2**32 - 2**16)],  # numpy's limit, with room for ranks and workers
    "find_unused_parameters": bool,
    "train.total_iter": Positive,
    "train.warmup_iter": int,
    "train.ema_decay": Share,
    "train.precision": Literal["fp32", "bf16"],
    "train.compile": bool,
    "train.cuda_graphs": bool,
    "train.deterministic": bool,
    "train.accumulate": Positive,
    "train.grad_clip": Annotated[float, Meta(gt=0)],
    "train.share_branches": bool,
    "train.detach_positive": bool,
    "train.branch_threads": bool,
    "train.latent_weight": Annotated[float, Meta(ge=0)],
    "train.scheduler.milestones": list[Positive],
    "train.scheduler.gamma": Annotated[float, Meta(gt=0)],
    "train.scheduler.periods": list[Positive],
    "train.scheduler.restarts": list[Count],
    "train.scheduler.restart_weights": list[float],
    "train.optim_*.lr": Annotated[float, Meta(gt=0, lt=1e3)],
    "val.val_freq": Positive,
    "val.save_img": bool,
    "val.suffix": str | None,
    "val.pbar": bool,
    "val.precision": Literal["fp32", "bf16"],
    "val.keep_best": str | None,
    "val.metrics.*.crop_border": Count,
    "val.metrics.*.test_y_channel": bool,
    "val.metrics.*.better": Literal["higher", "lower"],
    "logger.print_freq": Positive,
    "logger.save_checkpoint_freq": Positive,
    "logger.keep_checkpoints": Positive,
    "logger.use_tb_logger": bool,
    "path.pretrain_network_*": str | None,
    "path.param_key_*": str | None,
    "path.strict_load_*": bool,
    "path.resume_state": str | None,
    "path.ignore_resume_networks": list[str] | None,
    "datasets.*.name": str,
    "datasets.*.dataroot_gt": str | None,
    "datasets.*.dataroot_lq": str | None,
    "datasets.*.meta_info_file": str | None,
    "datasets.*.filename_tmpl": str,
    "datasets.*.gt_size": Positive,
    "datasets.*.use_hflip": bool,
    "datasets.*.use_rot": bool,
    "datasets.*.batch_size_per_gpu": Positive,
    "datasets.*.num_worker_per_gpu": Count,
    "datasets.*.dataset_enlarge_ratio": Annotated[float, Meta(gt=0, le=1e6)],
    "datasets.*.prefetch_mode": Literal["cpu", "cuda"] | None,
    "datasets.*.num_prefetch_queue": Positive,
    "datasets.*.pin_memory": bool,
    "datasets.*.persistent_workers": bool,
    "datasets.*.mean": list[float] | None,
    "datasets.*.std": list[float] | None,
    "datasets.*.color": Literal["y"] | None,
}


def check_core(options: Options) -> Iterator[str]:
    """Lines about the values that have the wrong type or lie out of range; no option at all may be nan or infinite."""
    named: set[KeyPath] = set()
    for pattern, wanted in CORE_TYPES.items():
        for path, value in _matching(options.values, tuple(pattern.split(".")), ()):
            mistake = annotation_mistake(value, wanted)
            if mistake:
                named.add(path)
                yield options.problem(path, mistake)
    for path, value in _leaves(options.values, ()):
        if path in named:
            continue
        if isinstance(value, float) and not math.isfinite(value):
            yield options.problem(path, f"expected a finite number, got {value}")
        elif isinstance(value, str) and "\0" in value:
            yield options.problem(path, "a NUL character stands in it")


def _leaves(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _leaves(one, (*path, str(key)))
    elif isinstance(value, list):
        for one in value:
            yield from _leaves(one, path)
    else:
        yield path, value


def _matching(values: Any, pattern: KeyPath, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    """The values whose path fits `pattern`, where `*` ends any name."""
    if not pattern:
        yield path, values
    elif isinstance(values, dict):
        for key, value in values.items():
            prefix = pattern[0].removesuffix(ANY)
            if str(key).startswith(prefix) if pattern[0].endswith(ANY) else key == pattern[0]:
                yield from _matching(value, pattern[1:], (*path, str(key)))
