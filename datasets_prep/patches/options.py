"""The options of a build: candidates, quality filter, limits and splits. Light to import, for the command line."""

from dataclasses import asdict, dataclass
from typing import Literal

from datasets_prep.common.errors import UserError
from datasets_prep.tissue.presets import PRESETS

LR_SOURCES = ("area", "bicubic", "pyramid")


@dataclass(frozen=True)
class ScanOptions:
    """Decides which candidate patches a slide offers.

    Attributes:
        patch_size: side of an HR patch in pixels, a multiple of every scale.
        scales: scales of the LR images.
        preset: name of CLAM's parameters (`tissue/presets.py`).
        marks: whether artefacts (pen marks, black) are taken out of the tissue.
        fallback: whether a slide without tissue is segmented again, with the smaller areas of `biopsy`.
        min_tissue: share of a patch that must be tissue, 0 to 1.
        lr: source of LR: `area` and `bicubic` reduce HR, `pyramid` reads the slide's own coarser levels.
        assume_mpp: µm per pixel of slides that state none.
    """

    patch_size: int = 192
    scales: tuple[int, ...] = (2, 4, 8)
    preset: str = "tcga"
    marks: bool = True
    fallback: bool = True
    min_tissue: float = 0.5
    lr: Literal["area", "bicubic", "pyramid"] = "area"
    assume_mpp: float | None = None

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise UserError(f"preset {self.preset!r}: choose from {', '.join(PRESETS)}")
        if self.lr not in LR_SOURCES:
            raise UserError(f"LR source {self.lr!r}: choose from {', '.join(LR_SOURCES)}")
        if not 0 <= self.min_tissue <= 1:
            raise UserError(f"minimal tissue {self.min_tissue}: give a share from 0 to 1")
        if self.assume_mpp is not None and not 0 < self.assume_mpp < 100:
            raise UserError(f"--assume-mpp {self.assume_mpp}: give µm per pixel, such as 0.25")


@dataclass(frozen=True)
class QualityFilter:
    """The thresholds of the quality filter (`quality.py` applies it).

    Attributes:
        min_saturation: smallest mean HSV saturation of a patch, 0 to 1. Glass and lumen stay under 0.05, the palest
            tissue is above it. 0 accepts every patch.
        min_sharpness: smallest variance of the Laplacian of the grey values (0 to 255). 192×192 patches of tissue in
            focus had 25 or more (33 TCGA tiles, one frozen section); blurred with sigma 3 px (0.75 µm) their median
            was below 8. 0 accepts every patch.
    """

    min_saturation: float = 0.05
    min_sharpness: float = 15.0

    def __post_init__(self) -> None:
        if not 0 <= self.min_saturation < 1:
            raise UserError(f"minimal saturation {self.min_saturation}: give a share from 0 (keeps all) to below 1")
        if not 0 <= self.min_sharpness < float("inf"):
            raise UserError(f"minimal sharpness {self.min_sharpness}: give a number of 0 (keeps all) or more")


@dataclass(frozen=True)
class Limits:
    """The largest number of patches of each split, and of each slide in a split (None: no limit)."""

    train: int = 2000
    val: int = 100
    test: int = 100  # each test set
    per_slide: int | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and value < 1:
                raise UserError(f"at most {value} patches ({name.replace('_', ' ')}): give 1 or more")

    def of(self, split: str) -> int:
        """The largest number of patches of a split."""
        return {"train": self.train, "val": self.val}.get(split, self.test)


@dataclass(frozen=True)
class SplitOptions:
    """How patches are divided into train, val and test1 … testN.

    Attributes:
        by: `patient` keeps each patient in one split. `patch` divides every slide over the splits in bands, for data
            of too few patients; results on its test sets are too good.
        tests: number of test sets.
        seed: seed of the splits and of the choice of patches.
    """

    by: Literal["patient", "patch"] = "patient"
    tests: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.tests < 1:
            raise UserError(f"{self.tests} test sets: at least 1 is needed")
