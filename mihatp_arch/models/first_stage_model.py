"""Training of the first stage of LDM and ResShift: an autoencoder that reconstructs HR."""

from copy import deepcopy
from typing import Any

import torch
from basicsr.archs import build_network
from basicsr.utils.registry import MODEL_REGISTRY

from mihatp_arch.archs.autoencoder_arch import Autoencoder
from mihatp_arch.errors import UserError
from mihatp_arch.models.base_model import LossModel, refuse_cuda_graphs
from mihatp_arch.training.step import Losses


@MODEL_REGISTRY.register()
class FirstStageModel(LossModel):
    """Trains an `Autoencoder`, which gets HR in the place of LR: the PSNR is that of the reconstruction.

    `train.latent_weight` is the weight of the loss of the latents (codebook or divergence). The original training of
    LDM adds LPIPS (`perceptual_opt: {type: LPIPSLoss}`) and a discriminator (`AdversarialFirstStageModel`).
    L1 alone gives the highest PSNR, and the PSNR of the first stage is the limit for the PSNR of the whole network.
    """

    @staticmethod
    def check_options(opt: dict[str, Any]) -> None:
        """Refuse options that are not those of an autoencoder's training, before data are opened."""
        refuse_cuda_graphs(opt)
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
        """HR is input and target."""
        if "gt" not in data:
            raise UserError("a set without HR cannot test a first stage: give dataroot_gt")
        super().feed_data({**data, "lq": data["gt"]})

    def losses(self) -> Losses:
        """Pixel loss, perceptual loss where there is one, and the loss of the latents, in fp32."""
        self.output, latent = self.net_g(self.gt, with_loss=True)
        with torch.autocast(self.device.type, enabled=False):
            terms = {"l_pix": self.cri_pix(self.output.float(), self.gt)}
            if self.cri_perceptual:
                terms["l_percep"], _ = self.cri_perceptual(self.output.float(), self.gt)
            terms["l_latent"] = self.opt["train"].get("latent_weight", 1.0) * latent.float()
        return {name: loss for name, loss in terms.items() if loss is not None}, {}
