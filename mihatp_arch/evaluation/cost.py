"""What a method costs: parameters, and milliseconds for one patch."""

import statistics
import time
from collections.abc import Mapping
from pathlib import Path

import torch
import yaml
from basicsr.archs import build_network
from torch import nn


def trained_network(experiment: Path) -> nn.Module:
    """The `net_g` of an experiment folder, built by the options that BasicSR recorded there, with its last weights."""
    options = yaml.safe_load((experiment / f"{experiment.name}.yml").read_text(encoding="utf-8"))
    network = build_network(options["network_g"])
    weights = torch.load(experiment / "models" / "net_g_latest.pth", map_location="cpu", weights_only=True)
    network.load_state_dict(weights.get("params_ema", weights["params"]))
    return network.eval()


def parameters(network: nn.Module) -> int:
    """Number of trainable values."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


@torch.inference_mode()
def milliseconds(networks: Mapping[str, nn.Module], *, width: int, repeats: int = 11) -> dict[str, float]:
    """Median time of one forward on 1x3xwidthxwidth for each network, on the CPU, the networks taking turns."""
    lq = torch.rand(1, 3, width, width, generator=torch.Generator().manual_seed(0))
    times: dict[str, list[float]] = {name: [] for name in networks}
    for repeat in range(repeats + 1):
        for name, network in networks.items():
            start = time.perf_counter()
            network(lq)
            if repeat:  # the first round warms up
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}
