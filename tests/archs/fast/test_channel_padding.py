"""Layers with channels padded to multiples of eight against the layers themselves."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mihatp_arch.archs.fast import channel_padding


def outputs_and_gradients(compute, *inputs):
    out = compute(*inputs)
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape)
    return [out, *torch.autograd.grad((out * weights).sum(), inputs)]


@pytest.mark.parametrize("sizes", [(12, 7), (8, 16), (3, 8)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_is_torchs(sizes, bias):
    torch.manual_seed(0)
    layer = nn.Linear(*sizes, bias=bias).double()
    inputs = [torch.randn(2, 5, sizes[0], dtype=torch.float64, requires_grad=True), *layer.parameters()]
    padded = outputs_and_gradients(lambda x, w, b=None: channel_padding.linear(x, w, b, torch.float64), *inputs)
    for a, b in zip(padded, outputs_and_gradients(lambda x, w, b=None: F.linear(x, w, b), *inputs), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("sizes", [(12, 7), (8, 16)])
def test_a_convolution_is_torchs_in_the_layout_of_its_input(sizes):
    torch.manual_seed(0)
    layer = nn.Conv2d(*sizes, 3, padding=1).double()
    x = torch.randn(2, sizes[0], 5, 6, dtype=torch.float64, requires_grad=True)
    pixels = x.contiguous(memory_format=torch.channels_last)
    inputs = [pixels, *layer.parameters()]
    padded = outputs_and_gradients(lambda x, *_: channel_padding.conv2d(layer, x, torch.float64), *inputs)
    for a, b in zip(padded, outputs_and_gradients(lambda x, *_: layer(x), *inputs), strict=True):
        torch.testing.assert_close(a, b)
    assert padded[0].stride(1) == 1


def test_nothing_is_padded_on_a_cpu():
    assert channel_padding.half_precision(torch.ones(1, dtype=torch.bfloat16)) is None  # on a CPU
