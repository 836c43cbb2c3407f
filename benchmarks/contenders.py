"""The compared networks: HAT as spandrel packages the official code (the peer), ours, and stock SwinIR."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import mihatp_arch  # noqa: F401  it mends what the imports below need

# isort: split
import torch
from basicsr.archs import build_network
from basicsr.archs.swinir_arch import SwinIR
from machine import count_flops
from spandrel.architectures.HAT.__arch.HAT import HAT as PeerHAT  # noqa: N811
from torch import Tensor, nn

from mihatp_arch.training.cuda_graphs import use_graphs

TOLERANCE = 1e-5  # of outputs in [0, 1], fp32
WINDOWS = {2: 16, 4: 16, 8: 8}  # 16 does not divide the LR patch of x8, and both networks get the same


@dataclass(frozen=True)
class Size:
    """One LR batch and the network for it; 6 groups of 6 blocks are the full one."""

    scale: int
    width: int
    batch: int
    groups: int = 6
    window: int = 16

    def __str__(self) -> str:
        depth = "" if self.groups == 6 else f", {self.groups} of 6 groups"
        return f"x{self.scale}, LR {self.width}, batch {self.batch}, window {self.window}{depth}"

    def images(self, device: str) -> tuple[Tensor, Tensor]:
        """LR and HR images in [0, 1]."""
        draw = torch.Generator().manual_seed(0)
        lq = torch.rand(self.batch, 3, self.width, self.width, generator=draw)
        gt = torch.rand(self.batch, 3, self.scale * self.width, self.scale * self.width, generator=draw)
        return lq.to(device), gt.to(device)

    def smallest(self) -> "Size":
        """One window: what warms up."""
        return replace(self, width=self.window, batch=1)


@dataclass(frozen=True)
class Contender:
    """A network and how it is run."""

    name: str  # peer, ours or SwinIR
    precision: str = "fp32"
    checkpointed: bool = False
    graphs: bool = False  # its blocks compiled and its training passes as CUDA graphs

    def __str__(self) -> str:
        ways = {"checkpointed": self.checkpointed, "graphs": self.graphs}
        return ", ".join([f"{self.name} {self.precision}", *(way for way, taken in ways.items() if taken)])

    def build(self, size: "Size", device: str) -> nn.Module:
        """The network, ready to run this way."""
        network = build(self.name, size, checkpointed=self.checkpointed).to(device)
        if self.graphs:
            network.compile(dynamic=False)
            use_graphs(network)
        return network

    def autocast(self, device: str) -> AbstractContextManager[object]:
        return torch.autocast(device, torch.bfloat16) if self.precision == "bf16" else nullcontext()


def lineup(device: str, *, others: Sequence[Contender] = ()) -> list[Contender]:
    """The peer and ours in fp32 and bf16; on a CPU the peer gains nothing from bf16, and stays as it is."""
    both = [Contender("peer"), Contender("ours"), Contender("ours", "bf16")]
    return [*both, *([Contender("peer", "bf16")] if device == "cuda" else []), *others]


def build(name: str, size: Size, *, checkpointed: bool = False, fused: bool = True) -> nn.Module:
    """A network with weights of its own, on the CPU; HAT without stochastic depth, which would differ by chance."""
    common = {"upscale": size.scale, "img_size": size.width, "embed_dim": 180, "mlp_ratio": 2.0, "drop_path_rate": 0.0}
    common |= {"depths": [6] * size.groups, "num_heads": [6] * size.groups, "upsampler": "pixelshuffle"}
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.meshgrid")
        if name == "SwinIR":
            return SwinIR(**common, window_size=8, img_range=1.0, resi_connection="1conv")
        if name == "peer":
            return PeerHAT(**common, window_size=size.window)
    return build_network(
        {"type": "HAT", **common, "window_size": size.window, "use_checkpoint": checkpointed, "fused_attn": fused}
    )


def build_all(contenders: Sequence[Contender], size: Size, device: str) -> dict[Contender, nn.Module]:
    """All contenders; those called the same share one network, and peer and ours the same values.

    Vectors (biases, norms) are made random: fresh ones are 0 and 1, and would hide a mistake.
    """
    peer = build("peer", size)
    with torch.no_grad():
        for parameter in peer.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.05 * torch.randn_like(parameter))
    networks: dict[Contender, nn.Module] = {Contender("peer"): peer.to(device)}
    for one in contenders:
        key = replace(one, precision="fp32")
        if key not in networks:
            networks[key] = one.build(size, device)
            if one.name == "ours":
                networks[key].load_state_dict(peer.state_dict(), strict=True)
    return {one: networks[replace(one, precision="fp32")] for one in contenders}


def exact() -> AbstractContextManager[object]:
    """On a GPU, convolutions in fp32: PyTorch's default is TF32, whose error depends on the layout."""
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)


def check_same(networks: Mapping[Contender, nn.Module], size: Size, device: str) -> None:
    """End the run unless ours computes what the peer computes."""
    x, _ = size.images(device)
    peer, ours = (networks[Contender(name)].eval() for name in ("peer", "ours"))
    with torch.inference_mode(), exact():
        error = (peer(x) - ours(x)).abs().max().item()
    if not error <= TOLERANCE:
        raise SystemExit(f"{size}: ours differs from the peer by {error:.1e}, more than {TOLERANCE:.0e}")


def gflop(contender: Contender, size: Size, run: Callable[[nn.Module, Tensor, Tensor], object]) -> float:
    """10⁹ operations of run(network, lq, gt), counted on shapes alone; ours by its plain path."""
    network = build(contender.name, size, fused=False).to("meta")
    lq, gt = (images.to("meta") for images in size.images("cpu"))
    return count_flops(lambda: run(network, lq, gt)) / 1e9
