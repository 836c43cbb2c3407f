"""LPIPS is that of its authors' package, on the scale and in the order of colours that it wants."""

import cv2
import numpy as np
import pytest
import torch
from torchvision.models import alexnet

from mihatp_arch.errors import UserError
from mihatp_arch.evaluation.run.execute import metric_options
from mihatp_arch.metrics.lpips import alexnet_weights, calculate_lpips


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """Random weights of AlexNet where torchvision looks for the trained ones."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert alexnet_weights().parent == tmp_path / "hub" / "checkpoints"
    alexnet_weights().parent.mkdir(parents=True)
    torch.save(alexnet().state_dict(), alexnet_weights())


def picture(seed: int, width: int = 48) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, width), interpolation=cv2.INTER_CUBIC)


def measured(one: np.ndarray, other: np.ndarray, crop_border: int = 0) -> float:
    return calculate_lpips(one, other, crop_border, better="lower")


def test_it_is_that_of_the_package(weights):
    from lpips import LPIPS, im2tensor

    theirs = LPIPS(net="alex", verbose=False).eval()
    one, other = picture(0), picture(1)
    with torch.no_grad():
        wanted = theirs(im2tensor(one[..., ::-1]), im2tensor(other[..., ::-1])).item()
    assert wanted > 1e-6
    assert measured(one, other) == pytest.approx(wanted, rel=1e-4)


def test_it_grows_with_the_distance_and_is_zero_without(weights):
    one = picture(0)
    blurred = [cv2.GaussianBlur(one, (0, 0), sigma) for sigma in (0.7, 3)]
    assert measured(one, one) == 0
    assert 0 < measured(blurred[0], one) < measured(blurred[1], one)


def test_the_border_is_left_out(weights):
    one, other = picture(0), picture(1)
    framed = one.copy()
    framed[4:-4, 4:-4] = other[4:-4, 4:-4]
    assert measured(framed, other) > 0
    assert measured(framed, other, crop_border=4) == 0


@pytest.mark.parametrize("width", [31, 8])
def test_an_image_that_is_too_small_is_one_line(weights, width):
    with pytest.raises(UserError, match="calculate_lpips: images of shape"):
        measured(picture(0, width), picture(1, width))


def test_without_weights_the_error_says_where_they_go_and_the_benchmark_does_without(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UserError, match=r"download https://\S+alexnet-owt-7be5be79\.pth to .*checkpoints"):
        measured(picture(0), picture(1))
    assert "lpips" not in metric_options(4)


def test_with_weights_the_benchmark_measures_it(weights):
    assert metric_options(4)["lpips"] == {"type": "calculate_lpips", "crop_border": 0, "better": "lower"}
