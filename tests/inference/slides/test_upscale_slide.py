"""A whole slide: the same pixels as the whole image, the same bytes after any kill and with any number of processes."""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import openslide
import pytest
import tifffile

from datasets_prep.common.errors import UserError
from datasets_prep.common.executors import open_executor
from datasets_prep.slides.open import open_slide
from mihatp_arch.archs.fast.threads import number_of_threads
from mihatp_arch.inference.pyramid import store_path
from mihatp_arch.inference.slides.job import prepare_job
from mihatp_arch.inference.slides.options import SlideOptions, TileOptions
from mihatp_arch.inference.slides.task import Workers
from mihatp_arch.inference.slides.upscale_slide import upscale_slide
from mihatp_arch.inference.tiled_network import as_codes

TILES = TileOptions(tile=96, block=512)  # core 64 LR px, 4x4 tiles in a block, 3x3 blocks in a slide
LOSSLESS = SlideOptions(lossless=True)


def upscaled(network, slide, output, options=LOSSLESS, tiles=TILES, **others):
    with number_of_threads(1):
        return upscale_slide(network, slide, output, options=options, tiles=tiles, say=None, progress=False, **others)


@pytest.fixture(scope="module")
def finished(weights, slide, tmp_path_factory):
    from mihatp_arch.inference.slides.task import loaded

    output = tmp_path_factory.mktemp("finished") / "out.tif"
    return upscaled(loaded(weights), slide, output)


def pixels(path, level=0):
    with openslide.OpenSlide(path) as handle:
        return np.asarray(handle.read_region((0, 0), level, handle.level_dimensions[level]).convert("RGB"))


def test_the_file_has_the_pixels_of_the_whole_image(network, slide, finished):
    with open_slide(slide) as opened, number_of_threads(1):
        job = prepare_job(network, opened, LOSSLESS, TILES)
        whole = as_codes(job.task.tiled(network)(job.task.image(opened)))
    assert np.array_equal(pixels(finished.output)[: whole.shape[0], : whole.shape[1]], whole)
    assert 0 < finished.computed < finished.tiles == job.tissue.tiles.size
    assert not store_path(finished.output).exists()


def test_the_file_says_what_it_is(network, slide, finished):
    with openslide.OpenSlide(finished.output) as handle:
        assert handle.level_downsamples == (1.0, 2.0, 4.0)
        assert float(handle.properties["openslide.mpp-x"]) == pytest.approx(0.25)
        text = handle.properties["tiff.ImageDescription"]
    for part in (
        "not scanned; not for diagnosis",
        f"weights tiny.safetensors, sha256 {network.info.sha256}",
        "scale 2",
        "source small.tif, level 0, 0.5 µm/px",
        "output 0.25 µm/px",
        "image 1400x1120 at the upper left",
    ):
        assert part in text


@pytest.mark.slow
def test_any_number_of_processes_gives_the_same_bytes(network, weights, slide, finished, tmp_path):
    with open_executor(workers=2, scheduler=None) as (executor, _):
        result = upscaled(network, slide, tmp_path / "out.tif", workers=Workers(executor, 2, weights))
    assert result.output.read_bytes() == finished.output.read_bytes()


def test_a_resumed_run_computes_only_what_is_missing(network, slide, finished, tmp_path, monkeypatch):
    from mihatp_arch.inference.tiled_network import TiledNetwork

    counted = []
    real = TiledNetwork.sums

    def stopping(self, image, block, **options):
        counted.append(block)
        if len(counted) == 5:
            raise KeyboardInterrupt
        return real(self, image, block, **options)

    monkeypatch.setattr(TiledNetwork, "sums", stopping)
    with pytest.raises(KeyboardInterrupt):
        upscaled(network, slide, tmp_path / "out.tif")
    assert not (tmp_path / "out.tif").exists()
    upscaled(network, slide, tmp_path / "out.tif")
    assert len(counted) == 9 + 1
    assert (tmp_path / "out.tif").read_bytes() == finished.output.read_bytes()


@pytest.mark.parametrize(
    ("options", "tiles", "says"),
    [
        (LOSSLESS, replace(TILES, ensemble=True), "ensemble was false and is true"),
        (replace(LOSSLESS, whole=True), TILES, r"tissue \(hash of its tiles\) was"),
        (SlideOptions(), TILES, "compression was"),
    ],
)
def test_other_options_do_not_resume(network, slide, tmp_path, monkeypatch, options, tiles, says):
    with monkeypatch.context() as patched, pytest.raises(OSError, match="stop"):
        patched.setattr("mihatp_arch.inference.slides.upscale_slide.write_tiff", stop)
        upscaled(network, slide, tmp_path / "out.tif")
    with pytest.raises(UserError, match=says):
        upscaled(network, slide, tmp_path / "out.tif", options, tiles)


def stop(*arguments, **options):
    raise OSError("stop")


def test_the_slide_itself_is_never_replaced(network, slide, tmp_path):
    mine = tmp_path / "mine.tif"
    mine.write_bytes(slide.read_bytes())
    (tmp_path / "link.tif").symlink_to(mine)
    for output in (mine, tmp_path / "link.tif"):
        with pytest.raises(UserError, match="is the slide itself"):
            upscaled(network, mine, output, replace(LOSSLESS, overwrite=True))
    assert mine.read_bytes() == slide.read_bytes()


