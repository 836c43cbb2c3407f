"""The arguments of `mihatp prepare`; importing them is fast."""

import argparse
from pathlib import Path

from datasets_prep.patches.options import HR_MPP, LR_SOURCES, QualityFilter
from datasets_prep.tissue.presets import PRESETS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to `parser`."""
    parser.add_argument("slides", type=Path, nargs="*", metavar="SLIDE|DIR", help="slides, and folders of slides")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="new data set folder")

    _add_source_arguments(parser.add_argument_group("sources"))
    _add_tissue_arguments(parser.add_argument_group("tissue"))
    _add_patch_arguments(parser.add_argument_group("patches"))
    _add_split_arguments(parser.add_argument_group("splits"))

    execution = parser.add_argument_group("execution")
    execution.add_argument("--workers", type=int, default=1, metavar="N", help="local processes (default: 1)")
    execution.add_argument(
        "--scheduler", metavar="ADDRESS", help="Dask cluster instead of local processes, such as tcp://host:8786"
    )
    execution.add_argument(
        "--dry-run", action="store_true", help="say what would be done, how large and how long, and what would fail"
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


def _mpp(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number: give µm per pixel, or put the option behind the slides"
        ) from None


def _add_tissue_arguments(tissue: argparse._ArgumentGroup) -> None:
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


def _add_patch_arguments(patches: argparse._ArgumentGroup) -> None:
    patches.add_argument("--patch-size", type=int, default=192, metavar="PX", help="side in HR pixels (default: 192)")
    patches.add_argument(
        "--coords", type=Path, metavar="PATH", help="coordinates of CLAM or TRIDENT: a folder of <slide>.h5, or a file"
    )
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


def _add_split_arguments(splits: argparse._ArgumentGroup) -> None:
    splits.add_argument("--tests", type=int, default=5, metavar="N", help="number of test sets (default: 5)")
    for split, noun, default in (("train", "train", 2000), ("val", "val", 100), ("test", "each test set", 100)):
        text = f"largest number of patches in {noun} (default: {default})"
        splits.add_argument(f"--{split}-patches", type=int, default=default, metavar="N", help=text)
    splits.add_argument(
        "--per-slide", type=int, metavar="N", help="largest number of patches of one slide in a split (default: any)"
    )
    splits.add_argument(
        "--per-patient", type=int, metavar="N", help="largest number of patches of one patient in a split"
    )
    splits.add_argument(
        "--split-by",
        choices=["patient", "patch"],
        default="patient",
        help="patch puts the same patients in training and test, and the card warns of it (default: patient)",
    )
    splits.add_argument("--seed", type=int, default=0, help="seed of splits and choice of patches (default: 0)")
