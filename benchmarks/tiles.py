"""How many useful pixels a second come out of tiles of a size, ours beside the official code.

    python benchmarks/tiles.py [--quick] [--device cuda] [--tile 48 64 96 128] [--batch 1 4] [--pad 0 8 16]

A tile of T LR pixels of which `pad` are cropped on every side is good for (T - 2 pad)² of them. Full-size HAT at x4; a
kilopixel of LR is 16 of HR. Outputs must agree to 1e-5 in fp32, or nothing is timed.
"""

from itertools import product

from comparison import Question, evaluation, infer, times
from contenders import Size, lineup
from report import Report, Row, Settings, arguments, positive, settings
from timing import ratio, spread


def tile_rows(size: Size, pads: list[int], allocator: str, settings: Settings) -> list[Row]:
    """Rates of each contender, a column for each pad; none where it leaves nothing of the tile."""
    contenders = lineup(settings.device)
    found = times(Question(size, contenders, infer, evaluation), settings, allocator)
    rows: list[Row] = []
    for one in contenders:
        median = spread(found[str(one)]).median
        useful = {pad: size.batch * (size.width - 2 * pad) ** 2 / 1000 for pad in pads if 2 * pad < size.width}
        against = ratio(found["peer fp32"], found[str(one)])
        rows.append(
            {"tile": size.width, "batch": size.batch, "allocator": allocator, "contender": str(one), "ms": 1e3 * median}
            | {f"kpx/s, pad {pad}": pixels / median for pad, pixels in useful.items()}
            | {"x peer fp32": against.median, "range": against.range()}
        )
    return rows


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--tile", type=positive, nargs="+", help="multiples of 16; default: 48 64 96 128, quick: 64")
    parser.add_argument("--batch", type=positive, nargs="+", help="default: 1 4; quick: 1")
    parser.add_argument("--pad", type=int, nargs="+", default=[0, 8, 16], help="LR pixels cropped on every side")
    args = parser.parse_args()
    chosen = settings(parser, args)
    tiles = args.tile or ([64] if args.quick else [48, 64, 96, 128])
    if any(tile % 16 for tile in tiles):
        parser.error("--tile: each must be a multiple of 16, the window")
    if not all(0 <= pad < max(tiles) / 2 for pad in args.pad):
        parser.error("--pad: each must be at least 0 and less than half of the largest tile")
    allocators = chosen.allocators[-1:] if args.quick else chosen.allocators
    report = Report("tiles", chosen)
    rows = [
        row
        for tile, batch, allocator in product(tiles, args.batch or ([1] if args.quick else [1, 4]), allocators)
        for row in tile_rows(Size(4, tile, batch, chosen.groups), args.pad, allocator, chosen)
    ]
    report.table("Tiles at x4: useful LR kilopixels a second", rows)
    report.bars(rows, f"kpx/s, pad {args.pad[-1]}", labels=["tile", "batch", "contender", "allocator"])
    report.choices()


if __name__ == "__main__":
    main()
