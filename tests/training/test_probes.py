"""The probes of a training: what they measure, when they warn, and that they change nothing."""

import copy
import logging
import math

import pytest
import torch
from helpers.mihatp import NETWORK, batch, build, options, step
from torch import nn
from torch.nn import functional as F

from datasets_prep.synthetic.image import synthesize
from mihatp_arch.archs import MiHATP
from mihatp_arch.models import MiHATPModel
from mihatp_arch.training.probes.contrastive import Images, contrastive_values
from mihatp_arch.training.probes.equation_4 import term_sizes

LAYERS = [f"{name}_{layer}" for layer in range(3) for name in ("sim_pos", "sim_neg", "cl")]
GRADIENTS = ["cl_to_l1", "cl_cosine", "neg_closer"]
SIZES = ["eq4_x", "eq4_x_norm", "eq4_sw_msa", "eq4_cab", "eq4_dat"]


def state(model):
    """Everything that a step changes."""
    nets = [model.net_g, model.net_c, model.net_g_ema]
    tensors = [t for net in nets for t in net.state_dict().values()]
    moments = [m for s in model.optimizer_g.state.values() for m in s.values()]
    return [*tensors, *moments, torch.get_rng_state()]


@pytest.mark.parametrize("train", [{}, {"branch_threads": False, "accumulate": 2}, {"precision": "bf16"}])
def test_a_training_is_the_same_to_the_bit_with_and_without_a_probe(tmp_path, train):
    models = []
    for every in (0, 1):
        opt = options(tmp_path, probe_freq=every, **train)
        opt["network_g"] |= {"drop_path_rate": 0.3, "use_checkpoint": True}
        torch.manual_seed(3)
        models.append(MiHATPModel(opt))
        for iteration in (1, 2, 3):
            log = step(models[-1], iteration)
            assert (set(log) >= {*LAYERS, *GRADIENTS, *SIZES}) == bool(every)
        assert all(net.training for net in (models[-1].net_g, models[-1].net_c))
    before, after = map(state, models)
    assert len(before) == len(after) > 300
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_iteration_1_and_every_nth_are_measured(tmp_path, caplog):
    model = build(tmp_path, probe_freq=3)
    caplog.set_level(logging.INFO, "basicsr")
    logging.getLogger("basicsr").addHandler(caplog.handler)
    measured = [iteration for iteration in range(1, 8) if "cl_cosine" in step(model, iteration)]
    logging.getLogger("basicsr").removeHandler(caplog.handler)
    assert measured == [1, 3, 6]
    lines = [record.getMessage() for record in caplog.records if "Probe" in record.getMessage()]
    assert [line.partition(":")[0] for line in lines] == [f"Probe of iteration {n}" for n in measured]
    assert "CL / log(1 + K_n) by layer " in lines[0] and "β·DAT" in lines[0]


def test_the_layers_add_up_to_equation_8_and_the_gradients_are_those_of_the_step(tmp_path):
    model = build(tmp_path, probe_freq=1, branch_threads=False)
    before = copy.deepcopy(model)
    log = step(model)
    assert sum(log[f"cl_{layer}"] for layer in range(3)) / 3 * math.log(4) * 0.01 == pytest.approx(
        log["l_cl"], rel=1e-5
    )
    for name in ("sim_pos", "sim_neg"):
        assert sum(log[f"{name}_{layer}"] for layer in range(3)) / 3 == pytest.approx(log[name], rel=1e-5)

    before.feed_data(batch(1))
    torch.manual_seed(1)
    batch(1)  # the generator is where the step of `model` had it
    terms, _ = before.losses()
    of_cl, of_l1 = (torch.autograd.grad(terms[n], before.output, retain_graph=True)[0] for n in ("l_cl", "l_pix_base"))
    assert log["cl_to_l1"] == pytest.approx((of_cl.norm() / of_l1.norm()).item(), rel=1e-3)
    assert log["cl_cosine"] == pytest.approx(F.cosine_similarity(of_cl.flatten(), of_l1.flatten(), 0).item(), abs=1e-3)


