"""One training step: in parts where memory is short, in bf16 where asked for, never on a loss that is not finite."""

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from basicsr.models.sr_model import SRModel
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mihatp_arch.errors import UserError

Losses = tuple[Mapping[str, Tensor], Mapping[str, Tensor]]  # what is summed and followed down, what is only logged


def feed_data(self: Any, data: Mapping[str, Any]) -> None:
    """BasicSR's, and the names of the images for whoever has to complain about them."""
    self.lq = data["lq"].to(self.device)
    if "gt" in data:
        self.gt = data["gt"].to(self.device)
    self.fed = list(data.get("lq_path", ()))


def optimize_parameters(self: SRModel, current_iter: int) -> None:
    """SRModel's step: pixel and perceptual loss of `net_g`."""

    def losses() -> Losses:
        self.output = self.net_g(self.lq)
        with torch.autocast(self.device.type, enabled=False):
            return _sr_losses(self, self.output.float()), {}

    take_step(self, current_iter, losses, [self.net_g], self.opt["train"])


def _sr_losses(model: SRModel, output: Tensor) -> dict[str, Tensor]:
    found: dict[str, Tensor | None] = {}
    if model.cri_pix:
        found["l_pix"] = model.cri_pix(output, model.gt)
    if model.cri_perceptual:
        found["l_percep"], found["l_style"] = model.cri_perceptual(output, model.gt)
    return {name: loss for name, loss in found.items() if loss is not None}


def take_step(
    model: Any,
    current_iter: int,
    losses: Callable[[], Losses],
    networks: Sequence[nn.Module],
    train_opt: Mapping[str, Any],
    backward: Callable[[Tensor], None] = Tensor.backward,
) -> None:
    """Zero, forward, backward, clip, step, average: the options of `train` that every model here shares.

    * `precision`: `bf16` runs the networks under autocast; weights, losses and averages stay fp32.
    * `accumulate`: each batch goes through in so many parts, whose gradients are summed: the same step in a fraction
      of the memory, and the batch, the schedule and the iterations stay what they are.
    * `grad_clip`: the greatest norm of all gradients together.

    Args:
        model: with `lq` and `gt`, which `losses` finds part by part.
        current_iter: for the error.
        losses: computes the losses of the part that is there, each a mean over its samples.
        networks: whose gradients are exchanged between processes, at the last part alone.
        train_opt: the section `train`.
        backward: what follows the sum of the losses down.

    Raises:
        UserError: a loss or the norm is not finite; the weights are as they were.
    """
    bf16 = train_opt.get("precision") == "bf16"
    grad_clip = train_opt.get("grad_clip")
    model.optimizer_g.zero_grad()
    logged: OrderedDict[str, Tensor] = OrderedDict()
    for share, last in _parts(model, train_opt.get("accumulate") or 1):
        with ExitStack() as stack:
            if not last:
                for net in networks:
                    if isinstance(net, DistributedDataParallel):
                        stack.enter_context(net.no_sync())
            with torch.autocast(model.device.type, torch.bfloat16, enabled=bf16):
                summed, watched = losses()
            backward(share * torch.stack([one.float() for one in summed.values()]).sum())
        for name, value in {**summed, **watched}.items():
            logged[name] = logged.get(name, 0) + share * value.detach()  # type: ignore[assignment]
    model.log_dict = model.reduce_loss_dict(logged)
    parameters = [p for group in model.optimizer_g.param_groups for p in group["params"]]
    if grad_clip is not None:
        norm = nn.utils.clip_grad_norm_(parameters, grad_clip)
        _refuse({"norm of the gradients": norm.item()}, model, current_iter)
    _refuse(model.log_dict, model, current_iter)
    model.optimizer_g.step()
    if model.ema_decay > 0:
        model.model_ema(decay=model.ema_decay)


def _parts(model: Any, count: int) -> Iterator[tuple[float, bool]]:
    """Put one part of the batch after the other into `lq` and `gt`: its share, and whether it is the last."""
    if count == 1:
        yield 1.0, True
        return
    lq, gt = model.lq, model.gt
    pieces = list(zip(lq.chunk(count), gt.chunk(count), strict=True))
    for number, (model.lq, model.gt) in enumerate(pieces, 1):
        yield len(model.lq) / len(lq), number == len(pieces)
    model.lq, model.gt = lq, gt


def _refuse(values: Mapping[str, float], model: Any, current_iter: int) -> None:
    odd = {name: value for name, value in values.items() if not math.isfinite(value)}
    if odd:
        names = ", ".join(map(str, getattr(model, "fed", [])[:8])) or "unknown"
        raise UserError(
            f"iteration {current_iter}: the loss is not finite ({odd}) on the batch of {names}; look at these images, "
            "or go on from the last checkpoint with a smaller learning rate or with train.grad_clip"
        )
