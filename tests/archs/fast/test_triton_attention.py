"""The GPU's window attention against the plain one: on a GPU, or in Triton's interpreter.

Without a GPU, run `TRITON_INTERPRET=1 pytest tests/archs/fast/test_triton_attention.py`. No test sets the variable: it
must be set before anything imports Triton, and it changes Triton for the whole process.
"""

import os

import pytest
import torch
from einops import rearrange

from mihatp_arch.archs.fast.attention import attention

pytest.importorskip("triton", reason="Triton comes with torch for GPUs")
if not torch.cuda.is_available() and os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("needs a GPU or TRITON_INTERPRET=1", allow_module_level=True)

from mihatp_arch.archs.fast import triton_attention
from mihatp_arch.archs.fast.triton_attention import supports, window_attention

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SIZES = [(16, 16, 16), (7, 9, 32), (64, 144, 32), (144, 144, 16)]  # queries, keys, head's dimensions
EXACT = 1e-5 if DEVICE == "cpu" else 1e-4  # products of three of TF32; one has errors of 1e-3
TOLERANCES = [(torch.float32, EXACT), (torch.float16, 1e-2)]
if DEVICE == "cuda":  # the interpreter multiplies bf16 as integers
    TOLERANCES.append((torch.bfloat16, 5e-2))
COUNTS = (2, 0, 2, 1)
SCALE = 0.3


def parts_and_bias(n, m, d, *, dtype=torch.float32, windows=5, heads=2):
    """As attention.py has them; for as many keys as queries, in one part."""
    torch.manual_seed(0)
    together = [(n, 3)] if n == m else [(n, 1), (m, 2)]
    made = [torch.randn(windows * rows, t * heads * d, dtype=dtype, device=DEVICE) for rows, t in together]
    bias = torch.randn(heads, n, m, dtype=dtype, device=DEVICE)[None]
    parts = [
        rearrange(x, "(w n) (t h d) -> t w h n d", n=rows, t=t, h=heads)
        for x, (rows, t) in zip(made, together, strict=True)
    ]
    return [x.requires_grad_() for x in (*parts, bias)]


def with_gradients(compute, inputs):
    *parts, bias = inputs
    out = compute(parts, bias)
    weights = torch.linspace(-1, 1, out.numel(), device=DEVICE).view_as(out)
    return [out, *torch.autograd.grad((out.float() * weights).sum(), inputs)]


def kernel(masks=None, counts=()):
    def compute(parts, bias):
        assert supports(parts, bias, masks, counts)
        return window_attention(*(*parts, None)[:2], bias, masks, counts, SCALE)

    return compute


def plain(masks=None, counts=()):
    if masks is not None:
        masks = masks.float().repeat_interleave(torch.tensor(counts, device=DEVICE), 0)

    def compute(parts, bias):
        q, k, v = (x for part in parts for x in part)
        bias = bias if masks is None else bias + masks[:, None]
        return attention(q, k, v, bias=bias, scale=SCALE, fused=False)

    return compute


@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
def test_equals_plain_with_gradients(sizes, masked, dtype, tolerance):
    inputs = parts_and_bias(*sizes, dtype=dtype)
    masks = (torch.randn(len(COUNTS), *sizes[:2], dtype=dtype, device=DEVICE), COUNTS) if masked else ()
    expected = with_gradients(plain(*masks), [x.detach().float().requires_grad_() for x in inputs])
    ours = with_gradients(kernel(*masks), inputs)
    for a, b, x in zip(ours, expected, (None, *inputs), strict=True):
        torch.testing.assert_close(a.float(), b, atol=tolerance, rtol=tolerance)
        assert a.dtype == dtype
        assert x is None or a.stride() == x.stride()
    assert ours[0].transpose(1, 2).is_contiguous()


@pytest.mark.parametrize("windows", [1, 9])
def test_all_windows_count_however_many_sum_together(windows, monkeypatch):
    inputs = parts_and_bias(16, 16, 16, windows=windows)
    expected = with_gradients(plain(), [x.detach().clone().requires_grad_() for x in inputs])
    for programs in (1, 2, 100):  # 4·1 / (1 block · 2 heads) chunks on a CPU, which are of 5 and 4 windows
        monkeypatch.setattr(triton_attention, "_PROGRAMS", programs)
        for a, b in zip(with_gradients(kernel(), inputs), expected, strict=True):
            torch.testing.assert_close(a, b, atol=EXACT, rtol=EXACT)


def test_scores_far_from_zero_are_no_trouble():
    q, bias = parts_and_bias(7, 7, 16)
    for shift in (-1e4, 1e4):
        out = window_attention(q, None, bias + shift, None, (), SCALE)
        torch.testing.assert_close(out, plain()((q,), bias), atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("sizes", [(7, 7, 16), (7, 9, 16)])
def test_is_a_proper_operator(sizes):
    *parts, bias = parts_and_bias(*sizes)
    masks = torch.randn(2, *sizes[:2], device=DEVICE)
    arguments = (*(*parts, None)[:2], bias, masks, [3, 2], SCALE)
    torch.library.opcheck(torch.ops.mihatp.window_attention.default, arguments)


def test_says_what_it_cannot():
    *parts, bias = parts_and_bias(7, 9, 16)
    assert supports(parts, bias, None, (5,))
    assert not supports(parts, bias.expand(5, -1, -1, -1), None, (5,))
    if DEVICE == "cpu":
        assert not supports([x.bfloat16() for x in parts], bias, None, (5,))
    assert not supports([x.double() for x in parts], bias, None, (5,))
    assert not supports([x[..., :8] for x in parts], bias, None, (5,))
    assert not supports([x.transpose(3, 4) for x in parts], bias, None, (5,))
    assert not supports(parts, bias, torch.zeros(5, 7, 9), (1, 1, 1, 1, 1))
