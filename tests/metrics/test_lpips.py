"""LPIPS and ST-LPIPS are those of their packages, on the scale and in the order of colours that they want."""

import shutil

import cv2
import numpy as np
import pytest
import torch
from torchvision.models import alexnet

from mihatp_arch.errors import UserError
from mihatp_arch.evaluation.run.execute import metric_options
from mihatp_arch.losses import PerceptualDistance, stlpips
from mihatp_arch.metrics.lpips import alexnet_weights, calculate_lpips, calculate_st_lpips

needs_package = pytest.mark.skipif(
    not stlpips.has_weights("alexnet"), reason="needs: pip install stlpips-pytorch==0.0.2"
)


@pytest.fixture(scope="module")
def torch_home(tmp_path_factory):
    """A folder with random weights of AlexNet (244 MB) where torchvision looks for the trained ones."""
    folder = tmp_path_factory.mktemp("torch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(folder))
        assert alexnet_weights().parent == folder / "hub" / "checkpoints"
        alexnet_weights().parent.mkdir(parents=True)
        torch.save(alexnet().state_dict(), alexnet_weights())
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def weights(torch_home, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(torch_home))


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


@needs_package
def test_st_lpips_is_the_distance_of_the_rgb_images_without_their_border():
    one, other = picture(0), picture(1)
    rgb = [torch.from_numpy(image[4:-4, 4:-4, ::-1].copy()).permute(2, 0, 1)[None] / 255 for image in (one, other)]
    wanted = PerceptualDistance("st-alex", subject="test")(*rgb).item()
    assert calculate_st_lpips(one, other, 4, better="lower") == pytest.approx(wanted, rel=1e-5)
    assert wanted > 0.01 and calculate_st_lpips(one, one, 0, better="lower") == 0


@needs_package
def test_a_shift_of_a_pixel_costs_less_than_a_blur():
    """On a photograph-like texture; a plain pixel-wise distance sees it the other way round."""
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (97, 97, 3), dtype=np.uint8), (0, 0), 1.2)
    image = cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX)
    hr, shifted, blurred = image[:96, :96], image[:96, 1:], cv2.GaussianBlur(image, (0, 0), 1.2)[:96, :96]
    errors = [np.square(sr.astype(float) - hr).mean() for sr in (shifted, blurred)]
    distances = [calculate_st_lpips(sr.copy(), hr.copy(), 0, better="lower") for sr in (shifted, blurred)]
    assert errors[0] > errors[1] and distances[0] < distances[1]


def test_without_the_package_the_benchmark_does_without_st_lpips(monkeypatch):
    monkeypatch.setattr(stlpips, "find_spec", lambda name: None)
    assert "st_lpips" not in metric_options(4)
    with pytest.raises(UserError, match=r"calculate_st_lpips: .* pip install stlpips-pytorch==0\.0\.2"):
        calculate_st_lpips(picture(0), picture(1), 0, better="lower")
