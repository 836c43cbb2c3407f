"""HoVer-Net has the layers, names and outputs of the official code, and loads its checkpoints."""

import pytest
import torch
from torch.nn import functional as F

from mihatp_arch.archs.hovernet_arch import HoVerNet
from mihatp_arch.archs.layers.preact_blocks import SamePad, centre
from mihatp_arch.errors import UserError

BN = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
NARROW = 0.0625


def official_names(types: bool) -> set[str]:
    """The names in an official checkpoint, from the layers that the paper and the checkpoints have."""
    convolutions, norms = ["conv0./", "conv_bot"], ["conv0.bn"]
    for block, units in enumerate((3, 4, 6, 3)):
        at = f"d{block}"
        convolutions.append(f"{at}.shortcut")
        norms.append(f"{at}.blk_bna.bn")
        for unit in range(units):
            convolutions += [f"{at}.units.{unit}.conv{number}" for number in (1, 2, 3)]
            norms += [f"{at}.units.{unit}.conv{number}/bn" for number in (1, 2)]
            norms += [f"{at}.units.{unit}.preact/bn"] if unit else []
    for head in ("np", "hv", *(("tp",) if types else ())):
        at = f"decoder.{head}"
        for level, units in (("u3", 8), ("u2", 4)):
            convolutions += [f"{at}.{level}.conva", f"{at}.{level}.convf"]
            norms.append(f"{at}.{level}.dense.blk_bna.bn")
            for unit in range(units):
                convolutions += [f"{at}.{level}.dense.units.{unit}.conv{number}" for number in (1, 2)]
                norms += [f"{at}.{level}.dense.units.{unit}.{norm}" for norm in ("preact_bna/bn", "conv1/bn")]
        convolutions += [f"{at}.u1.conva", f"{at}.u0.conv"]
        norms.append(f"{at}.u0.bn")
    weights = {f"{name}.weight" for name in convolutions} | {f"{name}.{part}" for name in norms for part in BN}
    return weights | {f"decoder.{head}.u0.conv.bias" for head in ("np", "hv", *(("tp",) if types else ()))}


@pytest.mark.parametrize(("mode", "parameters"), [("fast", 37.72), ("original", 54.83)])
def test_the_layers_are_those_of_the_official_code(mode, parameters):
    with torch.device("meta"):
        network = HoVerNet(mode=mode, nr_types=5)
    assert network.state_dict().keys() == official_names(types=True)
    assert len(network.state_dict()) == 797
    assert round(sum(weight.numel() for weight in network.state_dict().values()) / 1e6, 2) == parameters
    assert list(network.decoder) == ["tp", "np", "hv"]
    with torch.device("meta"):
        assert HoVerNet(mode=mode).state_dict().keys() == official_names(types=False)


