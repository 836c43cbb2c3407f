"""Procedural H&E images at 40x (0.25 µm/px) with exactly known nuclei, for the demo and the tests.

Glands and solid nests lie in fibrous stroma, and nuclei are placed by region. Everything is drawn as the optical
density of two stains, then imaged with a slight blur and sensor noise (I = I0 · exp(-OD)).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from datasets_prep.common.errors import UserError
from datasets_prep.synthetic.nuclei import EPITHELIAL, LYMPHOCYTE, SPINDLE, Nuclei
from datasets_prep.synthetic.textures import Array, cell_borders, direction, fibres, smooth_noise

_MAX_SIDE = 4096  # px; the number of nuclei of the densest image still fits uint16
# Unit optical-density vectors (RGB) of the two stains, by Ruifrok & Johnston 2001 and by Macenko et al. 2009. Each
# image has a random mixture of both, because laboratories differ.
_HEMATOXYLIN = np.array([[0.650, 0.704, 0.286], [0.563, 0.720, 0.406]], np.float32)
_EOSIN = np.array([[0.072, 0.990, 0.105], [0.216, 0.801, 0.558]], np.float32)


@dataclass(frozen=True)
class _Tissue:
    """The layout of one image; every field is [H, W] float32."""

    depth: Array  # distance from the border of a gland or nest, px; negative in the stroma
    lumen: Array  # distance from the border of a lumen, px; negative outside
    fibre: Array  # density of the fibres, mean 0
    along: Array  # direction of the fibres, radians
    cleft: Array  # white gaps in the stroma, 0 to 1


def _layout(height: int, width: int, rng: np.random.Generator) -> _Tissue:
    warp_y, warp_x = (
        14 * smooth_noise(height, width, 75, rng) + 3 * smooth_noise(height, width, 20, rng) for _ in "yx"
    )
    ys, xs = np.mgrid[:height, :width].astype(np.float32)
    depth = np.full((height, width), -60, np.float32)
    lumen = np.full((height, width), -60, np.float32)
    open_share = rng.uniform(0.2, 0.9)  # share of the glands with a lumen: from solid to differentiated tissue
    for _ in range(max(1, round(rng.uniform(0.5, 1.1) * (height + 200) * (width + 200) / 45000))):
        cy, cx = rng.uniform(-100, height + 100), rng.uniform(-100, width + 100)
        radius, aspect, angle = rng.uniform(80, 165), rng.uniform(0.55, 1), rng.uniform(0, np.pi)
        wall = rng.uniform(44, 68) if rng.random() < open_share else np.inf
        reach = int(radius + 90)
        rows = slice(max(0, int(cy) - reach), max(0, int(cy) + reach))
        cols = slice(max(0, int(cx) - reach), max(0, int(cx) + reach))
        dy, dx = ys[rows, cols] - cy + warp_y[rows, cols], xs[rows, cols] - cx + warp_x[rows, cols]
        u = dx * np.cos(angle) + dy * np.sin(angle)
        v = (dy * np.cos(angle) - dx * np.sin(angle)) / aspect
        inside = np.maximum((radius - np.hypot(u, v)) * (0.5 + 0.5 * aspect), -60)
        before = depth[rows, cols]
        lumen[rows, cols] = np.where(inside > before, np.maximum(inside - wall, -60), lumen[rows, cols])
        # Where two glands meet, the depth is reduced, so that a septum of stroma stays between them.
        depth[rows, cols] = np.maximum(inside, before) - 2 * np.maximum(np.minimum(inside, before) + 9, 0)
    depth += 1.6 * smooth_noise(height, width, 8, rng)
    lumen = np.minimum(lumen, depth - 20) + 2.5 * smooth_noise(height, width, 9, rng)
    fibre, along = fibres(height, width, rng, follow=depth)
    gaps = 0.9 * smooth_noise(height, width, 40, rng) + 0.8 * fibre
    cleft = np.clip((rng.uniform(-1.9, -1.0) - gaps) * 1.6, 0, 1) * np.clip((-2 - depth) / 2, 0, 1)
    return _Tissue(depth, lumen, fibre, along, cleft.astype(np.float32))


def _draw_nuclei(tissue: _Tissue, rng: np.random.Generator) -> Nuclei:
    """Draw nuclei at random positions; their kind and direction depend on the region."""
    height, width = tissue.depth.shape
    nuclei = Nuclei(height, width, rng)
    radial = direction(tissue.depth)
    infiltrate = smooth_noise(height, width, 90, rng)
    inflamed, crowded = rng.uniform(0.6, 2.2), rng.uniform(0.25, 0.9)
    darts = height * width // 130 + 1
    for y, x, chance in zip(
        rng.uniform(0, height, darts), rng.uniform(0, width, darts), rng.random(darts), strict=True
    ):
        at = int(y), int(x)
        depth, lumen = tissue.depth[at], tissue.lumen[at]
        if nuclei.labels[at] or tissue.cleft[at] > 0.2 or lumen > -9:
            continue
        if depth > 10:
            if lumen > -59:  # a wall around a lumen: nuclei near its base, upright
                basal = np.exp(-(((depth - 19) / 13) ** 2)) + 0.12
                if chance < basal:
                    nuclei.draw(y, x, radial[at] + 0.25 * rng.standard_normal(), EPITHELIAL)
            elif chance < crowded:
                nuclei.draw(y, x, rng.uniform(0, np.pi), EPITHELIAL)
        elif depth < -7:
            if infiltrate[at] > inflamed and chance < 0.5:
                nuclei.draw(y, x, rng.uniform(0, np.pi), LYMPHOCYTE)
            elif chance < 0.11:
                nuclei.draw(y, x, tissue.along[at] + 0.15 * rng.standard_normal(), SPINDLE)
            elif chance < 0.13:
                nuclei.draw(y, x, rng.uniform(0, np.pi), LYMPHOCYTE)
    return nuclei


def _stain(tissue: _Tissue, nuclei: Nuclei, rng: np.random.Generator) -> tuple[Array, Array]:
    """Optical density of hematoxylin and of eosin, each [H, W], natural logarithm."""
    height, width = tissue.depth.shape
    grain, blotch = smooth_noise(height, width, 2.2, rng), smooth_noise(height, width, 14, rng)
    border, _ = cell_borders(height, width, np.asarray(nuclei.centres, np.float32).reshape(-1, 2), rng)
    membrane = np.exp(-((border / 1.3) ** 2))
    foam = np.exp(-((smooth_noise(height, width, 6, rng) / 0.22) ** 2))  # thin threads of cytoplasm
    vacuole = np.clip(smooth_noise(height, width, 8, rng) - rng.uniform(0.4, 1.6), 0, 1)
    gland = np.clip(tissue.depth / 2 + 0.5, 0, 1)
    open_ = np.clip(tissue.lumen / 2 + 0.5, 0, 1)
    # Cytoplasm: granular, darker at the cell borders, with pale vacuoles. Stroma: fibres.
    threads = rng.uniform(0.25, 0.6) * membrane + rng.uniform(0.05, 0.25) * foam
    pale = 1 - 0.75 * vacuole
    cyto_e = (rng.uniform(0.28, 0.4) + 0.07 * blotch + 0.07 * grain) * pale + 0.8 * threads
    cyto_h = (rng.uniform(0.06, 0.24) + 0.04 * blotch + 0.05 * grain) * pale + 0.35 * threads
    base_e = rng.uniform(0.45, 0.65)
    stroma_e = np.clip(base_e + 0.17 * tissue.fibre + 0.05 * grain, 0.1, None) * (1 - 0.93 * tissue.cleft)
    stroma_h = np.clip(0.07 + 0.03 * tissue.fibre + 0.02 * grain, 0, None) * (1 - tissue.cleft)
    lamina = np.exp(-(((tissue.depth + 3) / 2.2) ** 2)) * (1 - tissue.cleft)  # basement membrane
    secretion = np.clip(smooth_noise(height, width, 30, rng) - 1.2, 0, 1) * np.clip(blotch + 0.6 * grain, 0, 1)
    eosin = gland * cyto_e + (1 - gland) * stroma_e + 0.2 * lamina
    hematoxylin = gland * cyto_h + (1 - gland) * stroma_h
    eosin = eosin * (1 - open_) + open_ * 0.25 * secretion
    hematoxylin = hematoxylin * (1 - open_) + open_ * 0.08 * secretion
    hematoxylin = hematoxylin * (1 - nuclei.cover) + nuclei.stain * nuclei.cover
    eosin = eosin * (1 - nuclei.cover) + (0.32 + 0.06 * grain) * nuclei.cover
    return np.maximum(hematoxylin, 0, dtype=np.float32), np.maximum(eosin, 0, dtype=np.float32)


def synthesize(height: int, width: int, *, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Make an H&E image at 40x (0.25 µm/px) and the labels of its nuclei, from `seed` alone.

    Args:
        height, width: size of the image, 1 to 4096 px each.
        seed: seed of everything in it.

    Returns:
        [H, W, 3] uint8 RGB, and [H, W] uint16 labels: 0 between nuclei, n inside nucleus n. The labels are 1 … N
        without gaps. The long axes of nuclei are about 20 to 45 px.

    Raises:
        UserError: a side is out of range.
    """
    if not (1 <= height <= _MAX_SIDE and 1 <= width <= _MAX_SIDE):
        raise UserError(f"a synthetic image of {width}x{height} pixels: each side must be 1 to {_MAX_SIDE}")
    rng = np.random.default_rng(seed)
    tissue = _layout(height, width, rng)
    nuclei = _draw_nuclei(tissue, rng)
    hematoxylin, eosin = _stain(tissue, nuclei, rng)
    lab_h, lab_e = rng.uniform(0.1, 0.9), rng.uniform(0.35, 0.95)
    vector_h = (1 - lab_h) * _HEMATOXYLIN[0] + lab_h * _HEMATOXYLIN[1]
    vector_e = (1 - lab_e) * _EOSIN[0] + lab_e * _EOSIN[1]
    density = hematoxylin[..., None] * vector_h * rng.uniform(0.85, 1.2)
    density += eosin[..., None] * vector_e * rng.uniform(0.8, 1.2)
    white = np.array([244, 242, 245], np.float32) + rng.uniform(-4, 4, 3).astype(np.float32)
    light = cv2.GaussianBlur(white * np.exp(-density), (0, 0), rng.uniform(0.65, 1.0))
    light += 1.2 * rng.standard_normal(light.shape, dtype=np.float32)
    return np.clip(np.rint(light), 0, 255).astype(np.uint8), nuclei.labels