@pytest.mark.parametrize("off", ["reversible_opt", "irreversible_opt", "contrastive_opt"])
def test_ablations_are_measured_as_far_as_they_go(tmp_path, off):
    log = step(build(tmp_path, probe_freq=1, **{off: None}))
    assert ("cl_cosine" in log) == (off != "contrastive_opt")
    assert ("neg_closer" in log) == (off == "reversible_opt")
    assert "eq4_dat" in log


def test_without_pools_the_loss_has_no_gradient(tmp_path):
    log = step(build(tmp_path, probe_freq=1, reversible_opt=None, irreversible_opt=None))
    assert log["cl_0"] == pytest.approx(1) and "cl_cosine" not in log


def test_a_negative_nearer_to_hr_than_sr_counts(tmp_path):
    gt = torch.rand(2, 3, 16, 16)
    sr = (gt + 0.1).clamp(0, 1)
    negatives = torch.stack([gt + 0.2, gt + 0.05, gt + 0.3, gt - 0.01], 1)
    loss, l1 = (build(tmp_path).__getattribute__(name) for name in ("cri_cl", "cri_pix"))
    assert contrastive_values(Images(gt, sr, sr[:, None], negatives), loss, l1)["neg_closer"] == 0.5


@pytest.mark.parametrize("learnable", [False, True])
def test_the_sizes_of_the_terms_of_equation_4(learnable):
    torch.manual_seed(0)
    net = MiHATP(**{k: v for k, v in NETWORK.items() if k != "type"}, learnable_scales=learnable).eval()
    x = torch.rand(1, 3, 8, 8)
    output, seen = net(x), []
    sizes = term_sizes(net, x)
    assert list(sizes) and set(sizes) == set(SIZES)
    for block in net.layers[0].residual_group.blocks:
        block.dat.register_forward_hook(lambda _, __, y: seen.append(0.01 * y.std()))
    torch.testing.assert_close(net(x), output, rtol=0, atol=0)
    assert len(seen) == 2
    assert sizes["eq4_dat"].item() == pytest.approx(torch.stack(seen).mean().item(), rel=1e-5)
    assert sizes["eq4_x_norm"].item() == pytest.approx(1, abs=0.05)
    assert term_sizes(nn.Conv2d(3, 3, 1), x) == {}


class Known(nn.Module):
    """A network whose SR image is known."""

    def __init__(self, sr):
        super().__init__()
        self.sr = nn.Parameter(sr)

    def forward(self, x):
        return self.sr


@pytest.mark.parametrize(("operations_on", "warnings"), [("hr", 1), ("lr", 0)])
def test_a_loss_that_works_against_equation_6_is_named_once(tmp_path, caplog, operations_on, warnings):
    gt = torch.stack([torch.from_numpy(synthesize(96, 96, seed=seed)[0]).permute(2, 0, 1) / 255 for seed in (1, 2)])
    lq = F.avg_pool2d(gt, 4)
    bicubic = F.interpolate(lq, scale_factor=4, mode="bicubic")
    pool = {
        "k_n": 4,
        "operations_on": operations_on,
        "operations": {"defocus": [1, 1], "jpeg": [60, 60], "poisson": [0.5, 0.5]},
    }
    model = build(tmp_path, ema_decay=0, probe_freq=1, reversible_opt=None, irreversible_opt=pool)
    model.net_g = Known(gt + 10 ** (-0.8 / 20) * (bicubic - gt))
    logging.getLogger("basicsr").addHandler(caplog.handler)
    for iteration in (1, 2):
        model.feed_data({"lq": lq, "gt": gt})
        model.optimize_parameters(iteration)
    logging.getLogger("basicsr").removeHandler(caplog.handler)
    lines = [r.getMessage() for r in caplog.records if "works against Eq. 6" in r.getMessage()]
    assert len(lines) == warnings
    assert all("at iteration 1 " in line and "set it to lr" in line for line in lines)
