"""The command line of `mihatp prepare` and `python -m datasets_prep.build`; importing it is fast."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from datasets_prep.common.errors import UserError
from datasets_prep.patches.options import HR_MPP, LR_SOURCES, Limits, QualityFilter, ScanOptions, SplitOptions
from datasets_prep.source_table.template import write_template
from datasets_prep.tissue.presets import PRESETS

if TYPE_CHECKING:
    from datasets_prep.prepare import BuildResult

_LISTED = 10  # names on a line

SUMMARY = "From slides and image tiles to patient-disjoint BasicSR LMDBs, with a manifest and a data card."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to `parser`."""
    parser.add_argument("slides", type=Path, nargs="*", metavar="SLIDE|DIR", help="slides, and folders of slides")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="new data set folder")

    _add_source_arguments(parser.add_argument_group("sources"))
    tissue = parser.add_argument_group("tissue")
    tissue.add_argument("--preset", choices=list(PRESETS), default="tcga", help="CLAM's parameters (default: tcga)")
    tissue.add_argument(
        "--no-marks", action="store_true", help="exactly as CLAM: leave pen marks and other artefacts in the tissue"
    )
    tissue.add_argument(
        "--no-fallback", action="store_true", help="if no tissue is found, do not try again with smaller areas"
    )
    tissue.add_argument("--mask", type=Path, metavar="PATH", help="corrected GeoJSON, or a folder of <slide>.geojson")
    tissue.add_argument(
        "--mask-include", nargs="+", default=[], metavar="CLASS", help="QuPath classes that are tissue (default: all)"
    )
    tissue.add_argument(
        "--mask-exclude",
        nargs="+",
        default=[],
        metavar="CLASS",
        help="QuPath classes that are taken out, besides Ignore*, Necrosis, Artefact and the like",
    )

    patches = parser.add_argument_group("patches")
    patches.add_argument("--patch-size", type=int, default=192, metavar="PX", help="side in HR pixels (default: 192)")
    patches.add_argument(
        "--min-tissue", type=float, default=0.5, metavar="SHARE", help="smallest share of tissue (default: 0.5)"
    )
    saturation, sharpness = QualityFilter.min_saturation, QualityFilter.min_sharpness
    patches.add_argument(
        "--min-saturation",
        type=float,
        default=saturation,
        metavar="SHARE",
        help=f"quality filter: smallest mean saturation, 0 to 1 (default: {saturation})",
    )
    patches.add_argument(
        "--min-sharpness",
        type=float,
        default=sharpness,
        metavar="VAR",
        help=f"quality filter: smallest variance of the Laplacian; 0 accepts all (default: {sharpness:g})",
    )
    patches.add_argument(
        "--lr",
        choices=LR_SOURCES,
        default="area",
        help="source of LR: area and bicubic reduce HR, pyramid reads coarser levels of the slide (default: area)",
    )
    patches.add_argument(
        "--strict", action="store_true", help="with --lr pyramid: leave out slides whose own levels do not give all LR"
    )
    patches.add_argument(
        "--scales", type=int, nargs="+", default=[2, 4, 8], metavar="K", help="scales of LR (default: 2 4 8)"
    )
    _add_split_arguments(parser.add_argument_group("splits"))

    execution = parser.add_argument_group("execution")
    execution.add_argument("--workers", type=int, default=1, metavar="N", help="local processes (default: 1)")
    execution.add_argument(
        "--scheduler", metavar="ADDRESS", help="Dask cluster instead of local processes, such as tcp://host:8786"
    )
    execution.add_argument("--overwrite", action="store_true", help="replace an existing data set")


def _add_source_arguments(sources: argparse._ArgumentGroup) -> None:
    sources.add_argument("--tiles", type=Path, metavar="DIR", help="folder of image tiles at 40x, used whole")
    sources.add_argument(
        "--manifest", type=Path, metavar="CSV", help="columns slide (or image), and patient, split, mpp as known"
    )
    sources.add_argument(
        "--assume-mpp", type=float, metavar="UM", help="µm per pixel of slides and tiles that state none"
    )
    sources.add_argument(
        "--override-mpp",
        type=_mpp,
        nargs="?",
        const=True,
        default=False,
        metavar="UM",
        help="µm per pixel of all slides and tiles, whatever they state; without UM, that of the manifest or of "
        "--assume-mpp counts more than the slide's",
    )
    sources.add_argument(
        "--hr-mpp",
        type=float,
        default=HR_MPP[0],
        metavar="UM",
        help="µm per HR pixel: 0.25 (40x), 0.5 (20x) or 1.0 (10x), from level 0, exactly reduced where it is finer "
        "(default: 0.25)",
    )
    sources.add_argument(
        "--patient-regex", metavar="RE", help="the first group of this pattern in the name of a file is its patient"
    )
    sources.add_argument("--patient-from", choices=["folder"], help="the folder of a file is its patient")


