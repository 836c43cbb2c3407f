"""Fixtures that every test may use, the option `--shuffle`, and one thread for each parallel worker."""

import json
import os
import random
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from safetensors.torch import save_file

import mihatp_arch  # noqa: F401  mends torchvision and registers everything before a test imports basicsr
from datasets_prep.demo import build_demo
from mihatp_arch.archs.srcnn_arch import SRCNN


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shuffle", type=int, metavar="SEED", help="run files, and the tests of a file, in random order")


def pytest_configure(config: pytest.Config) -> None:
    """With `-n`, each worker and each process that it starts computes in one thread, unless OMP_NUM_THREADS is set."""
    if config.getoption("numprocesses", default=None):
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # xdist starts the workers later, with this environment


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The tests of a file stay together, because they share its fixtures."""
    seed = config.getoption("shuffle")
    if seed is not None:
        draw = random.Random(seed)
        files = {path: draw.random() for path in sorted({item.path for item in items})}
        items.sort(key=lambda item: (files[item.path], draw.random()))


@pytest.fixture
def shared() -> Path:
    """Reference numbers and real H&E that may lie beside the checkout; tests that need them skip without."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("no ../shared beside the checkout")
    return folder


@pytest.fixture(scope="session")
def embedded_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set of `--data demo`, built once for all workers; no test writes into it."""
    base = tmp_path_factory.getbasetemp()
    folder = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base  # workers have folders of their own below it
    with FileLock(folder / "embedded.lock"):
        return build_demo(folder / "embedded")


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def local_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as `mihatp export` writes it, of a network for x2 that is fast and sees few pixels around each pixel."""
    options = {"upscale": 2, "kernels": [3], "features": [], "residual": True}
    torch.manual_seed(0)
    network = SRCNN(**options)
    file = tmp_path_factory.mktemp("weights") / "local.safetensors"
    save_file(
        network.state_dict(),
        file,
        {"network_g": json.dumps({"type": "SRCNN", **options}), "scale": "2", "kernel": "area"},
    )
    return file
