"""The part of `mihatp upscale` that is for slides."""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets_prep.common.errors import UserError
from mihatp_arch.inference.outputs import name_in_output, refuse_clashes, refuse_no_folder
from mihatp_arch.inference.pyramid import Flavour, refuse_name
from mihatp_arch.inference.slides.batch import Batch, upscale_slides
from mihatp_arch.inference.slides.options import SlideOptions, TileOptions
from mihatp_arch.inference.slides.record import DONE, EXISTED, FAILED, NAME, Record
from mihatp_arch.inference.slides.task import NetworkSource

_FLAVOURS: dict[str | None, Flavour] = {None: "generic", "tiff": "generic", "svs": "svs", "ome": "ome"}
_ENDINGS: dict[Flavour, str] = {"generic": ".tif", "svs": ".svs", "ome": ".ome.tif"}


@dataclass(frozen=True)
class SlidesRun:
    """The slides of one command.

    Attributes:
        batch: how they are upscaled.
        outputs: slide -> output.
        folder: of the outputs; None where the output is a file.
        beside: slide -> the files that are written beside its output.
    """

    batch: Batch
    outputs: dict[Path, Path]
    folder: Path | None
    beside: dict[Path, list[Path]]


def plan_slides(paths: Sequence[Path], args: argparse.Namespace) -> SlidesRun:
    """Check the arguments, and decide which slide goes to which file, before anything is computed.

    Args:
        paths: the slides.
        args: of `mihatp upscale` and `mihatp_cli/slide_arguments.py`.

    Raises:
        UserError: an argument is wrong, an output is an input, or two slides have the same output.
    """
    options = SlideOptions(
        to_mpp=args.to_mpp,
        assume_mpp=args.assume_mpp,
        override_mpp=args.override_mpp,
        force=args.force,
        tissue=args.tissue,
        whole=args.whole,
        glass=args.glass,
        skip_damaged=args.skip_damaged,
        maps=args.maps,
        flavour=_FLAVOURS[args.format],
        quality=args.quality,
        lossless=args.lossless,
        overwrite=args.overwrite,
    )
    if args.tissue is not None and len(paths) > 1:
        raise UserError(f"--tissue {args.tissue}: it outlines one slide, and there are {len(paths)}")
    for name in ("workers", "batch", "tile"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise UserError(f"--{name} {value}: at least 1 is needed")
    source = None if args.weights is None else str(args.weights)
    batch = Batch(
        network=NetworkSource(source, args.scale, args.device, args.precision),
        options=options,
        tiles=TileOptions(args.tile, args.batch, ensemble=args.ensemble, consistent=bool(args.consistent)),
        workers=args.workers,
        scheduler=args.scheduler,
        resume=args.resume,
    )
    outputs, folder = _outputs(paths, args.inputs, args.output, _ENDINGS[options.flavour])
    if folder is None:
        chosen = options.flavour if args.format else None
        refuse_name(args.output, chosen, hint="a folder needs to exist, or no ending")
    beside = {slide: batch.maps_of(output) for slide, output in outputs.items()}
    refuse_clashes(outputs, beside=beside, read=[] if args.tissue is None else [args.tissue])
    return SlidesRun(batch, outputs, folder, beside)


def run_slides(run: SlidesRun, output: Path) -> int:
    """Upscale slides; 0, 2 where all failed, 3 where some of them failed.

    Args:
        run: the slides.
        output: file or folder, as it was given.

    Raises:
        UserError: the network cannot be loaded, or the only slide failed.
    """
    records = upscale_slides(run.outputs, run.batch, folder=run.folder, say=lambda line: print(line, file=sys.stderr))
    if run.folder is None and records[0].status == FAILED:
        raise UserError(records[0].error)
    return _report(records, output, run.folder)


def _outputs(
    paths: Sequence[Path], given: Sequence[Path], output: Path, suffix: str
) -> tuple[dict[Path, Path], Path | None]:
    """Slide -> output, and the folder of the outputs; None where the output is a file."""
    is_file = len(paths) == 1 and len(given) == 1 and given[0].is_file() and not output.is_dir()
    if is_file and output.suffix:
        return {paths[0].absolute(): output.absolute()}, None
    refuse_no_folder(output)
    folder = output.absolute()
    outputs = {path.absolute(): folder / name_in_output(path, given).with_suffix(suffix) for path in paths}
    return outputs, folder


def _report(records: Sequence[Record], output: Path, folder: Path | None) -> int:
    count = Counter(record.status for record in records)
    for record in records:
        if record.status == DONE:
            print(_line(record))
    if folder is not None:
        parts = {"upscaled": count[DONE], "existed": count[EXISTED], "failed": count[FAILED]}
        text = ", ".join(f"{number} {outcome}" for outcome, number in parts.items() if number)
        print(f"{output}: slides: {text}; see {output / NAME}")
    if count[FAILED]:
        print(f"{count[FAILED]} of {len(records)} slides could not be upscaled:", file=sys.stderr)
        print("\n".join(f"  {record.error}" for record in records if record.error), file=sys.stderr)
    if not count[FAILED]:
        return 0
    return 3 if count[FAILED] < len(records) else 2


def _line(record: Record) -> str:
    name = Path(record.slide).name
    return (
        f"{name}: x{record.scale}, level {record.level} of {record.mpp_in} µm/px to {record.mpp_out} µm/px in "
        f"{record.output}; {record.tiles_computed} of {record.tiles} tiles computed in {record.seconds} s"
    )
