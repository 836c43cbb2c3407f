"""Every fast path against the plain one on this device: attention, networks, DAT's blocks; and the tests of the GPU."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import mihatp_arch  # noqa: F401  it mends what the imports below need

# isort: split
import torch
from contenders import exact
from gpu.part import PASSED, Check, Results, yes
from report import Row
from torch import Tensor, nn

from mihatp_arch.archs import HAT, MiHATP
from mihatp_arch.archs.fast.attention import attention
from mihatp_arch.inference.load import load_network
from mihatp_arch.inference.network import TorchNetwork
from mihatp_arch.inference.prepare import prepare_for_inference
from mihatp_arch.training.cuda_graphs import use_graphs

ROOT = Path(__file__).parents[2]
TESTS = ("tests/archs/fast/test_triton_attention.py", "tests/training/test_cuda_graphs.py")
TOLERANCES = {"fp32": 1e-3, "bf16": 5e-2}  # relative to the greatest number
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
Inputs = tuple[Tensor, ...]


def run(check: Check, results: Results) -> None:
    """All comparisons, the most important ones first."""
    for row in attention_rows(check):
        results.add("Attention against the formula", [row])
    for row in network_rows(check):
        results.add("Networks against the plain path", [row])
    results.add("DAT's blocks for inference against spandrel's", [dat_row(check)])
    results.add("Tests of the GPU", list(test_rows(check)))


def error(ours: Tensor, plain: Tensor) -> float:
    """The greatest difference, relative to the greatest number."""
    return ((ours.float() - plain.float()).abs().max() / plain.float().abs().max().clamp_min(1e-9)).item()


def compared(name: str, precision: str, ours: list[Tensor], plain: list[Tensor]) -> Row:
    """A row of outputs, then gradients."""
    output, *gradients = (error(a, b) for a, b in zip(ours, plain, strict=True))
    row: dict[str, str | float] = {"path": name, "precision": precision, "output": output}
    row |= {"gradients": max(gradients, default=0.0)}
    return row | {PASSED: yes(max(output, *gradients, 0.0) <= TOLERANCES[precision])}


def with_gradients(compute: Callable[..., Tensor], inputs: Inputs) -> list[Tensor]:
    leaves = [x.detach().requires_grad_() for x in inputs]
    out = compute(*leaves)
    weights = torch.linspace(-1, 1, out.numel(), device=out.device).view_as(out)
    return [out, *torch.autograd.grad((out.float() * weights).sum(), leaves)]


def attention_rows(check: Check) -> Iterator[Row]:
    """Windows of HAT (also masked and overlapping ones) and the keys of MiHATP, with gradients."""
    windows, side = (4, 4) if check.tiny else (16, 16)
    n = side * side
    shapes = {"windows": (n, n), "overlapping windows": (n, (side * 3 // 2) ** 2), "sample grid": (n, 64)}
    for (name, (queries, keys)), masked, precision in product(shapes.items(), (False, True), DTYPES):
        if masked and queries != keys:
            continue
        torch.manual_seed(0)
        q, k, v = (torch.randn(windows, 6, rows, 32, device=check.device) for rows in (queries, keys, keys))
        bias = torch.randn(1, 6, queries, keys, device=check.device)
        options = {"scale": 0.18}
        if masked:
            masks = torch.randn(2, queries, keys, device=check.device)
            options |= {"attn_mask": masks, "mask_counts": (windows - 1, 1)}

        def by(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, *, fused: bool, options: dict = options) -> Tensor:  # type: ignore[type-arg]
            return attention(q, k, v, bias=bias, fused=fused, **options)

        with exact():
            plain = with_gradients(lambda *x: by(*x, fused=False), (q, k, v, bias))
        dtype = DTYPES[precision]
        ours = with_gradients(lambda *x: by(*x, fused=True), tuple(x.to(dtype) for x in (q, k, v, bias)))
        yield compared(name + (", masked" if masked else ""), precision, ours, plain)


def network_rows(check: Check) -> Iterator[Row]:
    """Networks, with what makes them fast switched on one by one."""
    options = {"upscale": 4, "window_size": 16, "num_heads": [6], "depths": [2], "drop_path_rate": 0.0}
    if check.tiny:
        options |= {"upscale": 2, "window_size": 4, "embed_dim": 24, "num_heads": [2], "squeeze_factor": 4}
    lr = torch.rand(2, 3, *(2 * [8 if check.tiny else 48]), device=check.device)
    for kind, precision in product((HAT, MiHATP), DTYPES):
        torch.manual_seed(0)
        plain = kind(**options, fused_attn=False).to(check.device)
        expected = passes(plain, lr, "fp32")
        for name in paths(check):
            network = kind(**options, use_checkpoint="checkpointed" in name).to(check.device)
            network.load_state_dict(plain.state_dict())
            if "compiled" in name:
                network.compile(dynamic=False)
            if "graphs" in name:
                use_graphs(network)
            yield compared(f"{kind.__name__}, {name}", precision, passes(network, lr, precision), expected)


def paths(check: Check) -> list[str]:
    """What is switched on; compiling is for GPUs."""
    return ["fused", "checkpointed", *(["compiled", "compiled, graphs"] if check.device == "cuda" else [])]


def passes(network: nn.Module, lr: Tensor, precision: str) -> list[Tensor]:
    """Output, and all gradients in one tensor; the third pass, because graphs record before it."""
    out = lr
    for _ in range(3):
        network.zero_grad(set_to_none=True)
        with exact(), torch.autocast(lr.device.type, torch.bfloat16, enabled=precision == "bf16"):
            out = network(lr)
        out.float().square().mean().backward()
    grads = [p.grad.flatten() for p in network.parameters() if p.grad is not None]
    return [out.detach(), torch.cat(grads)]


def dat_row(check: Check) -> Row:
    """The bundled network with its fast blocks."""
    network = load_network("he-light-x4", device=check.device)
    assert isinstance(network, TorchNetwork)
    side = 32 if check.tiny else 160
    lr = torch.rand(1, 3, side, side, device=check.device)
    with torch.inference_mode(), exact():
        plain = network.module(lr)
        ours = prepare_for_inference(network.module, tile=side)(lr)
    return compared("he-light-x4", "fp32", [ours], [plain])


def test_rows(check: Check) -> Iterator[Row]:
    """The files of tests that need a GPU, in one process; without a GPU their GPU tests are skipped."""
    files = ", ".join(TESTS)
    if importlib.util.find_spec("pytest") is None:
        yield {"tests": files, "result": "skipped: no pytest"}
        return
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS]
    try:
        ended = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=max(check.seconds_left, 1)
        )
    except subprocess.TimeoutExpired:
        yield {"tests": files, "result": "out of time", PASSED: "no"}
        return
    last = (ended.stdout.strip().splitlines() or ["no output"])[-1]
    yield {"tests": files, "result": last, PASSED: yes(ended.returncode in (0, 5))}  # 5: all are skipped
