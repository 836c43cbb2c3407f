"""How many megapixels of SR a second `mihatp upscale` makes of a slide, beside the loops of others.

    python benchmarks/upscale.py [--quick] [--weights he-light-x4] [--image TISSUE.png] [--side 896]

The peers have the same weights and the same tiles, and neither read nor write a file:

* `tile_process`: the loop of the official HAT repository over the whole canvas: tiles of `tile_size`, `tile_pad` more
  pixels on each side, cut off afterwards; smaller tiles at the border.
* `plain loop`: the network as spandrel builds it, over tiles side by side, without more pixels: seams are visible.

Ours reads a TIFF slide, finds the tiles with tissue, computes, blends, and writes a pyramid of JPEG tiles. Two slides:
one is all tissue, a quarter of the other is.
"""

import cProfile
import pstats
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image
from report import Report, Row, Settings, arguments, positive, settings
from timing import alternate, ratio, spread
from torch import Tensor, nn

from datasets_prep.synthetic.image import synthesize
from datasets_prep.tissue.clam import Region
from datasets_prep.tissue.geojson import write_geojson
from mihatp_arch.inference.load import load_network
from mihatp_arch.inference.network import TILE, Network, TorchNetwork
from mihatp_arch.inference.slides.options import SlideOptions, TileOptions
from mihatp_arch.inference.slides.upscale_slide import upscale_slide
from mihatp_arch.inference.tiled_network import batch_for

PAD = 16  # LR px that the peer adds on each side: then its tiles have the size of ours
# Functions whose time counts for a part of the work, with what they call.
PARTS = {
    "network": ("network.py", "__call__"),
    "read": ("pixels.py", "__call__"),
    "blend": ("blend.py", "block_sums"),
    "encode and store": ("tile_store.py", "commit"),
    "write": ("tiff_writer.py", "write_tiff"),
}


@torch.inference_mode()
def tile_process(network: nn.Module, image: Tensor, *, scale: int, tile_size: int, tile_pad: int) -> Tensor:
    """`[1, 3, H, W]` -> `[1, 3, s·H, s·W]` as HAT's HATModel.tile_process and Real-ESRGAN do it."""
    _, _, height, width = image.shape
    output = image.new_zeros(1, 3, height * scale, width * scale)
    for y in range(0, height, tile_size):
        for x in range(0, width, tile_size):
            bottom, right = min(y + tile_size, height), min(x + tile_size, width)
            top, left = max(y - tile_pad, 0), max(x - tile_pad, 0)
            sr = network(image[..., top : min(bottom + tile_pad, height), left : min(right + tile_pad, width)])
            rows = slice((y - top) * scale, (bottom - top) * scale)
            columns = slice((x - left) * scale, (right - left) * scale)
            output[..., y * scale : bottom * scale, x * scale : right * scale] = sr[..., rows, columns]
    return output


