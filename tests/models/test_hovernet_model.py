"""HoVerNetModel starts from official checkpoints, and refuses options that are not those of a HoVer-Net."""

import pytest
import torch
from helpers.basicsr import changed
from helpers.options import frame

from mihatp_arch.archs.hovernet_arch import HoVerNet
from mihatp_arch.config.checks.weights import check_weights
from mihatp_arch.config.read import read_options
from mihatp_arch.errors import UserError
from mihatp_arch.models.hovernet_model import HoVerNetModel

NETWORK = {"type": "HoVerNet", "mode": "fast", "width": 0.0625}


def options(folder, **network):
    opt = frame(folder, NETWORK | network, optim_g={"type": "Adam", "lr": 1e-4}, pixel_opt={"type": "HoVerNetLoss"})
    return opt | {"scale": 1, "val": {"window": None}, "datasets": {"train": {"gt_size": 256}}}


def official(folder, name, **network):
    """A checkpoint as the authors of HoVer-Net save it."""
    network = HoVerNet(**{"mode": "fast", "width": 0.0625} | network)
    for weight in network.parameters():
        torch.nn.init.normal_(weight)
    state = {f"module.{name}": weight for name, weight in network.state_dict().items()}
    torch.save({"desc": state | {"module.upsample2x.unpool_mat": torch.ones(2, 2)}}, folder / name)
    return folder / name, network


@pytest.mark.parametrize("name", ["hovernet_fast_pannuke_type_tf2pytorch.tar", "checkpoint.pth"])
def test_a_training_starts_from_an_official_checkpoint(tmp_path, name):
    file, network = official(tmp_path, name, nr_types=6)
    opt = changed(options(tmp_path, nr_types=6), "path", "pretrain_network_g", to=str(file))
    model = HoVerNetModel(opt)
    loaded = model.get_bare_model(model.net_g).state_dict()
    assert all(torch.equal(loaded[key], weight) for key, weight in network.state_dict().items())
    assert loaded.keys() == network.state_dict().keys()


def test_an_official_checkpoint_fits_the_check_of_options(tmp_path):
    file, network = official(tmp_path, "a.tar")
    (tmp_path / "a.yml").write_text(f"name: a\npath: {{pretrain_network_g: {file}}}\n")
    read = read_options([tmp_path / "a.yml"])
    assert [*check_weights(read, network, "g", averaged=True)] == []
    (line,) = check_weights(read, HoVerNet(mode="fast", width=0.0625, nr_types=6), "g", averaged=True)
    assert "decoder.tp" in line and "missing there" in line and "\n" not in line


def test_another_checkpoint_is_one_line(tmp_path):
    torch.save({"desc": {"conv.weight": torch.ones(1)}}, tmp_path / "a.tar")
    opt = changed(options(tmp_path), "path", "pretrain_network_g", to=str(tmp_path / "a.tar"))
    with pytest.raises(UserError, match="does not fit HoVerNet"):
        HoVerNetModel(opt)
    (tmp_path / "a.tar").write_bytes(b"no checkpoint")
    with pytest.raises(UserError, match="cannot be loaded"):
        HoVerNetModel(opt)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("network_g", "type"), "SRCNN", "trains HoVerNet"),
        (("scale",), 2, "scale: 2"),
        (("train", "pixel_opt", "type"), "L1Loss", "HoVerNetLoss"),
        (("datasets", "train", "gt_size"), 250, "256, 264"),
        (("val", "window"), 260, "256, 264"),
    ],
)
def test_other_options_are_refused(tmp_path, path, value, message):
    opt = changed(options(tmp_path), *path, to=value)
    if value == "SRCNN":
        opt["network_g"] = {"type": "SRCNN", "upscale": 1}
    with pytest.raises(UserError, match=message):
        HoVerNetModel.check_options(opt)


@pytest.mark.slow
def test_the_encoder_rests_in_the_first_phase(tmp_path):
    model = HoVerNetModel(changed(options(tmp_path), "train", "frozen_iterations", to=1))
    model.feed_data({"lq": torch.rand(1, 3, 256, 256), "gt": torch.zeros(1, 3, 256, 256)})
    bare = model.get_bare_model(model.net_g)
    before = [weight.clone() for weight in (bare.conv0[1].weight, bare.conv_bot.weight)]
    model.optimize_parameters(1)
    assert torch.equal(bare.conv0[1].weight, before[0]) and not torch.equal(bare.conv_bot.weight, before[1])
    model.optimize_parameters(2)
    assert not torch.equal(bare.conv0[1].weight, before[0])


def test_a_type_that_the_network_does_not_have_is_one_line(tmp_path):
    model = HoVerNetModel(options(tmp_path, nr_types=3))
    labels = torch.zeros(1, 3, 256, 256)
    labels[:, 0, 100:120, 100:120], labels[:, 2, 100:120, 100:120] = 1 / 255, 3 / 255
    model.feed_data({"lq": torch.rand(1, 3, 256, 256), "gt": labels})
    with pytest.raises(UserError, match=r"type 3.*nr_types 3"):
        model.optimize_parameters(1)
