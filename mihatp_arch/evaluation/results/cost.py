"""What a method costs on one patch: parameters, operations, time and memory, all methods measured in one run."""

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from basicsr.archs import build_network
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mihatp_arch.config import yaml_files
from mihatp_arch.evaluation.results.tensor_memory import peak_of_tensors

_ENOUGH = 2e4  # milliseconds: a network that samples for as long is not repeated as often as the others


@dataclass(frozen=True)
class Cost:
    """Of one forward of one patch; a diffusion model goes through all its steps.

    Attributes:
        parameters: trainable values of the network.
        frozen: its other parameters: a first stage.
        gflops: 10⁹ floating-point operations of its matrix products and convolutions, two for each multiply-add.
        milliseconds: median of several, the networks taking turns.
        mebibytes: the most that torch had allocated at once beside the weights.
    """

    parameters: int
    frozen: int
    gflops: float
    milliseconds: float
    mebibytes: float


def network_of(options: Path) -> nn.Module:
    """The network of an option file, as it is before training: what it costs does not depend on its weights.

    Raises:
        UserError: the file cannot be read.
    """
    return build_network(yaml_files.read(options)["network_g"]).eval()


def parameters(network: nn.Module) -> int:
    """Number of trainable values."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


@torch.inference_mode()
def measure(networks: Mapping[str, nn.Module], *, width: int, repeats: int = 11) -> dict[str, Cost]:
    """The cost of a 1x3xwidthxwidth LR patch for each network, on the GPU where there is one, else on the CPU."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    lq = torch.rand(1, 3, width, width, generator=torch.Generator().manual_seed(0)).to(device)
    networks = {name: network.to(device) for name, network in networks.items()}
    times: dict[str, list[float]] = {name: [] for name in networks}
    for repeat in range(repeats + 1):
        for name, network in networks.items():
            if sum(times[name]) > _ENOUGH:
                continue
            start = time.perf_counter()
            network(lq)
            if device.type == "cuda":
                torch.cuda.synchronize()
            if repeat:  # the first round warms up
                times[name].append(1e3 * (time.perf_counter() - start))
    return {
        name: Cost(
            parameters(network),
            sum(p.numel() for p in network.parameters() if not p.requires_grad),
            _gflops(network, lq),
            statistics.median(times[name]),
            peak_of_tensors(partial(network, lq), device=lq.device.type),
        )
        for name, network in networks.items()
    }


def _gflops(network: nn.Module, lq: torch.Tensor) -> float:
    # Attention as the products that it is: the counter knows no fused one on a CPU.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        network(lq)
    return counter.get_total_flops() / 1e9
