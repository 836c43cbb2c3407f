"""LPIPS and ST-LPIPS: learned distances between two images in the features of a network trained on photographs.

Sources: Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, CVPR 2018 (LPIPS, version
0.1); Ghildyal and Liu, Shift-tolerant Perceptual Similarity Metric, ECCV 2022 (ST-LPIPS).
"""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from mihatp_arch.errors import UserError
from mihatp_arch.losses import stlpips
from mihatp_arch.losses.alexnet import AlexNet
from mihatp_arch.losses.vgg import IMAGENET_MEAN, IMAGENET_STD, VGG
from mihatp_arch.losses.weight_files import imagenet_weights, load_tensors, read_state_dict
from mihatp_arch.transforms.choices import check_choice

DistanceName = Literal["alex", "vgg", "st-alex", "st-vgg"]
_NETWORKS: Mapping[str, stlpips.STLPIPSName] = {"alex": "alexnet", "vgg": "vgg16"}
_VGG_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")


class PerceptualDistance(nn.Module):
    """The distance of two images: 0 for equal images. It never trains; gradients flow through it to the images.

    At each of five layers, the features of a pixel are divided by their norm. The squared differences of the two images
    are weighted by channel and averaged over the pixels. The distance is the sum over the layers.

    Args:
        net: `alex` or `vgg`: LPIPS with torchvision's ImageNet weights of AlexNet or VGG16. `st-alex` or `st-vgg`:
            ST-LPIPS with the weights in the package stlpips-pytorch, which needs no download at run time.
        weights: the file of the network's weights; None: where torchvision or the package has it. For `alex` and `vgg`
            it is torchvision's state dict, for the others one of the two files of stlpips-pytorch.
        subject: the loss or metric that asks; an error begins with it.

    Raises:
        UserError: an unknown net, or its weights are missing, cannot be downloaded or do not fit.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, net: DistanceName, weights: Path | None = None, *, subject: str) -> None:
        super().__init__()
        check_choice(net, get_args(DistanceName), subject=f"{subject}: net")
        self.net, self.subject = net, subject
        shift_tolerant, network = net.startswith("st-"), _NETWORKS[net.removeprefix("st-")]
        with torch.random.fork_rng(devices=[]):  # construction draws random numbers; a training must not notice
            self.body = (
                AlexNet(shift_tolerant=shift_tolerant)
                if network == "alexnet"
                else VGG("vgg16", _VGG_LAYERS, shift_tolerant=shift_tolerant)
            )
        if shift_tolerant:
            path = weights or stlpips.weights_file(network, subject=subject)
            state = read_state_dict(path, subject=subject, otherwise="give one of the files of stlpips-pytorch")
            load_tensors(self.body, stlpips.torchvision_names(state, network), path, subject=subject)
        else:
            otherwise = f"take net: st-{net} (pip install {stlpips.PACKAGE})"
            path = weights or imagenet_weights(network, subject=subject, otherwise=otherwise)
            load_tensors(self.body, read_state_dict(path, subject=subject, otherwise=otherwise), path, subject=subject)
            path = _lpips_file(net)
            state = read_state_dict(path, subject=subject, otherwise="pip install --force-reinstall lpips")
        for layer in range(5):
            self.register_buffer(
                f"channel_weights{layer}", _channel_weights(state, layer, path, subject), persistent=False
            )
        for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "PerceptualDistance":
        """Stay in eval mode for any `mode`."""
        return super().train(False)

    def extra_repr(self) -> str:
        return f"net={self.net!r}"

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """The distances `[B]` of RGB images `[B, 3, H, W]` in [0, 1], in fp32 also under autocast.

        Raises:
            UserError: the images are not RGB, differ in shape, or are too small for the network.
        """
        if x.shape != y.shape or x.dim() != 4 or x.shape[1] != 3:
            raise UserError(
                f"{self.subject}: needs RGB images of one shape [B, 3, H, W], not {tuple(x.shape)} and {tuple(y.shape)}"
            )
        if min(x.shape[2:]) < self.body.least:
            raise UserError(
                f"{self.subject}: images of {x.shape[2]}x{x.shape[3]} pixels are too small for {self.net}, which needs "
                f"{self.body.least}x{self.body.least}"
            )
        with torch.autocast(x.device.type, enabled=False):
            features = zip(self._features(x), self._features(y), strict=True)
            layers = [self._layer(layer, *both) for layer, both in enumerate(features)]
            return torch.stack(layers).sum(0)

    def _features(self, x: Tensor) -> list[Tensor]:
        x = (x.float() - self.mean) / self.std
        if x.device.type == "cpu":  # the networks take 0.75 of the time in this layout
            x = x.contiguous(memory_format=torch.channels_last)
        return self.body(x)

    def _layer(self, layer: int, x: Tensor, y: Tensor) -> Tensor:
        """The distances `[B]` of features `[B, C, H, W]` of one layer."""
        weights = self.get_buffer(f"channel_weights{layer}")
        return ((_unit(x) - _unit(y)).square() * weights).sum(1).mean((1, 2))


def _unit(x: Tensor) -> Tensor:
    """Features `[B, C, H, W]` over their norm over C. The gradient of a square root at 0 would be infinite."""
    return x / (x.square().sum(1, keepdim=True) + 1e-20).sqrt().add(1e-10)


def _channel_weights(state: Mapping[str, Tensor], layer: int, path: Path, subject: str) -> Tensor:
    """The weights `[1, C, 1, 1]` of the channels of a layer."""
    name = f"lin{layer}.model.1.weight"
    if name not in state:
        raise UserError(f"{subject}: {path} lacks {name}: another network's?")
    return state[name]


def _lpips_file(net: str) -> Path:
    """The channel weights of LPIPS, version 0.1, in the package lpips, which takes a second to import."""
    spec = find_spec("lpips")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("the package lpips is missing: pip install lpips")
    return Path(spec.submodule_search_locations[0]) / "weights" / "v0.1" / f"{net}.pth"
