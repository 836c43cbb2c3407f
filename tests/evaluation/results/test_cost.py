"""What a method costs."""

import pytest
import torch
import yaml
from torch import nn

from mihatp_arch.evaluation.results.cost import measure, network_of, parameters


class Counting(nn.Module):
    """A convolution that keeps the order and the shapes of its calls."""

    def __init__(self, calls: list) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 8, 3, padding=1)
        self.calls = calls

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert torch.is_inference_mode_enabled()
        self.calls.append((id(self), tuple(x.shape)))
        return self.layer(x)


def test_parameters_are_those_that_train():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 2).requires_grad_(False))
    assert parameters(network) == 3 * 8 * 9 + 8 + 16


def test_networks_take_turns_on_patches_of_the_given_width():
    calls: list = []
    networks = {"a": Counting(calls), "b": Counting(calls)}
    costs = measure(networks, width=12, repeats=3)
    assert costs.keys() == {"a", "b"}
    turns = [(id(network), (1, 3, 12, 12)) for network in networks.values()]
    assert calls[:8] == turns * 4
    assert {call[1] for call in calls} == {(1, 3, 12, 12)}


def test_operations_and_memory_of_a_convolution_are_those_on_paper():
    cost = measure({"a": Counting([])}, width=64, repeats=1)["a"]
    assert cost.parameters == 3 * 8 * 9 + 8
    assert cost.gflops == pytest.approx(2 * 64 * 64 * 8 * 3 * 9 / 1e9)
    assert cost.milliseconds > 0
    output = 8 * 64 * 64 * 4 / 2**20
    assert output <= cost.mebibytes < 6 * output  # and what the convolution lays out for itself


@pytest.mark.parametrize("fused", [True, False])
def test_attention_is_counted_whether_it_is_fused_or_not(fused):
    class Attention(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            q = x.flatten(2).transpose(1, 2)[:, None]  # 1x1xNx3
            if fused:
                return nn.functional.scaled_dot_product_attention(q, q, q)
            return (q @ q.transpose(-1, -2)).softmax(-1) @ q

    cost = measure({"a": Attention()}, width=16, repeats=1)["a"]
    assert cost.gflops == pytest.approx(2 * 2 * 256 * 256 * 3 / 1e9)


def test_a_network_that_holds_more_at_once_costs_more_memory():
    class Holding(nn.Module):
        def __init__(self, copies: int) -> None:
            super().__init__()
            self.copies = copies

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stack([x + one for one in range(self.copies)]).sum(0)

    costs = measure({"one": Holding(1), "ten": Holding(10)}, width=64, repeats=1)
    one = 3 * 64 * 64 * 4 / 2**20
    assert costs["ten"].mebibytes == pytest.approx(20 * one, rel=0.2)  # ten, and the stack of them
    assert costs["one"].mebibytes == pytest.approx(2 * one, rel=0.6)


def test_the_network_is_that_of_the_option_file(tmp_path):
    options = {"type": "EDSR", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 4, "num_block": 1, "upscale": 4}
    (tmp_path / "tiny.yml").write_text(yaml.safe_dump({"network_g": options}))
    network = network_of(tmp_path / "tiny.yml")
    assert not network.training
    assert network(torch.rand(1, 3, 5, 7)).shape == (1, 3, 20, 28)