def test_some_shapes_are_those_of_the_official_code():
    with torch.device("meta"):
        shapes = {name: tuple(weight.shape) for name, weight in HoVerNet(nr_types=5).state_dict().items()}
    assert shapes["conv0./.weight"] == (64, 3, 7, 7)
    assert shapes["d3.units.0.conv2.weight"] == (512, 512, 3, 3)
    assert shapes["conv_bot.weight"] == (1024, 2048, 1, 1)
    assert shapes["decoder.tp.u3.conva.weight"] == (256, 1024, 5, 5)
    assert shapes["decoder.tp.u3.dense.units.7.conv1.weight"] == (128, 256 + 7 * 32, 1, 1)
    assert shapes["decoder.tp.u3.dense.units.0.conv2.weight"] == (32, 128 // 4, 5, 5)  # four groups
    assert shapes["decoder.tp.u2.convf.weight"] == (256, 128 + 4 * 32, 1, 1)
    assert shapes["decoder.tp.u0.conv.weight"] == (5, 64, 1, 1)


@pytest.mark.parametrize(
    ("mode", "side", "inner"), [("fast", 256, 164), pytest.param("original", 270, 80, marks=pytest.mark.slow)]
)
def test_sizes_of_inputs_and_maps(mode, side, inner):
    network = HoVerNet(mode=mode, nr_types=3, width=NARROW).eval()
    with torch.no_grad():
        maps = network(torch.zeros(1, 3, side, side + 8))
    assert {name: tuple(plane.shape) for name, plane in maps.items()} == {
        name: (1, channels, inner, inner + 8) for name, channels in (("tp", 3), ("np", 2), ("hv", 2))
    }
    assert network.margin == (side - inner) // 2


@pytest.mark.parametrize("side", [255, 257, 270])
def test_other_sizes_are_refused(side):
    with pytest.raises(ValueError, match="256, 264"):
        HoVerNet(mode="fast", width=NARROW)(torch.zeros(1, 3, 256, side))


@pytest.mark.parametrize("options", [{"mode": "quick"}, {"nr_types": 1}, {"width": 0}, {"width": 1.5}])
def test_other_options_are_refused(options):
    with pytest.raises(UserError, match="HoVerNet"):
        HoVerNet(**options)


@pytest.mark.parametrize(
    ("kernel", "stride", "length", "pads"),
    [(7, 1, 256, (3, 3)), (3, 2, 256, (0, 1)), (3, 2, 255, (1, 1)), (5, 1, 9, (2, 2)), (1, 2, 8, (0, 0))],
)
def test_padding_is_that_of_tensorflow(kernel, stride, length, pads):
    left, right = pads
    line = torch.arange(1.0, length + 1).expand(1, 1, length, length)
    padded = SamePad(kernel, stride)(line)
    assert torch.equal(padded, F.pad(line, (left, right, left, right)))
    assert (padded.shape[-1] - kernel) // stride + 1 == -(-length // stride)


def test_the_centre_loses_the_odd_pixel_at_the_right():
    assert centre(torch.arange(6.0).reshape(1, 1, 1, 6), (1, 3)).flatten().tolist() == [1, 2, 3]


def test_colours_are_divided_by_255():
    network = HoVerNet(mode="fast", width=NARROW).eval()

    def stop(_, inputs):
        raise StopIteration(inputs[0])

    network.conv0.register_forward_pre_hook(stop)
    with pytest.raises(StopIteration) as seen:
        network(torch.full((1, 3, 256, 256), 51.0))
    assert torch.equal(seen.value.args[0], torch.full((1, 3, 256, 256), 0.2))


def formula(network: torch.nn.Module) -> None:
    """Weights that depend on names and positions alone."""
    state = {name: weight for name, weight in network.state_dict().items() if not name.endswith("tracked")}
    for number, (name, weight) in enumerate(sorted(state.items(), key=lambda item: item[0]), 1):
        along = torch.arange(weight.numel(), dtype=torch.float64) * (1 + number % 7) * 0.37 + number
        wave = torch.cos(along).reshape(weight.shape)
        if weight.ndim == 4:
            weight.copy_(wave * (3 / weight[0].numel()) ** 0.5)
        else:
            weight.copy_(1 + 0.3 * wave if name.endswith(("weight", "running_var")) else 0.1 * wave)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "types", "side", "expected"),
    [
        ("fast", None, 256, {"np": (-0.1003796, 0.0940844), "hv": (-0.0695548, 0.0430649)}),
        (
            *("original", 5, 270),
            {
                "tp": (0.0583687, 0.0745392, 0.0952204, 0.0585453, -0.0470152),
                "np": (-0.1097035, 0.0838387),
                "hv": (-0.0838343, 0.0101693),
            },
        ),
    ],
)
def test_the_output_is_that_of_the_official_code(mode, types, side, expected):
    """The numbers are those of the official code (vqdang/hover_net) with the same weights, at row 7 and column 11."""
    network = HoVerNet(mode=mode, nr_types=types).eval()
    formula(network)
    wave = torch.cos(torch.arange(3 * 286 * 286).reshape(1, 3, 286, 286) * 0.011)
    with torch.no_grad():
        maps = network(((wave + 1) * 127.5)[..., :side, :side])
    for name, values in expected.items():
        assert maps[name][0, :, 7, 11].tolist() == pytest.approx(values, abs=1e-4)
