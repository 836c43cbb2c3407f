"""Networks and training states on the disk: written whole or not at all, loaded without executing anything."""

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from basicsr.models.base_model import BaseModel
from basicsr.utils import get_root_logger, get_time_str
from torch import distributed, nn

from datasets_prep.common.files import write_file
from mihatp_arch import file_hash
from mihatp_arch.checkpoints import load_tensors, weights_below
from mihatp_arch.errors import UserError
from mihatp_arch.training.data.order import training_start
from mihatp_arch.training.random_state import generator_states
from mihatp_arch.training.training_logger import flush_tensorboard


def load_network(
    self: BaseModel, net: nn.Module, load_path: str, strict: bool = True, param_key: str | None = "params"
) -> None:
    """Load weights into a network from any file that `checkpoints.load_tensors` reads.

    Raises:
        UserError: the file has no weights, or those of another network.
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


def save_network(
    self: BaseModel, net: Any, net_label: str, current_iter: int | str, param_key: str | list[str] = "params"
) -> None:
    """Save a network, or several of them below one key each, to `<net_label>_<current_iter>.pth`.

    -1 is the end of the training: the file is `latest`. Where the loop has saved no state of the last iteration, the
    network is saved under the number of this iteration too, for `save_training_state`. The key `kernel` says how the LR
    of the training data was made, where that is known.

    Raises:
        UserError: the file cannot be written; this ends the training.
    """
    if self.opt.get("rank", 0) != 0:
        return
    networks: list[nn.Module] = net if isinstance(net, list) else [net]
    keys = param_key if isinstance(param_key, list) else [param_key]
    content: dict[str, Any] = {}
    for network, key in zip(networks, keys, strict=True):
        state: Mapping[str, torch.Tensor] = self.get_bare_model(network).state_dict()
        content[key] = {name.removeprefix("module."): tensor.cpu() for name, tensor in state.items()}
    kernel = (self.opt.get("datasets", {}).get("train") or {}).get("kernel")
    if kernel is not None:
        content["kernel"] = kernel
    names = ["latest" if current_iter == -1 else current_iter]
    if current_iter == -1 and (end := _unsaved_end(self.opt)) is not None:
        names.insert(0, end)
    for name in names:
        save_whole(content, Path(self.opt["path"]["models"]) / f"{net_label}_{name}.pth")


def _unsaved_end(opt: Mapping[str, Any]) -> int | None:
    """The last iteration of a training that this process has ended, if the loop has not saved it."""
    start = training_start.get()
    if start is None:  # a model without the loop
        return None
    total: int = opt["train"]["total_iter"]
    saved = total <= start.iteration or total % opt["logger"]["save_checkpoint_freq"] == 0
    return None if saved else total


def save_training_state(self: BaseModel, epoch: int, current_iter: int) -> None:
    """Save everything beside the networks that the next iteration depends on; on a CPU, resumption is exact to the bit.

    For iteration -1, the end of the training, the last iteration is saved if the loop has not saved it: so a training
    that has ended can be made longer.

    Raises:
        UserError: the file cannot be written.
    """
    start = training_start.get()
    if current_iter == -1:
        end = _unsaved_end(self.opt)
        if end is None or start is None:
            return
        epoch, current_iter = start.after(end)[0], end
    generators = generator_states()
    all_generators: list[Any] = [generators]
    if self.opt["dist"]:
        all_generators = [None] * self.opt["world_size"]
        distributed.all_gather_object(all_generators, generators)
    if self.opt.get("rank", 0) != 0:
        return
    state = {
        "epoch": epoch,
        "iter": current_iter,
        "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
        "generators": all_generators,
        "best_metric_results": getattr(self, "best_metric_results", {}),
        "options": self.opt.get("trained_with"),
    }
    flush_tensorboard()
    if start is not None:
        state |= {"served": start.after(current_iter)[1], "per_epoch": start.batches_per_epoch}
    save_whole(state, Path(self.opt["path"]["training_states"]) / f"{current_iter}.state")
    keep = self.opt.get("logger", {}).get("keep_checkpoints")
    if keep is not None:
        prune(Path(self.opt["path"]["experiments_root"]), keep=keep)


def save_whole(content: Any, path: Path) -> None:
    """`torch.save` to `path` with a hash, whole or not at all. Raises `UserError` when it cannot be written."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    file_hash.add_to_archive(buffer)
    with saving(path):
        write_file(path, buffer.getbuffer())


@contextmanager
def saving(path: Path) -> Iterator[None]:
    """Inside the block, an `OSError` of writing `path` becomes a `UserError` that says how to go on."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot save '{path}': {error.strerror or error}; what was saved before is whole: make room, and go on "
            "with --auto_resume"
        ) from error


def archive(path: str) -> None:
    """Make the new folder `path`. A folder of this name becomes `<path>_archived_<time>`, numbered where needed."""
    if os.path.exists(path):
        stamp = f"{path}_archived_{get_time_str()}"
        names = (stamp, *(f"{stamp}_{number}" for number in range(2, 1000)))
        new = next(name for name in names if not os.path.exists(name))
        print(f"'{path}' is there already; it is now '{new}'", flush=True)
        os.rename(path, new)
    os.makedirs(path)


def prune(experiment: Path, *, keep: int) -> None:
    """Delete all training states of an experiment but the newest `keep`, and the networks saved with the deleted ones.

    `net_*_latest.pth` and `net_*_best.pth` stay.
    """
    folder = experiment / "training_states"
    iterations = sorted(int(path.stem) for path in folder.glob("*.state") if path.stem.isdecimal())
    for iteration in iterations[:-keep]:
        # The state goes first: a state without its network is damaged, a network without its state is not.
        (folder / f"{iteration}.state").unlink(missing_ok=True)
        for network in (experiment / "models").glob(f"net_*_{iteration}.pth"):
            network.unlink(missing_ok=True)
