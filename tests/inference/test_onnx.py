"""`mihatp export --onnx`: every kind of network, its facts, and one line for a file that cannot be used."""

import json

import numpy as np
import pytest
import torch
from basicsr.archs import build_network
from safetensors.torch import save_file
from spandrel.architectures.DAT import DAT

import mihatp_arch
from mihatp_arch.errors import UserError
from mihatp_arch.inference.load import load_network
from mihatp_arch.inference.onnx import export as onnx_export
from mihatp_cli.mihatp import main

EDSR = {"type": "EDSR", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 8, "num_block": 1, "upscale": 4}
TRANSFORMER = {"upscale": 2, "embed_dim": 12, "depths": [2], "num_heads": [2], "mlp_ratio": 2}
NETWORKS = {
    "HAT": TRANSFORMER | {"window_size": 8, "squeeze_factor": 4},
    "MiHATP": TRANSFORMER | {"window_size": 8, "squeeze_factor": 4},
    "SwinIR": TRANSFORMER | {"window_size": 8, "img_size": 16, "img_range": 1.0, "upsampler": "pixelshuffledirect"},
}


def exported(options, path):
    """A file of `mihatp export` with weights at random."""
    torch.manual_seed(0)
    metadata = {"network_g": json.dumps(options), "scale": str(options["upscale"]), "kernel": "area", "mpp": "0.25"}
    weights = build_network(dict(options)).state_dict()
    save_file({name: value.contiguous() for name, value in weights.items()}, path, metadata)
    return path


def written(source, output, tile, *arguments):
    return main(["export", str(source), "-o", str(output), "--onnx", "--tile", str(tile), *arguments])


def test_an_onnx_file_is_a_network_and_says_what_it_is(tmp_path, capsys):
    source, output = exported(EDSR, tmp_path / "edsr.safetensors"), tmp_path / "edsr.onnx"
    (tmp_path / "card.yml").write_text("licence: CC0\ndate: 2026-01-31\n")
    assert written(source, output, 12, "--card", str(tmp_path / "card.yml")) == 0
    network, expected = load_network(output), load_network(source)
    lr = torch.rand(3, 3, 12, 12)
    torch.testing.assert_close(network(lr), expected(lr), rtol=0, atol=1e-4)
    info = network.info
    assert (info.name, info.scale, info.tile) == ("edsr.onnx", 4, 12)
    assert info.card == {"licence": "CC0", "date": "2026-01-31"}
    assert (info.kernel, info.mpp, info.sha256) == ("area", 0.25, expected.info.sha256)
    whole = output.read_bytes()
    for position in (len(whole) // 3, len(whole) // 2, len(whole) - 40):
        output.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(UserError, match="is damaged"):
            load_network(output)
    output.write_bytes(whole)
    assert written(source, output, 12) == 2
    assert "exists" in capsys.readouterr().err
    assert written(source, tmp_path / "nowhere/edsr.onnx", 12) == 2
    assert "there is no folder" in capsys.readouterr().err


def test_a_picture_is_upscaled_by_onnx(tmp_path):
    """The tiles have the size of the file, whatever the picture and the usual size of tiles."""
    source, output = exported(EDSR, tmp_path / "edsr.safetensors"), tmp_path / "edsr.onnx"
    assert written(source, output, 56) == 0
    image = np.random.default_rng(0).integers(0, 256, (70, 40, 3), dtype=np.uint8)
    sr, expected = (mihatp_arch.load(str(file), tile=56).upscale(image).astype(int) for file in (output, source))
    assert abs(sr - expected).max() <= 1
    assert mihatp_arch.load(str(output)).upscale(image).shape == (280, 160, 3)
    for options in ({"tile": 64}, {"precision": "bf16"}, {"device": "meta"}):
        with pytest.raises(UserError, match="leave"):
            mihatp_arch.load(str(output), **options)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_transformers_are_exported(tmp_path, name):
    source = exported({"type": name} | NETWORKS[name], tmp_path / f"{name}.safetensors")
    assert written(source, tmp_path / f"{name}.onnx", 16) == 0  # it compares the results


@pytest.mark.slow
def test_dat_is_exported(tmp_path):
    options = {"img_size": 16, "embed_dim": 48, "split_size": [4, 8], "depth": [3], "num_heads": [4], "upscale": 2}
    torch.save(DAT(**options, upsampler="pixelshuffledirect").state_dict(), tmp_path / "dat.pth")
    assert written(tmp_path / "dat.pth", tmp_path / "dat.onnx", 16) == 0


def test_a_network_that_differs_is_not_written(tmp_path, monkeypatch, capsys):
    source = exported(EDSR, tmp_path / "edsr.safetensors")
    monkeypatch.setattr(onnx_export, "TOLERANCE", -1.0)
    assert written(source, tmp_path / "edsr.onnx", 12) == 2
    assert "differs" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["edsr.safetensors"]


def test_a_damaged_or_foreign_onnx_file_is_one_line(tmp_path, capsys):
    torch.onnx.export(
        torch.nn.Conv2d(1, 1, 1), (torch.rand(1, 1, 4, 4),), tmp_path / "foreign.onnx", dynamo=True, verbose=False
    )
    (tmp_path / "damaged.onnx").write_bytes(b"damaged")
    capsys.readouterr()
    for name, says in (("foreign", "not one tile"), ("damaged", "cannot be loaded"), ("absent", "no such file")):
        assert written(tmp_path / f"{name}.onnx", tmp_path / "new.onnx", 12) == 2
        error = capsys.readouterr().err
        assert says in error and error.count("\n") == 1
    assert not (tmp_path / "new.onnx").exists()
