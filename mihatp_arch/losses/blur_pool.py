"""The poolings of ST-LPIPS: they blur before they subsample, so that a shift of one pixel changes the features little.

Source: Ghildyal and Liu, Shift-tolerant Perceptual Similarity Metric, ECCV 2022, after Zhang, Making Convolutional
Networks Shift-Invariant Again, ICML 2019.
"""

import torch.nn.functional as F
from torch import Tensor, nn


class BlurPool(nn.Module):
    """Blur with the binomial filter [1, 2, 1] / 4 each way, then every second pixel.

    The image is first reflected by 2 pixels at each edge, as ST-LPIPS does (`pad_more`). `[B, C, H, W]`, H and W >= 3,
    becomes `[B, C, (H + 1) // 2 + 1, (W + 1) // 2 + 1]`.
    """

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(x, (2, 2, 2, 2), mode="reflect")
        return F.avg_pool2d(F.avg_pool2d(padded, 2, stride=1), 2)  # two means of 2 pixels make the filter


def blurred_max_pool(size: int) -> nn.Sequential:
    """The largest of size×size pixels at every pixel, then `BlurPool`: it takes the place of a pooling of stride 2."""
    return nn.Sequential(nn.MaxPool2d(size, stride=1), BlurPool())
