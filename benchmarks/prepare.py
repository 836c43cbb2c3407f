"""How fast patches come out of a slide, beside CLAM's own way of doing it, in one process and on one core.

    python benchmarks/prepare.py [SLIDE] [--side 20000] [--assume-mpp 0.25]

CLAM's way is what its `create_patches.py` does: for each contour a loop over its bounding box, `pointPolygonTest` for
every place, `read_region` for every patch, tests for black and white ones. Both ways get the same contours and give the
same thing, RGB arrays of tissue patches that have been judged; the whole build (LR at three scales, PNG, LMDB) follows
on its own. Without SLIDE a synthetic one is written, JPEG in tiles of 256.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import openslide

from datasets_prep.patches.grid import grid
from datasets_prep.patches.options import QualityFilter
from datasets_prep.patches.quality import find_flaw, saturation
from datasets_prep.patches.selection import shards
from datasets_prep.slides.levels import overview
from datasets_prep.slides.open import open_slide
from datasets_prep.synthetic.slide import write_synthetic_slide
from datasets_prep.tissue.clam import clam_regions
from datasets_prep.tissue.coverage import coverage
from datasets_prep.tissue.presets import PRESETS
from datasets_prep.tissue.segmentation import find_tissue

SIZE = 192
PRESET = "tcga"


def clam(path: Path) -> int:
    """Patches by CLAM's loop, one after the other."""
    slide = openslide.OpenSlide(str(path))
    level = slide.get_best_level_for_downsample(64)
    rgb = np.asarray(slide.read_region((0, 0), level, slide.level_dimensions[level]).convert("RGB"))
    scale = (slide.dimensions[0] / rgb.shape[1], slide.dimensions[1] / rgb.shape[0])
    shift, kept = int(SIZE // 2 * 0.5), 0
    for region in clam_regions(rgb, scale=scale, preset=PRESETS[PRESET]):
        contour = region.outer.reshape(-1, 1, 2)
        x0, y0, width, height = cv2.boundingRect(contour)
        for y in range(y0, y0 + height, SIZE):
            for x in range(x0, x0 + width, SIZE):
                centre = (x + SIZE // 2, y + SIZE // 2)
                corners = [(centre[0] + dx, centre[1] + dy) for dx in (-shift, shift) for dy in (-shift, shift)]
                if not any(cv2.pointPolygonTest(contour, (float(u), float(v)), False) >= 0 for u, v in corners):
                    continue
                middle = (float(centre[0]), float(centre[1]))
                if any(cv2.pointPolygonTest(hole.reshape(-1, 1, 2), middle, False) > 0 for hole in region.holes):
                    continue
                patch = np.asarray(slide.read_region((x, y), 0, (SIZE, SIZE)).convert("RGB"))
                kept += not (np.all(patch.mean(axis=(0, 1)) < 50) or saturation(patch) * 255 < 5)
    slide.close()
    return kept


def ours(path: Path, assume_mpp: float | None) -> int:
    """Patches as a build reads and filters them."""
    quality, accepted = QualityFilter(), 0
    with open_slide(path, assume_mpp=assume_mpp) as slide:
        rgb, scale = overview(slide)
        tissue = find_tissue(rgb, scale=scale, preset=PRESET)
        coordinates = grid(*slide.level_sizes[0], patch_size=SIZE)
        shares = coverage(tissue.mask, scale=scale, xs=coordinates[:, 0], ys=coordinates[:, 1], size=SIZE)
        coordinates = coordinates[shares >= 0.5]
        for shard in shards(np.arange(len(coordinates)), coordinates, size=64):
            for x, y in coordinates[shard].tolist():
                accepted += find_flaw(slide.read(x, y, SIZE, SIZE), quality) is None
    return accepted


def rate(work: Callable[[], int]) -> tuple[int, float]:
    start = time.perf_counter()
    count = work()
    return count, count / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slide", type=Path, nargs="?")
    parser.add_argument("--side", type=int, default=20000, help="of the synthetic slide, px")
    parser.add_argument("--assume-mpp", type=float)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = args.slide
        if path is None:
            path = Path(folder) / "synthetic.tif"
            write_synthetic_slide(path, width=args.side, height=args.side, seed=0)
        compare(path, args.assume_mpp, args.repeats)
        build(path, args.assume_mpp, Path(folder) / "data")


def compare(path: Path, assume_mpp: float | None, repeats: int) -> None:
    """The two ways in turn; medians of the rates and of the ratios pair by pair."""
    rates: dict[str, list[float]] = {"CLAM's way": [], "ours": []}
    counts: dict[str, int] = {}
    for _ in range(repeats):
        for name, work in (("CLAM's way", lambda: clam(path)), ("ours", lambda: ours(path, assume_mpp))):
            counts[name], measured = rate(work)
            rates[name].append(measured)
    for name, measured in rates.items():
        print(f"{name:12}{counts[name]:7} patches {statistics.median(measured):8.0f} patches/s")
    ratios = [b / a for a, b in zip(*rates.values(), strict=True)]
    print(f"ratio {statistics.median(ratios):.2f} (of {repeats}: {min(ratios):.2f} to {max(ratios):.2f})")


def build(path: Path, assume_mpp: float | None, output: Path) -> None:
    """The whole build as a process of its own, for its peak memory."""
    command = [sys.executable, "-m", "datasets_prep.build", str(path), "-o", str(output), "--split-by", "patch"]
    command += ["--train-patches", "1000000"] + ([] if assume_mpp is None else ["--assume-mpp", str(assume_mpp)])
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    with (output / "manifest.csv").open() as file:
        count = sum(1 for _ in file) - 1
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"whole build  {count:7} patches {count / seconds:8.0f} patches/s, one worker; peak memory {peak:.0f} MiB")


if __name__ == "__main__":
    main()