def _add_split_arguments(splits: argparse._ArgumentGroup) -> None:
    splits.add_argument("--tests", type=int, default=5, metavar="N", help="number of test sets (default: 5)")
    for split, noun, default in (("train", "train", 2000), ("val", "val", 100), ("test", "each test set", 100)):
        text = f"largest number of patches in {noun} (default: {default})"
        splits.add_argument(f"--{split}-patches", type=int, default=default, metavar="N", help=text)
    splits.add_argument(
        "--per-slide", type=int, metavar="N", help="largest number of patches of one slide in a split (default: any)"
    )
    splits.add_argument(
        "--split-by",
        choices=["patient", "patch"],
        default="patient",
        help="patch puts the same patients in training and test, and the card warns of it (default: patient)",
    )
    splits.add_argument("--seed", type=int, default=0, help="seed of splits and choice of patches (default: 0)")


def run(args: argparse.Namespace) -> int:
    """Prepare a data set as the arguments say, and print a summary; 0, or 3 when some sources could not be used."""
    from datasets_prep.patches.patients import UnknownPatientsError
    from datasets_prep.prepare import prepare  # OpenCV, OpenSlide and matplotlib, which `--help` does without

    build = partial(
        prepare,
        args.slides,
        args.output,
        tiles=args.tiles,
        manifest=args.manifest,
        mask=args.mask,
        options=ScanOptions(
            patch_size=args.patch_size,
            scales=tuple(args.scales),
            preset=args.preset,
            marks=not args.no_marks,
            fallback=not args.no_fallback,
            min_tissue=args.min_tissue,
            lr=args.lr,
            assume_mpp=args.assume_mpp,
            override_mpp=args.override_mpp,
            hr_mpp=args.hr_mpp,
            strict=args.strict,
            mask_include=tuple(args.mask_include),
            mask_exclude=tuple(args.mask_exclude),
        ),
        quality=QualityFilter(min_saturation=args.min_saturation, min_sharpness=args.min_sharpness),
        limits=Limits(args.train_patches, args.val_patches, args.test_patches, args.per_slide),
        splits=SplitOptions(args.split_by, args.tests, args.seed, args.patient_regex, args.patient_from),
        workers=args.workers,
        scheduler=args.scheduler,
        overwrite=args.overwrite,
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        say=lambda line: print(f"note: {line}", file=sys.stderr),
    )
    try:
        result = build()
    except UnknownPatientsError as error:
        template = write_template(error.patients, args.output)
        raise UserError(f"{error}; the column patient of {template} is for them to be filled in") from error
    _print(result, args.output)
    return 3 if result.failed or result.unnamed else 0


def _mpp(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number: give µm per pixel, or put the option behind the slides"
        ) from None


def _print(result: "BuildResult", output: Path) -> None:
    for split, count in result.counts.items():
        print(f"{split:8}{count:6} patches, patients: {result.patients[split]}")
    for state in result.sources:
        for note in state.scan.notes:
            print(f"{state.source.name}: {note}")
    for warning in result.warnings:
        print(f"warning: {warning}")
    rejected = ", ".join(f"{count} {flaw}" for flaw, count in sorted(result.rejected().items())) or "none"
    used = len(result.sources) - len(result.failed)
    print(f"{output}: {used} of {len(result.sources)} slides and tiles used; patches not taken: {rejected}; ", end="")
    print(f"duplicate patches left out: {result.duplicates}; see {output / 'card.md'}")
    if result.unnamed:
        names = ", ".join(source.name for source in result.unnamed[:_LISTED])
        more = ", …" if len(result.unnamed) > _LISTED else ""
        print(f"{len(result.unnamed)} left out, since the manifest names them not: {names}{more}", file=sys.stderr)
    if result.failed:
        print(f"{len(result.failed)} of {len(result.sources)} could not be used:", file=sys.stderr)
    for reason in result.failed:
        print(f"  {' '.join(reason.split())}", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command: 0 done, 2 a user error (one line on stderr), 3 some sources could not be used."""
    parser = argparse.ArgumentParser(prog="python -m datasets_prep.build", description=SUMMARY)
    add_arguments(parser)
    args = parser.parse_args(argv)
    try:
        return run(args)
    except UserError as error:
        print(f"{parser.prog}: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
