"""The embedded slide of the demo: its level at 10x, super-resolved to 40x by the weights in this package."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from datasets_prep.slides.open import open_slide
from datasets_prep.synthetic.slide import write_synthetic_slide
from mihatp_arch.evaluation.report import figure
from mihatp_arch.evaluation.views import view_images
from mihatp_arch.inference.load import load_network
from mihatp_arch.inference.slides.options import SlideOptions, TileOptions
from mihatp_arch.inference.slides.upscale_slide import upscale_slide
from mihatp_arch.metrics.images import BGRImage

WEIGHTS = "he-light-x4"
_SCALE = 4
_SEED = 2001  # of a slide of test1, which no training of the demo has seen
_SIDE = 1536  # px at 40x
_MPP = 0.25  # µm per px at 40x
_PART = 384  # px at 40x, side of a part in the picture
_PARTS = ((256, 256), (768, 512), (512, 1024))  # x, y, px at 40x


def upscale_demo_slide(folder: Path) -> tuple[Path, Path, str | None]:
    """Write the slide, its super-resolution, a picture and a view of both into `folder`.

    Returns:
        The super-resolution, the picture, and the link to the view; None where the view cannot be written.

    Raises:
        UserError: `folder` cannot be written.
    """
    slide, output, picture = (folder / name for name in ("slide.tiff", "slide_sr.tiff", "slide.png"))
    write_synthetic_slide(slide, width=_SIDE, height=_SIDE, seed=_SEED, pen=False, black=False)
    network = load_network(WEIGHTS, device="cpu")
    options = SlideOptions(overwrite=True)
    upscale_slide(network, slide, output, options=options, tiles=TileOptions(block=1024), say=None)
    with open_slide(slide) as before, open_slide(output) as after:
        patches = []
        for x, y in _PARTS:
            hr, sr = (_bgr(each.read(x, y, _PART, _PART)) for each in (before, after))
            small = _PART // _SCALE
            lr = _bgr(before.read(x // _SCALE, y // _SCALE, small, small, level=1))
            bicubic = np.asarray(cv2.resize(lr, (_PART, _PART), interpolation=cv2.INTER_CUBIC), np.uint8)
            images: dict[str, BGRImage] = {"LR (10x)": lr, "bicubic": bicubic, WEIGHTS: sr, "40x": hr}
            captions = {name: f"{_psnr(images[name], hr):.2f} dB" for name in ("bicubic", WEIGHTS)}
            patches.append(figure.Patch(f"synthetic slide at x {x}, y {y}", images, captions))
        level = _bgr(before.read(0, 0, _SIDE // _SCALE, _SIDE // _SCALE, level=1))
    figure.draw_crops(patches, picture, crop=128)
    link = view_images({"slide at 10x": level}, [output, slide], folder / "slide_view", mpp=_SCALE * _MPP)
    return output, picture, link


def _bgr(rgb: NDArray[np.uint8]) -> BGRImage:
    return np.ascontiguousarray(rgb[..., ::-1])


def _psnr(image: BGRImage, reference: BGRImage) -> float:
    return float(cv2.PSNR(image, reference))
