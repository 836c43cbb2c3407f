"""The arguments of `mihatp upscale` that are for slides alone."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    level = parser.add_argument_group("slides: input")
    level.add_argument(
        "--force", action="store_true", help="use the nearest level, even if its µm per pixel is far off"
    )
    level.add_argument("--tissue", type=Path, metavar="GEOJSON", help="compute inside these outlines, from QuPath")
    level.add_argument("--whole", action="store_true", help="compute the glass too")
    level.add_argument(
        "--skip-damaged",
        action="store_true",
        help="write white where a slide cannot be decoded, else it is refused",
    )
    files = parser.add_argument_group("slides: output")
    files.add_argument(
        "--glass", choices=["bicubic", "white"], default="bicubic", help="where nothing is computed (default: bicubic)"
    )
    files.add_argument("--quality", type=int, default=90, metavar="Q", help="of JPEG, 1 to 100 (default: 90)")
    files.add_argument("--lossless", action="store_true", help="deflate instead of JPEG: five times as large")
    files.add_argument(
        "--maps", action="store_true", help="also write maps of what to trust less, for QuPath; more with --ensemble"
    )
    execution = parser.add_argument_group("slides: execution")
    execution.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes of one thread (default: this one, a thread for each core)",
    )
    execution.add_argument(
        "--scheduler", metavar="ADDRESS", help="Dask cluster, such as tcp://host:8786; one slide is one task"
    )


def given(args: argparse.Namespace) -> list[str]:
    """The options for slides alone that have another value than their default, such as `--maps`."""
    parser = argparse.ArgumentParser(add_help=False)
    add_arguments(parser)
    defaults = vars(parser.parse_args([]))
    return [f"--{name.replace('_', '-')}" for name, value in defaults.items() if getattr(args, name) != value]
