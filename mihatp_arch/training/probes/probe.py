"""Measures some steps of a training of MiHATP for the log, and warns where the contrastive loss does harm."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from basicsr.utils import get_root_logger
from torch import Tensor

from mihatp_arch.losses.contrastive_loss import ContrastiveLoss
from mihatp_arch.training.probes.contrastive import Images, better_than_down_up, contrastive_values
from mihatp_arch.training.probes.equation_4 import term_sizes
from mihatp_arch.training.validation import network_in_eval_mode

_AGAINST = -0.05  # a cosine of gradients that is more than chance
_CLOSER = 0.25  # a share of negatives nearer to HR than SR that is too large
_TERMS = {"eq4_x": "X", "eq4_x_norm": "X_Norm", "eq4_sw_msa": "SW-MSA", "eq4_cab": "α·CAB", "eq4_dat": "β·DAT"}


class Probe:
    """Measures iteration 1 and every `every`-th one; 0 measures none.

    It measures after the step, on images that the step made: the weights, gradients and generators of the training are
    the same with and without it. The blocks of Eq. 4 run once more on one image, in the network that is validated.
    """

    def __init__(self, *, every: int) -> None:
        self.every = every
        self._warned = False

    @contextmanager
    def of_step(self, model: Any, iteration: int) -> Iterator[None]:
        """Around a step of `model`, a MiHATPModel: the numbers join its `log_dict`, and a line goes into the log."""
        if not self.every or (iteration != 1 and iteration % self.every):
            yield
            return
        seen: list[Images] = []

        def note(_: Any, inputs: tuple[Tensor | None, ...], output: Any) -> None:
            sr, positives, negatives = (None if x is None else x.detach() for x in inputs)
            if sr is not None and not seen:  # the first part of the batch
                seen.append(Images(model.gt, sr, positives, negatives))

        loss: ContrastiveLoss | None = model.cri_cl
        with ExitStack() as stack:
            if loss is not None:
                stack.callback(loss.register_forward_hook(note).remove)
            yield
        values: dict[str, Tensor] = {}
        if loss is not None:
            values |= contrastive_values(seen[0], loss, model.cri_pix)
        with network_in_eval_mode(model) as network:
            values |= term_sizes(model.get_bare_model(network), model.lq[:1])
        logged: dict[str, float] = model.reduce_loss_dict(OrderedDict(values))
        model.log_dict |= logged
        get_root_logger().info(f"Probe of iteration {iteration}: {describe(logged)}")
        if seen and better_than_down_up(seen[0]) and not self._warned:
            self._warn(logged, iteration, model.opt["train"].get("irreversible_opt") or {})

    def _warn(self, values: Mapping[str, float], iteration: int, pool: Mapping[str, Any]) -> None:
        """Say once that the contrastive loss works against Eq. 6."""
        if values["cl_cosine"] >= _AGAINST and values["neg_closer"] <= _CLOSER:
            return
        self._warned = True
        advice = "give operations larger severities" if pool.get("operations_on", "lr") == "lr" else "set it to lr"
        get_root_logger().warning(
            f"train.irreversible_opt.operations_on: at iteration {iteration} the contrastive loss works against Eq. 6: "
            f"the cosine of its gradient to that of the pixel loss is {values['cl_cosine']:+.2f}, and "
            f"{values['neg_closer']:.0%} of the negatives are nearer to HR than SR; {advice}, or lower "
            "train.contrastive_opt.loss_weight"
        )


def describe(values: Mapping[str, float]) -> str:
    """The numbers of a probe as one line."""
    parts = []
    for name, label in (("sim_pos", "Sim(r, p)"), ("sim_neg", "Sim(r, n)"), ("cl", "CL / log(1 + K_n)")):
        layers = [value for key, value in values.items() if key.rpartition("_")[0] == name and key[-1].isdigit()]
        if layers:
            parts.append(f"{label} by layer {' '.join(f'{value:.3f}' for value in layers)}")
    if "cl_cosine" in values:
        parts.append(f"gradient of CL to that of L1: size {values['cl_to_l1']:.3f}, cosine {values['cl_cosine']:+.3f}")
    if "neg_closer" in values:
        parts.append(f"negatives nearer to HR than SR: {values['neg_closer']:.0%}")
    sizes = [f"{label} {values[name]:.2g}" for name, label in _TERMS.items() if name in values]
    if sizes:
        parts.append(f"standard deviations in Eq. 4: {', '.join(sizes)}")
    return "; ".join(parts)
