"""What JPEG in LR costs the bundled weights, and what the consistency projection then does.

    python benchmarks/tissue/jpeg_lr.py --tiles DIR [--side 512]

LR is the k×k mean of the middle of each tile, compressed as JPEG by Pillow with the colours at full (4:4:4) or at half
resolution (4:2:0). Each cell is PSNR in dB on RGB of 8 bits, mean over the tiles: without and with the projection.
"""

import argparse
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import mihatp_arch as m  # it mends what the imports below need

# isort: split
import numpy as np
from basicsr.metrics import calculate_psnr
from numpy.typing import NDArray
from PIL import Image

from datasets_prep.common.downscale import area_reduce
from datasets_prep.common.text import markdown_table
from datasets_prep.slides.tiles import read_rgb

RGB = NDArray[np.uint8]
SCALES = (2, 4, 8)
QUALITIES = (95, 90, 80, 70)
COLOURS = {"4:4:4": 0, "4:2:0": 2}  # Pillow's numbers


def compressed(lr: RGB, quality: int, colours: str) -> RGB:
    """The image as a reader of a JPEG file gets it."""
    file = BytesIO()
    Image.fromarray(lr).save(file, "JPEG", quality=quality, subsampling=COLOURS[colours])
    return np.asarray(Image.open(file))


def inputs(lr: RGB) -> Iterator[tuple[str, RGB]]:
    """LR as it is, then compressed, each with its name."""
    yield "clean", lr
    for colours in COLOURS:
        for quality in QUALITIES:
            yield f"JPEG {quality}, {colours}", compressed(lr, quality, colours)


def middle(path: Path, side: int) -> RGB:
    image = read_rgb(path)
    y, x = ((length - side) // 2 for length in image.shape[:2])
    return np.ascontiguousarray(image[y : y + side, x : x + side])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=Path, required=True, metavar="DIR", help="images of tissue at 40x")
    parser.add_argument("--side", type=int, default=512, help="of the middle that is taken, px; a multiple of 8")
    args = parser.parse_args()
    tiles = [middle(path, args.side) for path in sorted(args.tiles.iterdir()) if path.suffix in (".png", ".tif")]
    if not tiles:
        raise SystemExit(f"--tiles {args.tiles}: the folder holds no .png and no .tif")
    found: dict[str, list[str]] = {}
    for scale in SCALES:
        ways = [m.load(f"he-light-x{scale}", consistent=consistent) for consistent in (False, True)]
        values: dict[str, list[list[float]]] = {}
        for gt in tiles:
            for name, lr in inputs(area_reduce(gt, scale)):
                values.setdefault(name, []).append([calculate_psnr(way.upscale(lr), gt, 0) for way in ways])
        for name, pairs in values.items():
            found.setdefault(name, []).extend(f"{mean:.2f}" for mean in np.mean(pairs, axis=0))
    heads = [f"x{scale}{way}" for scale in SCALES for way in ("", ", projected")]
    print(markdown_table(["LR", *heads], [[name, *cells] for name, cells in found.items()]))


if __name__ == "__main__":
    main()
