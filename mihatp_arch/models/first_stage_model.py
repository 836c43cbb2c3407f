"""Training of the first stage of LDM and ResShift: HR goes in, and HR is to come out."""

from copy import deepcopy
from typing import Any

import torch
from basicsr.archs import build_network
from basicsr.models.sr_model import SRModel
from basicsr.utils.registry import MODEL_REGISTRY

from mihatp_arch.archs.autoencoder_arch import Autoencoder
from mihatp_arch.errors import UserError
from mihatp_arch.training.cuda_graphs import refuse_graphs
from mihatp_arch.training.step import Losses, take_step


@MODEL_REGISTRY.register()
class FirstStageModel(SRModel):
    """SRModel for an `Autoencoder`, which gets HR in the place of LR: the PSNR is that of the reconstruction.

    `train.latent_weight` weighs what holds the latents in shape (codebook or divergence). LDM's own training adds
    LPIPS, which `perceptual_opt` stands in for, and a discriminator, which this has not: L1 alone gives the highest
    PSNR, and it is PSNR that the first stage bounds.
    """

    @staticmethod
    def check_options(opt: dict[str, Any]) -> None:
        """Refuse what is no autoencoder's training, before data are opened."""
        refuse_graphs(opt)
        with torch.device("meta"):
            network = build_network(deepcopy(opt["network_g"]))
        if not isinstance(network, Autoencoder):
            raise UserError(f"network_g.type: FirstStageModel trains Autoencoder, not {type(network).__name__}")
        size = opt["datasets"]["train"].get("gt_size")
        if size % network.factor:
            raise UserError(
                f"datasets.train.gt_size: {size} is no multiple of {network.factor}, which this network needs"
            )
        if not opt["train"].get("pixel_opt"):
            raise UserError("train.pixel_opt: FirstStageModel needs it; give type: L1Loss")

    def feed_data(self, data: dict[str, Any]) -> None:
        """HR on both sides."""
        if "gt" not in data:
            raise UserError("a set without HR cannot test a first stage: give dataroot_gt")
        super().feed_data({**data, "lq": data["gt"]})

    def optimize_parameters(self, current_iter: int) -> None:
        """One step on the batch of `feed_data`."""
        take_step(self, current_iter, self.losses, [self.net_g], self.opt["train"])

    def losses(self) -> Losses:
        """Pixel loss, perceptual loss where there is one, and the latents' own."""
        self.output, latent = self.net_g(self.gt, with_loss=True)
        with torch.autocast(self.device.type, enabled=False):
            found = {"l_pix": self.cri_pix(self.output.float(), self.gt)}
            if self.cri_perceptual:
                found["l_percep"], _ = self.cri_perceptual(self.output.float(), self.gt)
            found["l_latent"] = self.opt["train"].get("latent_weight", 1.0) * latent.float()
        return {name: loss for name, loss in found.items() if loss is not None}, {}
