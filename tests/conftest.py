"""Fixtures that every test may use, the option `--shuffle`, and one thread for each parallel worker."""

import json
import os
import random
import shutil
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from safetensors.torch import save_file

import mihatp_arch  # noqa: F401  mends torchvision and registers everything before a test imports basicsr
from datasets_prep.demo import build_demo
from mihatp_arch.archs.hovernet_arch import HoVerNet
from mihatp_arch.archs.srcnn_arch import SRCNN


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shuffle", type=int, metavar="SEED", help="run files, and the tests of a file, in random order")


def pytest_configure(config: pytest.Config) -> None:
    """The same ways in all tests. With `-n`, workers and their processes compute in one thread each.

    Where a test takes two threads, they sleep while they wait: beside the other workers, threads that wait for each
    other in a loop took 20 times as long. MIHATP_FAST, OMP_NUM_THREADS and OMP_WAIT_POLICY may say otherwise.
    """
    os.environ.setdefault("MIHATP_FAST", "fixed")
    if config.getoption("numprocesses", default=None):  # xdist starts the workers later, with this environment
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")


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


@pytest.fixture(scope="module")
def browser():
    """A real browser that shows pages; it asks for nothing of its own."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install .[dev]")
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(names)} is installed")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--force-color-profile=srgb"]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


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


@pytest.fixture(scope="session")
def disc_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as `mihatp export` writes it, of a small HoVer-Net that finds dark discs on a light ground.

    Its weights are set by hand: brightness is the logit of a nucleus, and the slopes of brightness are the distances.
    """
    options = {"mode": "fast", "width": 0.1}
    network = HoVerNet(**options)
    state = {
        name: tensor if tensor.ndim < 2 and not name.endswith("bias") else torch.zeros_like(tensor)
        for name, tensor in network.state_dict().items()
    }
    slope = torch.tensor([-1.0, -1, -1, 0, 1, 1, 1]) / 63
    stem = state["conv0./.weight"]  # channel 0: brightness; 1 and 2: its slope along x, both signs; 3 and 4: along y
    stem[0, :, 3, 3] = 1 / 3
    for channel, kernel in ((1, slope.repeat(7, 1)), (3, slope[:, None].repeat(1, 7))):
        stem[channel], stem[channel + 1] = kernel, -kernel
    for channel in range(5):
        state["d0.shortcut.weight"][channel, channel] = 1
        for head in ("np", "hv"):
            state[f"decoder.{head}.u1.conva.weight"][channel, channel, 1, 1] = 1
    state["decoder.np.u0.conv.weight"][1, 0], state["decoder.np.u0.conv.bias"][1] = -40, 24  # dark below 0.6
    for row, channel in ((0, 1), (1, 3)):
        state["decoder.hv.u0.conv.weight"][row, channel : channel + 2] = torch.tensor([1.0, -1]).view(2, 1, 1)
    file = tmp_path_factory.mktemp("nuclei") / "discs.safetensors"
    save_file(state, file, {"network_g": json.dumps({"type": "HoVerNet", **options})})
    return file
