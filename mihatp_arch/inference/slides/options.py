"""What a user may choose about a slide, and about the tiles of the network."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from datasets_prep.common.errors import UserError
from datasets_prep.slides.protocol import SlideReader
from datasets_prep.slides.resolution import Resolution, refuse_absurd, stated_resolution
from mihatp_arch.inference.pyramid import FLAVOURS, Compression, Flavour, Jpeg, Lossless

Glass: TypeAlias = Literal["bicubic", "white"]
GLASS: tuple[Glass, ...] = ("bicubic", "white")


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How a slide is read.

    Attributes:
        assume_mpp: resolution of slides that state none, µm per level-0 px.
        override_mpp: resolution of all slides, whatever they state, µm per level-0 px.
        force: use the nearest level also where its resolution is more than 25 % off.
        tissue: path of a GeoJSON with outlines of the tissue, in level-0 px; None: it is segmented.
        whole: compute the glass too.

    Raises:
        UserError: a value is out of range, or two exclude one another.
    """

    assume_mpp: float | None = None
    override_mpp: float | None = None
    force: bool = False
    tissue: str | os.PathLike[str] | None = None
    whole: bool = False

    def __post_init__(self) -> None:
        refuse_absurd("assume_mpp", self.assume_mpp)
        refuse_absurd("override_mpp", self.override_mpp)
        if self.whole and self.tissue is not None:
            raise UserError("whole computes everything, tissue only its outlines: give one of them")

    @property
    def outlines(self) -> Path | None:
        """`tissue` as a path."""
        return None if self.tissue is None else Path(self.tissue)

    @property
    def stated_mpp(self) -> float | None:
        """µm per level-0 px for slides that state none."""
        return self.assume_mpp if self.override_mpp is None else self.override_mpp

    def resolution_of(self, slide: SlideReader) -> Resolution:
        """The resolution of a slide that was opened with `stated_mpp`."""
        return stated_resolution(slide.mpp, slide.mpp_source, self.assume_mpp, self.override_mpp)


@dataclass(frozen=True)
class SlideOptions(ReadOptions):
    """How a slide is read and written. The network and its tiles are chosen elsewhere.

    Attributes:
        assume_mpp, override_mpp, force, tissue, whole: as in `ReadOptions`.
        to_mpp: wanted resolution of the output, µm/px; None: that of the training.
        glass: what the output has where nothing is computed: `bicubic` interpolation of the slide, or `white`.
        skip_damaged: write white where the slide cannot be decoded; else such a slide is refused.
        maps: write the trust maps beside the output.
        flavour: of the TIFF, see `pyramid/flavours.py`.
        quality: of JPEG, 1 to 100.
        lossless: deflate instead of JPEG.
        overwrite: replace an output that exists.

    Raises:
        UserError: a value is out of range, or two exclude one another.
    """

    to_mpp: float | None = None
    glass: Glass = "bicubic"
    skip_damaged: bool = False
    maps: bool = False
    flavour: Flavour = "generic"
    quality: int = 90
    lossless: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.to_mpp is not None and not 0 < self.to_mpp < float("inf"):
            raise UserError(f"to_mpp {self.to_mpp}: give µm per pixel, such as 0.25")
        if self.glass not in GLASS:
            raise UserError(f"glass {self.glass}: choose from {', '.join(GLASS)}")
        if self.flavour not in FLAVOURS:
            raise UserError(f"flavour {self.flavour}: choose from {', '.join(FLAVOURS)}")
        Jpeg(self.quality)  # checks its range

    @property
    def compression(self) -> Compression:
        """How the tiles of the TIFF are encoded."""
        return Lossless() if self.lossless else Jpeg(self.quality)


@dataclass(frozen=True)
class TileOptions:
    """How the network is applied to tiles.

    Attributes:
        tile: largest side of its input, LR px; None: 160, or that of an ONNX file.
        batch: tiles in one call; None: those of the interrupted run that is resumed, else what `batch_for` chooses.
        ensemble: average over the reversible pool.
        consistent: project SR onto the images whose reduction is LR.
        block: side of a block, about, px of the output.
    """

    tile: int | None = None
    batch: int | None = None
    ensemble: bool = False
    consistent: bool = False
    block: int = 2048
