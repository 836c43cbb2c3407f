"""HoVer-Net (Graham et al., Medical Image Analysis 2019): segments nuclei, and classifies them.

Official code: vqdang/hover_net. Its checkpoints load strictly: the layers have the same names, and
`checkpoints.weights_below` leaves out the one constant in them.
"""

from collections import OrderedDict
from typing import Literal, TypeAlias

import torch.nn.functional as F
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from mihatp_arch.archs.layers.preact_blocks import DenseBlock, ResidualBlock, SamePad, bn_relu, centre
from mihatp_arch.errors import UserError
from mihatp_arch.nuclei.windows import is_window, windows_of

Mode: TypeAlias = Literal["original", "fast"]
_GROUPS = 4  # of the dense units
_MARGIN = {"original": 95, "fast": 46}  # px of the input around the output


@ARCH_REGISTRY.register()
class HoVerNet(nn.Module):
    """HoVer-Net.

    Args:
        mode: `original` (kernels of 5 px: 270 px give 80) or `fast` (kernels of 3 px: 256 px give 164).
        nr_types: number of types of nuclei, with the background; None: nuclei are not classified.
        width: factor on all numbers of channels; 1 is the official network.
    """

    def __init__(self, *, mode: Mode = "original", nr_types: int | None = None, width: float = 1.0) -> None:
        super().__init__()
        if mode not in _MARGIN:
            raise UserError(f"HoVerNet: mode '{mode}': choose from {', '.join(_MARGIN)}")
        if nr_types is not None and nr_types < 2:
            raise UserError(f"HoVerNet: nr_types {nr_types}: the background and at least one type are needed")
        if not 0 < width <= 1:
            raise UserError(f"HoVerNet: width {width}: it lies above 0 and is at most 1")
        self.mode: Mode = mode
        self.nr_types = nr_types
        stem = nn.Conv2d(3, _channels(64, width), 7, bias=False)
        padding = [("pad", SamePad(7, 1))] if mode == "fast" else []
        self.conv0 = nn.Sequential(OrderedDict([*padding, ("/", stem), *bn_relu(stem.out_channels).named_children()]))
        inputs = stem.out_channels
        for index, (first, last, units) in enumerate([(64, 256, 3), (128, 512, 4), (256, 1024, 6), (512, 2048, 3)]):
            widths = [_channels(features, width) for features in (first, first, last)]
            self.add_module(f"d{index}", ResidualBlock(inputs, widths, units, stride=1 if index == 0 else 2))
            inputs = widths[-1]
        self.conv_bot = nn.Conv2d(inputs, _channels(1024, width), 1, bias=False)
        heads = {**({} if nr_types is None else {"tp": nr_types}), "np": 2, "hv": 2}
        kernel = 5 if mode == "original" else 3
        self.decoder = nn.ModuleDict({name: _decoder(outputs, kernel, width) for name, outputs in heads.items()})
        self.apply(_initialise)
        # From random distances the network goes to 0 first, and learns nothing of nuclei on the way.
        nn.init.zeros_(self.decoder["hv"].get_parameter("u0.conv.weight"))

    @property
    def margin(self) -> int:
        """Width in px of the frame of the input that the output does not have."""
        return _MARGIN[self.mode]

    def encoder(self) -> list[nn.Module]:
        """The layers before the decoders: those of the ResNet."""
        return [self.conv0, *(getattr(self, f"d{index}") for index in range(4))]

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Maps of nuclei.

        Args:
            images: `[B, 3, H, W]` RGB, 0 to 255; H and W are 270, 278, 286, … (`original`) or 256, 264, … (`fast`).

        Returns:
            Maps [B, C, H-2m, W-2m] with m the `margin`: `np`, logits of background and nucleus; `hv`, horizontal and
            vertical distance to the centre of the nucleus, -1 to 1; with types `tp`, logits of the types.
        """
        for side in images.shape[-2:]:
            if not is_window(side, self.mode):
                raise ValueError(f"HoVerNet: an image of side {side} px; {windows_of(self.mode)} are possible")
        conv0, *blocks = self.encoder()
        x = conv0(images / 255)
        features = []
        for block in blocks:
            x = block(x)
            features.append(x)
        bottom = self.conv_bot(features[3])
        original = self.mode == "original"
        cropped = [_cropped(features[0], 184 if original else 92), _cropped(features[1], 72 if original else 36)]
        skips = [features[2], cropped[1], cropped[0]]
        return {name: _decoded(decoder, bottom, skips) for name, decoder in self.decoder.items()}


def _channels(features: int, width: float) -> int:
    """`features` times `width`, a multiple of the number of groups."""
    return max(_GROUPS, round(features * width / _GROUPS) * _GROUPS)


def _decoder(outputs: int, kernel: int, width: float) -> nn.Sequential:
    """The layers of one head; each number of channels is that of the official network, times `width`."""

    def c(features: int) -> int:
        return _channels(features, width)

    def level(inputs: int, features: int, units: int, results: int) -> nn.Sequential:
        dense = DenseBlock(c(features), kernel=kernel, bottleneck=c(128), growth=c(32), units=units, groups=_GROUPS)
        layers = [
            ("conva", nn.Conv2d(c(inputs), c(features), kernel, bias=False)),
            ("dense", dense),
            ("convf", nn.Conv2d(c(features) + units * c(32), c(results), 1, bias=False)),
        ]
        return nn.Sequential(OrderedDict(layers))

    last = [("conva/pad", SamePad(kernel, 1)), ("conva", nn.Conv2d(c(256), c(64), kernel, bias=False))]
    output = [*bn_relu(c(64)).named_children(), ("conv", nn.Conv2d(c(64), outputs, 1))]
    parts = [
        ("u3", level(1024, 256, 8, 512)),
        ("u2", level(512, 128, 4, 256)),
        ("u1", nn.Sequential(OrderedDict(last))),
        ("u0", nn.Sequential(OrderedDict(output))),
    ]
    return nn.Sequential(OrderedDict(parts))


def _decoded(decoder: nn.Module, bottom: Tensor, skips: list[Tensor]) -> Tensor:
    *levels, output = decoder.children()
    x = bottom
    for layer, skip in zip(levels, skips, strict=True):
        x = layer(F.interpolate(x, scale_factor=2, mode="nearest") + skip)
    return output(x)


def _cropped(x: Tensor, pixels: int) -> Tensor:
    return centre(x, [side - pixels for side in x.shape[-2:]])


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