def canvas_with(tissue: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Glass, [side, side, 3], with tissue in its upper left corner."""
    canvas = np.full((side, side, 3), 240, np.uint8)
    canvas[: tissue.shape[0], : tissue.shape[1]] = tissue
    return canvas


def write_slide(folder: Path, canvas: NDArray[np.uint8], tissue: tuple[int, int], *, mpp: float) -> tuple[Path, Path]:
    """A tiled TIFF, and the outline of its tissue: of this height and width, in the upper left corner."""
    slide, outline = folder / "slide.tiff", folder / "tissue.geojson"
    tile = {"tile": (256, 256), "compression": "jpeg", "compressionargs": {"level": 95}}
    tifffile.imwrite(slide, canvas, resolution=(1e4 / mpp, 1e4 / mpp), resolutionunit="CENTIMETER", **tile)
    height, width = tissue
    ring = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.int32)
    write_geojson(outline, [Region(ring, ())])
    return slide, outline


def split(call: Callable[[], object]) -> dict[str, float]:
    """The share of each part of the work in the time of `call`, in percent."""
    profile = cProfile.Profile()
    profile.runcall(call)
    stats: Any = pstats.Stats(profile)  # its type does not state its attributes
    total = stats.total_tt
    shares: dict[str, float] = {}
    for part, (file, function) in PARTS.items():
        found = (times[3] for key, times in stats.stats.items() if key[0].endswith(f"/{file}") and key[2] == function)
        shares[part] = 100 * sum(found) / total
    return shares


def upscaled(network: Network, slide: Path, outline: Path, output: Path) -> None:
    """`mihatp upscale` of a slide."""
    options = SlideOptions(tissue=outline, overwrite=True)
    tiles = TileOptions(batch=batch_for(network, TILE))
    upscale_slide(network, slide, output, options=options, tiles=tiles, say=None, progress=False)


def slide_rows(networks: Mapping[str, Network], side: int, chosen: Settings) -> list[Row]:
    """Rates of `mihatp upscale` alone, on a slide of `side` LR pixels that is all tissue."""
    tissue, _ = synthesize(side, side, seed=0)
    rows: list[Row] = []
    for name, network in networks.items():
        scale = network.info.scale
        with TemporaryDirectory() as folder:
            mpp = (network.info.mpp or 0.25) * scale
            slide, outline = write_slide(Path(folder), tissue, (side, side), mpp=mpp)
            call = partial(upscaled, network, slide, outline, Path(folder) / "sr.tiff")
            seconds = alternate({name: call}, repeats=chosen.repeats, device=chosen.device, what=name)[name]
            shares = split(call)
        median = spread(seconds).median
        rows.append({"network": name, "s": median, "MP/s": (side * scale) ** 2 / 1e6 / median, **shares})
    return rows


def rows_of(
    name: str, network: Network, plain: nn.Module, tissue: NDArray[np.uint8], side: int, chosen: Settings
) -> list[Row]:
    """Rates of ours and of the peers on one slide."""
    scale = network.info.scale
    mpp = (network.info.mpp or 0.25) * scale
    with TemporaryDirectory() as folder:
        canvas = canvas_with(tissue, side)
        slide, outline = write_slide(Path(folder), canvas, (len(tissue), len(tissue[0])), mpp=mpp)
        image = torch.from_numpy(canvas).permute(2, 0, 1)[None].float() / 255
        output = Path(folder) / "sr.tiff"

        ours = partial(upscaled, network, slide, outline, output)
        calls: dict[str, Callable[[], object]] = {
            "mihatp upscale": ours,
            "tile_process": lambda: tile_process(plain, image, scale=scale, tile_size=TILE - 2 * PAD, tile_pad=PAD),
            "plain loop": lambda: tile_process(plain, image, scale=scale, tile_size=TILE, tile_pad=0),
        }
        times = alternate(calls, repeats=chosen.repeats, device=chosen.device, what=name)
        megapixels = (side * scale) ** 2 / 1e6
        shares = split(ours)
    rows: list[Row] = []
    for who, took in times.items():
        median, faster = spread(took).median, ratio(took, times["mihatp upscale"])
        row: dict[str, str | float] = {"slide": name, "who": who, "s": median, "MP/s": megapixels / median}
        row |= {"x": faster.median, "range": faster.range()}  # how many times mihatp upscale is faster
        rows.append(row | (shares if who == "mihatp upscale" else {}))
    return rows


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--weights", default="he-light-x4", help="as for mihatp upscale")
    parser.add_argument("--image", type=Path, help="a picture of tissue, repeated as needed (default: a synthetic one)")
    parser.add_argument("--side", type=positive, help="LR px of the slides (default: 896, quick: 448)")
    args = parser.parse_args()
    chosen = settings(parser, args).apply()
    side = args.side or (448 if args.quick else 896)
    tissue = np.asarray(Image.open(args.image).convert("RGB")) if args.image else synthesize(side, side, seed=0)[0]
    tissue = np.tile(tissue, (-(-side // tissue.shape[0]), -(-side // tissue.shape[1]), 1))[:side, :side]
    network = load_network(args.weights, device=chosen.device)
    if not isinstance(network, TorchNetwork):
        parser.error("--weights: a network of torch is needed, the peers run it too")
    plain = load_network(args.weights, device=chosen.device)
    assert isinstance(plain, TorchNetwork)
    report = Report("upscale", chosen)
    rows = rows_of("all tissue", network, plain.module, tissue, side, chosen)
    rows += rows_of("a quarter tissue", network, plain.module, tissue[: side // 2, : side // 2], side, chosen)
    report.table(f"SR of a slide by {args.weights}, tiles of {TILE} LR px; parts of the time in %", rows)
    report.bars(rows, "MP/s", labels=["slide", "who"])


if __name__ == "__main__":
    main()
