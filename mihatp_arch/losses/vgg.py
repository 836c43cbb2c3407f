"""torchvision's VGG16 and VGG19 up to the last layer that a loss uses."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from mihatp_arch.errors import UserError
from mihatp_arch.losses.blur_pool import blurred_max_pool
from mihatp_arch.transforms.choices import check_choice

VGGName = Literal["vgg16", "vgg19"]
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of images in [0, 1]
_CONFIGURATIONS: Mapping[str, str] = {"vgg16": "D", "vgg19": "E"}  # torchvision's names
_CONVOLUTIONS: Mapping[str, tuple[int, ...]] = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}  # of the stages
# conv1_1, relu1_1, conv1_2, ..., pool5, at torchvision's indices from 0
LAYERS: Mapping[str, tuple[str, ...]] = {
    network: tuple(
        name
        for stage, count in enumerate(counts, 1)
        for name in (*(f"{kind}{stage}_{i}" for i in range(1, count + 1) for kind in ("conv", "relu")), f"pool{stage}")
    )
    for network, counts in _CONVOLUTIONS.items()
}
PAPER_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


class VGG(nn.Module):
    """VGG16 or VGG19 up to the last of `layers`; it outputs them all.

    Parameters have the names of torchvision's full network (features.0.weight ...), so that its state dicts load. They
    are uninitialised until a state dict is loaded or `reset_parameters` is called.

    Args:
        network: vgg16 or vgg19.
        layers: names (relu3_1) or torchvision's indices (11); None: relu1_1, relu2_1, relu3_1, relu4_1, relu5_1.
        shift_tolerant: poolings of ST-LPIPS (`blurred_max_pool`) in place of torchvision's.

    Raises:
        UserError: an unknown layer.
    """

    def __init__(
        self, network: VGGName, layers: Sequence[str | int] | None = None, *, shift_tolerant: bool = False
    ) -> None:
        from torchvision.models.vgg import cfgs, make_layers  # takes a second

        super().__init__()
        self.network = network
        self.layers = layer_indices(layers, network)
        with torch.device("meta"):  # no memory and no time for layers that are left out or loaded
            features = list(make_layers(cfgs[_CONFIGURATIONS[network]]))[: max(self.layers) + 1]
        pools = sum(isinstance(module, nn.MaxPool2d) for module in features)
        if shift_tolerant:
            features = [blurred_max_pool(2) if isinstance(module, nn.MaxPool2d) else module for module in features]
        self.features = nn.Sequential(*features).to_empty(device="cpu")
        for index, module in enumerate(self.features):
            if isinstance(module, nn.ReLU):
                # An in-place ReLU would overwrite the output of a collected convolution.
                module.inplace = index - 1 not in self.layers
        # Reflection needs a third pixel at each blurred pooling; the last of 2^n + 2 pixels still has it.
        self.least = 2**pools + (2 if shift_tolerant and pools else 0)

    def reset_parameters(self) -> None:
        """Random weights that preserve the variance of the activations, so that the deepest features do not vanish."""
        for module in self.features:
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Normalised images `[B, 3, H, W]` -> one `[B, C_l, H_l, W_l]` for each of `layers`, in their order."""
        if min(x.shape[-2:]) < self.least:
            raise UserError(
                f"features: images of {x.shape[-2]}x{x.shape[-1]} pixels are too small for "
                f"{LAYERS[self.network][max(self.layers)]} of {self.network}, which needs {self.least}x{self.least}: "
                "take earlier layers, or larger patches"
            )
        outputs: dict[int, Tensor] = {}
        for index, module in enumerate(self.features):
            x = module(x)
            if index in self.layers:
                outputs[index] = x
        return [outputs[index] for index in self.layers]


def layer_indices(layers: Sequence[str | int] | None, network: VGGName) -> list[int]:
    """torchvision's indices of `layers`, which are names or such indices; None: those of the paper's loss.

    Raises:
        UserError: an unknown layer.
    """
    names, indices = LAYERS[network], []
    for layer in layers or PAPER_LAYERS:
        if not (isinstance(layer, int) and 0 <= layer < len(names)):
            check_choice(layer, names, subject=f"features: {network}: layer")
        indices.append(layer if isinstance(layer, int) else names.index(layer))
    return indices
