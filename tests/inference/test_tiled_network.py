"""Tiles of a network give what the network gives for the whole image."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image as PILImage
from torch import nn

from datasets_prep.slides.open import open_slide
from mihatp_arch.inference.blend import Block
from mihatp_arch.inference.load import load_network
from mihatp_arch.inference.lr_image import Image, as_float
from mihatp_arch.inference.network import TILE, NetworkInfo, TorchNetwork
from mihatp_arch.inference.tiled_network import TiledNetwork, as_codes
from mihatp_arch.inference.tiling import Tiling, fitting

TILINGS = (Tiling(core=20, blend=4, halo=6, tiles=3), Tiling(core=16, blend=16, halo=8, tiles=1), Tiling(64, 8, 12, 2))
SIZES = ((300, 221), (40, 40), (41, 33), (170, 16), (5, 7), (36, 45))


class Local(nn.Module):
    """A network that sees 3 LR px around each pixel."""

    def forward(self, x):
        x = F.interpolate(x, scale_factor=4, mode="bicubic")
        return F.avg_pool2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), 5, 1)


@pytest.fixture(scope="module")
def local():
    return TorchNetwork(Local(), NetworkInfo("local", 4), device=torch.device("cpu"), precision="fp32")


@pytest.fixture(scope="module")
def light():
    return load_network("he-light-x4", device="cpu")


def image_of(pixels):
    def read(x, y, width, height):
        assert x >= 0 and y >= 0 and x + width <= pixels.shape[1] and y + height <= pixels.shape[0]
        return pixels[y : y + height, x : x + width]

    return Image(pixels.shape[1], pixels.shape[0], read)


def noise(width, height):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def tissue(folder, side):
    """LR of one real tile: the mean of 4×4 pixels of a corner of it."""
    with PILImage.open(sorted((folder / "data" / "monuseg" / "images").glob("*A7-A13E*.png"))[0]) as image:
        hr = np.asarray(image.convert("RGB"), np.float64)[: 4 * side, : 4 * side]
    return np.rint(hr.reshape(side, 4, side, 4, 3).mean((1, 3))).astype(np.uint8)


def coarse_tissue(folder, side):
    """A field of the coarse level of a real slide, about 5x; a tile of MoNuSeg has only 125 px there."""
    path = folder / "data" / "slides" / "tcga-cr-7395-01a-01-ts1.svs"
    with open_slide(path, assume_mpp=1) as slide:
        return slide.read(600, 600, side, side, level=1)


def by_whole(network, pixels, border=32):
    """The network applied to the whole image with a mirrored border, which is cut off, [s·H, s·W, 3]."""
    height, width = pixels.shape[:2]
    side = -(-(max(height, width) + 2 * border) // 32) * 32
    window = image_of(pixels).window(-border, -border, side, side)
    sr = network(torch.from_numpy(window).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
    scale = network.info.scale
    return sr[border * scale :, border * scale :][: height * scale, : width * scale].clip(0, 1)


def in_seams(tiling, size, scale):
    """Whether each SR pixel lies where two tiles cross-fade, [s·H, s·W]."""
    inside = []
    for length in (size[1], size[0]):
        at = np.zeros(length * scale, bool)
        for tile in range(1, tiling.count(length)):
            at[tile * tiling.core * scale : (tile * tiling.core + tiling.blend) * scale] = True
        inside.append(at)
    return inside[0][:, None] | inside[1][None]


def psnr(difference):
    return -10 * np.log10(np.mean(np.square(difference)))


@pytest.mark.parametrize("tiling", TILINGS, ids=lambda tiling: str(tiling.side))
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_local_network_gives_the_same_in_tiles(local, tiling, size):
    pixels = noise(*size)
    sr = TiledNetwork(local, tiling)(image_of(pixels))
    assert sr.shape == (4 * size[1], 4 * size[0], 3)
    assert np.abs(sr - by_whole(local, pixels)).max() < 4e-6


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (2, 1)], ids=str)
def test_lines_and_single_pixels(local, size):
    flat = np.full((size[1], size[0], 3), 100, np.uint8)
    assert (TiledNetwork(local, TILINGS[0])(image_of(flat), dtype=np.dtype(np.uint8)) == 100).all()


def test_the_ensemble_of_an_equivariant_network_is_its_output(local):
    pixels = noise(97, 60)
    plain, together = (TiledNetwork(local, TILINGS[0], ensemble=ensemble) for ensemble in (False, True))
    assert np.abs(plain(image_of(pixels)) - together(image_of(pixels))).max() < 4e-6
    for finished, _ in together.blocks(image_of(pixels)):
        assert finished.deviation is not None and finished.deviation.max() < 4e-6


@pytest.mark.parametrize("batch", [2, 3, 7])
def test_any_batch_gives_the_same_bits(local, batch):
    pixels = noise(170, 101)
    first = TiledNetwork(local, TILINGS[0])(image_of(pixels))
    assert np.array_equal(TiledNetwork(local, TILINGS[0], batch=batch)(image_of(pixels)), first)


def test_any_batch_of_the_light_network_gives_the_same_bits(light):
    torch.manual_seed(0)
    tiles = torch.rand(3, 3, 64, 64)
    single = torch.cat([light(tile[None]) for tile in tiles])
    assert torch.equal(light(tiles), single)
    assert torch.equal(light(tiles.flip(0)).flip(0), single)


def test_blocks_that_are_skipped_leave_the_others_as_they_are(local):
    pixels = noise(170, 150)
    network = TiledNetwork(local, TILINGS[0])
    seams, blocks = {}, {}
    for finished, given in network.blocks(image_of(pixels)):
        seams[finished.block], blocks[finished.block] = given, finished
    assert len(blocks) == 9
    for skip in ({Block(0, 0)}, {Block(0, 1), Block(1, 1)}, set(blocks) - {Block(2, 2)}):
        resumed = {
            finished.block: finished
            for finished, _ in network.blocks(image_of(pixels), skip=skip, stored_seams=seams.__getitem__)
        }
        assert resumed.keys() == blocks.keys() - skip
        for block, finished in resumed.items():
            assert np.array_equal(finished.sr, blocks[block].sr)
            assert np.array_equal(finished.inconsistency, blocks[block].inconsistency)


def test_tiles_that_are_not_computed_are_interpolated(local):
    pixels = noise(100, 60)
    image = image_of(pixels)
    plain = Image(image.width, image.height, image.read, lambda row, column: False)
    lr = torch.from_numpy(as_float(np.pad(pixels, ((9, 9), (9, 9), (0, 0)), "reflect"))).permute(2, 0, 1)[None]
    expected = F.interpolate(lr, scale_factor=4, mode="bicubic")[0, :, 36:-36, 36:-36].permute(1, 2, 0)
    sr = TiledNetwork(local, TILINGS[0])(plain)
    assert np.abs(sr - expected.numpy().clip(0, 1)).max() < 4e-6


def test_consistent_sr_has_the_mean_of_lr(local):
    pixels = noise(100, 60) // 4 + 96
    sr = TiledNetwork(local, TILINGS[0], consistent=True)(image_of(pixels))
    assert np.abs(sr.reshape(60, 4, 100, 4, 3).mean((1, 3)) - as_float(pixels)).max() < 1e-6


def test_codes_are_rounded():
    assert as_codes(np.array([0, 0.5 / 255 + 1e-6, 0.5 / 255 - 1e-6, 1], np.float32)).tolist() == [0, 1, 0, 255]
    codes = np.arange(256, dtype=np.uint8)
    assert np.array_equal(as_codes(as_float(codes)), codes)


def test_tiles_of_the_light_network_are_those_of_the_whole_image(light):
    """On a smooth image with edges, 100 px wide, so that its tiles overlap once along each axis."""
    y, x = np.mgrid[:100, :100]
    waves = np.sin(x / 5) * np.cos(y / 7) + (np.hypot(x - 50, y - 50) < 30)
    pixels = np.stack([waves, waves.T, -waves], -1)
    pixels = np.rint(128 + 50 * pixels).clip(0, 255).astype(np.uint8)
    tiling = fitting(100, 100, side=96, multiple=light.info.multiple)
    difference = TiledNetwork(light, tiling)(image_of(pixels)) - by_whole(light, pixels, border=14)
    assert psnr(difference[in_seams(tiling, (100, 100), 4)]) > 50


@pytest.mark.slow
@pytest.mark.parametrize(("weights", "field"), [("he-light-x4", tissue), ("he-light-x8", coarse_tissue)])
def test_seams_on_real_tissue(shared, weights, field):
    """At the seams, tiles equal the whole image to 50 dB, and the mean gradient differs by less than 2 %."""
    network = load_network(weights, device="cpu")
    pixels, scale = field(shared, 250), network.info.scale
    tiling = fitting(250, 250, side=TILE, multiple=network.info.multiple)
    sr, whole = TiledNetwork(network, tiling)(image_of(pixels)), by_whole(network, pixels)
    seams = in_seams(tiling, (250, 250), scale)
    assert psnr((sr - whole)[seams]) > 50
    sizes = [np.abs(np.diff(image.mean(2), axis=1)) for image in (sr, whole)]
    of_tiles, of_whole = (size[seams[:, 1:]].mean() / size[~seams[:, 1:]].mean() for size in sizes)
    assert abs(of_tiles / of_whole - 1) < 0.02
