"""Training passes as CUDA graphs: the numbers of the plain passes, on a GPU; elsewhere nothing changes."""

import copy

import pytest
import torch
from basicsr.models.base_model import BaseModel
from helpers.model import build
from torch import nn

from mihatp_arch.archs import SRCNN, MiHATP
from mihatp_arch.config.checks.training import check_training
from mihatp_arch.config.read import Options
from mihatp_arch.errors import UserError
from mihatp_arch.models import DiffusionModel, FirstStageModel
from mihatp_arch.training.cuda_graphs import use_graphs

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")


def network(**options):
    torch.manual_seed(0)
    small = {"upscale": 2, "img_size": 16, "window_size": 8, "embed_dim": 24, "depths": [2], "num_heads": [2]}
    net = MiHATP(**small, squeeze_factor=4, sample_grid=4, **options)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.05 * torch.randn_like(p))
    return net


def gradients(net, *inputs):
    net.zero_grad(set_to_none=True)
    for x in inputs:
        net(x).square().mean().backward()
    return [p.grad.clone() for p in net.parameters()]


def test_elsewhere_nothing_changes():
    plain = network(drop_path_rate=0.0)
    net, x = copy.deepcopy(plain), torch.rand(2, 3, 16, 16)
    use_graphs(net)
    assert torch.equal(net(x), plain(x))
    assert net.state_dict().keys() == plain.state_dict().keys()


def test_checkpointing_is_refused():
    with pytest.raises(UserError, match="use_checkpoint"):
        use_graphs(network(use_checkpoint=True))


def test_a_network_that_is_compiled_as_a_whole_is_refused():
    """Its trace would contain the recording. MiHATP is compiled block by block."""
    whole, blocks = SRCNN(upscale=2), network()
    for net in (whole, blocks):
        net.compile(dynamic=False)
    use_graphs(blocks)
    with pytest.raises(UserError, match=r"^train\.cuda_graphs: with train\.compile only for .* not for SRCNN; set one"):
        use_graphs(whole)
    use_graphs(SRCNN(upscale=2))


@pytest.mark.parametrize("type_", ["SRCNN", "SwinIR", "SHISRCNet", "HAT", "MiHATP"])
def test_the_check_of_options_refuses_compiled_graphs_of_networks_of_others(type_):
    def lines(**train: bool) -> list[str]:
        options = Options({"network_g": {"type": type_}, "network_c": None, "train": train})
        return [line for line in check_training(options, BaseModel) if "cuda_graphs" in line]

    assert lines(compile=True) == lines(cuda_graphs=True) == []
    mistakes = lines(compile=True, cuda_graphs=True)
    if type_ in ("HAT", "MiHATP"):
        assert mistakes == []
    else:
        assert len(mistakes) == 1 and "train.cuda_graphs: with train.compile only for" in mistakes[0]
        assert f"not for {type_}; set one of them to false" in mistakes[0]


@pytest.mark.parametrize("model", [DiffusionModel, FirstStageModel])
def test_networks_of_several_inputs_are_refused(model):
    with pytest.raises(UserError, match="cuda_graphs: not for"):
        model.check_options({"model_type": model.__name__, "train": {"cuda_graphs": True}, "path": {}})


def test_several_processes_are_refused(tmp_path):
    model = build(tmp_path)
    model.opt |= {"dist": True}
    model.opt["train"] |= {"cuda_graphs": True}
    with pytest.raises(UserError, match="one process"):
        model.model_to_device(nn.Identity())


@needs_gpu
@pytest.mark.parametrize("compiled", [False, True])
def test_graphs_give_the_gradients_of_the_plain_passes(compiled):
    """For batches of one shape, for parts that add up, and for batches of another shape."""
    plain = network(drop_path_rate=0.0).cuda()
    net = copy.deepcopy(plain)
    if compiled:
        net.compile(dynamic=False)
    use_graphs(net)
    batches = [torch.rand(n, 3, 16, 16, device="cuda") for n in (2, 2, 2, 1, 2)]
    with torch.backends.cudnn.flags(allow_tf32=False):
        for inputs in (batches[:1], batches[1:2], batches[1:4], batches[2:]):
            for a, b in zip(gradients(net, *inputs), gradients(plain, *inputs), strict=True):
                torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-3)
        first, second = (net(x) for x in batches[:2])  # the second before the backward of the first
        torch.testing.assert_close(first, plain(batches[0]), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(second, plain(batches[1]), atol=1e-5, rtol=1e-5)
        with torch.no_grad():
            torch.testing.assert_close(net.eval()(batches[3]), plain.eval()(batches[3]), atol=1e-5, rtol=1e-5)


@needs_gpu
def test_recording_leaves_statistics_and_draws_alone():
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout(0.5)).cuda()
    plain, x = copy.deepcopy(net), torch.rand(2, 3, 8, 8, device="cuda")
    use_graphs(net)
    torch.cuda.manual_seed(1)
    one, other = net(x), net.forward.plain(x)
    torch.cuda.manual_seed(1)
    torch.testing.assert_close(plain(x), one)
    assert not torch.equal(one, other)
    torch.testing.assert_close(net[1].running_mean, 1.9 * plain[1].running_mean, atol=1e-5, rtol=1e-5)


@needs_gpu
def test_paths_are_dropped_anew_in_every_step():
    net, x = network(drop_path_rate=0.5).cuda(), torch.rand(8, 3, 16, 16, device="cuda")
    use_graphs(net)
    steps = [gradients(net, x)[0] for _ in range(3)]
    assert not torch.equal(steps[0], steps[1]) and not torch.equal(steps[1], steps[2])
