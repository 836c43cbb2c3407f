"""Training of HoVer-Net in BasicSR's loop: LR is a picture of tissue, HR the coded label map of its nuclei."""

from copy import deepcopy
from typing import Any

import numpy as np
import torch
from basicsr.archs import build_network
from basicsr.utils.registry import MODEL_REGISTRY
from torch import Tensor
from torchvision.transforms import ColorJitter

from mihatp_arch.archs.hovernet_arch import HoVerNet
from mihatp_arch.errors import UserError
from mihatp_arch.losses.hovernet_loss import HoVerNetLoss, NucleiTargets
from mihatp_arch.models.base_model import LossModel, refuse_cuda_graphs
from mihatp_arch.nuclei.coded_labels import decode, encode
from mihatp_arch.nuclei.postprocess import segment_typed
from mihatp_arch.nuclei.predict import predict
from mihatp_arch.nuclei.targets import hv_map
from mihatp_arch.nuclei.windows import WINDOW, is_window, windows_of
from mihatp_arch.training.step import Losses
from mihatp_arch.training.validation import network_in_eval_mode


@MODEL_REGISTRY.register()
class HoVerNetModel(LossModel):
    """Trains a `HoVerNet` on pairs of tissue and coded label maps (`nuclei/coded_labels.py`) of scale 1.

    `gt_size` is the side of the network's input: 270, 278, … (`original`) or 256, 264, … (`fast`).
    `train.frozen_iterations` are those of the first phase, in which the encoder is not trained.
    `train.colour_jitter` is the largest change of brightness, contrast and saturation; the hue changes by a tenth of
    it. A validation segments whole images with windows of `val.window` px.
    """

    @staticmethod
    def check_options(opt: dict[str, Any]) -> None:
        """Refuse options that are not those of a HoVer-Net, before data are opened."""
        refuse_cuda_graphs(opt)
        with torch.device("meta"):
            network = build_network(deepcopy(opt["network_g"]))
        if not isinstance(network, HoVerNet):
            raise UserError(f"network_g.type: HoVerNetModel trains HoVerNet, not {type(network).__name__}")
        if opt.get("scale") != 1:
            raise UserError(f"scale: {opt.get('scale')}; HoVerNetModel needs 1: label maps are as large as the tissue")
        loss = (opt["train"].get("pixel_opt") or {}).get("type")
        if loss != HoVerNetLoss.__name__ or opt["train"].get("perceptual_opt"):
            raise UserError(f"train.pixel_opt.type: {loss}; HoVerNetModel needs HoVerNetLoss, and no perceptual_opt")
        if opt.get("dist") and opt["train"].get("frozen_iterations") and not opt.get("find_unused_parameters"):
            raise UserError("train.frozen_iterations: several processes need find_unused_parameters: true beside it")
        for key, side in (
            ("datasets.train.gt_size", opt["datasets"]["train"].get("gt_size")),
            ("val.window", (opt.get("val") or {}).get("window")),
        ):
            if side is not None and not is_window(side, network.mode):
                raise UserError(f"{key}: {side}; a HoVerNet of mode {network.mode} takes {windows_of(network.mode)}")

    def optimize_parameters(self, current_iter: int) -> None:
        """One step on the batch of `feed_data`; the encoder is left as it is in the first phase."""
        trained = current_iter > self.opt["train"].get("frozen_iterations", 0)
        for module in self.get_bare_model(self.net_g).encoder():
            module.requires_grad_(trained)
        super().optimize_parameters(current_iter)

    def losses(self) -> Losses:
        """The terms of `train.pixel_opt`, in fp32."""
        jitter = self.opt["train"].get("colour_jitter", 0.0)
        lq = self.lq if not jitter else _jittered(self.lq, jitter)
        maps = {name: plane.float() for name, plane in self.net_g(lq * 255).items()}
        with torch.autocast(self.device.type, enabled=False):
            return self.cri_pix(maps, self._targets(maps["np"].shape[-2:])), {}

    def _targets(self, size: torch.Size) -> NucleiTargets:
        """The targets in the middle of the batch `gt`, `size` px high and wide."""
        pictures = (self.gt * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        top, left = ((side - wanted) // 2 for side, wanted in zip(pictures.shape[1:3], size, strict=True))
        inner = slice(top, top + size[0]), slice(left, left + size[1])
        decoded = [decode(picture) for picture in pictures]
        nuclei = np.stack([labels[inner] > 0 for labels, _ in decoded])
        hv = np.stack([hv_map(labels)[:, inner[0], inner[1]] for labels, _ in decoded])
        types = np.stack([types[inner] for _, types in decoded]).astype(np.int64)
        number = self.get_bare_model(self.net_g).nr_types
        if number is not None and types.max() >= number:
            raise UserError(f"a label map has type {types.max()}: network_g.nr_types {number} has 0 to {number - 1}")
        return NucleiTargets(*(torch.from_numpy(array).to(self.device) for array in (nuclei, hv, types)))

    def test(self) -> None:
        """Segment the picture `lq`, [1, 3, H, W]: `output` is its coded label map, in [0, 1]."""
        image = (self.lq[0] * 255).round().byte().permute(1, 2, 0).cpu().numpy()
        with network_in_eval_mode(self) as network:
            bare = self.get_bare_model(network)
            window = self.opt["val"].get("window") or WINDOW[bare.mode]
            maps = predict(bare, image, window=window, device=self.device)
        self.output = torch.from_numpy(encode(*segment_typed(maps))).permute(2, 0, 1)[None].float() / 255


def _jittered(images: Tensor, strength: float) -> Tensor:
    """Images of other colours, each with its own, drawn from torch's generator."""
    jitter = ColorJitter(strength, strength, strength, strength / 10)
    return torch.stack([jitter(image) for image in images])
