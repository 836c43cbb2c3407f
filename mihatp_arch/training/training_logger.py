"""The log of a training: its lines, and its points in TensorBoard."""

import logging
import time
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from basicsr.models.base_model import BaseModel
from basicsr.utils import get_root_logger
from basicsr.utils.logger import MessageLogger, init_wandb_logger
from torch import nn

from mihatp_arch.checkpoints import load_tensors

# The writer of this process for TensorBoard. BasicSR's loop does not give it to the model, which must flush it before
# a state is saved: points that a killed process has not flushed would be missing in front of that state.
tensorboard_writer: ContextVar[Any] = ContextVar("tensorboard_writer", default=None)


class TrainingLogger(MessageLogger):
    """BasicSR's log lines, with the right time that is left: 0 at the last iteration."""

    def __init__(self, opt: dict[str, Any], start_iter: int = 1, tb_logger: Any = None) -> None:
        super().__init__(opt, start_iter, tb_logger)
        self.max_iters += 1  # BasicSR subtracts one too many


def no_false_warning(record: logging.LogRecord) -> bool:
    """A filter for the log. BasicSR warns of several validation sets whatever the model is; SRModel has them."""
    return "Multiple validation datasets are *only* supported by SRModel" not in record.getMessage()


def print_network(self: BaseModel, net: nn.Module) -> None:
    """BasicSR's: type and number of parameters. In the debug mode also all layers, which may be hundreds of lines."""
    if self.opt.get("rank", 0) != 0:
        return
    bare, kind = self.get_bare_model(net), type(net).__name__
    kind = kind if bare is net else f"{kind} - {type(bare).__name__}"
    parameters = sum(parameter.numel() for parameter in bare.parameters())
    get_root_logger().info(f"Network: {kind}, with parameters: {parameters:,d}")
    if "debug" in self.opt.get("name", ""):
        get_root_logger().info(str(bare))


def log_validation(self: Any, current_iter: int, dataset_name: str, tb_logger: Any) -> None:
    """BasicSR's log of the means of a validation; a test has no best iteration."""
    lines = [f"Validation {dataset_name}"]
    for metric, value in self.metric_results.items():
        line = f"\t # {metric}: {value:.4f}"
        if self.is_train:
            best = self.best_metric_results[dataset_name][metric]
            line += f"\tBest: {best['val']:.4f} @ {best['iter']} iter"
        lines.append(line)
        if tb_logger:
            tb_logger.add_scalar(f"metrics/{dataset_name}/{metric}", value, current_iter)
    get_root_logger().info("\n".join([*lines, ""]))


def init_tb_loggers(opt: dict[str, Any]) -> Any:
    """Stands in for `basicsr.train.init_tb_loggers`: the writer for TensorBoard, None where it is switched off.

    A training that resumes takes back the points after its state, which it writes again.
    """
    tensorboard_writer.set(None)
    options = opt["logger"]
    if "debug" in opt["name"]:
        return None
    if (options.get("wandb") or {}).get("project") is not None:
        init_wandb_logger(opt)
    if not options.get("use_tb_logger") or opt.get("rank", 0) != 0:
        return None
    from torch.utils.tensorboard import SummaryWriter  # it imports tensorboard

    state = opt["path"].get("resume_state")
    first = None if state is None else load_tensors(Path(state))["iter"] + 1
    folder = Path(opt["root_path"]) / "tb_logger" / opt["name"]
    if any(folder.glob(f"events.out.tfevents.{int(time.time())}.*")):
        time.sleep(1)  # TensorBoard reads the files in the order of their names, which begin with the second
    writer = SummaryWriter(log_dir=str(folder), purge_step=first)
    tensorboard_writer.set(writer)
    return writer


def flush_tensorboard() -> None:
    """Write the points of TensorBoard to the disk, where this process has any."""
    writer = tensorboard_writer.get()
    if writer is not None:
        writer.flush()


def has_points(writer: Any, dataset: str, iteration: int) -> bool:
    """Whether TensorBoard has the metrics of a validation set after an iteration, from a process before this one."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    writer.flush()
    events = EventAccumulator(writer.log_dir, size_guidance={"scalars": 0})
    events.Reload()
    tags = [tag for tag in events.Tags()["scalars"] if tag.startswith(f"metrics/{dataset}/")]
    return any(event.step == iteration for tag in tags for event in events.Scalars(tag))
