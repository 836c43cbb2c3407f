"""LDM, IDM and ResShift in BasicSR's model interface: a loss on what the network predicts, sampling in validation."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from basicsr.archs import build_network
from basicsr.models.sr_model import SRModel
from basicsr.utils import imwrite, tensor2img
from basicsr.utils.registry import MODEL_REGISTRY
from torch import Tensor
from torch.nn import functional as F

from mihatp_arch.archs.diffusion.base import Diffusion
from mihatp_arch.archs.diffusion.latent import LatentDiffusion
from mihatp_arch.errors import UserError
from mihatp_arch.training.cuda_graphs import refuse_graphs
from mihatp_arch.training.step import Losses, take_step

_SHOWN = 4  # images of a validation whose samples are put side by side


@MODEL_REGISTRY.register()
class DiffusionModel(SRModel):
    """SRModel for a `Diffusion` network: `pixel_opt` compares its output with ε, or with x_0 for ResShift.

    * `path.pretrain_network_first_stage`: trained weights of the `Autoencoder` inside LDM or ResShift, a file or a
      folder of diffusers. The network's own weights contain them, so that nothing else needs it.
    * `val.precision`: `bf16` samples under autocast.
    * Averaged weights (EMA) sample where there are any. A validation in training leaves
      `visualization/samples_<set>_<iteration>.png`: LR, sample and HR of its first images.
    """

    def __init__(self, opt: dict[str, Any]) -> None:
        self._samples: list[Tensor] = []
        super().__init__(opt)

    @staticmethod
    def check_options(opt: dict[str, Any]) -> None:
        """Refuse training options that do not fit together, before data are opened."""
        train, path = opt["train"], opt["path"]
        refuse_graphs(opt)
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
        """The first stage goes in before the average is made, which has it too."""
        trained = self.opt["path"].get("pretrain_network_first_stage")
        if trained:
            self.load_network(self.get_bare_model(self.net_g).first_stage, trained, True, "params_ema")
        super().init_training_settings()

    def setup_optimizers(self) -> None:
        """Only what is trained: not the first stage."""
        options = dict(self.opt["train"]["optim_g"])
        parameters = [p for p in self.net_g.parameters() if p.requires_grad]
        self.optimizer_g = self.get_optimizer(options.pop("type"), parameters, **options)
        self.optimizers.append(self.optimizer_g)

    def optimize_parameters(self, current_iter: int) -> None:
        """One step on the batch of `feed_data`."""
        take_step(self, current_iter, self.losses, [self.net_g], self.opt["train"])

    def losses(self) -> Losses:
        """The loss on the network's prediction, at one random t for each sample."""
        predicted, wanted = self.net_g(self.lq, self.gt)
        with torch.autocast(self.device.type, enabled=False):
            return {"l_diff": self.cri_pix(predicted.float(), wanted.float())}, {}

    def test(self) -> None:
        """Sample with the averaged network, else with `net_g`, which goes back to the mode that it was in."""
        network: Any = getattr(self, "net_g_ema", None) or self.get_bare_model(self.net_g)
        training, bf16 = network.training, self.opt["val"].get("precision") == "bf16"
        network.eval()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16), torch.compiler.set_stance("force_eager"):
            self.output = network.sample(self.lq, progress=bool(self.opt["val"].get("pbar")))
        network.train(training)

    def validation(self, dataloader: Any, current_iter: int, tb_logger: Any, save_img: bool = False) -> None:
        """BasicSR's, and the samples of the first images as one picture."""
        self._samples = []
        super().validation(dataloader, current_iter, tb_logger, save_img)
        if self.opt.get("rank", 0) != 0 or not self._samples:
            return
        picture = tensor2img(torch.cat(self._samples, 1), rgb2bgr=True)
        name = f"samples_{dataloader.dataset.opt['name']}_{current_iter}"
        imwrite(picture, str(Path(self.opt["path"]["visualization"]) / f"{name}.png"))
        if tb_logger:
            tb_logger.add_image(name.rpartition("_")[0], np.flip(picture, -1), current_iter, dataformats="HWC")

    def get_current_visuals(self) -> dict[str, Tensor]:
        """BasicSR's; the first of a validation are kept, beside one another."""
        visuals = super().get_current_visuals()
        if not self.opt["is_train"] or len(self._samples) == _SHOWN:
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
