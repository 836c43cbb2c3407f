"""What stands in for parts of BasicSR's training loop; compat.py says why, and puts it there."""

import math
import os
from collections import OrderedDict
from logging import Logger
from pathlib import Path
from typing import Any

import basicsr.train as basicsr_train
import torch
from basicsr.models.base_model import BaseModel
from basicsr.models.sr_model import SRModel
from basicsr.utils import get_root_logger
from basicsr.utils.logger import MessageLogger
from torch import distributed, nn

from mihatp_arch.checkpoints import load_tensors, weights_below
from mihatp_arch.errors import UserError
from mihatp_arch.training.data_order import SeededDataset, Start, start_of
from mihatp_arch.training.random_state import generator_states
from mihatp_arch.training.run_record import write_record
from mihatp_arch.training.saving import prune, save_whole
from mihatp_arch.training.stopping import stop_asked

_build_dataset = basicsr_train.build_dataset
_create_loaders = basicsr_train.create_train_val_dataloader
_update_learning_rate = BaseModel.update_learning_rate


def build_dataset(dataset_opt: dict[str, Any]) -> Any:
    """BasicSR's data set; one for training draws its crops and flips from the place of each sample."""
    dataset = _build_dataset(dataset_opt)
    return SeededDataset(dataset) if dataset_opt["phase"] == "train" else dataset


def create_train_val_dataloader(opt: dict[str, Any], logger: Logger) -> tuple[Any, Any, list[Any], int, int]:
    """BasicSR's loaders, and the number of the last epoch by what the training loader really gives."""
    made: tuple[Any, Any, list[Any], int, int] = _create_loaders(opt, logger)  # type: ignore[assignment]
    loader, sampler, val_loaders, _, total = made
    if not len(loader):
        raise UserError(
            f"datasets.train: {len(sampler)} samples do not fill a batch of {loader.batch_size}: lower "
            "batch_size_per_gpu, or raise dataset_enlarge_ratio"
        )
    if opt["train"].get("deterministic"):
        _be_deterministic()
    if opt["rank"] == 0:
        write_record(opt)
    state = opt.get("resumed")
    start = start_of(state, len(loader))
    opt["start"] = start._asdict()
    loader.dataset.seed = opt["manual_seed"]
    loader.batches_left = max(0, total - start.iteration)
    sampler.skip = start.served * loader.batch_size
    for one in (loader, *val_loaders):
        # Without one of its own an iterator seeds its workers from the generator that the networks draw from.
        one.generator = torch.Generator().manual_seed(opt["manual_seed"])
    if state is not None and state.get("per_epoch") != len(loader):
        logger.warning("The state is of epochs of another length: its epoch starts anew.")
    logger.info(
        f"An epoch is {len(loader)} iterations, of batches of {loader.batch_size} in {opt['world_size']} process(es)."
    )
    return loader, sampler, val_loaders, start.last_epoch(total), total


def _be_deterministic() -> None:
    """Choose operations that repeat themselves on a GPU, and name those that have none that does; a CPU always does."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False


class TrainingLogger(MessageLogger):
    """BasicSR's log lines, with the time that is left at the last iteration: 0, not a day less a second."""

    def __init__(self, opt: dict[str, Any], start_iter: int = 1, tb_logger: Any = None) -> None:
        super().__init__(opt, start_iter, tb_logger)
        self.max_iters += 1


def load_network(
    self: BaseModel, net: nn.Module, load_path: str, strict: bool = True, param_key: str = "params"
) -> None:
    """Load weights into a network from any file that holds them (checkpoints.py).

    Raises:
        UserError: a file without weights, or with those of another network.
    """
    path = Path(load_path).expanduser()
    bare = self.get_bare_model(net)
    weights = weights_below(path, load_tensors(path), param_key)
    get_root_logger().info(f"Loading {type(bare).__name__} model from {path}, with param key: [{param_key}].")
    self._print_different_keys_loading(bare, weights, strict)
    try:
        bare.load_state_dict(weights, strict=strict)
    except RuntimeError as error:
        raise UserError(f"'{path}' does not fit {type(bare).__name__}: {error}") from error


