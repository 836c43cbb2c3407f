"""The base class of the models here: BasicSR's SRModel with one hook, `losses()`."""

from abc import ABC, abstractmethod
from typing import Any

from basicsr.models.sr_model import SRModel
from torch import Tensor, nn

from mihatp_arch.errors import UserError
from mihatp_arch.training.step import Losses, take_step


class LossModel(SRModel, ABC):
    """SRModel that trains `trained_networks` with the losses of `losses()`.

    A model says what it minimises, and nothing about optimizers, precision, parts of a batch, clipping or averages.
    """

    @abstractmethod
    def losses(self) -> Losses:
        """The losses on the images `self.lq` and `self.gt`, [B, 3, H, W] in [0, 1]. It sets `self.output`, if any.

        Returns:
            The terms, whose sum is minimised, and the values that are only logged, by the names of the log. A term is a
            mean over the samples.
        """

    @property
    def trained_networks(self) -> list[nn.Module]:
        """The networks whose parameters the optimizer gets."""
        return [self.net_g]

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients of the sum of the terms."""
        loss.backward()

    def setup_optimizers(self) -> None:
        """One optimizer, `train.optim_g`, for the trainable parameters of all `trained_networks`."""
        options = dict(self.opt["train"]["optim_g"])
        parameters = [p for network in self.trained_networks for p in network.parameters() if p.requires_grad]
        self.optimizer_g = self.get_optimizer(options.pop("type"), parameters, **options)
        self.optimizers.append(self.optimizer_g)

    def optimize_parameters(self, current_iter: int) -> None:
        """One step on the batch of `feed_data`."""
        take_step(self, current_iter, self.losses, self.trained_networks, self.opt["train"], self.backward)


def refuse_cuda_graphs(opt: dict[str, Any]) -> None:
    """For models whose network takes more than one batch of images. Raises `UserError`."""
    if opt["train"].get("cuda_graphs"):
        raise UserError(f"train.cuda_graphs: not for {opt['model_type']}; set it to false")
