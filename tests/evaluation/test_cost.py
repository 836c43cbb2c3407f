"""What a method costs."""

import torch
from torch import nn

from mihatp_arch.evaluation.cost import milliseconds, parameters, trained_network


class Counting(nn.Conv2d):
    """A convolution that keeps the order and the shapes of its calls."""

    def __init__(self, calls: list) -> None:
        super().__init__(3, 3, 3, padding=1)
        self.calls = calls

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert torch.is_inference_mode_enabled()
        self.calls.append((id(self), tuple(x.shape)))
        return super().forward(x)


def test_parameters_are_those_that_train():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 2).requires_grad_(False))
    assert parameters(network) == 3 * 8 * 9 + 8 + 16


def test_networks_take_turns_on_patches_of_the_given_width():
    calls: list = []
    networks = {"a": Counting(calls), "b": Counting(calls)}
    times = milliseconds(networks, width=12, repeats=3)
    assert times.keys() == {"a", "b"}
    assert all(time > 0 for time in times.values())
    assert calls == [(id(network), (1, 3, 12, 12)) for network in networks.values()] * 4


def test_a_trained_network_is_what_its_folder_says(tmp_path):
    """Averaged weights where the file has them, as `basicsr test` takes them."""
    folder = tmp_path / "tiny"
    (folder / "models").mkdir(parents=True)
    options = "network_g: {type: EDSR, num_in_ch: 3, num_out_ch: 3, num_feat: 4, num_block: 1, upscale: 4}\n"
    (folder / "tiny.yml").write_text(options)
    last = None
    for key in ("params", "params_ema"):
        from_scratch = _edsr()
        last = {**(last or {}), key: from_scratch.state_dict()}
        torch.save(last, folder / "models" / "net_g_latest.pth")
        network = trained_network(folder)
        assert not network.training
        x = torch.rand(1, 3, 5, 7)
        torch.testing.assert_close(network(x), from_scratch.eval()(x), rtol=0, atol=0)


def _edsr() -> nn.Module:
    from basicsr.archs.edsr_arch import EDSR

    return EDSR(num_in_ch=3, num_out_ch=3, num_feat=4, num_block=1, upscale=4)
