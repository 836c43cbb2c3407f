"""The options of a build: candidates, quality filter, limits and splits. Light to import, for the command line."""

import re
from dataclasses import asdict, dataclass
from typing import Literal

from datasets_prep.common.errors import UserError
from datasets_prep.tissue.presets import PRESETS

LR_SOURCES = ("area", "bicubic", "pyramid")
HR_MPP = (0.25, 0.5, 1.0)  # µm/px of HR: 40x, 20x and 10x


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
        assume_mpp: µm per level-0 pixel of slides and tiles that state none.
        override_mpp: µm per level-0 pixel of all slides and tiles, whatever they state; the manifest's counts more.
            True: the manifest and `assume_mpp` count more than the slide. False: the slide counts most.
        hr_mpp: µm per HR pixel, within 20 %: one of `HR_MPP`. HR is level 0, or level 0 exactly reduced.
        mask_include: classes of a corrected outline that are tissue; empty: all that are not excluded.
        mask_exclude: classes that are taken out of the tissue, besides `tissue.outlines.EXCLUDED`.
        strict: whether a slide is refused when one of its scales cannot be read from its own level (`lr` is pyramid).
    """

    patch_size: int = 192
    scales: tuple[int, ...] = (2, 4, 8)
    preset: str = "tcga"
    marks: bool = True
    fallback: bool = True
    min_tissue: float = 0.5
    lr: Literal["area", "bicubic", "pyramid"] = "area"
    assume_mpp: float | None = None
    override_mpp: float | bool = False
    hr_mpp: float = HR_MPP[0]
    strict: bool = False
    mask_include: tuple[str, ...] = ()
    mask_exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise UserError(f"preset {self.preset!r}: choose from {', '.join(PRESETS)}")
        if self.lr not in LR_SOURCES:
            raise UserError(f"LR source {self.lr!r}: choose from {', '.join(LR_SOURCES)}")
        if not 0 <= self.min_tissue <= 1:
            raise UserError(f"minimal tissue {self.min_tissue}: give a share from 0 to 1")
        if self.hr_mpp not in HR_MPP:
            raise UserError(f"--hr-mpp {self.hr_mpp:g}: choose from {', '.join(f'{mpp:g}' for mpp in HR_MPP)}")
        if self.strict and self.lr != "pyramid":
            raise UserError("--strict refuses slides without the levels for --lr pyramid: give that too")
        override = None if isinstance(self.override_mpp, bool) else self.override_mpp
        from datasets_prep.slides.resolution import refuse_absurd  # OpenSlide, which `--help` does without

        refuse_absurd("--assume-mpp", self.assume_mpp)
        refuse_absurd("--override-mpp", override)


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
    """The largest number of patches of each split, and of each slide and each patient in a split (None: no limit)."""

    train: int = 2000
    val: int = 100
    test: int = 100  # each test set
    per_slide: int | None = None
    per_patient: int | None = None

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
        patient_regex: regular expression whose first group, or group `patient`, in the name of a source is its patient.
        patient_from: `folder`: the first folder in the name of a source is its patient.
    """

    by: Literal["patient", "patch"] = "patient"
    tests: int = 5
    seed: int = 0
    patient_regex: str | None = None
    patient_from: Literal["folder"] | None = None

    def __post_init__(self) -> None:
        if self.tests < 1:
            raise UserError(f"{self.tests} test sets: at least 1 is needed")
        if self.patient_regex is not None and self.patient_from is not None:
            raise UserError("--patient-regex and --patient-from both say how a patient is found: give one of them")
        try:
            re.compile(self.patient_regex or "")
        except re.error as error:
            raise UserError(f"--patient-regex {self.patient_regex!r} is no regular expression: {error}") from None
