"""The frozen feature network, which gives layers 1 to L of the contrastive loss (paper Eq. 8 and 9)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from basicsr.utils import get_root_logger
from torch import Tensor, nn

from mihatp_arch.errors import UserError
from mihatp_arch.losses.stlpips import PACKAGE, holds_stlpips, torchvision_names, weights_file
from mihatp_arch.losses.vgg import IMAGENET_MEAN, IMAGENET_STD, LAYERS, VGG, VGGName, layer_indices
from mihatp_arch.losses.weight_files import first_line, imagenet_weights, load_tensors, read_state_dict
from mihatp_arch.transforms.choices import check_choice

_SUBJECT = "features: weights"
_OTHERWISE = "give a state dict, imagenet or random"

RANDOM_WEIGHTS_SEED = 0  # fixed, so that a resumed training has the same features


class FeatureNetwork(nn.Module):
    """Features of images in [0, 1], by a network that never trains; gradients flow through it to the images.

    The paper does not name its network. The default is the network of most perceptual and contrastive losses.

    Args:
        network: vgg19 or vgg16 (torchvision's), or any timm network with `features_only`.
        weights: one of
            imagenet: a local file, else downloaded;
            stlpips: for vgg16, the file in the package stlpips-pytorch, which needs no download at run time. The
                network is then the VGG16 of ST-LPIPS: torchvision's convolutions, but every pooling takes the largest
                of 2×2 pixels at stride 1, reflects 2 pixels, blurs with [1, 2, 1] / 4 each way, and takes every second
                pixel. A layer after n poolings has about W / 2^n + 2 pixels across. Its layers in ST-LPIPS are
                relu1_2, relu2_2, relu3_3, relu4_3, relu5_3;
            random;
            the path of a state dict: of torchvision's vgg19 or vgg16, of ST-LPIPS's VGG16 (then the network is that of
                stlpips), or a .pth or .safetensors in timm's layout. It may end after the last layer that is used.
        layers: names or torchvision's indices of layers of vgg19 or vgg16 (None: relu1_1, relu2_1, relu3_1, relu4_1,
            relu5_1); timm's `out_indices` for its networks (None: all).

    Raises:
        UserError: the network or a layer is unknown, or the weights are missing, cannot be downloaded or do not fit.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, *, network: str = "vgg19", weights: str = "imagenet", layers: Sequence[str | int] | None = None
    ) -> None:
        super().__init__()
        if layers is not None and (isinstance(layers, str) or not layers or len(set(layers)) < len(layers)):
            raise UserError(f"features: layers: {layers!r} must be a list of one or more layers, each named once")
        self.network, self.weights = network, weights
        # Construction draws random numbers. The choice of features must not change those of the training.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(RANDOM_WEIGHTS_SEED)
            if network == "vgg19" or network == "vgg16":
                self.body, trained_on = _vgg(network, weights, layers)
            else:
                self.body, trained_on = _from_timm(network, weights, layers)
        if weights == "random":
            get_root_logger().warning(
                f"features: {network} has random weights; the contrastive loss will not be that of the paper. "
                "Say weights: imagenet for real training."
            )
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(trained_on[name]).view(1, 3, 1, 1), persistent=False)
        self.fixed_size = tuple(trained_on["input_size"][1:]) if trained_on.get("fixed_input_size") else None
        self.channels_last = getattr(self.body, "output_fmt", "NCHW") == "NHWC"  # timm's Swin, for example
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "FeatureNetwork":
        """Stay in eval mode for any `mode`: running statistics and dropout must not change."""
        return super().train(False)

    def extra_repr(self) -> str:
        return f"network={self.network!r}, weights={self.weights!r}"

    def forward(self, x: Tensor, *, bf16: bool = False) -> list[Tensor]:
        """Features in fp32, also under autocast.

        Args:
            x: RGB images `[B, 3, H, W]` in [0, 1].
            bf16: run the network under bf16 autocast.

        Returns:
            L tensors `[B, C_l, H_l, W_l]`, in the order of `layers`.

        Raises:
            UserError: the images are not RGB, are too small for the deepest layer, or have not the network's fixed
                size.
        """
        if x.dim() != 4 or x.shape[1] != 3:
            raise UserError(f"features: needs RGB images [B, 3, H, W], not {tuple(x.shape)}")
        if self.fixed_size not in (None, tuple(x.shape[-2:])):
            raise UserError(f"features: {self.network} takes images of {self.fixed_size}, not {tuple(x.shape[-2:])}")
        x = (x.float() - self.mean) / self.std
        if x.device.type == "cpu":  # convolutions are 1.1 to 1.2 times as fast in this layout
            x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=bf16):
            features = [feature.float() for feature in self.body(x)]
        return [feature.movedim(-1, 1) if self.channels_last else feature for feature in features]


def _vgg(network: VGGName, weights: str, layers: Sequence[str | int] | None) -> tuple[nn.Module, Mapping[str, Any]]:
    # ST-LPIPS's images in [-1, 1] are normalised to the same numbers.
    trained_on = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}
    layers = layer_indices(layers, network)  # an unknown layer is an error before anything is downloaded
    if weights == "random":
        body = VGG(network, layers)
        body.reset_parameters()
        return body, trained_on
    if weights == "stlpips":
        path = _stlpips_file(network)
    else:
        path = _imagenet(network) if weights == "imagenet" else Path(weights)
    state = read_state_dict(path, subject=_SUBJECT, otherwise=_OTHERWISE)
    shift_tolerant = network == "vgg16" and holds_stlpips(state)
    body = VGG(network, layers, shift_tolerant=shift_tolerant)
    load_tensors(body, torchvision_names(state, "vgg16") if shift_tolerant else state, path, subject=_SUBJECT)
    return body, trained_on


def _imagenet(network: str) -> Path:
    otherwise = f"take network: vgg16 with weights: stlpips (pip install {PACKAGE}), or say weights: random"
    return imagenet_weights(network, subject="features", otherwise=otherwise)


def _stlpips_file(network: str) -> Path:
    if network != "vgg16":
        raise UserError(f"features: weights: stlpips are those of vgg16, not of {network}: set network: vgg16")
    return weights_file("vgg16", subject="features: weights: stlpips")


def _from_timm(network: str, weights: str, layers: Sequence[str | int] | None) -> tuple[nn.Module, Mapping[str, Any]]:
    import timm  # takes 0.7 s

    if ":" not in network:  # timm itself resolves hf-hub:owner/name
        check_choice(network.partition(".")[0], [*LAYERS, *timm.list_models()], subject="features: network")
    indices: dict[str, Any] = {} if layers is None else {"out_indices": tuple(layers)}
    try:
        body = timm.create_model(network, features_only=True, **indices)
    except (AssertionError, AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(
            f"features: timm's {network} gives no layers {layers or 'at all'} ({first_line(error)}): "
            "layers are its out_indices, 0 for the first"
        ) from error
    if weights == "imagenet":
        try:
            body = timm.create_model(network, features_only=True, pretrained=True, **indices)
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"features: the pretrained weights of {network} could not be had ({first_line(error)}): "
                "download them elsewhere and give the path of the file as weights, or say weights: random"
            ) from error
    elif weights == "stlpips":
        _stlpips_file(network)
    elif weights != "random":
        state = read_state_dict(Path(weights), subject=_SUBJECT, otherwise=_OTHERWISE)
        load_tensors(body, state, Path(weights), subject=_SUBJECT)
    trained_on: Any = body.pretrained_cfg
    return body, trained_on
