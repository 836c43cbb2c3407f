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
from mihatp_arch.training.lq_augment import augment_lq

# The terms, whose sum is minimised, and the values that are only logged, by the names of the log.
Losses = tuple[Mapping[str, Tensor], Mapping[str, Tensor]]


def feed_data(self: Any, data: Mapping[str, Any]) -> None:
    """BasicSR's, and the names of the images of the batch, which errors about it name."""
    self.lq = data["lq"].to(self.device)
    if "gt" in data:
        self.gt = data["gt"].to(self.device)
    self.image_names = list(data.get("lq_path", ()))


def optimize_parameters(self: SRModel, current_iter: int) -> None:
    """One step of BasicSR's SRModel: pixel and perceptual loss of `net_g`."""
    take_step(self, current_iter, lambda: sr_losses(self), [self.net_g], self.opt["train"])


def sr_losses(model: SRModel) -> Losses:
    """The losses of BasicSR's SRModel on `model.lq` and `model.gt`, in fp32."""
    model.output = model.net_g(model.lq)
    with torch.autocast(model.device.type, enabled=False):
        output = model.output.float()
        terms: dict[str, Tensor | None] = {}
        if model.cri_pix:
            terms["l_pix"] = model.cri_pix(output, model.gt)
        if model.cri_perceptual:
            terms["l_percep"], terms["l_style"] = model.cri_perceptual(output, model.gt)
    return {name: loss for name, loss in terms.items() if loss is not None}, {}


def take_step(
    model: Any,
    current_iter: int,
    losses: Callable[[], Losses],
    networks: Sequence[nn.Module],
    train_opt: Mapping[str, Any],
    backward: Callable[[Tensor], None] = Tensor.backward,
) -> None:
    """Zero, forward, backward, clip, step, average: the options of `train` that all models share.

    * `precision`: `bf16` runs the networks under autocast; weights, losses and averages stay fp32.
    * `accumulate`: each batch goes through in this number of parts, whose gradients are summed. The step is the same
      and takes a fraction of the memory; batch size, schedule and iterations stay as they are.
    * `grad_clip`: the largest norm of all gradients together.
    * `lq_augment`: JPEG compression of a share of the LR images.

    Args:
        model: has `lq` and `gt`, which become one part of the batch after the other.
        current_iter: for the error.
        losses: computes the losses of the part in `model.lq` and `model.gt`, each a mean over its samples.
        networks: their gradients are exchanged between processes, once for each batch.
        train_opt: the section `train`.
        backward: computes the gradients of the loss.

    Raises:
        UserError: a loss or the norm is not finite; the weights are as they were.
    """
    bf16 = train_opt.get("precision") == "bf16"
    model.optimizer_g.zero_grad()
    model.lq = augment_lq(model.lq, train_opt)
    logged: OrderedDict[str, Tensor] = OrderedDict()
    for share, last in _parts_of_batch(model, train_opt.get("accumulate") or 1):
        with ExitStack() as stack:
            if not last:
                for net in networks:
                    if isinstance(net, DistributedDataParallel):
                        stack.enter_context(net.no_sync())
            with torch.autocast(model.device.type, torch.bfloat16, enabled=bf16):
                terms, values = losses()
            backward(share * torch.stack([term.float() for term in terms.values()]).sum())
        for name, value in {**terms, **values}.items():
            logged[name] = logged.get(name, torch.zeros_like(value)) + share * value.detach()
    model.log_dict = model.reduce_loss_dict(logged)
    clip_gradients(model, model.optimizer_g, train_opt.get("grad_clip"), current_iter)
    refuse_not_finite(model.log_dict, model, current_iter)
    model.optimizer_g.step()
    if model.ema_decay > 0:
        model.model_ema(decay=model.ema_decay)


def _parts_of_batch(model: Any, count: int) -> Iterator[tuple[float, bool]]:
    """Make `lq` and `gt` one part of the batch after the other: gives its share of the batch, and if it is the last."""
    if count == 1:
        yield 1.0, True
        return
    lq, gt = model.lq, model.gt
    parts = list(zip(lq.chunk(count), gt.chunk(count), strict=True))
    for number, (model.lq, model.gt) in enumerate(parts, 1):
        yield len(model.lq) / len(lq), number == len(parts)
    model.lq, model.gt = lq, gt


def clip_gradients(model: Any, optimizer: torch.optim.Optimizer, largest: float | None, current_iter: int) -> None:
    """Scale the gradients down to the norm `largest`, if it is given. Raises `UserError` where they are not finite."""
    if largest is not None:
        norm = nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], largest)
        refuse_not_finite({"norm of the gradients": norm.item()}, model, current_iter)


def refuse_not_finite(values: Mapping[str, float], model: Any, current_iter: int) -> None:
    """Raise `UserError`, which names the images of the batch, if a value is infinite or no number."""
    wrong = {name: value for name, value in values.items() if not math.isfinite(value)}
    if wrong:
        names = ", ".join(map(str, getattr(model, "image_names", [])[:8])) or "unknown"
        raise UserError(
            f"iteration {current_iter}: the loss is not finite ({wrong}) on the batch of {names}; look at these "
            "images, or go on from the last checkpoint with a smaller learning rate or with train.grad_clip"
        )
