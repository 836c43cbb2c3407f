"""What the training of a model needs."""

from collections.abc import Iterator

import torch
from basicsr.models.base_model import BaseModel
from basicsr.models.sr_model import SRModel
from basicsr.utils.registry import ARCH_REGISTRY
from torch import nn

from mihatp_arch.config.checks.registries import find
from mihatp_arch.config.read import Options
from mihatp_arch.errors import UserError
from mihatp_arch.training.cuda_graphs import compiles_by_blocks, not_with_compile
from mihatp_arch.training.ema import model_ema, share_of_start
from mihatp_arch.training.lq_augment import LQAugment

_OF_OUR_STEP = {"precision": "fp32", "accumulate": 1, "grad_clip": None, "lq_augment": None}  # and their defaults
_SHARE_OF_START = 0.01  # of the untrained network in the averaged weights


def check_training(options: Options, model: type) -> Iterator[str]:
    """Lines about what `model` needs in `train` and does not find there."""
    train = options.section("train")
    if issubclass(model, SRModel):
        for key in ("optim_g", "scheduler"):
            if train.get(key) is None:
                yield options.problem(("train",), f"'{key}' is missing")
        if model.init_training_settings is SRModel.init_training_settings and not (
            train.get("pixel_opt") or train.get("perceptual_opt")
        ):
            yield options.problem(("train",), "there is no loss: give pixel_opt or perceptual_opt")
    if train.get("total_iter") is None:
        yield options.problem(("train",), "'total_iter' is missing: how many iterations to train")
    if train.get("compile") and train.get("cuda_graphs"):
        types = [options.get(key, "type") for key in options.values if str(key).startswith("network_")]
        refused = [name for name in types if name and not compiles_by_blocks(find(ARCH_REGISTRY, name))]
        if refused:
            yield options.problem(("train", "cuda_graphs"), not_with_compile(refused[0]))
    own_step = model.optimize_parameters is not SRModel.optimize_parameters
    if own_step and model.optimize_parameters.__module__.startswith("basicsr."):
        for key, default in _OF_OUR_STEP.items():
            if train.get(key) not in (None, default):
                yield options.problem(
                    ("train", key), f"{model.__name__} of basicsr has its own step without it: remove it"
                )
    if isinstance(train.get("lq_augment"), dict):
        try:
            LQAugment(**options.section("train", "lq_augment"))
        except (TypeError, UserError) as error:
            yield options.problem(("train", "lq_augment"), str(error))


def check_batch_norm(options: Options, network: nn.Module) -> Iterator[str]:
    """A line if an image by itself cannot be trained on: a BatchNorm of pooled features (DAT) then has one value.

    Args:
        options: of the training.
        network: `[B, 3, H, W]` -> `[B, 3, s·H, s·W]`, as it was built; its running statistics change.
    """
    train = options.section("datasets", "train")
    layers = (nn.BatchNorm1d, nn.BatchNorm2d)
    if train.get("batch_size_per_gpu") != 1 or not any(isinstance(module, layers) for module in network.modules()):
        return
    side = train["gt_size"] // options.values["scale"]
    try:
        with torch.no_grad():
            network.train()(torch.zeros(1, 3, side, side))
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        yield options.problem(
            ("datasets", "train", "batch_size_per_gpu"),
            "1 is too few for network_g: a BatchNorm in it has one value of each channel, thus no variance; give 2 or "
            "more",
        )


def training_warnings(options: Options) -> Iterator[str]:
    """Lines about sound options of a training that give a result of little use."""
    decay, total_iter = options.get("train", "ema_decay") or 0, options.section("train")["total_iter"]
    share = share_of_start(decay, total_iter, warm_up=BaseModel.model_ema is model_ema) if decay else 0
    if share > _SHARE_OF_START:
        yield options.problem(
            ("train", "ema_decay"),
            f"after {total_iter} iterations, {share:.0%} of the averaged weights, which are validated, are still those "
            "of the untrained network: train longer, or set it to 0",
        )
