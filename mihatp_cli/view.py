"""`mihatp view`."""

import argparse
import sys
from pathlib import Path

SUMMARY = "Compare slides and pictures in the browser: curtain, side by side, blink."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "images", type=Path, nargs="+", metavar="IMAGE", help="slides and pictures; they are shown at their true scale"
    )
    parser.add_argument(
        "--layers",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="outlines (GeoJSON) and maps above the images; those that `mihatp upscale --maps` and `mihatp nuclei "
        "segment` wrote beside an image are found without it",
    )
    parser.add_argument("--assume-mpp", type=float, metavar="UM", help="µm per pixel of images that state none")
    parser.add_argument("--tile-size", type=int, default=512, metavar="PX", help="side of a tile (default: 512)")
    export = parser.add_argument_group("a folder instead of a server")
    export.add_argument("--export", type=Path, metavar="DIR", help="write the page and all tiles into a new folder")
    export.add_argument("--overwrite", action="store_true", help="replace the folder of a view")
    export.add_argument("--quality", type=int, metavar="N", help="JPEG of this quality (default: PNG without loss)")
    server = parser.add_argument_group("server")
    server.add_argument("--port", type=int, metavar="N", help="default: a free one")
    server.add_argument("--no-browser", action="store_true", help="print the address alone")


def run(args: argparse.Namespace) -> int:
    """Show the images until Ctrl-C, or write them to a folder; 0."""
    from datasets_prep.common.errors import UserError
    from datasets_prep.slides.resolution import refuse_absurd
    from mihatp_viewer.export import refuse_export
    from mihatp_viewer.scene import open_scene

    refuse_absurd("--assume-mpp", args.assume_mpp)
    if args.export is None and (args.quality is not None or args.overwrite):
        raise UserError(f"--{'overwrite' if args.overwrite else 'quality'} is for --export DIR")
    if args.export is not None:
        if args.port is not None or args.no_browser:
            raise UserError("--port and --no-browser are for the server, and --export writes a folder")
        refuse_export(args.export, overwrite=args.overwrite, quality=args.quality)
    with open_scene(args.images, args.layers, assume_mpp=args.assume_mpp, tile_size=args.tile_size) as scene:
        for note in scene.notes:
            print(f"note: {note}", file=sys.stderr)
        if args.export is None:
            from mihatp_viewer.show import show

            show(scene, port=args.port, browser=not args.no_browser)
            return 0
        from mihatp_viewer.export import export_scene

        count = export_scene(scene, args.export, overwrite=args.overwrite, quality=args.quality)
    print(f"{args.export / 'index.html'} shows {len(args.images)} images in {count} tiles: open it in a browser")
    return 0
