"""`Upscaler.upscale`: what it takes, and what it gives back."""

from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from PIL import Image

import mihatp_arch
from datasets_prep.common.errors import UserError
from mihatp_arch.inference.images import Picture
from mihatp_arch.inference.tiled_network import batch_for
from mihatp_arch.inference.write_images import write_picture

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
ALPHA = RNG.integers(0, 256, (20, 30), dtype=np.uint8)


@pytest.fixture(scope="module")
def upscaler(local_weights):
    return mihatp_arch.load(local_weights, device="cpu")


@pytest.fixture(scope="module")
def expected(upscaler):
    return upscaler.upscale(RGB)


def test_arrays_keep_their_type(upscaler, expected):
    assert expected.dtype == np.uint8 and expected.shape == (40, 60, 3)
    single = upscaler.upscale((RGB / 255).astype(np.float32))
    double = upscaler.upscale(RGB / 255)
    half = upscaler.upscale((RGB / 255).astype(np.float16))
    assert (single.dtype, double.dtype, half.dtype) == (np.float32, np.float64, np.float16)
    assert np.array_equal(np.rint(single * 255), expected)
    assert np.abs(double - single).max() < 1e-6 and np.abs(half - single).max() < 1e-2
    assert single.min() >= 0 and single.max() <= 1


def test_arrays_in_any_order_of_memory(upscaler, expected):
    assert np.array_equal(upscaler.upscale(np.asfortranarray(RGB)), expected)
    assert np.array_equal(upscaler.upscale(RGB[:, ::-1]), upscaler.upscale(RGB[:, ::-1].copy()))


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_tensors_keep_their_type(upscaler, kind):
    images = torch.from_numpy(np.stack([RGB, 255 - RGB])).permute(0, 3, 1, 2).to(kind) / 255
    sr = upscaler.upscale(images)
    assert sr.dtype == kind and sr.shape == (2, 3, 40, 60) and sr.device == images.device
    single = upscaler.upscale(images[1].float().permute(1, 2, 0).numpy())
    assert torch.equal(sr[1].permute(1, 2, 0), torch.from_numpy(single).to(kind))


def test_empty_batches_are_empty(upscaler):
    assert upscaler.upscale(torch.zeros(0, 3, 4, 5)).shape == (0, 3, 8, 10)


def test_pil_images_and_paths(upscaler, expected, tmp_path):
    image = upscaler.upscale(Image.fromarray(RGB))
    assert image.mode == "RGB" and np.array_equal(np.asarray(image), expected)
    path = tmp_path / "a.png"
    write_picture(Picture(RGB, ALPHA, None, (25400.0, 25400.0)), path)
    for given in (path, str(path), Image.open(path)):
        image = upscaler.upscale(given)
        assert image.mode == "RGBA" and np.array_equal(np.asarray(image)[..., :3], expected)
        assert image.info["dpi"] == pytest.approx((50800, 50800))
    grey = upscaler.upscale(Image.fromarray(RGB).convert("L"))
    assert grey.mode == "RGB" and grey.size == (60, 40)
    assert upscaler.upscale(Image.fromarray(RGB).convert("LA")).mode == "RGBA"


def test_streams(upscaler, expected):
    stream = upscaler.upscale_all(iter([RGB, RGB[:5]]))
    assert np.array_equal(next(stream), expected) and next(stream).shape == (10, 60, 3)


@pytest.mark.parametrize("given", ["a.png", Path("a.png"), b"a.png", RGB, Image.fromarray(RGB), None])
def test_one_picture_is_no_stream(upscaler, given):
    with pytest.raises(UserError, match=r"images: several pictures are needed.*upscale\(\)"):
        upscaler.upscale_all(given)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (3, 2)])
def test_tiny_pictures(upscaler, size):
    assert upscaler.upscale(np.zeros((*size, 3), np.uint8)).shape == (2 * size[0], 2 * size[1], 3)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (np.zeros((4, 5), np.uint8), r"shape \[4, 5\]"),
        (np.zeros((4, 5, 4), np.uint8), r"shape \[4, 5, 4\]"),
        (np.zeros((0, 5, 3), np.uint8), r"shape \[0, 5, 3\]"),
        (np.zeros((4, 5, 3), np.uint16), "uint16 pixels"),
        (np.zeros((4, 5, 3), bool), "bool pixels"),
        (np.full((4, 5, 3), 1.5), "from 1.5 to 1.5"),
        (np.full((4, 5, 3), np.nan), "from nan to nan"),
        (np.full((4, 5, 3), -0.1, np.float32), "must lie in"),
        (torch.zeros(3, 4, 5), r"tensor \[3, 4, 5\]"),
        (torch.zeros(1, 4, 5, 3), r"tensor \[1, 4, 5, 3\]"),
        (torch.zeros(1, 3, 4, 5, dtype=torch.uint8), "of uint8"),
        (torch.full((1, 3, 4, 5), 2.0), "must lie in"),
        (Image.new("CMYK", (4, 4)), "mode CMYK"),
        ("absent.png", "absent.png cannot be read"),
        ("", "give the path of a picture"),
        (torch.empty(1, 3, 8, 8, device="meta"), "a tensor on the device meta has no values"),
    ],
)
def test_other_images_are_one_line(upscaler, image, reason):
    with pytest.raises(UserError, match=reason):
        upscaler.upscale(image)


