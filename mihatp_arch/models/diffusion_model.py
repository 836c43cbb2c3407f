"""Training of LDM, IDM and ResShift: a loss of the network's prediction; validation samples."""

from collections import OrderedDict
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from basicsr.archs import build_network
from basicsr.utils import imwrite, tensor2img
from basicsr.utils.registry import MODEL_REGISTRY
from torch import Tensor
from torch.nn import functional as F

from mihatp_arch.archs.diffusion.base import Diffusion
from mihatp_arch.archs.diffusion.latent import LatentDiffusion
from mihatp_arch.errors import UserError
from mihatp_arch.models.base_model import LossModel, refuse_cuda_graphs
from mihatp_arch.training.step import Losses
from mihatp_arch.training.validation import network_in_eval_mode

_PICTURED = 4  # the number of images of a validation in the picture of samples


@MODEL_REGISTRY.register()
class DiffusionModel(LossModel):
    """Trains a `Diffusion` network: `pixel_opt` compares its output with ε, or with x_0 for ResShift.

    * `path.pretrain_network_first_stage`: trained weights of the `Autoencoder` inside LDM or ResShift: a file, or
      a folder of diffusers. Only the start of a training needs them, because the network's own weights contain them.
    * `val.precision`: `bf16` samples under autocast.
    * Averaged weights (EMA) sample where there are any. A validation in training writes
      `visualization/samples_<set>_<iteration>.png`: LR, sample and HR of its first images.
    """

    def __init__(self, opt: dict[str, Any]) -> None:
        self._samples: list[Tensor] = []
        super().__init__(opt)

    @staticmethod
    def check_options(opt: dict[str, Any]) -> None:
        """Refuse training options that do not fit together, before data are opened."""
        train, path = opt["train"], opt["path"]
        refuse_cuda_graphs(opt)
        if train.get("perceptual_opt"):
            raise UserError("train.perceptual_opt: DiffusionModel has no images to compare in training; remove it")
        if not train.get("pixel_opt"):
            raise UserError("train.pixel_opt: DiffusionModel needs it; give type: MSELoss")
        with torch.device("meta"):
            network = build_network(deepcopy(opt["network_g"]))
        if not isinstance(network, Diffusion):
            raise UserError(f"network_g.type: DiffusionModel trains LDM, IDM or ResShift, not {type(network).__name__}")
        size, multiple = opt["datasets"]["train"].get("gt_size"), network.multiple * network.upscale
        if size % multiple:
            raise UserError(f"datasets.train.gt_size: {size} is no multiple of {multiple}, which this network needs")
        trained = path.get("pretrain_network_first_stage") or path.get("pretrain_network_g")
        if isinstance(network, LatentDiffusion) and not trained:
            raise UserError(
                f"path.pretrain_network_first_stage: {type(network).__name__} needs a trained first stage: `basicsr "
                "train -opt options/train_VQF4_x4.yml` makes one, a folder of diffusers is one too"
            )

    def init_training_settings(self) -> None:
        """Load the first stage before BasicSR builds the averaged network as a copy."""
        weights = self.opt["path"].get("pretrain_network_first_stage")
        if weights:
            self.load_network(self.get_bare_model(self.net_g).first_stage, weights, True, "params_ema")
        super().init_training_settings()

    def losses(self) -> Losses:
        """The loss of the network's prediction, at one random t for each sample, in fp32."""
        predicted, target = self.net_g(self.lq, self.gt)
        with torch.autocast(self.device.type, enabled=False):
            return {"l_diff": self.cri_pix(predicted.float(), target.float())}, {}

    def test(self) -> None:
        """Sample `self.output`, with a bar over the steps where `val.pbar` is true."""
        bf16 = self.opt["val"].get("precision") == "bf16"
        with network_in_eval_mode(self) as network, torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            diffusion = self.get_bare_model(network)
            self.output = diffusion.sample(self.lq, progress=bool(self.opt["val"].get("pbar")))

    def validation(self, dataloader: Any, current_iter: int, tb_logger: Any, save_img: bool = False) -> None:
        """BasicSR's, and one picture of LR, sample and HR of the first images."""
        self._samples = []
        super().validation(dataloader, current_iter, tb_logger, save_img)
        if self.opt.get("rank", 0) != 0 or not self._samples:
            return
        picture = tensor2img(torch.cat(self._samples, 1), rgb2bgr=True)
        name = f"samples_{dataloader.dataset.opt['name']}_{current_iter}"
        imwrite(picture, str(Path(self.opt["path"]["visualization"]) / f"{name}.png"))
        if tb_logger:
            tb_logger.add_image(name.rpartition("_")[0], np.flip(picture, -1), current_iter, dataformats="HWC")

    def get_current_visuals(self) -> OrderedDict[str, Tensor]:
        """BasicSR's. Those of the first images of a validation also become rows of the picture of samples."""
        visuals = super().get_current_visuals()
        if not self.opt["is_train"] or len(self._samples) == _PICTURED:
            return visuals
        height, width = visuals["result"].shape[-2:]
        images = [
            F.interpolate(visuals["lq"], (height, width)),
            visuals["result"],
            *([visuals["gt"]] * ("gt" in visuals)),
        ]
        row = torch.cat(images, 3)[0]
        if all(row.shape[2] == other.shape[2] for other in self._samples):
            self._samples.append(row)
        return visuals
