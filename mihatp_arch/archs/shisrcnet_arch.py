"""SHISRCNet (Xie et al., MICCAI 2023): its super-resolution module, without the classifier behind it.

The sizes come from the authors' code, https://github.com/xiely-123/SHISRCNet
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from mihatp_arch.errors import UserError

SLOPE = 0.1  # of LeakyReLU for negative values


class BatchNorm(nn.BatchNorm2d):
    """BatchNorm2d that uses the running statistics in training, too, if a channel has one value, so no variance."""

    def forward(self, input: Tensor) -> Tensor:
        if self.training and input.numel() == input.shape[1]:
            return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(input)


def conv_bn_relu(num_feat: int, kernel: int, *, dilation: int = 1, bias: bool = False) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU: `[B, C, H, W]` in and out."""
    conv = nn.Conv2d(num_feat, num_feat, kernel, padding="same", dilation=dilation, bias=bias)
    return nn.Sequential(conv, BatchNorm(num_feat), nn.ReLU())


class MFEBlock(nn.Module):
    """Multi-features extraction, `[B, C, H, W]`: dilated convolutions one after the other, weighted channel by channel.

    y_0 = CBR_0(x), y_i = CBR_i(y_{i-1} + x)
    w = softmax_i(sigmoid(gate_i(GAP(y_i))))
    out = CBR(Σ w_i y_i + x)

    where CBR is a convolution, batch normalisation and ReLU. The gates are 1×1 CBRs with a bias: two classes of the
    authors' code share a name, and the gates are instances of the later class, which belongs to the classifier.
    """

    def __init__(self, num_feat: int, rates: Sequence[int]) -> None:
        super().__init__()
        self.extract = nn.ModuleList(conv_bn_relu(num_feat, 3, dilation=rate) for rate in rates)
        self.gates = nn.ModuleList(conv_bn_relu(num_feat, 1, bias=True) for _ in rates)
        self.project = conv_bn_relu(num_feat, 1)

    def select(self, ys: Sequence[Tensor]) -> Tensor:
        """The weights of n features `[B, C, H, W]`: `[n, B, C, 1, 1]`; their sum over n is 1."""
        pooled = [gate(y.mean((2, 3), keepdim=True)) for gate, y in zip(self.gates, ys, strict=True)]
        return torch.stack(pooled).sigmoid().softmax(0)

    def forward(self, x: Tensor) -> Tensor:
        ys: list[Tensor] = []
        for extract in self.extract:
            ys.append(extract(ys[-1] + x if ys else x))
        out = x
        for w, y in zip(self.select(ys), ys, strict=True):
            out = out + w * y
        return self.project(out)


@ARCH_REGISTRY.register()
class SHISRCNet(nn.Module):
    """The SR module of SHISRCNet: `[B, 3, H, W]` in [0, 1] -> `[B, 3, s·H, s·W]`, any B, H, W >= 1.

    Training normalises by the statistics of the batch, evaluation by running statistics. With small batches the two
    differ more, most of all for the gates, which see one value per image and channel.

    Args:
        upscale: s; 2, 4 or 8.
        in_chans: channels of input and output.
        num_feat: channels inside.
        num_blocks: MFE blocks.
        rates: dilations of the convolutions in a block.

    Raises:
        UserError: the options do not fit together.
    """

    def __init__(
        self,
        *,
        upscale: int = 4,
        in_chans: int = 3,
        num_feat: int = 64,
        num_blocks: int = 3,
        rates: Sequence[int] = (1, 2, 4, 8),
    ) -> None:
        super().__init__()
        if upscale < 2 or upscale & (upscale - 1):
            raise UserError(f"network: upscale {upscale} is not supported; use 2, 4 or 8")
        if min(in_chans, num_feat, num_blocks) < 1:
            raise UserError(
                f"network: in_chans {in_chans}, num_feat {num_feat} and num_blocks {num_blocks} must be 1 or more each"
            )
        if not rates or min(rates) < 1:
            raise UserError(f"network: rates {list(rates)} must be at least one, of 1 or more each")
        self.conv_first = nn.Conv2d(in_chans, num_feat, 3, padding=1)
        blocks = [MFEBlock(num_feat, rates) for _ in range(num_blocks)]
        self.body = nn.Sequential(*blocks, nn.Conv2d(num_feat, num_feat, 3, padding=1))
        stages: list[nn.Module] = []
        for _ in range(upscale.bit_length() - 1):
            stages += [nn.Conv2d(num_feat, 4 * num_feat, 3, padding=1), nn.PixelShuffle(2), nn.LeakyReLU(SLOPE)]
        self.upsample = nn.Sequential(*stages)
        self.conv_last = nn.Sequential(
            nn.Conv2d(num_feat, num_feat, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(num_feat, in_chans, 3, padding=1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_first(x)
        return self.conv_last(self.upsample(x + self.body(x)))