def test_an_output_that_exists_stays(network, slide, finished, tmp_path):
    output = tmp_path / "out.tif"
    output.write_bytes(b"mine")
    with pytest.raises(UserError, match="exists: delete it, name another file, or give --overwrite"):
        upscaled(network, slide, output)
    assert output.read_bytes() == b"mine"
    assert os.listdir(tmp_path) == ["out.tif"]
    with pytest.raises(UserError, match=r"out\.tif is no file of this program, so it stays"):
        upscaled(network, slide, output, replace(LOSSLESS, overwrite=True))
    assert output.read_bytes() == b"mine"
    output.write_bytes(finished.output.read_bytes()[:-1])
    upscaled(network, slide, output, replace(LOSSLESS, overwrite=True))
    assert output.read_bytes() == finished.output.read_bytes()


def test_a_kill_just_after_the_last_step(network, slide, finished, tmp_path, monkeypatch):
    with monkeypatch.context() as patched, pytest.raises(OSError, match="stop"):
        patched.setattr("mihatp_arch.inference.pyramid.TileStore.remove", stop)
        upscaled(network, slide, tmp_path / "out.tif")
    assert (tmp_path / "out.tif").exists()
    upscaled(network, slide, tmp_path / "out.tif")
    assert (tmp_path / "out.tif").read_bytes() == finished.output.read_bytes()
    assert os.listdir(tmp_path) == ["out.tif"]


RUN = """
import sys
from pathlib import Path
from mihatp_arch.inference.slides.options import SlideOptions, TileOptions
from mihatp_arch.inference.slides.task import NetworkSource, loaded
from mihatp_arch.archs.fast.threads import number_of_threads
from mihatp_arch.inference.slides.upscale_slide import upscale_slide

weights, slide, output = sys.argv[1:]
network = loaded(NetworkSource(weights, device="cpu"))
print("ready", flush=True)
with number_of_threads(1):
    upscale_slide(
        network, Path(slide), Path(output), options=SlideOptions(lossless=True),
        tiles=TileOptions(tile=96, block=512), say=None, progress=False,
    )
"""


@pytest.mark.slow
def test_kills_at_random_moments_leave_no_trace(weights, slide, finished, tmp_path):
    draw = random.Random(0)
    output = tmp_path / "out.tif"
    command = [sys.executable, "-c", RUN, weights.source, str(slide), str(output)]
    start = time.monotonic()
    subprocess.run([*command[:-1], str(tmp_path / "undisturbed.tif")], check=True, stdout=subprocess.DEVNULL)
    longest = (time.monotonic() - start) / 3
    kills = 0
    while kills < 20:
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"ready\n"
        try:
            process.wait(timeout=draw.uniform(0, longest))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
        if not output.exists() or store_path(output).exists():
            continue
        assert output.read_bytes() == finished.output.read_bytes()
        output.unlink()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert output.read_bytes() == finished.output.read_bytes()
    assert (tmp_path / "undisturbed.tif").read_bytes() == output.read_bytes()


def test_three_lines_of_python(network, slide, tmp_path):
    from mihatp_arch.inference.upscale import Upscaler

    result = Upscaler(network, tile=96).upscale_slide(slide, tmp_path / "new" / "out.tif")
    with openslide.OpenSlide(tmp_path / "new" / "out.tif") as handle:
        assert handle.dimensions == (1400, 1120)
    assert result.plan.output_mpp == 0.25


def test_the_icc_profile_is_carried(network, tmp_path):
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8)
    options = {"tile": (128, 128), "compression": "zlib", "photometric": "rgb", "metadata": None}
    resolution = {"resolution": (20000, 20000), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(tmp_path / "in.tif", image, iccprofile=profile, **options, **resolution)
    upscaled(network, tmp_path / "in.tif", tmp_path / "out.tif")
    with openslide.OpenSlide(tmp_path / "out.tif") as handle:
        assert handle.color_profile.tobytes() == profile
        assert not handle.associated_images


def test_an_ome_tiff_in_the_layout_of_qupath_is_upscaled(network, tmp_path):
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8)
    options = {"tile": (128, 128), "compression": "jpeg2000", "photometric": "rgb"}
    size = {f"PhysicalSize{axis}{unit}": value for axis in "XY" for unit, value in (("", 0.25), ("Unit", "µm"))}
    with tifffile.TiffWriter(tmp_path / "in.ome.tif", ome=True) as file:
        file.write(image, subifds=1, metadata={"axes": "YXS", **size}, iccprofile=profile, **options)
        file.write(image[::2, ::2], subfiletype=1, **options)  # the level of 0.5 µm/px: OpenSlide does not see it
    result = upscaled(network, tmp_path / "in.ome.tif", tmp_path / "out.tif")
    assert (result.plan.level, result.plan.mpp) == (1, 0.5)
    with openslide.OpenSlide(tmp_path / "out.tif") as handle:
        assert handle.color_profile.tobytes() == profile
        assert float(handle.properties["openslide.mpp-x"]) == pytest.approx(0.25)


def test_another_setting_of_the_fast_ways_is_another_job(network, slide, monkeypatch):
    configs = []
    for text in ("fixed", "attention=sdpa"):
        monkeypatch.setenv("MIHATP_FAST", text)
        with open_slide(slide) as reader:
            configs.append(prepare_job(network, reader, LOSSLESS, TILES).config)
    assert {key for key, value in configs[0].items() if configs[1][key] != value} == {"fast"}
