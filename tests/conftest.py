"""Fixtures that every test may use."""

from pathlib import Path

import pytest
import torch

import mihatp_arch  # noqa: F401  mends torchvision and registers everything before a test imports basicsr


@pytest.fixture
def shared() -> Path:
    """Reference numbers and real H&E that may lie beside the checkout; tests that need them skip without."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("no ../shared beside the checkout")
    return folder


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
