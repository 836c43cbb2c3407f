"""SRCNN (Dong et al., TPAMI 2016), the first convolutional network for super-resolution."""

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from mihatp_arch.errors import UserError


@ARCH_REGISTRY.register()
class SRCNN(nn.Module):
    """Convolutions on the bicubically enlarged image: `[B, 3, H, W]` in [0, 1] -> `[B, 3, s·H, s·W]`, any H, W >= 1.

    The network itself enlarges the image, by `F.interpolate` (bicubic, a = -0.75, align_corners false); the original
    uses MATLAB's bicubic (a = -0.5). Further differences: colour instead of luminance; repeated borders instead of a
    smaller output; PyTorch's initial weights instead of N(0, 0.001²), with which the output is about 0 and Adam learns
    slowly. The output is not clamped.

    Args:
        upscale: s; 1 or more.
        in_chans: channels of input and output.
        kernels: width of each convolution, odd; 9-5-5 is the paper's best network, 9-1-5 its basic one.
        features: channels between the convolutions, one number fewer than `kernels`.
        residual: whether the enlarged image is added to the output (as in VDSR; not SRCNN).

    Raises:
        UserError: the options do not fit together.
    """

    def __init__(
        self,
        *,
        upscale: int = 4,
        in_chans: int = 3,
        kernels: Sequence[int] = (9, 5, 5),
        features: Sequence[int] = (64, 32),
        residual: bool = False,
    ) -> None:
        super().__init__()
        if upscale < 1:
            raise UserError(f"network: upscale {upscale} must be 1 or more")
        if len(kernels) != len(features) + 1:
            raise UserError(
                f"network: {len(kernels)} kernels have {len(kernels) - 1} features between them, not {len(features)}"
            )
        if any(kernel < 1 or kernel % 2 == 0 for kernel in kernels):
            raise UserError(f"network: kernels {list(kernels)} must be odd, so that each has a centre")
        if min([in_chans, *features]) < 1:
            raise UserError(f"network: in_chans {in_chans} and features {list(features)} must be 1 or more each")
        self.upscale = upscale
        self.residual = residual
        layers: list[nn.Module] = []
        for kernel, (before, after) in zip(kernels, pairwise([in_chans, *features, in_chans]), strict=True):
            layers += [nn.Conv2d(before, after, kernel, padding="same", padding_mode="replicate"), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(x, scale_factor=self.upscale, mode="bicubic", align_corners=False)
        return self.layers(x) + x if self.residual else self.layers(x)