def get_optimizer(self: BaseModel, optim_type: str, params: Any, lr: float, **kwargs: Any) -> torch.optim.Optimizer:
    """Any optimizer of torch, by its name; Adam and AdamW in one kernel (`fused`), unless the options say how."""
    params = list(params)
    if optim_type in ("Adam", "AdamW") and not {"fused", "foreach", "differentiable"} & kwargs.keys():
        kwargs["fused"] = all(
            isinstance(p, torch.Tensor) and p.dtype == torch.float32 and p.device.type in ("cpu", "cuda")
            for p in params
        )
    optimizer: torch.optim.Optimizer = getattr(torch.optim, optim_type)(params, lr=lr, **kwargs)
    optimizer.register_load_state_dict_pre_hook(_keep_fused)
    return optimizer


def _keep_fused(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """A saved state says how its optimizer was computed; these options say how this one is."""
    if "fused" not in optimizer.defaults:
        return state
    fused = {"fused": optimizer.defaults["fused"]}
    return {**state, "param_groups": [group | fused for group in state["param_groups"]]}


def update_learning_rate(self: BaseModel, current_iter: int, warmup_iter: int = -1) -> None:
    """BasicSR's, at the start of iteration `current_iter`; where a signal has asked to stop, save and end before it."""
    asked = stop_asked()
    done = current_iter - 1
    if asked and done > 0:
        self.save(Start(**self.opt["start"]).at(done)[0], done)
        get_root_logger().info(f"Stopped by signal {asked} after iteration {done}; go on with --auto_resume.")
    if asked:
        if distributed.is_initialized():
            distributed.barrier()  # Slurm and torchrun end those that still save when the first has ended
        raise SystemExit(128 + asked)
    _update_learning_rate(self, current_iter, warmup_iter)


def save_network(
    self: BaseModel, net: Any, net_label: str, current_iter: int | str, param_key: str | list[str] = "params"
) -> None:
    """Save networks below their keys to `<label>_<iteration>.pth`, whole, or end the training.

    Raises:
        UserError: the file cannot be written.
    """
    if self.opt.get("rank", 0) != 0:
        return
    nets: list[Any] = net if isinstance(net, list) else [net]
    keys = param_key if isinstance(param_key, list) else [param_key]
    content = {}
    for one, key in zip(nets, keys, strict=True):
        state: OrderedDict[str, torch.Tensor] = self.get_bare_model(one).state_dict()
        content[key] = {name.removeprefix("module."): tensor.cpu() for name, tensor in state.items()}
    name = f"{net_label}_{'latest' if current_iter == -1 else current_iter}.pth"
    save_whole(content, Path(self.opt["path"]["models"]) / name)


def save_training_state(self: BaseModel, epoch: int, current_iter: int) -> None:
    """Save what the next iteration depends on, beside the networks: to the bit, on a CPU.

    Raises:
        UserError: the file cannot be written.
    """
    if current_iter == -1:
        return
    states = generator_states()
    all_states: list[Any] = [states]
    if self.opt["dist"]:
        all_states = [None] * self.opt["world_size"]
        distributed.all_gather_object(all_states, states)
    if self.opt.get("rank", 0) != 0:
        return
    state = {
        "epoch": epoch,
        "iter": current_iter,
        "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
        "generators": all_states,
        "best_metric_results": getattr(self, "best_metric_results", {}),
    }
    if "start" in self.opt:  # it is not where a model is used without the loop
        start = Start(**self.opt["start"])
        state |= {"served": start.at(current_iter)[1], "per_epoch": start.per_epoch}
    save_whole(state, Path(self.opt["path"]["training_states"]) / f"{current_iter}.state")
    keep = self.opt.get("logger", {}).get("keep_checkpoints")
    if keep is not None:
        prune(Path(self.opt["path"]["experiments_root"]), keep=keep)


@torch.no_grad()
def model_ema(self: SRModel, decay: float = 0.999) -> None:
    """Move the averaged network towards `net_g`: parameters by `decay`, buffers (running statistics) whole."""
    net, average = self.get_bare_model(self.net_g), self.net_g_ema
    moving = {name: p for name, p in average.named_parameters() if decay == 0 or p.requires_grad}  # not what is frozen
    _lerp(moving, dict(net.named_parameters()), 1 - decay)
    buffers = dict(net.named_buffers())
    for name, buffer in average.named_buffers():
        buffer.copy_(buffers[name])


def _lerp(average: dict[str, nn.Parameter], current: dict[str, nn.Parameter], weight: float) -> None:
    names = list(average)
    ours, theirs = ([tensors[name].data for name in names] for tensors in (average, current))
    if math.isclose(weight, 1):
        torch._foreach_copy_(ours, theirs)
    else:
        torch._foreach_lerp_(ours, theirs, weight)
