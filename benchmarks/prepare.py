"""How fast a slide becomes a data set, beside CLAM's own loop, and what its steps cost.

    python benchmarks/prepare.py [SLIDE…] [--quick] [--side 6000] [--tiles DIR]

CLAM's loop is in `slides/clam.py`. All have one process and one thread, but for `2 workers`. Rates are patches of
192×192 px a second, at level 0; each way has its own patches, as CLAM lays a grid over each contour. The time of
`mihatp prepare` has its start in it, that of CLAM's loop has not.

* read: patches of tissue as RGB arrays that have been judged, nothing written
* data set: what super-resolution needs of them, HR and LR at three scales. CLAM's users reduce and save with PIL, after
  its loop or after its HDF5 file, which has HR alone. `mihatp prepare` writes LMDBs, a manifest and a data card.

Without SLIDE two slides are written, of the same synthetic tissue: tiles of JPEG, and of JPEG 2000 (not with --quick).
Every SLIDE counts as one of 40x. `--tiles` has images for the table of PNG encoders; without them they are synthetic.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from report import Report, Row, Settings, common_arguments, common_settings, positive
from slides import clam
from slides.jpeg2000 import write_jpeg2000
from slides.png import png_rows
from timing import alternate, ratio, spread

from datasets_prep.patches.grid import grid
from datasets_prep.patches.options import QualityFilter, ScanOptions
from datasets_prep.patches.quality import find_flaw
from datasets_prep.patches.selection import shards
from datasets_prep.slides.levels import overview
from datasets_prep.slides.open import open_slide
from datasets_prep.slides.tiles import read_rgb
from datasets_prep.synthetic.image import synthesize
from datasets_prep.synthetic.slide import write_synthetic_slide
from datasets_prep.tissue.coverage import coverage
from datasets_prep.tissue.segmentation import find_tissue

MPP = 0.25
LOOP, PAIRS, OURS = "CLAM's loop", "CLAM's loop, PNG by PIL", "mihatp prepare"
LIMITS = {"train": 1_000_000, "val": 50_000, "test": 50_000}  # all patches, shared as 20 : 1 : 1
_PATCHES = 60  # of the table of encoders

Way = Callable[[], int]  # makes patches, and gives their number


def read_ours(path: Path) -> int:
    """Patches as a build reads and filters them."""
    quality, accepted = QualityFilter(), 0
    with open_slide(path, assume_mpp=MPP) as slide:
        rgb, scale = overview(slide)
        tissue = find_tissue(rgb, scale=scale, preset=clam.PRESET)
        coordinates = grid(*slide.level_sizes[0], patch_size=clam.SIZE)
        shares = coverage(tissue.mask, scale=scale, xs=coordinates[:, 0], ys=coordinates[:, 1], size=clam.SIZE)
        coordinates = coordinates[shares >= ScanOptions().min_tissue]
        for shard in shards(np.arange(len(coordinates)), coordinates, size=64):
            for x, y in coordinates[shard].tolist():
                accepted += find_flaw(slide.read(x, y, clam.SIZE, clam.SIZE), quality) is None
    return accepted


def build(path: Path, output: Path, *, workers: int) -> int:
    """`mihatp prepare` as a process of its own: number of patches."""
    rmtree(output, ignore_errors=True)
    command = [sys.executable, "-m", "datasets_prep.build", str(path), "-o", str(output), "--workers", str(workers)]
    command += ["--split-by", "patch", "--override-mpp", str(MPP), "--preset", clam.PRESET]
    for split, limit in LIMITS.items():
        command += [f"--{split}-patches", str(limit)]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    if ended.returncode:
        raise SystemExit(f"{path}: {ended.stderr.strip()}")
    return len((output / "manifest.csv").read_text(encoding="utf-8").splitlines()) - 1


def rows_of(path: Path, name: str, what: str, ways: Mapping[str, Way], settings: Settings) -> list[Row]:
    """Rates of the ways in turn, and how many times faster each is than the first."""
    counts: dict[str, int] = {}

    def run(way: str) -> None:
        counts[way] = ways[way]()

    calls = {way: partial(run, way) for way in ways}
    times = alternate(calls, repeats=settings.repeats, device="cpu", what=f"{name}, {what}", at_least=0)
    each = {way: [seconds / counts[way] for seconds in times[way]] for way in ways}
    first = next(iter(ways))
    rows: list[Row] = []
    for way in ways:
        faster = ratio(each[first], each[way])
        row: dict[str, str | float] = {"slide": name, "what": what, "way": way, "patches": str(counts[way])}
        row |= {"patches/s": 1 / spread(each[way]).median, "x CLAM's loop": faster.median, "range": faster.range()}
        rows.append(row)
    return rows


def slide_rows(path: Path, name: str, folder: Path, settings: Settings) -> list[Row]:
    """Both tables of one slide."""
    bag, pairs, data = (folder / part for part in ("bag", "pairs", "data"))
    bag.mkdir(parents=True, exist_ok=True)
    reading: dict[str, Way] = {LOOP: partial(clam.read_alone, path), "ours": partial(read_ours, path)}
    building: dict[str, Way] = {PAIRS: partial(clam.write_pairs, path, pairs)}
    building |= {"CLAM's loop, HDF5 of HR alone": partial(clam.write_hdf5, path, bag)}
    for workers in (1, 2):
        way = OURS if workers == 1 else f"{OURS}, {workers} workers"
        building[way] = partial(build, path, data, workers=workers)
    rows = rows_of(path, name, "read", reading, settings)
    return [*rows, *rows_of(path, name, "data set", building, settings)]


def opening_rows(path: Path, name: str, settings: Settings) -> list[Row]:
    """What it costs to open a slide, to compare its decoder with OpenSlide's, and to read 64 patches in a row."""

    def opened(patches: int) -> None:
        with open_slide(path, assume_mpp=MPP) as slide:
            for number in range(patches):
                slide.read(clam.SIZE * (number % 8), clam.SIZE * (number // 8), clam.SIZE, clam.SIZE)

    calls = {what: partial(opened, count) for what, count in (("open", 0), ("compared", 1), ("read", 64))}
    times = alternate(calls, repeats=settings.repeats, device="cpu", what=f"{name}, opening")
    whole = {what: spread(seconds).median * 1e3 for what, seconds in times.items()}
    return [
        {
            "slide": name,
            "open, ms": whole["open"],
            "first patch and comparison, ms": whole["compared"] - whole["open"],
            "63 more patches, ms": whole["read"] - whole["compared"],
        }
    ]


def written_slides(folder: Path, side: int) -> dict[str, Path]:
    """Synthetic slides by the name of their coding."""
    found = {"JPEG": folder / "jpeg.svs", "JPEG 2000": folder / "jpeg2000.svs"}
    write_synthetic_slide(found["JPEG"], width=side, height=side, seed=0, mpp=MPP, flavour="svs")
    write_jpeg2000(*found.values())
    return found


def images(tiles: Path | None) -> Sequence[clam.RGB]:
    """Patches for the encoders: of the middle of the images in a folder, or synthetic."""
    if tiles is None:
        large, _ = synthesize(10 * clam.SIZE, 6 * clam.SIZE, seed=0)
        sources = [large]
    else:
        sources = [read_rgb(path) for path in sorted(tiles.iterdir()) if path.suffix in (".png", ".tif", ".tiff")]
    found = [
        np.ascontiguousarray(source[y : y + clam.SIZE, x : x + clam.SIZE])
        for source in sources
        for x, y in grid(source.shape[1], source.shape[0], patch_size=clam.SIZE).tolist()
    ]
    return found[:: max(1, len(found) // _PATCHES)][:_PATCHES]


def main() -> None:
    parser = common_arguments(__doc__ or "")
    parser.add_argument("slides", metavar="SLIDE", type=Path, nargs="*")
    parser.add_argument("--side", type=positive, help="of the synthetic slides, px (default: 6000, quick: 3000)")
    parser.add_argument("--tiles", type=Path, metavar="DIR", help="images of tissue for the encoders")
    args = parser.parse_args()
    missing = [str(path) for path in args.slides if not path.is_file()]
    if missing:
        parser.error(f"no such file: {', '.join(missing)}")
    settings = common_settings(parser, args)
    cv2.setNumThreads(1)
    report = Report("prepare", settings)
    _measure(report, args, settings)


def _measure(report: Report, args: argparse.Namespace, settings: Settings) -> None:
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        paths = {path.stem: path for path in args.slides}
        if not paths:
            paths = written_slides(folder, args.side or (3000 if args.quick else 6000))
            paths = {"JPEG": paths["JPEG"]} if args.quick else paths
        rows = [row for name, path in paths.items() for row in slide_rows(path, name, folder / name, settings)]
        report.table("Patches out of a slide", rows)
        report.bars(rows, "patches/s", labels=["slide", "what", "way"])
        opening = [row for name, path in paths.items() for row in opening_rows(path, name, settings)]
        report.table("The start of a job", opening, part="opening")
    report.table(f"PNG of {_PATCHES} patches of 192×192 px", png_rows(images(args.tiles), settings), part="png")


if __name__ == "__main__":
    main()
