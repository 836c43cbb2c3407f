"""torchvision's VGG19 up to the last layer that the loss uses, and the file of its weights."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from mihatp_arch.errors import UserError
from mihatp_arch.transforms.choices import check_choice

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of images in [0, 1]
_CONVOLUTIONS = (2, 2, 4, 4, 4)  # of the five stages
# conv1_1, relu1_1, conv1_2, ..., pool5, at torchvision's indices 0 to 36
LAYERS = tuple(
    name
    for stage, count in enumerate(_CONVOLUTIONS, 1)
    for name in (*(f"{kind}{stage}_{i}" for i in range(1, count + 1) for kind in ("conv", "relu")), f"pool{stage}")
)
PAPER_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


class VGG19(nn.Module):
    """VGG19 up to the last of `layers`, which are names (relu3_1) or torchvision's indices (11); it outputs them all.

    Parameters have the names of torchvision's full network (features.0.weight ...), so that its state dicts load. They
    are uninitialised until a state dict is loaded or `reset_parameters` is called.

    Raises:
        UserError: an unknown layer.
    """

    def __init__(self, layers: Sequence[str | int] | None = None) -> None:
        from torchvision.models.vgg import cfgs, make_layers  # takes a second

        super().__init__()
        self.layers = [_index(layer) for layer in layers or PAPER_LAYERS]
        with torch.device("meta"):  # no memory and no time for layers that are left out or loaded
            features = list(make_layers(cfgs["E"]))[: max(self.layers) + 1]
        self.features = nn.Sequential(*features).to_empty(device="cpu")
        for index, module in enumerate(self.features):
            if isinstance(module, nn.ReLU):
                # An in-place ReLU would overwrite the output of a collected convolution.
                module.inplace = index - 1 not in self.layers
        self.least = 2 ** sum(isinstance(module, nn.MaxPool2d) for module in self.features)

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
                f"features: images of {x.shape[-2]}x{x.shape[-1]} pixels are too small for {LAYERS[max(self.layers)]} "
                f"of vgg19, which needs {self.least}x{self.least}: take earlier layers, or larger patches"
            )
        outputs: dict[int, Tensor] = {}
        for index, module in enumerate(self.features):
            x = module(x)
            if index in self.layers:
                outputs[index] = x
        return [outputs[index] for index in self.layers]


def _index(layer: str | int) -> int:
    if isinstance(layer, int) and 0 <= layer < len(LAYERS):
        return layer
    check_choice(layer, LAYERS, what="features: vgg19: layer")
    return LAYERS.index(str(layer))


def imagenet_weights() -> Path:
    """The file of torchvision's ImageNet weights: BasicSR's folder, else torch.hub's, else downloaded to the latter.

    Raises:
        UserError: it is in neither folder and cannot be downloaded.
    """
    from basicsr.archs.vgg_arch import VGG_PRETRAIN_PATH
    from torchvision.models.vgg import VGG19_Weights  # takes a second

    url = VGG19_Weights.IMAGENET1K_V1.url
    in_basicsr = Path(VGG_PRETRAIN_PATH)
    in_hub = Path(torch.hub.get_dir()) / "checkpoints" / in_basicsr.name
    for path in (in_basicsr, in_hub):
        if path.is_file():
            return path
    hash_prefix = in_basicsr.stem.rpartition("-")[2]
    try:
        in_hub.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(in_hub), hash_prefix=hash_prefix)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"features: the ImageNet weights of vgg19 are missing and their download failed ({error}): "
            f"download {url} to {in_basicsr} or {in_hub}, or say weights: random"
        ) from error
    return in_hub