def test_tile_and_batch_are_checked_at_once(local_weights):
    with pytest.raises(UserError, match="tiles: 16 px are too few"):
        mihatp_arch.load(local_weights, tile=16)
    for options in ({"batch": 0}, {"batch": 1.5}, {"tile": 0}, {"tile": 64.5}):
        with pytest.raises(UserError, match="give a whole number of at least 1"):
            mihatp_arch.load(local_weights, **options)
    with pytest.raises(UserError, match="ensemble 'no': give True or False"):
        mihatp_arch.load(local_weights, ensemble="no")


def test_a_picture_has_no_larger_batch_than_tiles(local_weights):
    """On a GPU a call is filled up to its batch."""
    upscaler = mihatp_arch.load(local_weights, batch=16)
    assert upscaler.tiled(30, 20).batch == 1 and upscaler.tiled(300, 20).batch == upscaler.tiled(20, 300).batch == 3
    assert upscaler.tiled(5000, 5000).batch == 16


@pytest.mark.parametrize(("free", "kept", "batch"), [(10, 0, 3), (10, 5, 5), (0, 0, 1), (1000, 0, 16)])
def test_the_batch_of_a_gpu_is_what_fits(monkeypatch, free, kept, batch):
    """A tile needs 2 of `free`; `kept` is what torch holds and does not use."""
    of_gpu = {"reset_peak_memory_stats": None, "max_memory_allocated": 7, "memory_allocated": 5}
    of_gpu |= {"mem_get_info": (free, 1000), "memory_reserved": 5 + kept}
    for name, value in of_gpu.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    network = MagicMock(device=torch.device("cuda"))
    assert batch_for(network, 160) == batch and network.call_count == 1


def test_the_result_is_consistent_on_request(local_weights):
    image = (RGB.astype(np.float32) / 255 + 1) / 3  # far from 0 and 1, where clamping changes the mean
    reduced = {
        consistent: mihatp_arch.load(local_weights, consistent=consistent).upscale(image).reshape(20, 2, 30, 2, 3)
        for consistent in (False, True)
    }
    assert np.abs(reduced[True].mean((1, 3)) - image).max() < 1e-6
    assert np.abs(reduced[False].mean((1, 3)) - image).max() > 1e-3


def test_the_ensemble_is_the_mean_over_the_symmetries(local_weights):
    plain = mihatp_arch.load(local_weights)
    image = (RGB[:20, :20].astype(np.float32) / 255 + 4) / 9
    turned = [
        np.rot90(flip(plain.upscale(flip(np.rot90(image, turns)))), -turns)
        for turns in range(4)
        for flip in (lambda x: x, lambda x: x[:, ::-1])
    ]
    together = mihatp_arch.load(local_weights, ensemble=True).upscale(image)
    unclamped = (np.min(turned, 0) > 0) & (np.max(turned, 0) < 1)
    assert unclamped.mean() > 0.6
    assert np.abs(together - np.mean(turned, 0))[unclamped].max() < 1e-5


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [(0.0, 1.0000001, "from 0 to 1.0000001:"), (-1e-9, 1.0, "from -1e-09 to 1:"), (0.0, 2.5, "from 0 to 2.5:")],
)
def test_a_range_is_said_with_the_digits_that_show_the_mistake(upscaler, low, high, says):
    image = np.full((8, 8, 3), 0.5, np.float32)
    image[0, 0, 0], image[0, 0, 1] = low, high
    with pytest.raises(UserError, match=says):
        upscaler.upscale(image)


def test_dpi_may_be_one_number(upscaler):
    image = Image.fromarray(RGB)
    image.info["dpi"] = 25400
    assert upscaler.upscale(image).info["dpi"] == (50800.0, 50800.0)
    for wrong in ("high", (1, 2, 3), (300,), ("a", "b")):
        image.info["dpi"] = wrong
        with pytest.raises(UserError, match=r"image: its dpi are .*one number or two, are needed"):
            upscaler.upscale(image)
