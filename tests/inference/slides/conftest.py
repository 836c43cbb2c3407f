"""A small network in a file, and slides of real structure, for the tests of this folder."""

import json

import pytest
import torch
from safetensors.torch import save_file

from datasets_prep.synthetic.slide import write_synthetic_slide
from mihatp_arch.inference.slides.options import TileOptions
from mihatp_arch.inference.slides.task import NetworkSource, loaded

TILES = TileOptions(tile=96, block=512)  # core 64 LR px


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A network of x2 in a file like that of `mihatp export`: random weights on top of an interpolation."""
    from basicsr.archs import build_network

    torch.manual_seed(0)
    options = {"type": "SRCNN", "upscale": 2, "kernels": [5, 3], "features": [8], "residual": True}
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file(build_network(options).state_dict(), path, {"network_g": json.dumps(options), "mpp": "0.25"})
    return NetworkSource(str(path), device="cpu")


@pytest.fixture
def network(weights):
    return loaded(weights)


@pytest.fixture(scope="session")
def slide(tmp_path_factory):
    """A 20x slide of 700×560 px with tissue and glass."""
    path = tmp_path_factory.mktemp("slides") / "small.tif"
    write_synthetic_slide(path, width=700, height=560, seed=5, mpp=0.5, factors=(4,), pen=False, black=False)
    return path
