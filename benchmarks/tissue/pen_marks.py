"""How much ink is found, and how much tissue is lost to it: synthetic strokes over real tiles.

    python benchmarks/tissue/pen_marks.py --tiles ../shared/data/monuseg/images

Tiles are laid side by side, reduced as an overview is, and cut to irregular islands on glass. Strokes of random colour,
width (0.05 to 0.4 mm), curve and density are drawn over tissue and glass. Haemorrhages are irregular areas of the
colours of blood, with its grain. Each line is the mean over the drawn overviews.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from datasets_prep.common.downscale import area_reduce
from datasets_prep.common.text import markdown_table
from datasets_prep.slides.tiles import read_rgb
from datasets_prep.tissue.pen_marks import find_artefacts

SIDE = 12288  # px of level 0
EOSIN = 70  # codes, red minus green, of tissue that is rich in eosin
RED = ((200, 30, 40), (210, 40, 40), (220, 60, 70), (180, 30, 50), (225, 45, 85), (190, 20, 30), (160, 25, 35))
BLOOD = ((150, 36, 42), (160, 45, 55), (176, 60, 72), (215, 70, 120))  # of tiles B0-5698, 50-5931, 18-5592, 44-2665


def smooth_noise(rng: np.random.Generator, side: int, grain: float) -> NDArray[np.float32]:
    """Noise of unit variance whose structures are about `grain` pixels wide, [side, side]."""
    noise = rng.standard_normal((side, side)).astype(np.float32)
    blurred = np.asarray(cv2.GaussianBlur(noise, (0, 0), grain), np.float32)
    return blurred / max(float(blurred.std()), 1e-6)


def tissue(rng: np.random.Generator, tiles: list[NDArray[np.uint8]], reduce: int) -> NDArray[np.float32]:
    """An overview of islands of tissue on glass, [S, S, 3]."""
    side = SIDE // reduce
    small = [
        area_reduce(tile[: len(tile) // reduce * reduce, : len(tile) // reduce * reduce], reduce) for tile in tiles
    ]
    step = len(small[0])
    rows = []
    for _ in range(-(-side // step)):
        own = rng.integers(len(tiles)) if rng.random() < 0.7 else -1  # mostly rows of one tissue, as in a slide
        chosen = [small[own if own >= 0 else rng.integers(len(small))] for _ in range(-(-side // step))]
        rows.append(np.hstack([np.rot90(tile, int(rng.integers(4))) for tile in chosen]))
    rgb = np.vstack(rows)[:side, :side].astype(np.float32)
    island = smooth_noise(rng, side, side / 12)[..., None] > -0.3
    return np.where(island, rgb, rng.normal(243, 1.5, rgb.shape)).astype(np.float32)


def haemorrhage(rng: np.random.Generator, rgb: NDArray[np.float32], reduce: int) -> NDArray[np.bool_]:
    """Replace irregular areas of the tissue by blood, in place; the areas, [S, S]."""
    side = len(rgb)
    shape = smooth_noise(rng, side, side / rng.uniform(20, 60)) + 0.4 * smooth_noise(rng, side, side / 100)
    area = (shape > 1.1) & (rgb[..., 1] < 225)
    grain = 1 + rng.uniform(0.05, 0.12) * smooth_noise(rng, side, max(0.6, 10 / reduce))[..., None]
    density = -np.log(np.array(BLOOD[rng.integers(len(BLOOD))]) / 245)
    rgb[area] = (245 * np.exp(-density * grain))[area]
    return area


def stroke(rng: np.random.Generator, side: int, reduce: int) -> NDArray[np.float32]:
    """The share of each pixel that a stroke covers, [S, S]: a line, a curve or a ring."""
    drawn = np.zeros((side, side), np.float32)
    thick = max(3, round(rng.uniform(200, 1600) / reduce))
    kind = rng.integers(3)
    centre = rng.uniform(0.3, 0.7, 2) * side
    if kind == 2:
        axes = (rng.uniform(0.15, 0.3, 2) * side).astype(int)
        cv2.ellipse(
            drawn, centre.astype(int).tolist(), axes.tolist(), rng.uniform(0, 180), 0, 360, 1.0, thick, cv2.LINE_AA
        )
    else:
        t = np.linspace(0, 1, 40)[:, None]
        first, bend, last = (rng.uniform(0.05, 0.95, 2) * side for _ in range(3))
        bend = bend if kind else (first + last) / 2
        points = (1 - t) ** 2 * first + 2 * t * (1 - t) * bend + t**2 * last
        cv2.polylines(drawn, [np.rint(points).astype(np.int32)], False, 1.0, thick, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(drawn, (0, 0), 0.7), np.float32)


def inked(rng: np.random.Generator, rgb: NDArray[np.float32], cover: NDArray[np.float32]) -> NDArray[np.float32]:
    """`rgb` with red ink: it absorbs light, unevenly by a tenth, and hides some of the tissue below."""
    density = -np.log(np.array(RED[rng.integers(len(RED))]) / 255) * rng.uniform(0.75, 1.2)
    streaks = 1 + rng.uniform(0, 0.1) * smooth_noise(rng, len(rgb), 4)[..., None]
    light = np.exp(-density * streaks)
    opaque = rng.uniform(0, 0.4)
    below = (1 - opaque) * rgb + opaque * 250
    return (rgb * (1 - cover[..., None]) + below * light * cover[..., None]).astype(np.float32)


def scanned(rng: np.random.Generator, rgb: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The overview with noise and JPEG of quality 85, as a scanner stores it."""
    noisy = np.clip(rgb + rng.normal(0, 2, rgb.shape), 0, 255).astype(np.uint8)
    _, data = cv2.imencode(".jpg", noisy[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    return np.ascontiguousarray(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])


def measure(tiles: list[NDArray[np.uint8]], reduce: int, seed: int) -> dict[str, tuple[int, int]]:
    """What is found: name -> (pixels found, pixels in all) of one overview with a stroke and one without."""
    rng = np.random.default_rng([seed, reduce])
    plain = tissue(rng, tiles, reduce)
    cover = stroke(rng, len(plain), reduce)
    stained, eosin = plain[..., 1] < 225, plain[..., 0] - plain[..., 1] > EOSIN
    with_ink = find_artefacts(scanned(rng, inked(rng, plain, cover)), scale=(reduce, reduce)).either
    bled = plain.copy()
    blood = haemorrhage(rng, bled, reduce)
    without = find_artefacts(scanned(rng, bled), scale=(reduce, reduce)).either
    far = cv2.dilate((cover > 0.02).astype(np.uint8), np.ones((7, 7), np.uint8)) == 0
    areas = {
        "stroke on glass": (with_ink, (cover > 0.9) & ~stained),
        "stroke on tissue": (with_ink, (cover > 0.9) & stained),
        "tissue beside a stroke": (with_ink, far & stained),
        "eosin-rich tissue": (without, eosin & ~blood),
        "haemorrhage": (without, blood),
        "tissue": (without, stained & ~blood),
    }
    return {name: (int(found[area].sum()), int(area.sum())) for name, (found, area) in areas.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=Path, default=Path("../shared/data/monuseg/images"))
    parser.add_argument("--overviews", type=int, default=40, help="number for each reduction (default: 40)")
    args = parser.parse_args()
    tiles = [read_rgb(path) for path in sorted(args.tiles.glob("*.png"))]
    table: dict[str, list[str]] = {}
    for reduce in (16, 32, 64):
        each = [measure(tiles, reduce, seed) for seed in range(args.overviews)]
        for name in each[0]:
            found, area = (sum(counts[name][part] for counts in each) for part in (0, 1))
            table.setdefault(name, [name]).append(f"{found / max(area, 1):.1%}")
    print(markdown_table(["share found as ink", "1/16", "1/32", "1/64"], list(table.values())))


if __name__ == "__main__":
    main()
